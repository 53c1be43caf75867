"""The image-text model: its loss, what its two sides see, how it is trained and read, and the critic made of it."""

import pytest
import torch
import torch.nn.functional as F
import train_image_text as training
from safetensors.torch import load_file
from support import change_tensors, refuses
from torch.testing import assert_close
from train_image_text import (
    HELD_OUT_PROMPTS,
    SHARES,
    TRAIN_PROMPTS,
    SentenceTable,
    degrade,
    quality_accuracy,
    train_sentences,
    zero_shot_accuracy,
)
from transformers.models.clip.modeling_clip import image_text_contrastive_loss

from t2i_helpers import presets
from t2i_helpers.data import QUALITY, LabelledImages, captions, from_uint8, load_images, sentences
from t2i_helpers.data.synthetic import draw_shapes
from t2i_helpers.errors import BadCheckpoint, BadValue
from t2i_helpers.evaluation.experiments import best_of, caption_scores, critic_scores
from t2i_helpers.models import ImageText, image_text, load_image_text, load_text_encoder
from t2i_helpers.models.image_text import pad_to_rgb32
from t2i_helpers.randomness import generator

DATASETS = ("mnist", "cifar10")
SHAPES = {"mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
PROMPTS = ["the number seven", "A photo of a cat", "a picture of something much longer than that, in many words"]


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(0)
    return ImageText().eval()


def pictures(n, *shape, key=0):
    return torch.rand(n, *shape, generator=generator("pictures", key))


def test_the_loss_is_clips_own_and_pairs_of_one_meaning_share_the_target():
    """-log p of every partner that is true, averaged over them, then over images and texts."""
    images, texts = F.normalize(torch.randn(2, 5, 5, generator=generator("pairs")), dim=2)
    assert_close(training.contrastive_loss(images, texts, torch.tensor(7.0), torch.arange(5)),
                 image_text_contrastive_loss(7.0 * texts @ images.T))
    meanings = torch.tensor([0, 1, 0, 2, 0])
    logits = 3.0 * images @ texts.T
    likelihoods = [(row - row.logsumexp(0))[meanings == meanings[i]].mean()
                   for each in (logits, logits.T) for i, row in enumerate(each)]
    found = training.contrastive_loss(images, texts, torch.tensor(3.0), meanings)
    assert_close(found, -torch.stack(likelihoods).mean())


@pytest.mark.parametrize("dataset", DATASETS)
def test_training_has_the_captions_and_nothing_held_out_and_never_praises_a_degraded_image(dataset):
    assert sentences(dataset, TRAIN_PROMPTS[dataset][0]) == captions(presets.get(dataset))
    sharp, degraded = ([set(train_sentences(dataset, label, bad)) for label in range(10)] for bad in (False, True))
    held_out = {each for wording in HELD_OUT_PROMPTS[dataset] for each in sentences(dataset, wording)}
    assert not held_out & set().union(*sharp, *degraded) and not sharp[3] & degraded[3]
    good, clear, blurry = (sentences(dataset, QUALITY[dataset], each)[3]
                           for each in ("good", "clear", "blurry"))
    assert blurry in degraded[3] and {good, clear} < sharp[3]


def test_a_sentence_is_the_mean_of_its_tokens_whatever_stands_beside_it(untrained):
    found = untrained.sentence_features(PROMPTS)
    encoder = load_text_encoder("minilm")
    for prompt, vector in zip(PROMPTS, found):
        tokens = len(encoder.tokenizer(prompt).input_ids)
        assert_close(vector, encoder.encode([prompt], tokens)[0].mean(0), atol=1e-5, rtol=1e-4)
    for prompts, word in (([], "no prompts"), ("a cat", "no prompts"), (["cat " * 600], "602 tokens")):
        with refuses(BadValue, word):
            untrained.sentence_features(prompts)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_similarity_is_the_cosine_of_every_framed_image_with_every_prompt_and_has_a_gradient(shape, untrained):
    images = pictures(2, *shape)
    found = untrained.similarity(images, PROMPTS)
    assert found.shape == (2, 3) and found.abs().max() <= 1
    for vectors in (untrained.embed_images(images), untrained.embed_texts(PROMPTS)):
        assert_close(vectors.norm(dim=1), torch.ones(len(vectors)))
    assert_close(untrained.probabilities(images, PROMPTS).sum(1), torch.ones(2))
    assert_close(untrained.similarity(images[1:], PROMPTS[2:]), found[1:, 2:], atol=1e-5, rtol=1e-4)
    images.requires_grad_()
    untrained.similarity(images, PROMPTS[:1]).sum().backward()
    assert (images.grad.abs() > 0).float().mean() > 0.99
    framed = pad_to_rgb32(images.detach())                          # in black, and a digit's channel three times
    expected = F.pad(images.detach(), [(32 - shape[1]) // 2] * 4).expand(-1, 3, -1, -1)
    assert torch.equal(framed, expected)
    for wrong in ((3, 32, 32), (2, 3, 64, 64), (2, 4, 32, 32)):
        with refuses(BadValue, str(wrong)):
            untrained.embed_images(torch.zeros(wrong))


def test_half_of_the_degraded_images_are_blurred_and_half_noised():
    images = pictures(6, 3, 32, 32)
    found = degrade(images, generator("degrade"))
    assert found.shape == images.shape and 0 <= found.min() <= found.max() <= 1
    assert (found[:3].std((1, 2, 3)) < 0.6 * images[:3].std((1, 2, 3))).all()
    assert ((found[3:] - images[3:]).std((1, 2, 3)) > 0.05).all()


@pytest.fixture(scope="module")
def sets():
    shapes, of_shapes = draw_shapes(208, classes=10, size=32, seed="train")
    digits, of_digits = draw_shapes(60, classes=10, size=28, seed="train")
    return {"mnist": LabelledImages(digits[:, :1], of_digits, [], "drawn", "0", torch.full_like(of_digits, -1)),
            "cifar10": LabelledImages(shapes, of_shapes, [], "drawn", "1", torch.full_like(of_shapes, -1))}


def test_a_batch_pairs_images_with_sentences_that_are_true_of_them(sets, untrained):
    known = SentenceTable(untrained)
    images, meanings, features = training.draw_batch(sets, known, generator("batch"))
    assert images.shape == (sum(SHARES.values()), 3, 32, 32) and 0 <= images.min() <= images.max() <= 1
    names = {number: meaning for meaning, number in known.meanings.items()}
    counts = [names[int(number)] for number in meanings]
    assert sum(name == "mnist" for name, _, _ in counts) == SHARES["mnist"]
    assert 0.15 < sum(degraded for _, _, degraded in counts) / len(counts) < 0.25
    for i in (0, 10, 30, 127):
        true = untrained.sentence_features(train_sentences(*counts[i]))
        assert_close(features[i], true[(true - features[i]).norm(dim=1).argmin()], atol=1e-4, rtol=1e-3)


def test_training_repeats_itself_and_leaves_the_sentence_encoder_alone(sets, untrained):
    first, same, other = (training.train_image_text(sets, epochs=1, seed=seed) for seed in (0, 0, 1))
    states = [model.trained_state() for model in (first, same, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["text_projection.weight"], states[2]["text_projection.weight"])
    assert_close(first.sentence_features(PROMPTS), untrained.sentence_features(PROMPTS))
    assert not first.training


@pytest.fixture
def folder(tmp_path, monkeypatch, untrained):
    """Where the model is looked for, with an untrained one."""
    monkeypatch.setattr(image_text, "FOLDER", tmp_path)
    untrained.save(tmp_path)
    return tmp_path


def test_a_model_is_saved_without_its_sentence_encoder_and_read_as_it_was(folder, untrained):
    found, images = load_image_text(), pictures(2, 3, 32, 32)
    assert not found.training and not any(p.requires_grad for p in found.parameters())
    assert_close(found.similarity(images, PROMPTS), untrained.similarity(images, PROMPTS), atol=5e-3, rtol=0)
    assert not [name for name in load_file(folder / "model.safetensors") if name.startswith("text_model")]
    assert sum(file.stat().st_size for file in folder.iterdir()) < 5e6


@pytest.mark.parametrize("damage", [
    lambda folder: (folder / "model.safetensors").unlink(),
    lambda folder: (folder / "model.safetensors").write_bytes(b"\0" * 100),
    lambda folder: (folder / "config.json").unlink(), lambda folder: (folder / "config.json").write_text("[]"),
    lambda folder: change_tensors(folder / "model.safetensors", lambda weights: dict([*weights.items()][1:])),
    lambda folder: change_tensors(folder / "model.safetensors",
                                  lambda weights: weights | {"logit_scale": torch.zeros(2)}),
], ids=["no weights", "damaged", "no configuration", "no object", "a weight missing", "another shape"])
def test_a_model_that_cannot_be_read_is_refused_with_the_command_that_makes_it(damage, folder):
    damage(folder)
    with refuses(BadCheckpoint, str(folder), "python scripts/train_image_text.py"):
        load_image_text()


def test_the_best_of_every_class_are_those_with_the_highest_scores():
    scores = torch.tensor([1.0, 5, 9, 2, 3, 8, 7, 4, 6, 0])
    assert best_of(scores, torch.tensor([0, 1] * 5)).tolist() == [2, 6, 8, 5, 1, 7]


def test_critics_compare_classes_or_three_words(untrained):
    prompts = ["A handwritten digit 1", "A handwritten digit 2"]
    images, labels = pictures(5, 1, 28, 28), torch.tensor([1, 0, 1, 0, 1])
    scores = caption_scores(untrained, prompts, images, labels)
    assert_close(scores + caption_scores(untrained, prompts, images, 1 - labels), torch.ones(5))
    nearer = untrained.similarity(images, prompts).detach()
    assert torch.equal(scores > 0.5, nearer[torch.arange(5), labels] > nearer[torch.arange(5), 1 - labels])
    labels = torch.tensor([3, 1, 3, 0, 9])
    scores = torch.stack([*critic_scores(untrained, "mnist", images, labels).values()], 1)
    assert_close(scores.sum(1), torch.ones(5))
    prompts = [f"a {word} handwritten digit 3" for word in ("good", "clear", "blurry")]
    assert_close(scores[[0, 2]], untrained.probabilities(images[[0, 2]], prompts))


def test_the_shipped_model_recognises_digits_by_any_wording_and_tells_sharp_from_blurred_ones():
    model, digits = load_image_text(), load_images(presets.get("mnist", "improved", "demo"), "test")
    found = zero_shot_accuracy(model, "mnist", digits.images, digits.labels)
    assert found["taught"]["A handwritten digit {}"]["value"] >= 0.97
    assert all(share["value"] >= 0.8 for share in found["held_out"].values())
    assert quality_accuracy(model, "mnist", digits.images, digits.labels)["value"] >= 0.9
    sharp = from_uint8(digits.images[::10], (0, 1))
    blurry, blurrier = (critic_scores(model, "mnist", images, digits.labels[::10])["blurry"].mean()
                        for images in (sharp, degrade(sharp, generator("blurred"))))
    assert blurrier > blurry + 0.3

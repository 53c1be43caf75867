"""Checkpoint folders: pipelines that draw, exchange formats with diffusers, and refuse damaged files."""

import functools
import json
import os
import shutil

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file
from support import change_tensors, refuses, tiny_preset
from torch.testing import assert_close

from t2i_helpers import presets, provenance
from t2i_helpers.data import captions, to_unit
from t2i_helpers.diffusion import LossGuidance, classifier_loss, make_guider, make_scheduler, sample
from t2i_helpers.errors import BadCheckpoint, BadValue, PromptTooLong, UnknownName, UnknownWord
from t2i_helpers.models import CaptionPipeline, caption_table, load_pipeline, pipeline, text
from t2i_helpers.models.weights import load_state, save_compact
from t2i_helpers.training import describe_checkpoint, train
from t2i_helpers.training.export import export_checkpoint

pytestmark = pytest.mark.usefixtures("few_digits")
PRESET = tiny_preset(ema_decay=0.5)
DIGITS = captions(PRESET)
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def run(few_digits, tmp_path_factory):
    return train(PRESET, tmp_path_factory.mktemp("run"), max_steps=6)


def test_a_pipeline_is_the_sampler_over_its_captions(pipe):
    table = caption_table("minilm", DIGITS, 8)
    for guider in ("cfg", "apg"):
        out = sample(pipe.unet, make_scheduler(PRESET, "dpm++"), make_guider(guider, 3.0), table[[7, 2, 10]],
                     table[-1:], seeds=[4, 5, 6], steps=4)
        drawn = pipe([DIGITS[7], DIGITS[2], ""], w=3.0, guider=guider, steps=4, scheduler="dpm++", seeds=[4, 5, 6])
        assert torch.equal(drawn.images, to_unit(out.images, (-1, 1)))
        assert drawn.forward_passes == out.forward_passes == 8
        assert drawn.images.min() >= 0 and drawn.images.max() <= 1


def test_a_negative_text_takes_the_place_of_the_empty_caption(pipe):
    def draw(w=3.0, **options):
        return pipe([DIGITS[5]], w=w, steps=2, **options).images

    assert torch.equal(draw(negative=""), draw())
    assert (draw(negative=DIGITS[3]) - draw()).abs().max() > 1e-3
    assert_close(draw(negative=DIGITS[5]), draw(w=1.0))                             # c + w (c - c)
    auto = load_pipeline("mnist", device="cpu")
    with refuses(BadValue, "autoguidance", "leave out the negative"):
        auto([DIGITS[4]], guider=auto.make_guider("auto", 1.5), negative=DIGITS[9], steps=1)


def test_every_prompt_has_its_own_image_and_target_of_a_loss_whatever_the_batch(pipe):
    def darkness(images):
        return torch.stack([-images.mean((1, 2, 3)), images.mean((1, 2, 3))], 1)

    def drawn(targets, count=3, **options):
        loss = LossGuidance(classifier_loss(darkness, targets, (-1, 1)), 20.0)
        return pipe(DIGITS[:count], steps=3, seeds=range(count), loss=loss, **options).images

    together = drawn([0, 1, 0])
    assert_close(drawn([0, 1, 0], batch_size=2), together, atol=1e-4, rtol=0)
    whole, parts = pipe(DIGITS), pipe(DIGITS, batch_size=3)
    assert_close(parts.images, whole.images, atol=1e-4, rtol=0)
    assert parts.forward_passes == whole.forward_passes == 6
    assert not torch.equal(drawn([0, 0, 0])[1], together[1])
    with refuses(BadValue, "3 prompts and 4 targets"):
        drawn([0, 1, 0, 1])


def test_captions_of_the_dataset_need_no_encoder_and_other_texts_do(pipe, monkeypatch):
    pipe(DIGITS)
    other = "a handwritten eight"
    expected = pipe([other, DIGITS[0]]).images
    assert_close(pipe([DIGITS[0]], seeds=[423]).images, expected[1:], atol=1e-4, rtol=0)
    for module in (text, pipeline):
        monkeypatch.setattr(module, "load_text_encoder", lambda name: pytest.fail("an encoder was loaded"))
    pipe([*DIGITS, ""])
    with pytest.raises(pytest.fail.Exception, match="an encoder was loaded"):
        pipe([other])


@pytest.mark.parametrize("arguments, error, words", [
    (dict(prompts=[]), BadValue, ["no prompts"]),
    (dict(prompts=DIGITS[5]), BadValue, ["a list"]), (dict(prompts=None), BadValue, ["a list"]),
    (dict(prompts=[DIGITS[:1]]), BadValue, ["one text for each"]),
    (dict(negative=DIGITS[:2]), BadValue, ["one text for each"]),
    (dict(prompts=["5 \udcff"]), BadValue, ["UTF-8"]), (dict(prompts=["A 🦊"]), UnknownWord, ["'🦊'"]),
    (dict(prompts=["digit 数字"]), UnknownWord, ["'数'"]), (dict(prompts=["\u200b"]), UnknownWord, ["'\\u200b'"]),
    (dict(negative="☃"), UnknownWord, ["'☃'"]),
    (dict(prompts=["A handwritten digit 5 in bright red ink"]), PromptTooLong, ["'bright red ink' would be lost"]),
    (dict(seeds=[1]), BadValue, ["2 prompts", "1 seeds"]), (dict(seeds=5), BadValue, ["a list"]),
    (dict(steps=1001), BadValue, ["steps = 1001", "1 to 1000"]),
    (dict(scheduler="euler-a"), UnknownName, ["euler-a", "unipc"]),
    (dict(scheduler=diffusers.DDIMScheduler()), BadValue, ["scheduler", "give its name"]),
    (dict(guider="magic"), UnknownName, ["magic", "apg"]), (dict(w=[1, 2]), BadValue, ["w = [1, 2]", "finite number"]),
    (dict(prompts=["5 " + "🦊" * 1000]), UnknownWord, ["🦊"]),
    (dict(callback=print, batch_size=1), BadValue, ["callback", "batch_size"]),
])
def test_bad_input_is_refused_before_anything_is_drawn(pipe, arguments, error, words, monkeypatch):
    monkeypatch.setattr(type(pipe.unet), "forward", lambda *_: pytest.fail("the network was run"))
    with refuses(error, *words):
        pipe(**dict(prompts=DIGITS[:2]) | arguments)


def test_saving_and_loading_give_the_same_images_and_diffusers_reads_unet_and_scheduler(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    again = CaptionPipeline.from_pretrained(tmp_path)
    assert again.preset == PRESET
    assert torch.equal(again(DIGITS).images, pipe(DIGITS).images)
    assert {path.suffix for path in tmp_path.rglob("*.*")} == {".safetensors", ".json"}
    unet = diffusers.UNet2DConditionModel.from_pretrained(tmp_path, subfolder="unet")
    scheduler = diffusers.DDPMScheduler.from_pretrained(tmp_path, subfolder="scheduler")
    assert all(torch.equal(a, b) for a, b in zip(unet.parameters(), pipe.unet.parameters(), strict=True))
    assert torch.equal(scheduler.alphas_cumprod, make_scheduler(PRESET).alphas_cumprod)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints") / "mnist-improved"
    export_checkpoint(run.folder, folder)
    return folder


def test_an_exported_checkpoint_is_small_draws_nearly_the_same_and_says_how_it_was_trained(exported, pipe, run):
    assert (exported / WEIGHTS).stat().st_size < 0.5 * (run.folder / WEIGHTS).stat().st_size
    compact = load_pipeline(exported, device="cpu")
    assert compact.unet.dtype == torch.float32 and not compact.unet.training
    assert_close(compact(DIGITS).images, pipe(DIGITS).images, atol=0.1, rtol=0)
    sidecar, rows = json.loads((exported / "provenance.json").read_text()), run.metrics()
    assert sidecar.items() >= run.config().items()
    assert (sidecar["steps"], sidecar["images_seen"]) == (6, 48)
    assert sidecar["mean_loss_of_last_100_steps"] == pytest.approx(sum(row["loss"] for row in rows) / 6)
    assert sidecar["weights_sha256_16"] == provenance.file_hash(exported / WEIGHTS)
    assert (exported / "metrics.jsonl").read_bytes() == run.metrics_file.read_bytes()
    assert {path.suffix for path in exported.rglob("*.*")} == {".safetensors", ".json", ".jsonl"}
    for folder in (exported, run.folder):
        metadata = describe_checkpoint(folder)
        assert metadata["weights_sha256_16"] == provenance.file_hash(folder / WEIGHTS)
        assert (metadata["training_steps"], metadata["checkpoint"]) == (6, folder.name)
        assert all(metadata[name] == run.config()[name] for name in ("preset_hash", "data_source"))


def some_network():
    """Layers of each kind of weight; one channel is all zeros, one is large."""
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.BatchNorm2d(5), torch.nn.Flatten(),
                                  torch.nn.Linear(5, 4), torch.nn.Embedding(7, 6))
    with torch.no_grad():
        network[0].weight[0] = 0
        network[0].weight[1] *= 1000
    return network


def test_compact_weights_are_within_a_127th_of_their_channels_maximum(tmp_path):
    network = some_network()
    save_compact(network, tmp_path / "w.safetensors")
    stored, state = load_file(tmp_path / "w.safetensors"), load_state(tmp_path / "w.safetensors")
    assert state.keys() == network.state_dict().keys()
    for name, value in network.state_dict().items():
        if value.ndim < 2:
            assert torch.equal(state[name], value.half().float() if value.is_floating_point() else value)
            continue
        assert stored[name].dtype == torch.int8 and stored[f"{name}.scale"].shape == value.shape[:1]
        error, largest = ((x.flatten(1).abs().amax(1)) for x in (state[name] - value, value))
        assert state[name].dtype == torch.float32 and (error <= largest / 127).all()
    some_network().load_state_dict(state)
    stored.pop("0.weight.scale")
    for scale in ({}, {"0.weight.scale": torch.ones(2)}):                   # missing, and of another network
        save_file(stored | scale, tmp_path / "w.safetensors")
        with refuses(BadCheckpoint, "w.safetensors", "restore"):
            load_state(tmp_path / "w.safetensors")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_ordinary_weights_load_too(dtype, tmp_path):
    weights = some_network().to(dtype).state_dict() | {"norm.scale": torch.ones(3, dtype=dtype)}
    save_file(weights, tmp_path / "w.safetensors")
    state = load_state(tmp_path / "w.safetensors")
    assert state.keys() == weights.keys() and all(torch.equal(state[name], weights[name].float()) for name in weights)


def test_checkpoints_are_found_by_dataset_and_variant(exported, monkeypatch):
    monkeypatch.setattr(pipeline, "CHECKPOINTS", exported.parent)
    assert load_pipeline("mnist").folder == exported == load_pipeline("mnist", variant="improved").folder
    with refuses(BadCheckpoint, "mnist-thesis", "t2i train"):
        load_pipeline("mnist", variant="thesis")
    with refuses(UnknownName, "'best'", "improved"):
        load_pipeline("mnist", variant="best")
    for name in ("/nowhere", "imagenet"):
        with refuses(BadCheckpoint, name, "t2i train"):
            load_pipeline(name)


@pytest.fixture
def copied(run, tmp_path):
    shutil.copytree(run.folder, tmp_path / "copied")
    return tmp_path / "copied"


def change_index(path, preset):
    path.write_text(json.dumps(json.loads(path.read_text()) | {"preset": preset}))


DAMAGES = {                                                     # file, change
    **{f"{name} {what}": (name, damage)
       for name in (WEIGHTS, "unet/config.json", "model_index.json", "scheduler/scheduler_config.json")
       for what, damage in {"is missing": os.remove, "is empty": lambda path: os.truncate(path, 0), "is cut short":
                            lambda path: os.truncate(path, path.stat().st_size - 9)}.items()},
    "a bit of the weights is flipped": (WEIGHTS, lambda path: path.write_bytes(
        path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))),
    "a weight is missing": (WEIGHTS, lambda path: change_tensors(path, lambda weights: dict([*weights.items()][1:]))),
    "a weight has another shape": (WEIGHTS, lambda path: change_tensors(
        path, lambda weights: weights | {"conv_in.weight": torch.zeros(3)})),
    **{f"a preset {what}": ("model_index.json", functools.partial(change_index, preset=preset))
       for what, preset in {"of a newer version": presets.to_dict(PRESET) | {"depth": 3}, "is missing": None,
                            "is partial": {"dataset": "mnist"}, "is text": "mnist"}.items()},
}


@pytest.mark.parametrize("file, damage", DAMAGES.values(), ids=DAMAGES)
def test_a_folder_that_is_no_whole_checkpoint_is_refused(copied, file, damage):
    damage(copied / file)
    with refuses(BadCheckpoint, str(copied)):
        load_pipeline(copied)


@pytest.mark.parametrize("name, content, words", [
    ("config.json", None, "config.json"), ("config.json", "{", "config.json"), ("metrics.jsonl", None, "metrics.jsonl"),
    ("metrics.jsonl", "", "empty"), ("metrics.jsonl", '{"step": 1}\n{"st', "metrics.jsonl, line 2"),
])
def test_a_checkpoint_with_a_damaged_record_is_not_described(copied, name, content, words):
    (copied / name).unlink() if content is None else (copied / name).write_text(content)
    with refuses(BadCheckpoint, words):
        describe_checkpoint(copied)

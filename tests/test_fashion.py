"""Notebook 5's package code: networks with classes or nothing, trainings from a checkpoint, the critic, the results."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from support import refuses, tiny_preset
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import affine, gaussian_blur

from t2i_helpers import presets
from t2i_helpers.data import captions, load_images
from t2i_helpers.errors import BadCheckpoint, BadValue, UnknownName
from t2i_helpers.evaluation import fashion
from t2i_helpers.evaluation.styles import CAPTIONS, STYLES, Limits, slant, stroke_width
from t2i_helpers.evaluation.transfer import SMALL
from t2i_helpers.models import WEIGHTS, build_unet, load_pipeline, load_text_encoder
from t2i_helpers.paths import CHECKPOINTS, read_json
from t2i_helpers.reporting.checkpoints import measured
from t2i_helpers.reporting.fashion import TABLES, table
from t2i_helpers.training import Run, train

GARMENTS = presets.get("fashion", size="smoke")
X_T, T = torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(0)), torch.tensor([10, 90])


def network(preset):
    torch.manual_seed(0)
    return build_unet(preset).eval()


def test_garments_have_one_variant_a_class_encoder_and_grey_stand_ins():
    with refuses(UnknownName, "variant", "improved"):
        presets.get("fashion", "thesis")
    images = load_images(GARMENTS, "test")
    assert images.images.shape == (500, 1, 28, 28) and images.images.float().std((1, 2, 3)).mean() > 10
    encoder = load_text_encoder("label")
    assert encoder.encode([*captions(GARMENTS), ""], 1).flatten().tolist() == [*range(11)]
    with refuses(BadValue, "A photo of a hat"):
        encoder.encode(["A photo of a hat"], 1)


@torch.inference_mode()
def test_a_network_hears_its_class_and_the_plain_one_nothing(tmp_path):
    unet, c = network(GARMENTS), torch.tensor([3.0, 10.0]).view(2, 1, 1)
    drawn = unet(X_T, T, c).sample
    assert drawn.shape == X_T.shape
    assert not torch.allclose(drawn[0], unet(X_T, T, c.flip(0)).sample[0], atol=1e-4)
    plain = network(dataclasses.replace(GARMENTS, network="plain-unet"))
    assert torch.equal(plain(X_T, T, c).sample, plain(X_T, T, c.flip(0)).sample)


@torch.inference_mode()
def test_without_skip_connections_a_network_has_the_same_weights_and_another_answer(tmp_path):
    unet, bare = (network(dataclasses.replace(GARMENTS, network=name))
                  for name in ("class-unet", "class-unet-without-skips"))
    bare.load_state_dict(unet.state_dict())
    c = torch.zeros(2, 1, 1)
    assert not torch.allclose(unet(X_T, T, c).sample, bare(X_T, T, c).sample, atol=1e-4)
    seen = []
    bare.up_blocks[0].resnets[0].register_forward_hook(lambda block, inputs, output: seen.append(inputs[0]))
    bare(X_T, T, c)
    assert seen[0][:, 64:].abs().max() == 0 < seen[0][:, :64].abs().max()               # of the skip, and of the path
    bare.save_config(tmp_path)
    again = type(bare).from_config(type(bare).load_config(tmp_path)).eval()
    again.load_state_dict(bare.state_dict())
    assert torch.equal(again(X_T, T, c).sample, bare(X_T, T, c).sample)


def test_a_training_starts_with_the_weights_of_a_checkpoint(few_digits, tmp_path):
    first = train(tiny_preset(ema_decay=None), tmp_path / "first", max_steps=1)
    still = tiny_preset(ema_decay=None, learning_rate=0.0, seed=1)
    run = train(still, tmp_path / "second", max_steps=1, start=first.folder)
    weights, theirs = (load_file(each.folder / WEIGHTS) for each in (run, first))
    assert all(torch.equal(weights[name], theirs[name]) for name in theirs)
    pipe = load_pipeline(first.folder, device="cpu")
    assert run.config()["start"] == {"checkpoint": "first", "weights_sha256_16": pipe.weights_sha256_16}
    with refuses(BadCheckpoint, "start", "choose another --out"):
        train(still, run.folder, max_steps=2)
    assert train(still, run.folder, max_steps=2, start=first.folder).metrics()[-1]["step"] == 2
    with refuses(BadCheckpoint, "another network"):
        train(tiny_preset(block_channels=(32, 64)), tmp_path / "third", max_steps=1, start=first.folder)


def test_a_plain_network_trains_without_captions_and_draws(few_digits, tmp_path):
    run = train(tiny_preset(**SMALL | {"batch_size": 8}), tmp_path / "plain", max_steps=2)
    pipe = load_pipeline(run.folder, device="cpu")
    a, b = (pipe([text], w=1.0, steps=2, seeds=[0]).images for text in pipe.captions[:2])
    assert torch.equal(a, b)


def test_the_validation_loss_of_a_network_that_answers_zero_is_that_of_the_noise():
    pipe = load_pipeline("fashion")
    pipe.preset = dataclasses.replace(pipe.preset, data_source="procedural")
    torch.nn.init.zeros_(pipe.unet.conv_out.weight)
    torch.nn.init.zeros_(pipe.unet.conv_out.bias)
    estimate = fashion.validation_loss(pipe, load_images(pipe.preset, "test"), n=200)
    low, high = estimate["interval"]
    assert low < 1 < high and high - low < 0.1


def test_the_critic_prefers_sharp_garments():
    shapes = load_images(GARMENTS, "test")
    sharp = shapes.images[:50]
    blurred = gaussian_blur(sharp, 7, 2.0)
    assert (fashion.sharpness(blurred) <= fashion.sharpness(sharp)).all()
    scores, worse = (fashion.critic_scores(GARMENTS, images, shapes.labels[:50]) for images in (sharp, blurred))
    assert torch.equal(scores["blurry"], 1 - scores["clear"]) and worse["clear"].mean() < scores["clear"].mean() / 2
    assert scores["good"].min() >= 0 and scores["good"].max() <= 1


def stroke(width, angle=0.0, length=44.0, side=64):
    """A bar of `width` pixels that leans `angle` degrees to the right, float [1, 1, side, side]."""
    y, x = torch.meshgrid(*2 * [torch.arange(side) - (side - 1) / 2], indexing="ij")
    turn = torch.tensor(angle).deg2rad()
    across, along = x * turn.cos() + y * turn.sin(), y * turn.cos() - x * turn.sin()
    return ((width / 2 + 0.5 - across.abs()).clamp(0, 1) * (length / 2 + 0.5 - along.abs()).clamp(0, 1))[None, None]


@settings(deadline=None, max_examples=30)
@given(st.floats(2, 8), st.floats(-35, 35))
def test_stroke_width_and_slant_measure_a_bar(width, angle):
    bar = stroke(width, angle)
    # the ends of the bar are a part of its outline
    assert stroke_width(bar).item() == pytest.approx(width * 44 / (44 + width), rel=0.15)
    assert slant(bar).item() == pytest.approx(torch.tensor(angle).deg2rad().tan().item(), abs=0.08)
    sheared = affine(bar, 0, [0, 0], 1.0, [15.0, 0.0], InterpolationMode.BILINEAR)
    assert slant(sheared).item() == pytest.approx(slant(bar).item() + 0.268, abs=0.05)


def test_style_words_are_thirds_of_each_digit_and_have_captions():
    bars = torch.cat([stroke(width, angle) for width in (2.0, 4.0, 7.0) for angle in (-10.0, 0.0, 10.0)])
    digits = torch.cat([bars * 255] * 10).to(torch.uint8)                      # nine bars for each label
    labels = torch.arange(10).repeat_interleave(9)
    drawn = Limits(digits, labels).styles_of(digits, labels)[:9].tolist()
    assert [STYLES[style] for style in drawn] == [
        word for stroke in ("thin", "", "thick") for word in (stroke, stroke, f"{stroke} slanted".strip())]
    assert len({*CAPTIONS}) == 60 and CAPTIONS[10 * STYLES.index("thick slanted") + 5] == "a thick slanted digit 5"
    assert CAPTIONS[10 * STYLES.index("") + 5] == "a digit 5"


@pytest.mark.parametrize("name", [*fashion.EXPERIMENTS, "styles", "transfer"])
def test_a_stored_experiment_is_of_the_shipped_weights_and_makes_its_tables(name):
    pipe, file = load_pipeline("fashion"), CHECKPOINTS / "fashion-improved" / f"{name}.json"
    assert read_json(file)["weights_sha256_16"] == pipe.weights_sha256_16
    result = measured(pipe, name)
    for title in (title for title in TABLES if title.partition("-")[0] == name):
        shown = table(title, pipe)
        assert len(shown.rows) - len(result[title.partition("-")[2] or "rows"]) in (0, 1)
    assert Run(pipe.folder).metrics()[-1]["step"] >= 500

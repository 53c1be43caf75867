"""The thesis's numbers, and the network they describe."""

import dataclasses

import pytest
import torch
from support import refuses

from t2i_helpers import presets
from t2i_helpers.errors import UnknownName
from t2i_helpers.models import build_unet

ALL = [presets.get(d, v, s) for d in presets.DATASETS for v in presets.VARIANTS for s in presets.SIZES]
FIELDS = [field.name for field in dataclasses.fields(presets.Preset)]


def differing(a, b):
    return {name for name in FIELDS if getattr(a, name) != getattr(b, name)}


@pytest.mark.parametrize("preset", ALL, ids=lambda p: f"{p.dataset}-{p.variant}-{p.size}")
def test_a_size_changes_how_much_never_what(preset):
    how_much = {"size", "data_source", "text_encoder", "max_steps", "batch_size", "epochs", "sample_steps",
                "warmup_steps", "ema_decay"}
    if preset.dataset != "mnist":           # on a CPU the same network, narrower
        how_much |= {"block_channels", "down_blocks", "layers_per_block", "cross_attention_dim", "attention_head_dim"}
    if preset.dataset == "wikiart":         # and of a quarter of the pixels, with the rate of a small network
        how_much |= {"resolution", "learning_rate"}
    full = presets.get(preset.dataset, preset.variant, "full")
    assert differing(preset, full) <= how_much
    assert (preset.ema_decay is None) == (full.ema_decay is None)


@pytest.mark.parametrize("names, words", [
    (("mnsit",), ("mnsit", "cifar10")), (("mnist", "better"), ("better", "improved")),
    (("mnist", "thesis", "xl"), ("xl", "smoke"))])
def test_unknown_names_are_refused_with_the_known_ones(names, words):
    with refuses(UnknownName, *words):
        presets.get(*names)


def test_presets_survive_json_and_keep_their_hash_also_when_the_class_gains_a_field():
    fields = presets.to_dict(ALL[0])
    assert fields.pop("horizontal_flips") is False and presets.from_dict(fields) == ALL[0]
    for preset in ALL:
        again = presets.from_dict(presets.to_dict(preset))
        assert again == preset and presets.preset_hash(again) == presets.preset_hash(preset)
    assert len({presets.preset_hash(preset) for preset in ALL}) == len(ALL)


@pytest.mark.parametrize("field", FIELDS)
def test_any_field_changes_the_hash(field):
    preset = presets.get("mnist", "improved", "full")
    value = getattr(preset, field)
    other = {str: lambda: value + "x", tuple: lambda: (*value, value[0]), bool: lambda: not value,
             type(None): lambda: 1}.get(type(value), lambda: value + 1)()
    assert presets.preset_hash(dataclasses.replace(preset, **{field: other})) != presets.preset_hash(preset)


@pytest.mark.parametrize("dataset, variant, count, shape", [
    ("mnist", "thesis", 3_140_385, (1, 28, 28)), ("cifar10", "thesis", 87_983_363, (3, 32, 32)),
    ("wikiart", "thesis", 347_990_531, (3, 128, 128)), ("wikiart", "improved", None, (4, 16, 16))])
def test_a_unet_has_the_thesis_s_parameters_and_sees_pixels_or_latents(dataset, variant, count, shape):
    preset = presets.get(dataset, variant, "full")
    with torch.device("meta"):
        unet = build_unet(preset)
    assert count in (None, sum(p.numel() for p in unet.parameters())) and unet.encoder_hid_proj is None
    assert preset.unet_shape == (unet.config.in_channels, *[unet.config.sample_size] * 2) == shape
    assert unet.config.out_channels == shape[0]

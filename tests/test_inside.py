"""Edits: attention maps, prompts switched on the way, starts other than noise; and when digits are recognised."""

import copy
import dataclasses
import json
import math

import pytest
import support
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor
from support import FakeUNet, embeddings, refuses, small_preset, tiny_preset
from torch.testing import assert_close

from t2i_helpers import presets
from t2i_helpers.data import DRAWINGS, from_unit, stroke_drawing, to_unit
from t2i_helpers.diffusion import make_guider, make_scheduler, sample
from t2i_helpers.diffusion.editing import AttentionMaps, PromptSwitch, PromptToPrompt, SDEditInit
from t2i_helpers.diffusion.noise import noise_level
from t2i_helpers.errors import BadValue
from t2i_helpers.evaluation import recognition as recognise
from t2i_helpers.evaluation.experiments import first_stable_step
from t2i_helpers.models import CaptionPipeline, build_unet, load_text_encoder
from t2i_helpers.randomness import generator

STEPS = 5
CFG = make_guider("cfg", 2.0)
COND, NULL = embeddings(3)
SOURCE, THEN = embeddings(6)[0].chunk(2)
DRAWING = torch.linspace(-0.9, 0.9, 3 * 64).view(3, 1, 8, 8)


def draw(unet, guider=CFG, cond=COND, scheduler="ddpm", steps=STEPS, seeds=None, **options):
    seeds = range(len(cond)) if seeds is None else seeds
    return support.draw(unet, guider, scheduler, cond=cond, seeds=seeds, steps=steps, **options).images


class Explicit(AttnProcessor):
    """diffusers' attention with its probabilities written out; `edit` sees them and gives those to use."""

    def __init__(self, edit):
        self.edit = edit

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        c, heads = encoder_hidden_states, attn.heads
        q, k, v = (linear(x).unflatten(2, (heads, -1)) for linear, x in
                   ((attn.to_q, hidden_states), (attn.to_k, c), (attn.to_v, c)))              # [n, length, heads, d]
        scores = torch.einsum("nphd,nthd->nhpt", q, k) / math.sqrt(q.shape[-1])
        probabilities = self.edit(attn, scores.softmax(-1), c)
        out = torch.einsum("nhpt,nthd->nphd", probabilities, v).flatten(2)
        return attn.to_out[0](out)


@pytest.fixture
def written_out(unet):
    """Puts an `Explicit` into every cross-attention until the test is over."""
    before = {layer: layer.processor for layer in unet.modules()
              if isinstance(layer, Attention) and layer.is_cross_attention}

    def put(edit):
        for attention in before:
            attention.set_processor(Explicit(edit))

    yield put
    for attention, processor in before.items():
        attention.set_processor(processor)


def test_maps_are_the_softmax_of_every_head_and_layer_averaged(unet, written_out):
    seen = []
    recorder = AttentionMaps(make_guider("cfg", 1.0))
    draw(unet, recorder)
    written_out(lambda attention, probabilities, c: seen.append(probabilities.mean(1)) or probabilities)
    draw(unet, 1)
    expected = torch.stack(seen).unflatten(0, (STEPS, -1)).mean(1)                              # [steps, n, 16, 3]
    assert_close(recorder.maps(), expected.transpose(2, 3).unflatten(3, (4, 4)), atol=1e-5, rtol=0)


def test_the_maps_of_a_pixel_sum_to_1_over_tokens_where_layers_are_of_different_sizes():
    torch.manual_seed(0)
    unet = build_unet(dataclasses.replace(small_preset(), down_blocks=(presets.CROSS, presets.CROSS)), text_dim=16)
    recorder = AttentionMaps(CFG)
    draw(unet, recorder)
    assert recorder.maps().shape == (STEPS, 3, 3, 8, 8) and recorder.maps().min() >= 0
    assert_close(recorder.maps().sum(2), torch.ones(STEPS, 3, 8, 8))


@pytest.mark.parametrize("around", [AttentionMaps, lambda guider: PromptToPrompt(guider, [0, 0])],
                         ids=["maps", "prompt-to-prompt"])
def test_hooks_change_no_image_and_are_gone_afterwards_also_after_an_error(unet, around):
    def hooks():
        return sum(len(module._forward_hooks) for module in unet.modules())

    before = hooks()
    assert torch.equal(draw(unet, around(CFG)), draw(unet))
    trap = unet.conv_out.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        draw(unet, around(CFG))
    trap.remove()
    assert hooks() == before


@pytest.mark.parametrize("guider", ["cfg", "slg", "apg", "interval sigma_max=1", "cfg++", "rescale"])
def test_only_the_pass_with_the_caption_is_recorded(unet, guider):
    alone = AttentionMaps(make_guider("cfg", 1.0))
    recorder = AttentionMaps(make_guider(guider, 1.0 if guider == "cfg++" else 3.0))
    for around in (alone, recorder):
        draw(unet, around)
    assert recorder.maps().shape == alone.maps().shape
    assert_close(recorder.maps()[0], alone.maps()[0])               # the first x_t is the same for all of them


def test_maps_of_several_samplings_follow_each_other_also_where_one_starts_midway(unet):
    together, parts, midway = AttentionMaps(CFG), AttentionMaps(CFG), AttentionMaps(CFG)
    draw(unet, together)
    draw(unet, parts, COND[:2])
    draw(unet, parts, COND[2:], seeds=[2])
    assert_close(parts.maps(), together.maps(), atol=1e-4, rtol=0)
    for recorder in (parts, midway):
        draw(unet, recorder, steps=2 * STEPS, start=SDEditInit(DRAWING, 0.5))
    assert parts.maps().shape == (STEPS, 6, 3, 4, 4) and torch.equal(parts.maps()[:, 3:], midway.maps())


@pytest.mark.parametrize("guider", ["cfg", "auto"])
def test_without_an_attention_to_a_caption_there_are_no_maps(unet, guider):
    recorder = AttentionMaps(make_guider(guider, 0.0, **({"weak": copy.deepcopy(unet)} if guider == "auto" else {})))
    with refuses(BadValue, "no attention"):
        recorder.maps()
    draw(unet, recorder)
    with refuses(BadValue, "another w than 0"):
        recorder.maps()
    with refuses(BadValue, "no cross-attention", "CrossAttnDownBlock2D"):
        draw(FakeUNet(), AttentionMaps(CFG))


@pytest.mark.parametrize("encoder, expected", [
    ("minilm", ["[CLS]", "a", "hand", "##written", "digit", "5", "[SEP]", "[PAD]"]),
    ("one-hot", ["A handwritten digit 5", "", "", "", "", "", "", ""]),
    ("random", ["a", "handwritten", "digit", "5", "", "", "", ""]),
])
def test_every_embedding_has_its_token(encoder, expected):
    assert load_text_encoder(encoder).tokens("A handwritten digit 5", 8) == expected


@pytest.mark.parametrize("share, steps, expected", [(0.7, 10, 7), (0.29, 10, 3), (0.04, 10, 0), (0.5, 4, 2)])
def test_every_image_is_switched_at_its_own_step(share, steps, expected):
    unet = FakeUNet()
    draw(unet, PromptSwitch(CFG, SOURCE[:1], [share, 0, 1]), THEN, steps=steps)
    for step, (empty, captioned) in enumerate(zip(unet.calls[::2], unet.calls[1::2], strict=True)):
        first = SOURCE[0] if step < expected else THEN[0]
        assert torch.equal(captioned.c, torch.stack([first, THEN[1], SOURCE[0]]))
        assert torch.equal(empty.c, NULL.expand(3, -1, -1))


def test_edits_wrap_each_other_in_any_order(unet):
    guider = make_guider("cfg++", 0.5)
    alone = AttentionMaps(guider)
    expected = draw(unet, alone, SOURCE)
    outside, within = AttentionMaps(PromptSwitch(guider, SOURCE, [1, 1, 1])), AttentionMaps(guider)
    for switched, recorder in ((outside, outside), (PromptSwitch(within, SOURCE, [1, 1, 1]), within)):
        assert torch.equal(draw(unet, switched, THEN), expected)
        assert torch.equal(recorder.maps(), alone.maps())
    both = PromptToPrompt(PromptSwitch(CFG, SOURCE, [0.4] * 3), [0.8, 0.8])
    swapped = PromptSwitch(PromptToPrompt(CFG, [0.8, 0.8]), SOURCE, [0.4] * 3)
    assert torch.equal(draw(unet, both, THEN), draw(unet, swapped, THEN))


@pytest.mark.parametrize("shares, word", [([0.5, -0.1, 1], "switch_at = -0.1"), ([1.1, 1, 1], "switch_at = 1.1"),
                                          ([math.nan, 0, 0], "switch_at = nan"), ([1, 1], "2 numbers switch_at for 3")])
def test_shares_and_source_captions_that_do_not_fit_are_refused(unet, shares, word):
    for guider, captions in ((PromptSwitch(CFG, COND, shares), COND), (PromptToPrompt(CFG, shares), embeddings(4)[0])):
        with refuses(BadValue, word):
            draw(unet, guider, captions)
    for source in (COND[:2], COND[:, :2]):
        with refuses(BadValue, "source captions", str(tuple(source.shape))):
            draw(unet, PromptSwitch(CFG, source, [1, 1, 1]))


@pytest.mark.parametrize("share", [0, 1])
def test_prompt_to_prompt_at_0_is_the_edited_prompt_alone_and_never_touches_the_source(unet, share):
    edited, plain = (draw(unet, guider, COND[[0, 1, 0]], seeds=[7, 7, 7])
                     for guider in (PromptToPrompt(CFG, [share] * 2), CFG))
    assert torch.equal(edited[0], plain[0])
    assert torch.equal(edited[1], plain[1]) == (share == 0)
    assert_close(edited[2], edited[0], atol=1e-4, rtol=0)                   # to the same words


@pytest.mark.parametrize("share, kept", [(0.6, 3), (1, 5)])
def test_prompt_to_prompt_is_algorithm_1_in_two_runs(unet, written_out, share, kept):
    """Draw the source and store M_t; draw again with the edited prompt, M_t in place of its own for the first steps.
    A further edit in the batch changes nothing."""
    source, target, _ = COND
    stored, used = {}, {}

    def store(attention, probabilities, c):
        if torch.equal(c[0], source):
            stored.setdefault(attention, []).append(probabilities)
        return probabilities

    def use(attention, probabilities, c):
        if torch.equal(c[0], NULL[0]):
            return probabilities
        step = used[attention] = used.get(attention, -1) + 1
        return stored[attention][step] if step < kept else probabilities

    images = draw(unet, PromptToPrompt(CFG, [share, 0.2]), seeds=[7, 7, 7])
    written_out(store)
    draw(unet, cond=source[None], seeds=[7])
    written_out(use)
    assert_close(images[1:2], draw(unet, cond=target[None], seeds=[7]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("scheduler", ["ddpm", "ddim", "dpm++"])
@pytest.mark.parametrize("variant", presets.VARIANTS)
@pytest.mark.parametrize("strength, done", [(1e-6, 1), (0.29, 3), (0.7, 7), (1, 10)])
def test_a_start_is_noised_to_its_step(scheduler, variant, strength, done):
    unet, steps = FakeUNet(), []
    draw(unet, 1, scheduler=scheduler, variant=variant, steps=10, start=SDEditInit(DRAWING, strength),
         callback=lambda step, x_t, x_0: steps.append(step))
    noise = torch.stack([torch.randn(1, 8, 8, generator=generator("sample", seed)) for seed in range(3)])
    plain = make_scheduler(small_preset(variant), scheduler)
    plain.set_timesteps(10)
    abar = noise_level(plain, plain.timesteps[10 - done])
    assert [call.t for call in unet.calls] == plain.timesteps[10 - done:].tolist()
    assert steps == list(range(10 - done, 10))
    assert_close(unet.calls[0].x_t, abar.sqrt() * DRAWING + (1 - abar).sqrt() * noise)


@pytest.mark.parametrize("images, strength, word", [
    (DRAWING, 0, "strength = 0:"), (DRAWING, 1.01, "strength = 1.01"), (DRAWING, math.nan, "strength = nan"),
    (DRAWING[:2], 0.5, "(3, 1, 8, 8)"), (DRAWING.expand(3, 3, 8, 8), 0.5, "(3, 1, 8, 8)"),
    (255 * DRAWING, 0.5, "range"), (DRAWING * math.nan, 0.5, "NaN"), (DRAWING.to(torch.uint8), 0.5, "floats"),
])
def test_starts_that_do_not_fit_are_refused(images, strength, word):
    with refuses(BadValue, word):
        draw(FakeUNet(), start=SDEditInit(images, strength))


@pytest.mark.parametrize("scheduler", ["unipc", "heun", "lms", "euler"])
def test_schedulers_that_cannot_begin_midway_or_renoise_are_refused(scheduler):
    with refuses(BadValue, "cannot begin midway", "ddim"):
        draw(FakeUNet(), scheduler=scheduler, start=SDEditInit(DRAWING, 0.5))
    with refuses(BadValue, "cfg++", "ddim"):
        draw(FakeUNet(), make_guider("cfg++", 0.6), scheduler=scheduler)


def test_a_pipeline_takes_its_start_in_0_to_1_and_in_batches():
    torch.manual_seed(0)
    preset = tiny_preset()
    pipe = CaptionPipeline.for_preset(preset, build_unet(preset))
    prompts = [f"A handwritten digit {digit}" for digit in (3, 7, 8)]
    start = torch.stack([stroke_drawing(DRAWINGS["three"], 28).roll(shift) for shift in (0, 28, 56)])
    expected = sample(pipe.unet, pipe.scheduler, CFG, *pipe.embed(prompts), seeds=[0, 1, 2], steps=4,
                      start=SDEditInit(from_unit(start, preset.pixel_range), 0.5)).images
    images = pipe(prompts, steps=4, seeds=[0, 1, 2], start=SDEditInit(start, 0.5), batch_size=2).images
    assert_close(images, to_unit(expected, preset.pixel_range), atol=1e-4, rtol=0)
    for wrong, word in ((start[:2], "3 prompts and 2 start images"), (start - 0.5, "from 0 to 1"),
                        (255 * start, "divide"), ((255 * start).to(torch.uint8), "floats")):
        with refuses(BadValue, word):
            pipe(prompts, start=SDEditInit(wrong, 0.5))


@pytest.mark.parametrize("name, channels", [("seven", 1), ("three", 1), ("ship", 3), ("horse", 3)])
def test_drawings_are_images(name, channels, size=32):
    image = stroke_drawing(DRAWINGS[name], size)
    assert image.shape == (channels, size, size) and image.min() >= 0 and image.max() <= 1
    large = stroke_drawing(DRAWINGS[name], 4 * size)
    pooled = torch.nn.functional.avg_pool2d(large, 4)
    assert (image - pooled).abs().mean() < 0.01                     # the same at any size


@pytest.mark.parametrize("side", [40, 160])
def test_a_stroke_ends_at_its_last_point_in_a_half_circle_at_any_size(side):
    image = stroke_drawing([([(0.25, 0.5), (0.75, 0.5)], 0.2, (1.0,))], side)[0]
    assert image.mean().item() == pytest.approx(0.5 * 0.2 + math.pi * 0.1**2, abs=0.001)
    image = torch.nn.functional.avg_pool2d(image[None], side // 40)[0]
    assert max(part.max() for part in (image[:16], image[24:], image[:, :6], image[:, 34:])) < 1e-5
    assert image[17:23, 10:30].min() == 1


def test_recognised_for_good_is_after_the_last_time_that_it_was_not():
    right = torch.tensor([[0, 1, 0, 1, 0], [0, 1, 1, 1, 1], [1, 1, 0, 0, 1], [0, 1, 1, 1, 1], [1, 1, 1, 0, 1]]).bool()
    assert_close(first_stable_step(right), torch.tensor([1.0, 0.0, 0.75, math.nan, 0.25]).double(), equal_nan=True)


def test_recognition_is_the_classifiers_word_at_every_step(digits):
    result = recognise(digits, 2.0, 4, steps=3)
    assert json.loads(json.dumps(result)) == result
    assert result["progress"] == pytest.approx([0, 1 / 3, 2 / 3, 1]) and result["n"] == 4 and result["steps"] == 3
    assert result["accuracy"]["x_t"][-1] == result["accuracy"]["x_0"][-1]              # both are the finished image
    assert result["accuracy"]["x_t"][0]["value"] <= result["accuracy"]["x_0"][0]["value"]
    assert result["recognised_for_good"]["x_0"]["images"] == round(4 * result["accuracy"]["x_0"][-1]["value"])
    with refuses(BadValue, "n = 0"):
        recognise(digits, 2.0, 0)

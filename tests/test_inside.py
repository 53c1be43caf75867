"""Edits: attention maps, prompts switched on the way, starts other than noise; and when digits are recognised."""

import copy
import dataclasses
import json
import math

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor
from support import FakeUNet, as_image, embeddings, refuses, small_preset
from torch.testing import assert_close

from t2i_helpers import presets
from t2i_helpers.data import DRAWINGS, from_unit, stroke_drawing, to_unit
from t2i_helpers.data.strokes import Stroke
from t2i_helpers.diffusion import (
    AttentionMaps,
    PromptSwitch,
    PromptToPrompt,
    SDEditInit,
    make_guider,
    make_scheduler,
    sample,
)
from t2i_helpers.diffusion.editing import cross_attention
from t2i_helpers.diffusion.noise import alpha_bar
from t2i_helpers.errors import BadValue
from t2i_helpers.evaluation import recognition as recognise
from t2i_helpers.evaluation.experiments import first_stable_step
from t2i_helpers.models import CaptionPipeline, build_unet, load_pipeline, load_text_encoder
from t2i_helpers.randomness import generator
from t2i_helpers.reporting import guidance

STEPS = 5
each_midway = pytest.mark.parametrize("scheduler", ["ddpm", "ddim", "dpm++"])
each_variant = pytest.mark.parametrize("variant", presets.VARIANTS)


def draw(unet, guider, count=3, scheduler="ddpm", variant="improved", cond=None, seeds=None, steps=STEPS, **options):
    known, null = embeddings(count)
    cond = known if cond is None else cond
    return sample(unet, make_scheduler(small_preset(variant), scheduler), guider, cond, null,
                  seeds=range(len(cond)) if seeds is None else seeds, steps=steps, **options).images


def cfg(w=2.0):
    return make_guider("cfg", w)


def half(x_t, t, c):
    return 0.5 * x_t + 0.1 * as_image(c, x_t)


def hooks(unet):
    return sum(len(module._forward_hooks) for module in unet.modules())


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
    before = {attention: attention.processor for attention in cross_attention(unet)}

    def put(edit):
        for attention in before:
            attention.set_processor(Explicit(edit))

    yield put
    for attention, processor in before.items():
        attention.set_processor(processor)


# attention maps

def test_maps_are_the_softmax_of_every_head_and_layer_averaged(unet, written_out):
    seen = []
    recorder = AttentionMaps(cfg(1.0))
    draw(unet, recorder)
    written_out(lambda attention, probabilities, c: seen.append(probabilities.mean(1)) or probabilities)
    draw(unet, cfg(1.0))
    layers = len(cross_attention(unet))
    expected = torch.stack(seen).unflatten(0, (STEPS, layers)).mean(1)                          # [steps, n, 16, 3]
    assert_close(recorder.maps(), expected.transpose(2, 3).unflatten(3, (4, 4)), atol=1e-5, rtol=0)


def test_the_maps_of_a_pixel_sum_to_1_over_tokens_where_layers_are_of_different_sizes():
    torch.manual_seed(0)
    unet = build_unet(dataclasses.replace(small_preset(), down_blocks=(presets.CROSS, presets.CROSS)), text_dim=16)
    recorder = AttentionMaps(cfg())
    draw(unet, recorder)
    assert recorder.maps().shape == (STEPS, 3, 3, 8, 8) and recorder.maps().min() >= 0
    assert_close(recorder.maps().sum(2), torch.ones(STEPS, 3, 8, 8))


@pytest.mark.parametrize("around", [AttentionMaps, lambda guider: PromptToPrompt(guider, [0, 0])],
                         ids=["maps", "prompt-to-prompt"])
def test_hooks_change_no_image_and_are_gone_afterwards_also_after_an_error(unet, around):
    def fail(*arguments):
        raise RuntimeError("on the way")

    before = hooks(unet)
    assert torch.equal(draw(unet, around(cfg())), draw(unet, cfg()))
    trap = unet.conv_out.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="on the way"):
        draw(unet, around(cfg()))
    trap.remove()
    assert hooks(unet) == before


@pytest.mark.parametrize("guider", ["cfg", "slg", "apg", "interval sigma_max=1", "cfg++", "rescale"])
def test_only_the_pass_with_the_caption_is_recorded(unet, guider):
    alone = AttentionMaps(cfg(1.0))
    draw(unet, alone)
    recorder = AttentionMaps(make_guider(guider, 1.0 if guider == "cfg++" else 3.0))
    draw(unet, recorder)
    assert recorder.maps().shape == alone.maps().shape
    assert_close(recorder.maps()[0], alone.maps()[0])               # the first x_t is the same for all of them


def test_maps_of_several_batches_follow_each_other(unet):
    cond, _ = embeddings(3)
    together, parts = AttentionMaps(cfg()), AttentionMaps(cfg())
    draw(unet, together)
    draw(unet, parts, cond=cond[:2], seeds=[0, 1])
    draw(unet, parts, cond=cond[2:], seeds=[2])
    assert_close(parts.maps(), together.maps(), atol=1e-4, rtol=0)


def test_each_sampling_has_its_own_maps_also_where_it_starts_midway(unet):
    recorder, alone = AttentionMaps(cfg()), AttentionMaps(cfg())
    start = SDEditInit(drawing(), 0.5)
    draw(unet, recorder, steps=2)
    draw(unet, recorder, steps=4, start=start)
    draw(unet, alone, steps=4, start=start)
    assert recorder.maps().shape == (2, 6, 3, 4, 4)
    assert torch.equal(recorder.maps()[:, 3:], alone.maps())


@pytest.mark.parametrize("guider", ["cfg", "auto"])
def test_without_an_attention_to_a_caption_there_are_no_maps(unet, guider):
    recorder = AttentionMaps(make_guider(guider, 0.0, **({"weak": copy.deepcopy(unet)} if guider == "auto" else {})))
    with refuses(BadValue, "no attention"):
        recorder.maps()
    draw(unet, recorder)
    with refuses(BadValue, "another w than 0"):
        recorder.maps()


def test_a_unet_without_cross_attention_is_refused():
    with refuses(BadValue, "no cross-attention", "CrossAttnDownBlock2D"):
        draw(FakeUNet(half), AttentionMaps(cfg()))


@pytest.mark.parametrize("encoder, expected", [
    ("minilm", ["[CLS]", "a", "hand", "##written", "digit", "5", "[SEP]", "[PAD]"]),
    ("one-hot", ["A handwritten digit 5", "", "", "", "", "", "", ""]),
    ("random", ["a", "handwritten", "digit", "5", "", "", "", ""]),
])
def test_every_embedding_has_its_token(encoder, expected):
    assert load_text_encoder(encoder).tokens("A handwritten digit 5", 8) == expected


# prompts switched on the way

def test_a_switch_at_0_is_the_second_prompt_alone_and_at_1_the_source(unet):
    source, then = embeddings(6)[0].chunk(2)
    for share, alone in ((0, then), (1, source)):
        switched = PromptSwitch(cfg(), source=source, switch_at=[share] * 3)
        assert torch.equal(draw(unet, switched, cond=then), draw(unet, cfg(), cond=alone))


@pytest.mark.parametrize("share, steps, expected", [(0.7, 10, 7), (0.29, 10, 3), (0.04, 10, 0), (0.5, 4, 2)])
def test_every_image_is_switched_at_its_own_step(share, steps, expected):
    cond, null = embeddings(4)
    source, then = cond[:1], cond[1:]
    unet = FakeUNet(half)
    draw(unet, PromptSwitch(cfg(), source, [share, 0, 1]), cond=then, steps=steps)
    for step, (empty, captioned) in enumerate(zip(unet.calls[::2], unet.calls[1::2], strict=True)):
        assert torch.equal(captioned.c, torch.stack([source[0] if step < expected else then[0], then[1], source[0]]))
        assert torch.equal(empty.c, null.expand(3, -1, -1))


def test_edits_wrap_each_other_in_any_order(unet):
    source, then = embeddings(6)[0].chunk(2)
    guider = make_guider("cfg++", 0.5)
    alone = AttentionMaps(guider)
    expected = draw(unet, alone, cond=source)
    outside = AttentionMaps(PromptSwitch(guider, source, [1, 1, 1]))
    inside = AttentionMaps(guider)
    for switched, recorder in ((outside, outside), (PromptSwitch(inside, source, [1, 1, 1]), inside)):
        assert torch.equal(draw(unet, switched, cond=then), expected)
        assert torch.equal(recorder.maps(), alone.maps())
    both = PromptToPrompt(PromptSwitch(cfg(), source, [0.4] * 3), [0.8, 0.8])
    swapped = PromptSwitch(PromptToPrompt(cfg(), [0.8, 0.8]), source, [0.4] * 3)
    assert torch.equal(draw(unet, both, cond=then), draw(unet, swapped, cond=then))


@pytest.mark.parametrize("shares, word", [([0.5, -0.1, 1], "switch_at = -0.1"), ([1.1, 1, 1], "switch_at = 1.1"),
                                          ([math.nan, 0, 0], "switch_at = nan"), ([1, 1], "2 numbers switch_at for 3")])
def test_shares_that_do_not_fit_are_refused(unet, shares, word):
    with refuses(BadValue, word):
        draw(unet, PromptSwitch(cfg(), embeddings(3)[0], shares))
    with refuses(BadValue, word):
        draw(unet, PromptToPrompt(cfg(), shares), count=4)


@pytest.mark.parametrize("source", [embeddings(2)[0], embeddings(3)[0][:, :2]])
def test_source_captions_of_another_shape_are_refused(unet, source):
    with refuses(BadValue, "source captions", str(tuple(source.shape))):
        draw(unet, PromptSwitch(cfg(), source, [1, 1, 1]))


# Prompt-to-Prompt

def test_prompt_to_prompt_at_0_is_the_edited_prompt_alone_and_never_touches_the_source(unet):
    for share in (0, 1):
        edited = draw(unet, PromptToPrompt(cfg(), switch_at=[share, share]), seeds=[7, 7, 7])
        plain = draw(unet, cfg(), seeds=[7, 7, 7])
        assert torch.equal(edited[0], plain[0])
        assert torch.equal(edited[1:], plain[1:]) == (share == 0)


def test_prompt_to_prompt_to_the_same_words_is_the_source(unet):
    cond = embeddings(1)[0].expand(2, -1, -1)
    images = draw(unet, PromptToPrompt(cfg(), [1]), cond=cond, seeds=[7, 7])
    assert_close(images[1], images[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("share, kept", [(0.6, 3), (1, 5)])
def test_prompt_to_prompt_is_algorithm_1_in_two_runs(unet, written_out, share, kept):
    """Draw the source and store M_t; draw again with the edited prompt, M_t in place of its own for the first steps."""
    (source, target), null = embeddings(2)
    stored, used = {}, {}

    def store(attention, probabilities, c):
        if torch.equal(c[0], source):
            stored.setdefault(attention, []).append(probabilities)
        return probabilities

    def use(attention, probabilities, c):
        if torch.equal(c[0], null[0]):
            return probabilities
        step = used[attention] = used.get(attention, -1) + 1
        return stored[attention][step] if step < kept else probabilities

    images = draw(unet, PromptToPrompt(cfg(), [share]), cond=torch.stack([source, target]), seeds=[7, 7])
    written_out(store)
    draw(unet, cfg(), cond=source[None], seeds=[7])
    written_out(use)
    expected = draw(unet, cfg(), cond=target[None], seeds=[7])
    assert_close(images[1:], expected, atol=1e-4, rtol=0)


def test_edits_do_not_depend_on_each_other(unet):
    cond, _ = embeddings(3)
    together = draw(unet, PromptToPrompt(cfg(), [0.4, 1]), seeds=[7, 7, 7])
    alone = draw(unet, PromptToPrompt(cfg(), [1]), cond=cond[[0, 2]], seeds=[7, 7])
    assert_close(alone, together[[0, 2]], atol=1e-4, rtol=0)


# SDEdit

def drawing(count=3):
    return torch.linspace(-0.9, 0.9, count * 64).view(count, 1, 8, 8)


@each_midway
@each_variant
@pytest.mark.parametrize("strength, done", [(1e-6, 1), (0.29, 3), (0.7, 7), (1, 10)])
def test_a_start_is_noised_to_its_step(scheduler, variant, strength, done):
    unet, steps = FakeUNet(half), []
    draw(unet, cfg(1.0), scheduler=scheduler, variant=variant, steps=10, start=SDEditInit(drawing(), strength),
         callback=lambda step, x_t, x_0: steps.append(step))
    noise = torch.stack([torch.randn(1, 8, 8, generator=generator("sample", seed)) for seed in range(3)])
    plain = make_scheduler(small_preset(variant), scheduler)
    plain.set_timesteps(10)
    abar = alpha_bar(plain, plain.timesteps[10 - done])
    assert [call.t for call in unet.calls] == plain.timesteps[10 - done:].tolist()
    assert steps == list(range(10 - done, 10))
    assert_close(unet.calls[0].x_t, abar.sqrt() * drawing() + (1 - abar).sqrt() * noise)


@pytest.mark.parametrize("scheduler", ["ddim", "dpm++"])
def test_a_start_goes_on_as_in_the_plain_loop_of_diffusers(scheduler):
    """As its image-to-image pipelines do: add_noise, set_begin_index, and the scheduler's own steps."""
    cond, _ = embeddings(3)
    images = draw(FakeUNet(half), cfg(1.0), scheduler=scheduler, steps=20, start=SDEditInit(drawing(), 0.6), clip=None)
    plain = make_scheduler(small_preset(), scheduler)
    plain.set_timesteps(20)
    if scheduler == "dpm++":
        plain.set_begin_index(8)
    noise = torch.stack([torch.randn(1, 8, 8, generator=generator("sample", seed)) for seed in range(3)])
    x = plain.add_noise(drawing(), noise, plain.timesteps[8:9].expand(3))
    for t in plain.timesteps[8:]:
        x = plain.step(half(x, t, cond), t, x).prev_sample
    assert_close(images, x, atol=1e-5, rtol=1e-4)


@each_midway
@each_variant
@pytest.mark.parametrize("strength", [0.05, 0.5, 1])
def test_a_network_that_knows_x_0_is_led_to_it_from_any_start(scheduler, variant, strength):
    abar = make_scheduler(small_preset(variant)).alphas_cumprod

    def answer(x_t, t, c):
        signal, noise = abar[int(t)].sqrt(), (1 - abar[int(t)]).sqrt()
        eps = (x_t - signal * drawing()) / noise
        return eps if variant == "thesis" else signal * eps - noise * drawing()

    images = draw(FakeUNet(answer), cfg(1.0), scheduler=scheduler, variant=variant, steps=20,
                  start=SDEditInit(drawing().flip(0), strength))
    assert_close(images, drawing(), atol=2e-3, rtol=0)


@each_midway
def test_little_strength_returns_the_drawing_and_strength_1_forgets_it(unet, scheduler):
    nothing = draw(unet, cfg(), scheduler=scheduler, steps=20)
    kept, forgotten = (draw(unet, cfg(), scheduler=scheduler, steps=20, start=SDEditInit(drawing(), strength))
                       for strength in (1e-6, 1.0))
    assert (kept - drawing()).abs().mean() < 0.15
    assert (forgotten - nothing).abs().mean() < 0.05 < (forgotten - drawing()).abs().mean()


def test_an_image_from_a_start_depends_on_its_seed_alone(unet):
    cond, _ = embeddings(3)
    alone = draw(unet, cfg(), cond=cond[1:2], seeds=[1], start=SDEditInit(drawing()[1:2], 0.6))
    assert_close(alone, draw(unet, cfg(), start=SDEditInit(drawing(), 0.6))[1:2], atol=1e-4, rtol=0)


@pytest.mark.parametrize("images, strength, word", [
    (drawing(), 0, "strength = 0 "), (drawing(), 1.01, "strength = 1.01"), (drawing(), math.nan, "strength = nan"),
    (drawing(2), 0.5, "(3, 1, 8, 8)"), (drawing().expand(3, 3, 8, 8), 0.5, "(3, 1, 8, 8)"),
    (255 * drawing(), 0.5, "range"), (drawing() * math.nan, 0.5, "NaN"), (drawing().to(torch.uint8), 0.5, "floats"),
])
def test_starts_that_do_not_fit_are_refused(images, strength, word):
    with refuses(BadValue, word):
        draw(FakeUNet(half), cfg(), start=SDEditInit(images, strength))


@pytest.mark.parametrize("scheduler", ["unipc", "heun", "lms", "euler"])
def test_schedulers_that_cannot_begin_midway_are_refused(scheduler):
    with refuses(BadValue, "cannot begin midway", "ddim"):
        draw(FakeUNet(half), cfg(), scheduler=scheduler, start=SDEditInit(drawing(), 0.5))


@pytest.fixture(scope="module")
def tiny_pipe(tiny):
    torch.manual_seed(0)
    return CaptionPipeline.for_preset(tiny, build_unet(tiny))


def test_a_pipeline_takes_its_start_in_0_to_1_and_in_batches(tiny_pipe):
    prompts = [f"A handwritten digit {digit}" for digit in (3, 7, 8)]
    start = torch.stack([stroke_drawing(DRAWINGS["three"], 28).roll(shift) for shift in (0, 28, 56)])
    cond, null = tiny_pipe.embed(prompts)
    preset = tiny_pipe.preset
    expected = sample(tiny_pipe.unet, tiny_pipe.scheduler, cfg(), cond, null, seeds=[0, 1, 2], steps=4,
                      start=SDEditInit(from_unit(start, preset.pixel_range), 0.5)).images
    images = tiny_pipe(prompts, steps=4, seeds=[0, 1, 2], start=SDEditInit(start, 0.5), batch_size=2).images
    assert_close(images, to_unit(expected, preset.pixel_range), atol=1e-4, rtol=0)
    for wrong, word in ((start[:2], "3 prompts and 2 start images"), (start - 0.5, "from 0 to 1"),
                        (255 * start, "divide"), ((255 * start).to(torch.uint8), "floats")):
        with refuses(BadValue, word):
            tiny_pipe(prompts, start=SDEditInit(wrong, 0.5))


@pytest.mark.parametrize("name, channels", [("seven", 1), ("three", 1), ("ship", 3), ("horse", 3)])
def test_drawings_are_images(name, channels, size=32):
    image = stroke_drawing(DRAWINGS[name], size)
    assert image.shape == (channels, size, size) and image.min() >= 0 and image.max() <= 1
    large = stroke_drawing(DRAWINGS[name], 4 * size)
    pooled = torch.nn.functional.avg_pool2d(large, 4)
    assert (image - pooled).abs().mean() < 0.01                     # the same at any size


def test_a_stroke_ends_at_its_last_point_in_a_half_circle():
    image = stroke_drawing([Stroke(((0.25, 0.5), (0.75, 0.5)), 0.2)], 40)[0]
    assert image.mean().item() == pytest.approx(0.5 * 0.2 + math.pi * 0.1**2, abs=0.001)
    assert image[:16].max() == image[24:].max() == image[:, :6].max() == image[:, 34:].max() == 0
    assert image[17:23, 10:30].min() == 1


# when a drawing is recognised

def test_recognised_for_good_is_after_the_last_time_that_it_was_not():
    right = torch.tensor([[0, 1, 0, 1, 0], [0, 1, 1, 1, 1], [1, 1, 0, 0, 1], [0, 1, 1, 1, 1], [1, 1, 1, 0, 1]]).bool()
    assert_close(first_stable_step(right), torch.tensor([1.0, 0.0, 0.75, math.nan, 0.25]).double(), equal_nan=True)


@pytest.fixture(scope="module")
def mnist_pipe():
    return load_pipeline("mnist")


def test_recognition_is_the_classifiers_word_at_every_step_whatever_the_batch(mnist_pipe, monkeypatch):
    result = recognise(mnist_pipe, 2.0, 4, steps=3)
    monkeypatch.setitem(recognise.__globals__, "BATCH", 3)
    again = recognise(mnist_pipe, 2.0, 4, steps=3)
    assert json.loads(json.dumps(result))["accuracy"] == again["accuracy"]
    assert result["progress"] == pytest.approx([0, 1 / 3, 2 / 3, 1]) and result["n"] == 4 and result["steps"] == 3
    assert result["accuracy"]["x_t"][-1] == result["accuracy"]["x_0"][-1]              # both are the finished image
    assert result["accuracy"]["x_t"][0]["value"] <= result["accuracy"]["x_0"][0]["value"]
    assert result["recognised_for_good"]["x_0"]["images"] == round(4 * result["accuracy"]["x_0"][-1]["value"])


def test_no_images_are_refused(mnist_pipe):
    with refuses(BadValue, "n = 0"):
        recognise(mnist_pipe, 2.0, 0)


# figures

def test_every_figure_is_drawn_and_names_the_stand_in(mnist_pipe, monkeypatch):
    monkeypatch.setattr(guidance, "load_or_measure_recognition", lambda pipe: [
        recognise(pipe, w, 2, steps=1) for w in (1.0, 5.0)])
    both = {"MNIST": mnist_pipe, "CIFAR-10": load_pipeline("cifar10")}
    for shown in (guidance.recognition_curves(both), guidance.attention_over_steps(mnist_pipe, 1),
                  guidance.prompt_swap(mnist_pipe, 1), guidance.painted_strokes(both, 1)):
        assert json.dumps(shown.metadata) and "stand-in for CLIP" in shown.note

"""Guiders compute no prediction that they do not need and keep nothing; every rule against its formula, its cost and
its stored images; and the faults of diffusers' guiders."""

import copy
import math
import pickle
from types import SimpleNamespace

import diffusers.guiders
import numpy as np
import pytest
import support
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference_images import CASES, RULES, STORED, drawn
from safetensors.torch import load_file
from support import FakeUNet, embeddings, guided, of_diffusers, refuses, small_preset
from torch.testing import assert_close

from t2i_helpers.diffusion import GUIDERS, LossGuidance, SDEditInit, colour_loss, make_guider, make_scheduler
from t2i_helpers.diffusion.editing import PromptSwitch, PromptToPrompt
from t2i_helpers.errors import BadValue, UnknownName
from t2i_helpers.models import build_unet

STEPS = 4
COND, NULL = 3 * embeddings(3)[0].double(), embeddings(3)[1].double()
C, N, X_T = torch.randn(3, 3, 2, 8, 8, generator=torch.Generator().manual_seed(0)).double()


@pytest.fixture(scope="module")
def unet(unet):
    return copy.deepcopy(unet).requires_grad_(False).double()


def draw(unet, guider, n=3, **options):
    return support.draw(unet, guider, cond=COND[:n], seeds=range(n), **options)


def midway(strength, n=3):
    return SDEditInit(torch.zeros(n, 1, 8, 8).double(), strength)


@given(st.floats(-100, 100))
def test_cfg_is_its_formula_and_the_papers_form_at_w_is_ours_at_1_plus_w(w):
    assert_close(guided(make_guider("cfg", w), C, N), N + w * (C - N))
    assert_close(guided(make_guider("cfg-original", w), C, N), (1 + w) * C - w * N)


@pytest.mark.parametrize("name, w, branches", [
    ("cfg", 0, "n"), ("cfg", 1, "c"), ("cfg", 2, "nc"), ("cfg", 0.5, "nc"), ("cfg", -1, "nc"),
    ("cfg-original", -1, "n"), ("cfg-original", 0, "c"), ("cfg-original", 1, "nc"),
])
def test_only_the_branches_that_w_needs_are_computed(name, w, branches):
    unet = FakeUNet()
    out = draw(unet, make_guider(name, w))
    assert len(unet.calls) == out.forward_passes == STEPS * len(branches)
    for call, branch in zip(unet.calls, branches * STEPS, strict=True):
        assert torch.equal(call.c, {"n": NULL.expand_as(COND), "c": COND}[branch])


def test_any_function_of_a_step_is_a_guider_and_asks_for_each_prediction_once():
    def falling(step):
        """From w = 5 to 1."""
        assert torch.equal(step.null, step.null)
        return step.null + (5 - 4 * step.index / (step.steps - 1)) * (step.cond - step.null)

    drawn = draw(FakeUNet(), falling)
    assert drawn.forward_passes == 2 * STEPS
    assert not torch.equal(drawn.images, draw(FakeUNet(), 5).images)


@pytest.mark.parametrize("around", [lambda guider: guider,
                                    lambda guider: PromptSwitch(guider, COND.flip(0), [0.5, 0.5, 0]),
                                    lambda guider: PromptToPrompt(guider, [0.5, 1])], ids=["bare", "switch", "p2p"])
@pytest.mark.parametrize("name", ["apg", "interval sigma_max=1", "auto"])
def test_a_guider_can_be_copied_pickled_and_used_again_in_any_order(unet, name, around):
    """Also midway: APG starts each sampling without momentum."""
    guider = around(make_guider(name, 3.0, **{"weak": copy.deepcopy(unet)} if name == "auto" else {}))
    starts = None, midway(0.5)
    expected = [draw(unet, guider, clip=None, start=start).images for start in starts]
    for again in (copy.copy(guider), copy.deepcopy(guider), pickle.loads(pickle.dumps(guider)), guider):
        for start, images in zip(starts, expected):
            assert torch.equal(draw(unet, again, clip=None, start=start).images, images)


@pytest.mark.parametrize("name", GUIDERS)
def test_a_scale_that_is_not_finite_and_unknown_names_and_settings_are_refused(name):
    for w in (float("nan"), float("inf"), -float("inf"), [1, 2], "2"):
        with refuses(BadValue, str(w), "finite"):
            make_guider(name, w)
    with refuses(BadValue, name, "sharpness"):
        make_guider(name, 2.0, sharpness=1)
    with refuses(UnknownName, "'magic'", name):
        make_guider("magic", 2.0)


@pytest.mark.parametrize("case", CASES)
def test_images_are_the_stored_ones(case):
    assert_close(drawn(case), load_file(STORED)[case], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name, w, passes", [
    ("rescale", 3, 2), ("interval start=0.5", 3, 1.5), ("threshold", 5, 2), ("cfg++", 1, 2), ("cfg-zero", 3, 2),
    ("apg", 3, 2), ("pag", 3, 3), ("pag", 1, 2), ("slg", 3, 3), ("slg", 1, 2), ("seg", 3, 3), ("tcfg", 3, 2),
    ("mag", 3, 2), ("fdg", 3, 2),
])
def test_a_rule_has_its_stated_cost(unet, name, w, passes):
    assert draw(unet, make_guider(name, w)).forward_passes == passes * STEPS
    assert {name for name, *_ in RULES} == set(GUIDERS), "each rule has stored images"


def test_autoguidance_is_its_formula_and_refuses_a_network_of_another_shape(unet):
    for w, passes in ((0, 1), (1, 1), (3, 2)):
        strong, weak = FakeUNet(lambda *_: C), FakeUNet(lambda *_: N)
        assert_close(guided(make_guider("auto", w, weak=weak), C, N, unet=strong), N + w * (C - N))
        assert len(strong.calls) + len(weak.calls) == passes
    with refuses(BadValue, "24", "weaker", "encoder"):
        draw(unet, make_guider("auto", 2, weak=build_unet(small_preset(), text_dim=24)))


# The formulas of further rules are cells of notebook 04, which test_notebooks.py compares.


@pytest.mark.parametrize("predicts_v", [False, True], ids=["eps", "v"])
def test_thresholding_is_its_formula(predicts_v):
    def x_0(prediction):
        signal, noise = math.sqrt(0.3), math.sqrt(0.7)
        return signal * X_T - noise * prediction if predicts_v else (X_T - noise * prediction) / signal

    plain = x_0(N + 4 * (C - N))
    s = plain.abs().flatten(1).quantile(0.9, dim=1).view(-1, 1, 1, 1)
    thresholded = guided(make_guider("threshold percentile=0.9", 4), C, N, 0.3, predicts_v, X_T)
    assert (s > 1).all()
    assert_close(x_0(thresholded), plain.clamp(-s, s) / s)


def test_magnitude_aware_and_tangential_guidance_are_their_formulas():
    c, n = C.flatten(1).numpy(), N.flatten(1).numpy()                                                   # [n, chw]
    share = np.linalg.norm(c - n, axis=1) / np.linalg.norm(n, axis=1)
    expected = n + (1 + 3 * np.exp(-2 * share))[:, None] * (c - n)
    assert_close(guided(make_guider("mag alpha=2", 4), C, N).flatten(1).numpy(), expected)
    pairs = np.stack([c, n], 1)                                                                         # [n, 2, chw]
    _, vectors = np.linalg.eigh(pairs @ pairs.transpose(0, 2, 1))               # of the Gram matrix of c and n
    first = np.einsum("nk,nkd->nd", vectors[:, :, -1], pairs)                   # their first right singular vector
    damped = first * ((n * first).sum(1) / (first**2).sum(1))[:, None]
    assert_close(guided(make_guider("tcfg", 4), C, N).flatten(1).numpy(), damped + 4 * (c - damped), atol=1e-5, rtol=0)


@pytest.mark.parametrize("radius", [math.inf, 5])
def test_adaptive_projection_and_a_loss_guide_together(unet, radius):
    drawn, plain = (draw(unet, make_guider("apg", 3, radius=radius), loss=LossGuidance(colour_loss([0.3]), s)).images
                    for s in (1.0, 0.0))
    assert drawn.isfinite().all() and (drawn - 0.3).abs().mean() < (plain - 0.3).abs().mean()


def test_frequency_decoupling_guides_each_level_by_its_own_scale():
    """A difference without details is guided by the lower scale, one of details alone by w."""
    flat_difference = torch.full((2, 1, 28, 28), 0.7).double()
    checkerboard = 0.7 * (-1.0) ** torch.arange(28).add(torch.arange(28)[:, None]).expand(2, 1, 28, 28).double()
    n = torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(0)).double()
    guider = make_guider("fdg", 5, low=0.25)
    assert_close(guided(guider, n + flat_difference, n), n + 2 * flat_difference)
    inner = (slice(None), slice(None), slice(4, -4), slice(4, -4))              # the blur reflects at the borders
    assert_close(guided(guider, n + checkerboard, n)[inner], (n + 5 * checkerboard)[inner], atol=0.05, rtol=0)


def test_an_interval_of_noise_levels_is_guided_and_nothing_else(unet):
    scheduler = make_scheduler(small_preset(), "ddim")
    scheduler.set_timesteps(STEPS)
    sigmas = [((1 - abar).sqrt() / abar.sqrt()).item() for abar in scheduler.alphas_cumprod[scheduler.timesteps]]
    guider = make_guider("interval", 3, sigma_min=sigmas[2], sigma_max=sigmas[1])       # (sigma_min, sigma_max]
    assert draw(unet, guider).forward_passes == STEPS + 1


@pytest.mark.parametrize("parameters, start, count", [
    ({"sigma_min": 1e9}, None, 6), ({"sigma_max": 1e-9}, None, 6), ({"start": 0.41, "stop": 0.45}, None, 6),
    ({"stop": 0.5}, midway(0.5), 3),                            # the steps inside are not among those that run
])
def test_an_interval_without_any_step_is_refused(unet, parameters, start, count):
    with refuses(BadValue, f"none of the {count} steps", "interval", "widen"):
        draw(unet, make_guider("interval", 3, **parameters), steps=6, start=start)


@pytest.mark.parametrize("name", ["pag", "slg", "seg"])
def test_the_network_is_whole_after_impaired_passes_and_after_an_error(unet, name):
    before = draw(unet, 1).images
    draw(unet, make_guider(name, 2))
    handle = unet.conv_out.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        draw(unet, make_guider(name, 1))
    handle.remove()
    assert torch.equal(before, draw(unet, 1).images)


def test_impaired_attention_is_what_each_rule_says(unet):
    """The queries, the self-attention and the output of the middle attention block for random x, when impaired."""
    block = unet.mid_block.attentions[0].transformer_blocks[0]
    to_q, attention = block.attn1.to_q, block.attn1
    x = torch.randn(2, 16, to_q.in_features, generator=torch.Generator().manual_seed(0)).double()
    c = torch.randn(2, 3, block.attn2.to_k.in_features, generator=torch.Generator().manual_seed(1)).double()

    def impaired(name, **parameters):
        results = []

        class Middle(torch.nn.Module):
            mid_block = unet.mid_block

            def forward(self, x_t, t, embedding):
                results[:] = to_q(x), attention(x), block(x, encoder_hidden_states=c)
                return SimpleNamespace(sample=x_t)

        guided(make_guider(name, 1, **parameters), x, x, unet=Middle())
        return results

    alone = attention(x.reshape(32, 1, -1)).reshape(2, 16, -1)              # sequences of one pixel
    assert_close(impaired("pag")[1], alone)
    assert torch.equal(impaired("slg")[2], x)
    whole, mean = to_q(x), impaired("seg")[0]
    assert_close(mean, whole.mean(1, keepdim=True).expand_as(mean))
    assert_close(impaired("seg", blur=0.1)[0], whole, atol=1e-4, rtol=1e-4)
    assert impaired("seg", blur=1.0)[0].var(1).mean() < 0.7 * whole.var(1).mean()


@pytest.mark.parametrize("name, parameters, word", [
    ("rescale", {"share": 1.5}, "share"), ("rescale", {"share": math.nan}, "share"),
    ("interval", {"sigma_min": 5, "sigma_max": 5}, "sigma_min = 5"), ("interval", {"start": 0.7, "stop": 0.7}, "stop"),
    ("interval", {"sigma_min": -1}, "sigma_min"), ("threshold", {"percentile": 99.5}, "percentile"),
    ("apg", {"eta": -1}, "eta"), ("apg", {"radius": 0}, "radius"), ("apg", {"momentum": 2}, "momentum"),
    ("pag", {"scale": -1}, "scale"), ("seg", {"blur": 0}, "blur"), ("mag", {"alpha": -1}, "alpha"),
    ("auto", {}, "weak"), ("slg", {"scale": "much"}, "scale"), ("cfg", {"start": 2}, "start"),
    ("cfg", {"guidance_rescale": 7}, "guidance_rescale"), ("tcfg", {"stop": 0.2}, "stop"), ("cfg++", {}, "w = 2"),
    ("rescale share", {}, "name=number"), ("rescale share=much", {}, "name=number"), ("rescale 0.5", {}, "0.5"),
])
def test_parameters_out_of_range_are_refused(name, parameters, word):
    with refuses(BadValue, word):
        make_guider(name, 2.0, **parameters)


def test_what_diffusers_guiders_have_wrong(unet):
    """If a line fails after an update, we can use theirs."""
    layer, theirs = "mid_block.attentions.0.transformer_blocks", diffusers.guiders
    config = theirs.smoothed_energy_guidance.SmoothedEnergyGuidanceConfig([0], layer)
    seg = theirs.SmoothedEnergyGuidance(3, 2.0, seg_guidance_config=config)
    assert torch.equal(draw(unet, of_diffusers(seg)).images, draw(unet, 3).images), "it does something"
    config = diffusers.LayerSkipConfig([0], layer, skip_attention=False, skip_attention_scores=True, skip_ff=False)
    pag = theirs.PerturbedAttentionGuidance(1.0, 2.0, 0.0, 1.0, perturbed_guidance_config=config)
    late_cfg = make_guider("interval", 2.0, start=0.25)                 # with the perturbation's scale in place of w
    assert_close(draw(unet, of_diffusers(pag)).images, draw(unet, late_cfg).images)
    with pytest.raises(RuntimeError):                                   # it was not written for images
        draw(unet, of_diffusers(theirs.MagnitudeAwareGuidance(3.0)))
    with pytest.raises(AttributeError):                                 # it does not know its pass
        _ = theirs.TangentialClassifierFreeGuidance(3.0).is_conditional
    apg = of_diffusers(theirs.AdaptiveProjectedGuidance(4.0, None, math.inf, eta=0.0))      # of the prediction
    ours = make_guider("apg", 4.0, momentum=0)
    assert (guided(apg, C, N, x_t=X_T) - guided(ours, C, N, x_t=X_T)).abs().mean() > 0.1


def test_diffusers_frequency_decoupled_guidance_enlarges_28_pixels_and_needs_every_level():
    pytest.importorskip("kornia", reason="kornia is not installed: diffusers' frequency-decoupled guidance needs it")
    c = torch.randn(2, 1, 28, 28)
    assert diffusers.guiders.FrequencyDecoupledGuidance([3.0, 2.0]).forward(c, 0.5 * c).pred.shape == (2, 1, 32, 32)
    with pytest.raises(UnboundLocalError):
        diffusers.guiders.FrequencyDecoupledGuidance([1.0, 3.0]).forward(c, 0.5 * c)

"""Guiders: eps~ = eps_null + w (eps_cond - eps_null), no forward pass that it does not need, and no memory."""

import copy
import pickle
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import FakeUNet, as_image, embeddings, guided, refuses, small_preset

from t2i_helpers.diffusion import GUIDERS, PromptSwitch, PromptToPrompt, make_guider, make_scheduler, sample
from t2i_helpers.errors import BadValue, UnknownName

STEPS = 4
scales = st.floats(-100, 100)


def draw(guider, unet, **options):
    cond, null = embeddings(3)
    scheduler = make_scheduler(small_preset(), "ddim")
    return sample(unet, scheduler, guider, cond, null, seeds=[0, 1, 2], steps=STEPS, clip=None, **options)


def answer(x_t, t, c):
    return 0.5 * x_t + as_image(c, x_t)


@given(scales)
def test_cfg_is_its_formula_and_the_papers_form_at_w_is_ours_at_1_plus_w(w):
    c, n = torch.randn(2, 3, 1, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(guided(make_guider("cfg", w), c, n), n + w * (c - n))
    torch.testing.assert_close(guided(make_guider("cfg-original", w), c, n), (1 + w) * c - w * n)


@given(scales, scales, st.floats(0, 1))
def test_the_prediction_is_affine_in_w(a, b, share):
    eps = torch.randn(2, 5, generator=torch.Generator().manual_seed(1)).double()
    between = guided(make_guider("cfg", (1 - share) * a + share * b), *eps)
    expected = (1 - share) * guided(make_guider("cfg", a), *eps) + share * guided(make_guider("cfg", b), *eps)
    torch.testing.assert_close(between, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name, w, branches", [
    ("cfg", 0, "null"), ("cfg", 1, "cond"), ("cfg", 2, "both"), ("cfg", 0.5, "both"), ("cfg", -1, "both"),
    ("cfg-original", -1, "null"), ("cfg-original", 0, "cond"), ("cfg-original", 1, "both"),
])
def test_only_the_branches_that_w_needs_are_computed(name, w, branches):
    cond, null = embeddings(3)
    unet = FakeUNet(answer)
    out = draw(make_guider(name, w), unet)
    step = {"null": [null.expand_as(cond)], "cond": [cond], "both": [null.expand_as(cond), cond]}[branches]
    assert len(unet.calls) == out.forward_passes == STEPS * len(step)
    for call, expected in zip(unet.calls, step * STEPS, strict=True):
        assert torch.equal(call.c, expected)


@pytest.mark.parametrize("w, branch", [(0, 1), (1, 0)])
def test_a_single_branch_gives_what_both_would(w, branch):
    """Against sampling whose two branches both answer as the one that counts."""
    chosen = embeddings(3)[branch]
    both = FakeUNet(lambda x_t, t, c: answer(x_t, t, chosen.expand_as(c)))
    expected = draw(make_guider("cfg", 3.0), both).images
    torch.testing.assert_close(draw(make_guider("cfg", w), FakeUNet(answer)).images, expected)


def test_any_function_of_a_step_is_a_guider_and_asks_for_each_prediction_once():
    def falling(step):
        """From w = 5 to 1."""
        assert torch.equal(step.null, step.null)
        return step.null + (5 - 4 * step.index / (step.steps - 1)) * (step.cond - step.null)

    drawn = draw(falling, FakeUNet(answer))
    assert drawn.forward_passes == 2 * STEPS
    assert not torch.equal(drawn.images, draw(make_guider("cfg", 5), FakeUNet(answer)).images)


def wrapped(around):
    cond, _ = embeddings(3)
    return {"bare": lambda guider: guider,
            "switch": lambda guider: PromptSwitch(guider, cond.flip(0), [0.5, 0.5, 0]),
            "prompt-to-prompt": lambda guider: PromptToPrompt(guider, [0.5, 1])}[around]


@pytest.mark.parametrize("around", ["bare", "switch", "prompt-to-prompt"])
@pytest.mark.parametrize("name", ["apg", "interval sigma_max=1", "auto"])
def test_a_guider_can_be_copied_pickled_and_used_again_in_any_order(unet, name, around):
    weak = {"weak": copy.deepcopy(unet)} if name == "auto" else {}
    guider = wrapped(around)(make_guider(name, 3.0, **weak))
    expected = draw(guider, unet).images
    for again in (copy.copy(guider), copy.deepcopy(guider), pickle.loads(pickle.dumps(guider)), guider):
        assert torch.equal(draw(again, unet).images, expected)


def test_guiders_are_equal_where_name_scale_and_settings_are():
    guider = make_guider("interval sigma_min=0.5 sigma_max=5", 3)
    assert guider == make_guider("interval", 3, sigma_min=0.5, sigma_max=5) == copy.deepcopy(guider)
    assert len({guider, make_guider("interval", 3, sigma_min=0.5, sigma_max=5)}) == 1
    assert make_guider("apg", 3) == make_guider("apg", 3, momentum=-0.5)
    assert guider != make_guider("interval", 3, sigma_min=0.5) and guider != make_guider("interval sigma_min=0.5", 2)


def test_unknown_guiders_are_refused_with_the_known_ones():
    with refuses(UnknownName, "'magic'", *GUIDERS):
        make_guider("magic", 2.0)


@pytest.mark.parametrize("name", GUIDERS)
def test_a_scale_that_is_not_finite_and_an_unknown_setting_are_refused(name):
    for w in (float("nan"), float("inf"), -float("inf")):
        with refuses(BadValue, str(w), "finite"):
            make_guider(name, w)
    with refuses(BadValue, name, "sharpness"):
        make_guider(name, 2.0, sharpness=1)


def test_the_mathematics_loads_no_data_module():
    code = "import sys, t2i_helpers.diffusion; print([name for name in sys.modules if 't2i_helpers.data' in name])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"

"""Guiders: eps~ = eps_null + w (eps_cond - eps_null), no forward pass that it does not need, and no memory."""

import copy
import pickle
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import FakeUNet, draw, embeddings, guided, half, refuses

from t2i_helpers.diffusion import GUIDERS, PromptSwitch, PromptToPrompt, make_guider
from t2i_helpers.errors import BadValue, UnknownName

STEPS = 4


@given(st.floats(-100, 100))
def test_cfg_is_its_formula_and_the_papers_form_at_w_is_ours_at_1_plus_w(w):
    c, n = torch.randn(2, 3, 1, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(guided(make_guider("cfg", w), c, n), n + w * (c - n))
    torch.testing.assert_close(guided(make_guider("cfg-original", w), c, n), (1 + w) * c - w * n)


@pytest.mark.parametrize("name, w, branches", [
    ("cfg", 0, "n"), ("cfg", 1, "c"), ("cfg", 2, "nc"), ("cfg", 0.5, "nc"), ("cfg", -1, "nc"),
    ("cfg-original", -1, "n"), ("cfg-original", 0, "c"), ("cfg-original", 1, "nc"),
])
def test_only_the_branches_that_w_needs_are_computed(name, w, branches):
    cond, null = embeddings(3)
    unet = FakeUNet()
    out = draw(unet, make_guider(name, w))
    assert len(unet.calls) == out.forward_passes == STEPS * len(branches)
    for call, branch in zip(unet.calls, branches * STEPS, strict=True):
        assert torch.equal(call.c, {"n": null.expand_as(cond), "c": cond}[branch])


@pytest.mark.parametrize("w, branch", [(0, 1), (1, 0)])
def test_a_single_branch_gives_what_both_would(w, branch):
    """Against sampling whose two branches both answer as the one that counts."""
    chosen = embeddings(3)[branch]
    both = FakeUNet(lambda x_t, t, c: half(x_t, t, chosen.expand_as(c)))
    torch.testing.assert_close(draw(FakeUNet(), w, clip=None).images, draw(both, 3, clip=None).images)


def test_any_function_of_a_step_is_a_guider_and_asks_for_each_prediction_once():
    def falling(step):
        """From w = 5 to 1."""
        assert torch.equal(step.null, step.null)
        return step.null + (5 - 4 * step.index / (step.steps - 1)) * (step.cond - step.null)

    drawn = draw(FakeUNet(), falling)
    assert drawn.forward_passes == 2 * STEPS
    assert not torch.equal(drawn.images, draw(FakeUNet(), 5).images)


@pytest.mark.parametrize("around", [lambda guider: guider,
                                    lambda guider: PromptSwitch(guider, embeddings(3)[0].flip(0), [0.5, 0.5, 0]),
                                    lambda guider: PromptToPrompt(guider, [0.5, 1])], ids=["bare", "switch", "p2p"])
@pytest.mark.parametrize("name", ["apg", "interval sigma_max=1", "auto"])
def test_a_guider_can_be_copied_pickled_and_used_again_in_any_order(unet, name, around):
    guider = around(make_guider(name, 3.0, **{"weak": copy.deepcopy(unet)} if name == "auto" else {}))
    expected = draw(unet, guider, clip=None).images
    for again in (copy.copy(guider), copy.deepcopy(guider), pickle.loads(pickle.dumps(guider)), guider):
        assert torch.equal(draw(unet, again, clip=None).images, expected)


def test_guiders_are_equal_where_name_scale_and_settings_are():
    guider = make_guider("interval sigma_min=0.5 sigma_max=5", 3)
    assert guider == make_guider("interval", 3, sigma_min=0.5, sigma_max=5) == copy.deepcopy(guider)
    assert len({guider, make_guider("interval", 3, sigma_min=0.5, sigma_max=5)}) == 1
    assert make_guider("apg", 3) == make_guider("apg", 3, momentum=-0.5)
    assert guider != make_guider("interval", 3, sigma_min=0.5) and guider != make_guider("interval sigma_min=0.5", 2)


@pytest.mark.parametrize("name", GUIDERS)
def test_a_scale_that_is_not_finite_and_unknown_names_and_settings_are_refused(name):
    for w in (float("nan"), float("inf"), -float("inf")):
        with refuses(BadValue, str(w), "finite"):
            make_guider(name, w)
    with refuses(BadValue, name, "sharpness"):
        make_guider(name, 2.0, sharpness=1)
    with refuses(UnknownName, "'magic'", name):
        make_guider("magic", 2.0)


def test_the_mathematics_loads_no_data_module():
    code = "import sys, t2i_helpers.diffusion; print([name for name in sys.modules if 't2i_helpers.data' in name])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"

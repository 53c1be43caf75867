"""Guiders: eps~ = eps_null + w (eps_cond - eps_null), and no forward pass that it does not need."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import FakeUNet, as_image, embeddings, guided, refuses, small_preset

from t2i_helpers.diffusion import GUIDERS, make_guider, make_scheduler, sample
from t2i_helpers.errors import BadValue, UnknownName

STEPS = 4
scales = st.floats(-100, 100)


def draw(guider, unet, **options):
    cond, null = embeddings(3)
    scheduler = make_scheduler(small_preset(), "ddim")
    return sample(unet, scheduler, guider, cond, null, seeds=[0, 1, 2], steps=STEPS, clip=None, **options)


@given(scales)
def test_cfg_is_its_formula(w):
    eps_cond, eps_null = torch.randn(2, 3, 1, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    expected = eps_null + w * (eps_cond - eps_null)
    torch.testing.assert_close(guided(make_guider("cfg", w), eps_cond, eps_null), expected)


@given(scales, scales, st.floats(0, 1))
def test_the_prediction_is_affine_in_w(a, b, share):
    eps = torch.randn(2, 5, generator=torch.Generator().manual_seed(1)).double()
    between = guided(make_guider("cfg", (1 - share) * a + share * b), *eps)
    expected = (1 - share) * guided(make_guider("cfg", a), *eps) + share * guided(make_guider("cfg", b), *eps)
    torch.testing.assert_close(between, expected, atol=1e-6, rtol=1e-6)


@given(scales)
def test_the_papers_form_at_w_is_ours_at_1_plus_w(w):
    eps = torch.randn(2, 5, generator=torch.Generator().manual_seed(2)).double()
    torch.testing.assert_close(guided(make_guider("cfg-original", w), *eps), guided(make_guider("cfg", 1 + w), *eps))
    torch.testing.assert_close(guided(make_guider("cfg-original", w), *eps), (1 + w) * eps[0] - w * eps[1])


@pytest.mark.parametrize("name, w, branches", [
    ("cfg", 0, "null"), ("cfg", 1, "cond"), ("cfg", 2, "both"), ("cfg", 0.5, "both"), ("cfg", -1, "both"),
    ("cfg-original", -1, "null"), ("cfg-original", 0, "cond"), ("cfg-original", 1, "both"),
])
def test_only_the_branches_that_w_needs_are_computed(name, w, branches):
    cond, null = embeddings(3)
    unet = FakeUNet(lambda x_t, t, c: as_image(c, x_t))
    out = draw(make_guider(name, w), unet)
    step = {"null": [null.expand_as(cond)], "cond": [cond], "both": [cond, null.expand_as(cond)]}[branches]
    assert len(unet.calls) == out.forward_passes == STEPS * len(step)
    for call, expected in zip(unet.calls, step * STEPS, strict=True):
        assert torch.equal(call.c, expected)


@pytest.mark.parametrize("w, branch", [(0, 1), (1, 0)])
def test_a_single_branch_gives_what_both_would(w, branch):
    """Against sampling whose two branches both answer as the one that counts."""
    def answer(x_t, t, c):
        return 0.5 * x_t + as_image(c, x_t)

    chosen = embeddings(3)[branch]
    both = FakeUNet(lambda x_t, t, c: answer(x_t, t, chosen.expand_as(c)))
    expected = draw(make_guider("cfg", 3.0), both).images
    torch.testing.assert_close(draw(make_guider("cfg", w), FakeUNet(answer)).images, expected)


def test_one_guider_serves_many_samplings():
    guider = make_guider("cfg", 2.0)
    unet = FakeUNet(lambda x_t, t, c: 0.5 * x_t + as_image(c, x_t))
    assert torch.equal(draw(guider, unet).images, draw(guider, unet).images)


def test_unknown_guiders_are_refused_with_the_known_ones():
    with refuses(UnknownName, "'magic'", *GUIDERS):
        make_guider("magic", 2.0)


@pytest.mark.parametrize("w", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", GUIDERS)
def test_w_must_be_finite(name, w):
    with refuses(BadValue, str(w), "finite"):
        make_guider(name, w)


@pytest.mark.parametrize("name", GUIDERS)
def test_parameters_that_a_guider_does_not_have_are_refused(name):
    with refuses(BadValue, name, "sharpness"):
        make_guider(name, 2.0, sharpness=1)

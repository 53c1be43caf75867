"""Guidance by a loss: the push is the formula's, and what cannot be pushed is refused."""

import math

import pytest
import torch
from support import FakeUNet, as_image, embeddings, refuses, small_preset
from torch.testing import assert_close

from t2i_helpers.diffusion import LossGuidance, colour_loss, make_guider, make_scheduler, sample
from t2i_helpers.diffusion.noise import NoisyImages
from t2i_helpers.errors import BadValue

COLOUR = 0.3


def answer(x_t, t, c):
    return 0.5 * x_t + as_image(c, x_t)


def draw(loss=None, scheduler="ddim", variant="improved", **options):
    cond, null = embeddings(3)
    return sample(FakeUNet(answer), make_scheduler(small_preset(variant), scheduler), make_guider("cfg", 2.0), cond,
                  null, seeds=[0, 1, 2], **dict(steps=4) | options, loss=loss)


@pytest.mark.parametrize("predicts_v", [False, True], ids=["eps", "v"])
def test_the_push_is_minus_s_times_the_gradient(predicts_v):
    """For a prediction of x_t / 2 the gradient can be written down: sign(x_0 - colour) / pixels times dx_0 / dx_t."""
    abar = torch.tensor(0.4)
    x_t = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    noisy = NoisyImages(x_t.clone().requires_grad_(), abar, predicts_v)
    push = LossGuidance(colour_loss([COLOUR] * 3), 50.0).push(noisy, 0.5 * noisy.x_t)
    signal, noise = math.sqrt(0.4), math.sqrt(0.6)
    slope = signal - 0.5 * noise if predicts_v else (1 - 0.5 * noise) / signal
    assert_close(push, -50.0 * torch.sign(slope * x_t - COLOUR) / (3 * 8 * 8) * slope)


@pytest.mark.parametrize("scheduler", ["ddpm", "ddim", "dpm++", "euler", "lms"])
@pytest.mark.parametrize("variant", ["thesis", "improved"])
def test_the_stronger_the_nearer_to_the_colour(scheduler, variant):
    distances = [float(colour_loss([COLOUR])(draw(LossGuidance(colour_loss([COLOUR]), s), scheduler, variant).images)
                       .mean()) for s in (0.0, 2.0, 8.0)]
    assert distances[0] > distances[1] > distances[2]


@pytest.mark.parametrize("scheduler", ["ddim", "euler"])
def test_strength_0_changes_nothing(scheduler):
    assert torch.equal(draw(LossGuidance(colour_loss([COLOUR]), 0.0), scheduler).images, draw(None, scheduler).images)


def test_schedulers_that_keep_x_in_sigma_are_pushed_as_far():
    """The first step of Euler and of DDIM from the same noise, as the callback sees it: in the scale of x_t."""
    seen = {}
    for scheduler in ("ddim", "euler"):
        for s in (0.0, 50.0):
            draw(LossGuidance(colour_loss([COLOUR]), s), scheduler,
                 callback=lambda step, x_t, x_0, key=(scheduler, s): seen.setdefault(key, x_t))
    for scheduler in ("ddim", "euler"):
        assert (seen[scheduler, 50.0] - seen[scheduler, 0.0]).abs().max() > 0.01
    assert_close(seen["euler", 50.0] - seen["euler", 0.0], seen["ddim", 50.0] - seen["ddim", 0.0], atol=2e-2, rtol=0.2)


def test_images_do_not_depend_on_the_batch():
    cond, null = embeddings(3)
    loss = LossGuidance(colour_loss([COLOUR]), 5.0)
    alone = sample(FakeUNet(answer), make_scheduler(small_preset(), "ddim"), make_guider("cfg", 2.0), cond[1:2], null,
                   seeds=[1], steps=4, loss=loss).images
    assert_close(alone, draw(loss).images[1:2])


@pytest.mark.parametrize("loss, strength, word", [
    (lambda x_0: x_0.mean((1, 2, 3)) * math.nan, 1.0, "NaN"),
    (lambda x_0: torch.zeros(len(x_0)), 1.0, "no gradient"),
    (lambda x_0: x_0.detach().mean((1, 2, 3)), 1.0, "no gradient"),
    (lambda x_0: 1e30 * x_0.square().mean((1, 2, 3)), 1e30, "infinity"),
])
def test_a_loss_that_cannot_guide_is_refused(loss, strength, word):
    with refuses(BadValue, word):
        draw(LossGuidance(loss, strength))

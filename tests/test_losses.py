"""Guidance by a loss: the update is the formula, each loss lowers what it names, and bad losses are refused."""

import functools
import math

import pytest
import torch
from support import FakeUNet, refuses
from support import draw as drawn
from torch.testing import assert_close

from t2i_helpers.diffusion import LossGuidance, classifier_loss, colour_loss, similarity_loss
from t2i_helpers.diffusion.losses import UNITS, to_unit_straight_through
from t2i_helpers.diffusion.noise import NoisyBatch
from t2i_helpers.errors import BadValue

COLOUR = colour_loss([0.3])
PER_UNIT = 1 / (UNITS["colour"] * 8 * 8)              # a strength of this times s is s in the bare formula


def draw(loss, *args, **options):
    return drawn(FakeUNet(), 2.0, *args, loss=loss, **options).images


def to_colour(s):
    return LossGuidance(COLOUR, s * PER_UNIT)


@pytest.mark.parametrize("predicts_v", [False, True], ids=["eps", "v"])
def test_the_update_is_minus_s_times_the_gradient(predicts_v):
    """For a prediction of x_t / 2 the gradient can be written down: sign(x_0 - colour) / pixels times dx_0 / dx_t."""
    x_t = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    noisy = NoisyBatch(x_t.clone().requires_grad_(), torch.tensor(0.4), "v_prediction" if predicts_v else "epsilon")
    update = LossGuidance(colour_loss([0.3] * 3), 50.0 * PER_UNIT / 3).guidance_update(noisy, 0.5 * noisy.x_t)
    signal, noise = math.sqrt(0.4), math.sqrt(0.6)
    slope = signal - 0.5 * noise if predicts_v else (1 - 0.5 * noise) / signal
    assert_close(update, -50.0 * torch.sign(slope * x_t - 0.3) / (3 * 8 * 8) * slope)
    bare = LossGuidance(lambda x_0: (x_0 - 0.3).abs().mean((1, 2, 3)), 50.0)                # a function has no unit
    assert_close(bare.guidance_update(noisy, 0.5 * noisy.x_t), update)


@pytest.mark.parametrize("scheduler", ["ddpm", "ddim", "dpm++", "euler", "lms", "heun"])
@pytest.mark.parametrize("variant", ["thesis", "improved"])
def test_the_stronger_the_nearer_to_the_colour_and_0_changes_nothing(scheduler, variant):
    images = [draw(to_colour(s), scheduler, variant) for s in (0.0, 2.0, 8.0)]
    distances = [COLOUR(part).mean() for part in images]
    assert distances[0] > distances[1] > distances[2]
    assert torch.equal(images[0], draw(None, scheduler, variant))


@pytest.mark.parametrize("loss, strength, word", [
    (lambda x_0: x_0.mean((1, 2, 3)) * math.nan, 1.0, "NaN"),
    (lambda x_0: torch.zeros(len(x_0)), 1.0, "no gradient"),
    (lambda x_0: x_0.detach().mean((1, 2, 3)), 1.0, "no gradient"),
    (lambda x_0: torch.ones(1, requires_grad=True).expand(len(x_0)), 1.0, "no gradient"),
    (lambda x_0: 0.5, 1.0, "no gradient"),
    (lambda x_0: (x_0 * 0).square().mean((1, 2, 3)).sqrt(), 1.0, "NaN"),
    (lambda x_0: 1e30 * x_0.square().mean((1, 2, 3)), 1e30, "infinity"),
])
def test_a_loss_that_cannot_guide_is_refused_and_unipc_which_would_undo_its_update(loss, strength, word):
    with refuses(BadValue, word):
        draw(LossGuidance(loss, strength))
    with refuses(BadValue, "UniPC", "ddim"):
        draw(to_colour(1.0), "unipc")


def brightness(images):
    level = images.mean((1, 2, 3))
    return 4 * torch.stack([-level, level], 1)


class Sides:
    """Embeds an image as its top and its bottom half's brightness, and a text as one of the two."""

    def embed_images(self, images):
        halves = torch.stack([half.mean((1, 2, 3)) for half in images.tensor_split(2, dim=2)], 1)
        return halves / halves.norm(dim=1, keepdim=True)

    def embed_texts(self, prompts):
        return torch.eye(2)[[("top", "bottom").index(prompt) for prompt in prompts]]


to_class = functools.partial(classifier_loss, brightness, pixel_range=(-1, 1))


def test_losses_are_minus_log_p_of_each_images_label_and_one_minus_the_cosine_with_its_prompt():
    x_0 = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1)).clamp(0, 1)
    chances = brightness((x_0 + 1) / 2).softmax(1)
    assert_close(to_class([1, 0, 1])(x_0), -chances[range(3), [1, 0, 1]].log())
    cosines = Sides().embed_images(x_0)[range(3), [1, 0, 1]]
    assert_close(similarity_loss(Sides(), ["bottom", "top", "bottom"], (0, 1))(x_0), 1 - cosines)


@pytest.mark.parametrize("low, high", [(-1, 1), (0, 1)])
def test_other_networks_see_0_to_1_and_a_pixel_beyond_its_bound_can_come_back(low, high):
    x_0 = torch.tensor([low - 0.5, low, (low + high) / 2, high, high + 0.5]).requires_grad_()
    unit = to_unit_straight_through(x_0, (low, high))
    assert unit.tolist() == [0, 0, 0.5, 1, 1]
    unit.sum().backward()
    assert_close(x_0.grad, torch.full((5,), 1 / (high - low)))


def test_each_batch_takes_its_own_images_targets_and_others_are_refused():
    part = LossGuidance(to_class([0, 1, 1, 0, 1]), 1.0).part(slice(2, 4))
    assert part.targets.tolist() == [1, 0] and (part.strength, part.loss.unit) == (1.0, UNITS["classifier"])
    for plain in (LossGuidance(COLOUR, 1.0), LossGuidance(torch.square, 1.0)):
        assert plain.part(slice(2, 4)) is plain
    with refuses(BadValue, "2 targets for 3 images"):
        draw(LossGuidance(to_class([0, 1]), 1.0))
    with refuses(BadValue, "labels 0 to 2", "0 to 1"):
        to_class([0, 2])(torch.zeros(2, 1, 8, 8))

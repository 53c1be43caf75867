"""Flow matching and the diffusion transformer."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from support import FakeUNet, as_image, embeddings, refuses, small_preset
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from t2i_helpers.diffusion import SDEditInit, make_guider, make_scheduler, sample
from t2i_helpers.diffusion.noise import NoisyBatch, noise_level, predicted
from t2i_helpers.diffusion.sampling import with_timesteps
from t2i_helpers.errors import BadValue, UnknownName
from t2i_helpers.models import CaptionPipeline, build_unet, load_pipeline
from t2i_helpers.models.dit import Block
from t2i_helpers.models.weights import save_compact
from t2i_helpers.paths import WEIGHTS
from t2i_helpers.reporting.explorers import Mixture
from t2i_helpers.reporting.flow import deviation
from t2i_helpers.training import Run, training_loss
from t2i_helpers.training.ablation import TRAININGS, training_preset

FLOW = dataclasses.replace(small_preset(), prediction="flow", scheduler="euler")
DITS = {"dit": "adaln-zero", "dit-cross": "cross-attention", "dit-context": "in-context"}
NUMBERS = torch.Generator().manual_seed(0)
X_0, EPS = torch.randn(2, 3, 1, 8, 8, generator=NUMBERS)


def dit(network="dit", **changes):
    """A small DiT of random weights, none of them zero."""
    torch.manual_seed(0)
    preset = dataclasses.replace(FLOW, network=network, block_channels=(16,), layers_per_block=2, **changes)
    network = build_unet(preset, text_dim=16).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network


# flow matching

def test_prediction_clean_image_and_noise_of_a_flow_imply_each_other():
    for s in (0.001, 0.3, 1.0):
        noisy = NoisyBatch((1 - s) * X_0 + s * EPS, torch.tensor(s), "flow")
        assert_close(noisy.x_0(EPS - X_0), X_0, atol=1e-5, rtol=0)
        assert_close(noisy.eps(EPS - X_0), EPS, atol=1e-5, rtol=0)
        assert_close(noisy.prediction(X_0), EPS - X_0, atol=1e-3, rtol=0)


def test_the_loss_of_a_flow_is_that_of_its_formula():
    def unet(x_s, t, c):
        assert_close(x_s, (1 - s) * X_0 + s * EPS)
        return SimpleNamespace(sample=0.5 * x_s + t.view(-1, 1, 1, 1) / 100)

    s = torch.tensor([0.01, 0.41, 1.0]).view(-1, 1, 1, 1)
    batch = make_scheduler(FLOW), X_0, torch.ones(3, 2, 16), EPS, torch.tensor([0, 40, 99])
    error = (0.5 * ((1 - s) * X_0 + s * EPS) + s - (EPS - X_0)).square()
    assert_close(training_loss(unet, *batch), error.mean())
    weighted = training_loss(unet, *batch, min_snr_gamma=2.0)           # of x^_0, whose error is s^2 times that of u
    assert_close(weighted, (((1 - s) / s).square().clamp(max=2) * s**2 * error).mean())


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("scheduler", ["euler", "heun"])
def test_a_flow_is_drawn_on_an_even_grid_from_pure_noise(scheduler, steps):
    """A constant velocity is integrated exactly; Euler's steps are those of the lecture's algorithm 8."""
    (c, null), unet = embeddings(3), FakeUNet(lambda x_t, t, c: torch.full_like(x_t, 0.25))
    drawn = sample(unet, make_scheduler(FLOW, scheduler), make_guider("cfg", 1.0), c, null, seeds=range(3), steps=steps,
                   clip=None)
    assert_close(drawn.images, unet.calls[0].x_t - 0.25)
    assert unet.calls[0].t == FLOW.train_timesteps and min(call.t for call in unet.calls) >= 100 / steps - 1e-3
    assert drawn.forward_passes == (steps if scheduler == "euler" else 2 * steps - 1)


def test_heun_is_of_second_order():
    """du/ds = x has the solution x(0) = x(1) / e."""
    (c, null), errors = embeddings(3), {}
    for scheduler in ("euler", "heun"):
        for steps in (10, 20):
            unet = FakeUNet(lambda x_t, t, c: x_t)
            drawn = sample(unet, make_scheduler(FLOW, scheduler), make_guider("cfg", 1.0), c, null, seeds=range(3),
                           steps=steps, clip=None).images
            errors[scheduler, steps] = (drawn * torch.e - unet.calls[0].x_t).abs().mean()
    assert errors["euler", 20] < 0.6 * errors["euler", 10] and errors["heun", 20] < 0.2 * errors["euler", 20]


@pytest.mark.parametrize("rule", ["interval sigma_max=0.5", "rescale", "threshold", "cfg-zero", "apg", "cfg++", "mag"])
def test_guidance_rules_and_starts_work_with_a_flow(rule):
    def scaled(x_t, t, c):
        return x_t * (0.5 + as_image(c, x_t))

    (c, null), w = embeddings(3), 0.5 if rule == "cfg++" else 3.0
    draw = [sample(FakeUNet(scaled), make_scheduler(FLOW), make_guider(guider, w), c, null, seeds=range(3), steps=4,
                   start=SDEditInit(X_0.clamp(-1, 1), 0.5)).images for guider in (rule, "cfg")]
    assert draw[0].isfinite().all() and not torch.allclose(*draw)


def test_a_scheduler_that_needs_betas_is_refused():
    with refuses(UnknownName, "flow", "dpm++", "euler"):
        make_scheduler(FLOW, "dpm++")
    with refuses(BadValue, "spacing"):
        make_scheduler(FLOW, "euler spacing=leading")


# the transformer

@pytest.mark.parametrize("network", DITS)
def test_a_dit_predicts_learns_and_is_restored(network, tmp_path):
    unet, c = dit(network), torch.randn(3, 4, 16, generator=NUMBERS)
    prediction = unet(X_0, torch.tensor([1, 50, 100]), c).sample
    assert prediction.shape == X_0.shape
    assert_close(unet(X_0[1:2], torch.tensor(50.0), c[1:2]).sample, prediction[1:2])       # whatever the batch
    prediction.square().mean().backward()
    assert all(p.grad.abs().max() > 0 for name, p in unet.named_parameters() if not name.endswith("to_k.bias"))
    preset = dataclasses.replace(FLOW, network=network, text_encoder="minilm")
    Run(tmp_path).save_pipeline(CaptionPipeline.for_preset(preset, unet))
    save_compact(unet, tmp_path / WEIGHTS)
    restored = load_pipeline(tmp_path, device="cpu")
    assert restored.unet.config.conditioning == DITS[network]
    assert_close(restored.unet(X_0, torch.tensor(50.0), c).sample, unet(X_0, torch.tensor(50.0), c).sample, atol=0.1,
                 rtol=0.1)


def test_adaln_zero_begins_as_the_identity_and_every_dit_with_zero():
    x, tokens, summary = (torch.randn(shape, generator=NUMBERS) for shape in ((2, 9, 16), (2, 5, 16), (2, 16)))
    for network, conditioning in DITS.items():
        identity = torch.allclose(Block(16, 2, conditioning)(x, tokens, summary), x, atol=0, rtol=0)
        assert identity == (conditioning == "adaln-zero")
        preset = dataclasses.replace(FLOW, network=network, block_channels=(16,))
        assert not build_unet(preset, text_dim=16)(X_0, 5, torch.randn(3, 4, 16)).sample.any()


def test_without_positions_a_dit_moves_patches_as_they_are_moved():
    unet, c = dit(), torch.randn(3, 4, 16, generator=NUMBERS)
    moved = X_0.roll((2, 4), (2, 3))                                       # whole patches
    with torch.no_grad():
        assert not torch.allclose(unet(moved, 5, c).sample, unet(X_0, 5, c).sample.roll((2, 4), (2, 3)), atol=1e-3)
        unet.patches.pos_embed.zero_()
        assert_close(unet(moved, 5, c).sample, unet(X_0, 5, c).sample.roll((2, 4), (2, 3)), atol=1e-4, rtol=0)


def test_the_compared_networks_have_equally_many_parameters_and_training_the_same_arithmetic():
    parameters, work = {}, {}
    for name in ("flow-dit", "flow-unet"):
        unet = build_unet(training_preset(name), text_dim=384)
        parameters[name] = sum(p.numel() for p in unet.parameters())
        with FlopCounterMode(display=False) as counter:
            unet(torch.zeros(1, 1, 28, 28), 5, torch.zeros(1, 8, 384))
        work[name] = counter.get_total_flops() * TRAININGS[name][3]
    assert parameters["flow-dit"] == pytest.approx(parameters["flow-unet"], rel=0.05)
    assert work["flow-dit"] == pytest.approx(work["flow-unet"], rel=0.05)


# what the notebook measures

def test_deviation_is_zero_for_straight_paths_and_known_for_a_quarter_of_an_ellipse():
    x_0, eps = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    for preset, expected in ((FLOW, 0.0), (small_preset(), torch.pi**2 / 8 - 1)):
        scheduler = with_timesteps(make_scheduler(preset, "euler" if expected == 0 else "ddim"), 50, "cpu")
        batches = [NoisyBatch(eps, noise_level(scheduler, t), predicted(scheduler)) for t in scheduler.timesteps]
        trace = [(batch.signal * x_0 + batch.noise * eps, x_0) for batch in batches]
        assert_close(deviation(trace, x_0, scheduler), torch.tensor([expected]), atol=0.02, rtol=0)


def test_the_mixture_s_velocity_is_that_of_its_exact_noise():
    """A flow's x_s is x_t of the abar with the same ratio of noise to signal, but for its scale."""
    s, x_s = 0.4, torch.randn(5, 2, 1, 1, generator=NUMBERS)
    length, none = (s**2 + (1 - s)**2)**0.5, -torch.ones(5, 1, 1)
    flow = make_scheduler(dataclasses.replace(FLOW, train_timesteps=10))
    noise = SimpleNamespace(config={"prediction_type": "epsilon"}, alphas_cumprod=torch.tensor([((1 - s) / length)**2]))
    u = Mixture(flow)(x_s, torch.tensor(4.0), none).sample
    eps = Mixture(noise)(x_s / length, 0, none).sample
    assert_close(x_s + (1 - s) * u, eps, atol=1e-5, rtol=0)

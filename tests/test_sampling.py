"""The one sampler, against plain loops, closed forms and a network that knows the answer; and what it computes once."""

import diffusers
import pytest
import torch
from support import FakeUNet, draw, embeddings, half, refuses, small_preset, tiny_preset
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from t2i_helpers import presets
from t2i_helpers.diffusion import SCHEDULERS, LossGuidance, SDEditInit, colour_loss, make_guider, make_scheduler, sample
from t2i_helpers.diffusion.noise import noise_level
from t2i_helpers.diffusion.reuse import reuse
from t2i_helpers.diffusion.schedulers import SPACINGS
from t2i_helpers.errors import BadValue, UnknownName
from t2i_helpers.models import build_unet, load_pipeline, pipeline
from t2i_helpers.models.unet import compile_unet
from t2i_helpers.randomness import generator

PRESETS = {variant: small_preset(variant) for variant in presets.VARIANTS}      # one predicts eps, the other v
each_scheduler = pytest.mark.parametrize("name", SCHEDULERS)
SPACED = [f"{name} spacing={spacing}" for name in SCHEDULERS for spacing in SPACINGS]
each_variant = pytest.mark.parametrize("variant", PRESETS)
ABAR = make_scheduler(PRESETS["thesis"]).alphas_cumprod


def clean(variant, x_t, prediction, t):
    """x^_0 of an eps (Ho et al. 2020, eq. 15) or of a v (Salimans & Ho 2022, appendix D)."""
    signal, noise = ABAR[int(t)].sqrt(), (1 - ABAR[int(t)]).sqrt()
    x_0 = (x_t - noise * prediction) / signal if variant == "thesis" else signal * x_t - noise * prediction
    return x_0.clamp(-1, 1)


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_alphas_cumprod_are_the_papers(dataset):
    preset = presets.get(dataset, "thesis", "full")
    t = torch.arange(1001, dtype=torch.float64) / 1000
    if preset.beta_schedule == "linear":                                         # Ho et al. 2020
        beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    else:                                                                        # Nichol & Dhariwal 2021, eq. 17
        f = torch.cos((t + 0.008) / 1.008 * torch.pi / 2) ** 2
        beta = (1 - f[1:] / f[:-1]).clamp(max=0.999)
    for name in SCHEDULERS:
        assert_close(make_scheduler(preset, name).alphas_cumprod, (1 - beta).cumprod(0).float(), atol=1e-7, rtol=1e-3)


@pytest.mark.parametrize("variant, first", [("thesis", 980), ("improved", 999)])
def test_the_thesis_s_fifty_steps_start_too_late_and_the_improved_ones_do_not(variant, first):
    scheduler = make_scheduler(presets.get("mnist", variant, "full"))
    scheduler.set_timesteps(50)
    assert scheduler.timesteps.tolist() == list(range(first, -1, -20))


@pytest.mark.parametrize("name", ["heun", "lms", "euler"])
def test_alpha_bar_is_the_table_s_and_between_timesteps_the_schedulers_own(name):
    scheduler = make_scheduler(presets.get("mnist", "thesis", "full"), f"{name} spacing=linspace")
    scheduler.set_timesteps(8)                      # multiples of 999 / 7
    for t, sigma in zip(scheduler.timesteps, scheduler.sigmas):
        assert noise_level(scheduler, t).item() == pytest.approx(1 / (1 + sigma.item() ** 2), rel=1e-4)
    assert any(t != int(t) for t in scheduler.timesteps)
    assert all(noise_level(make_scheduler(PRESETS["improved"], name), torch.tensor(t)) == ABAR[t] for t in range(100))


@each_variant
@pytest.mark.parametrize("eta", [0, 0.5, 1])
@pytest.mark.parametrize("spacing, steps", [("leading", 10), ("linspace", 10), ("trailing", 29), ("trailing", 60)])
def test_ddim_is_its_closed_form(variant, eta, spacing, steps):
    """Song et al. 2021, eq. 12 with sigma of eq. 16, between the timesteps that there are; in float64."""
    cond, unet = embeddings(3)[0].double(), FakeUNet()
    images = draw(unet, 1, f"ddim eta={eta} spacing={spacing}", variant, steps=steps).images
    timesteps = [int(call.t) for call in unet.calls]
    abar = torch.cat([ABAR, torch.ones(1)]).double()                     # abar[-1] = 1: no noise is left
    generators = [generator("sample", seed) for seed in (0, 1, 2)]
    x = torch.stack([torch.randn(1, 8, 8, generator=g) for g in generators]).double()
    for t, before in zip(timesteps, abar[[*timesteps[1:], -1]], strict=True):
        x_0 = clean(variant, x, half(x, t, cond), t)
        eps = (x - abar[t].sqrt() * x_0) / (1 - abar[t]).sqrt()
        sigma = eta * ((1 - before) / (1 - abar[t])).sqrt() * (1 - abar[t] / before).sqrt()
        noise = torch.stack([torch.randn(1, 8, 8, generator=g) for g in generators])
        x = before.sqrt() * x_0 + (1 - before - sigma**2).clamp(min=0).sqrt() * eps + sigma * noise
    assert_close(images, x.float(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name, steps, strength", [
    *((name, steps, None) for name in ["ddim eta=1", *SPACED] for steps in (1, 2, 10, 29, 60, 100)),  # of 100
    *((name, 20, strength) for name in ("ddpm", "ddim", "dpm++") for strength in (0.05, 0.5, 1)),
])
@each_variant
def test_a_network_that_knows_x_0_is_led_to_it_from_any_start(name, variant, steps, strength):
    x_0 = torch.linspace(-0.9, 0.9, 3 * 64).view(3, 1, 8, 8)

    def answer(x_t, t, c):
        abar = noise_level(make_scheduler(PRESETS[variant]), t)
        eps = (x_t - abar.sqrt() * x_0) / (1 - abar).sqrt()
        return eps if variant == "thesis" else abar.sqrt() * eps - (1 - abar).sqrt() * x_0

    unet = FakeUNet(answer)
    start = SDEditInit(x_0.flip(0), strength) if strength else None
    assert_close(draw(unet, 1, name, variant, steps=steps, start=start).images, x_0, atol=2e-3, rtol=0)
    timesteps = {call.t for call in unet.calls}
    assert len(timesteps) == (strength or 1) * steps and min(timesteps) >= 0


@each_scheduler
@each_variant
def test_the_callback_sees_every_x_t_and_the_clean_image_it_implies(name, variant):
    unet, seen = FakeUNet(), []
    draw(unet, 3, name, variant, steps=7, callback=lambda step, *images: seen.append((step, *map(torch.clone, images))))
    cond, null = embeddings(3)
    assert [step for step, _, _ in seen] == list(range(len(unet.calls) // 2))
    for (_, x_t, x_0), call in zip(seen, unet.calls[::2], strict=True):
        assert torch.equal(x_t, call.x_t)
        without = half(x_t, call.t, null.expand_as(cond))
        guided = without + 3.0 * (half(x_t, call.t, cond) - without)
        assert_close(x_0, clean(variant, x_t, guided, call.t), atol=1e-4, rtol=1e-4)


@each_scheduler
@pytest.mark.parametrize("steps", [1, 7, 29])
def test_forward_passes_are_counted_from_noise_of_unit_variance_on_and_the_scheduler_stays_as_it_is(name, steps):
    """Heun's steps take two evaluations each, its last one."""
    scheduler, (cond, null) = make_scheduler(PRESETS["improved"], name), embeddings(3)
    before = dict(scheduler.config), scheduler.timesteps.tolist()
    for w, branches in ((1.0, 1), (2.0, 2)):
        unet = FakeUNet(size=64)
        out = sample(unet, scheduler, make_guider("cfg", w), cond, null, seeds=[0, 1, 2], steps=steps)
        assert out.forward_passes == len(unet.calls) == branches * (2 * steps - 1 if name == "heun" else steps)
        if steps > 1:
            assert unet.calls[0].t >= 84 and unet.calls[0].x_t.std().item() == pytest.approx(1, abs=0.03)
    assert before == (dict(scheduler.config), scheduler.timesteps.tolist())


@pytest.mark.parametrize("name, loss, strength", [
    *((name, None, None) for name in [*SCHEDULERS, "ddim eta=1"]),
    ("ddim", LossGuidance(colour_loss([0.3]), 1.6), None), ("ddpm", None, 0.6),
])
def test_an_image_depends_on_its_seed_alone(unet, name, loss, strength):
    cond, seeds = embeddings(4)[0], torch.tensor([11, 22, 33, 44])
    starts = torch.linspace(-0.9, 0.9, 4 * 64).view(4, 1, 8, 8)

    def images(rows):
        start = SDEditInit(starts[rows], strength) if strength else None
        return draw(unet, 2, name, cond=cond[rows], seeds=seeds[rows], steps=7, loss=loss, start=start).images

    batch = images([0, 1, 2, 3])
    for rows in ([2, 0, 3, 1], [0], [1], [2], [3]):
        assert_close(images(rows), batch[rows], atol=1e-4, rtol=0)
    assert (batch[0] - batch[1]).abs().max() > 0.05


def test_seeds_are_numbers_whatever_holds_them_and_the_global_random_state_is_neither_used_nor_changed():
    expected = draw(FakeUNet(), 2, "ddpm").images
    for seeds in (torch.arange(3), torch.arange(3).numpy(), range(3), [0, 1, 2]):
        torch.manual_seed(int(seeds[1]))
        before = torch.get_rng_state()
        assert torch.equal(draw(FakeUNet(), 2, "ddpm", seeds=seeds).images, expected)
        assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name, words", [
    ("euler-a", ["'euler-a'", *SCHEDULERS]), ("dpm++ spacing=even", ["'even'", *SPACINGS]),
    ("ddim eta=1.5", ["eta", "0 to 1"]), ("ddim eta=-1", ["eta"]), ("ddim eta=nan", ["eta"]),
    ("ddim eta=much", ["eta=much", "name=number"]), ("ddpm eta=1", ["'ddpm'", "eta"]),
    ("lms order=4", ["'lms'", "order"]), ("ddim 0.5", ["name=number"]),
])
def test_schedulers_and_settings_that_do_not_exist_and_too_many_steps_or_captions_are_refused(name, words):
    with refuses((UnknownName, BadValue), *words):
        make_scheduler(PRESETS["thesis"], name)
    for steps in (0, -1, 101):
        with refuses(BadValue, f"steps = {steps}", "1 to 100"):
            draw(FakeUNet(), 2, steps=steps)
    for captions, seeds in ((3, 2), (1, 0), (0, 0)):
        with refuses(BadValue, f"{captions} captions", f"{seeds} seeds"):
            draw(FakeUNet(), 2, cond=embeddings(3)[0][:captions], seeds=range(seeds))


# what is computed once

WITH_PROJECTION = tiny_preset(resolution=16)               # of MiniLM's 384 numbers to 16
IMAGES = torch.randn(3, 2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
TEXTS = torch.randn(2, 2, 8, 384, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def projecting():
    torch.manual_seed(0)
    return build_unet(WITH_PROJECTION).eval()


def flops(function) -> int:
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


@torch.no_grad()
def test_passes_with_reuse_predict_the_same_with_fewer_operations_and_leave_the_network_as_it_was(projecting):
    def passes():
        return torch.stack([projecting(x_t, t, text).sample for t, x_t in enumerate(IMAGES) for text in TEXTS])

    plain, cost = passes(), flops(passes)
    with reuse(projecting):
        assert torch.equal(passes(), plain)
    with reuse(projecting):
        assert flops(passes) < 0.95 * cost
    with reuse(projecting):
        with pytest.raises(ZeroDivisionError), reuse(projecting):                     # a sampling inside another
            passes()
            raise ZeroDivisionError
        assert torch.equal(passes(), plain)
    assert torch.equal(passes(), plain) and flops(passes) == cost                    # the U-Net is as it was
    assert not any("forward" in vars(module) for module in projecting.modules())


@pytest.mark.parametrize("name, w", [("cfg", 3.0), ("pag", 2.0)])
def test_a_compiled_network_is_used_where_nothing_is_hooked_in(projecting, name, w):
    """Compiled graphs do not see hooks, so the perturbed pass of PAG goes through the network itself."""
    calls = []

    def compiled(x_t, t, captions):
        calls.append(t)
        return projecting(x_t, t, captions)

    arguments = (projecting, make_scheduler(WITH_PROJECTION, "ddim"), make_guider(name, w), TEXTS[0], TEXTS[1, :1])
    plain = sample(*arguments, seeds=[0, 1], steps=3)
    fast = sample(*arguments, seeds=[0, 1], steps=3, compiled=compiled)
    assert_close(fast.images, plain.images, atol=1e-5, rtol=0)
    assert len(calls) == 6 and fast.forward_passes == plain.forward_passes


def test_a_network_that_cannot_be_compiled_runs_as_it_is(capsys, monkeypatch):
    def backend(graph, inputs):
        raise RuntimeError("no compiler here\nsecond line")

    class Doubled(torch.nn.Module):
        def forward(self, x_t, t, c):
            return 2 * x_t

    network, x = Doubled(), IMAGES[0]
    monkeypatch.setenv("T2I_COMPILE", "0")
    assert compile_unet(network) is network
    compile_unet.cache_clear()
    monkeypatch.delenv("T2I_COMPILE")
    run = compile_unet(network, backend=backend)
    assert torch.equal(run(x, 3, None), 2 * x) and torch.equal(run(x, 3, None), 2 * x)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "no compiler here" in said and "runs as it is" in said


def test_a_batch_that_does_not_fit_is_halved_and_draws_the_same(monkeypatch):
    pipe = load_pipeline("mnist", device="cpu")
    sizes = []

    def limited(unet, scheduler, guider, cond, null, **options):
        sizes.append(len(cond))
        if len(cond) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return sample(unet, scheduler, guider, cond, null, **options)

    expected = pipe(pipe.captions[:4], steps=2, seeds=range(4)).images
    monkeypatch.setattr(pipeline, "sample", limited)
    assert_close(pipe(pipe.captions[:4], steps=2, seeds=range(4), batch_size=8).images, expected, atol=1e-5, rtol=0)
    assert sizes == [4, 2, 2]


# What diffusers has wrong: if this fails after an update, `ddim_step` can go.


def test_diffusers_ddim_misses_its_next_timestep():
    scheduler = diffusers.DDIMScheduler(100, timestep_spacing="trailing", clip_sample=False)
    scheduler.set_timesteps(60)
    t, later = scheduler.timesteps[:2]
    x = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    x_0 = scheduler.step(x, t, x).pred_original_sample
    abar = scheduler.alphas_cumprod[later]
    assert not torch.allclose(scheduler.step(x, t, x).prev_sample, abar.sqrt() * x_0 + (1 - abar).sqrt() * x, atol=1e-3)

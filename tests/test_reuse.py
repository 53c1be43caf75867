"""What a sampling computes once: the same images from fewer operations."""

import pytest
import torch
from support import tiny_preset
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from t2i_helpers.diffusion import make_guider, make_scheduler, sample
from t2i_helpers.diffusion.reuse import reuse
from t2i_helpers.models import build_unet, load_pipeline, pipeline
from t2i_helpers.models.unet import compile_unet


@pytest.fixture(scope="module")
def preset():
    return tiny_preset(resolution=16, block_channels=(32, 32, 32),
                       down_blocks=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"))


@pytest.fixture(scope="module")
def unet(preset):
    torch.manual_seed(0)
    return build_unet(preset).eval()


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def flops(function) -> int:
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


@torch.no_grad()
def test_passes_with_reuse_predict_the_same_with_fewer_operations(unet):
    width = unet.config.encoder_hid_dim or unet.config.cross_attention_dim
    images = [random(2, 1, 16, 16, seed=seed) for seed in range(3)]
    texts = [random(2, 8, width, seed=10 + seed) for seed in range(2)]

    def passes():
        return torch.stack([unet(x_t, t, text).sample for t, x_t in enumerate(images) for text in texts])

    plain, cost = passes(), flops(passes)
    with reuse(unet):
        assert torch.equal(passes(), plain)
    with reuse(unet):
        assert flops(passes) < 0.95 * cost
    assert torch.equal(passes(), plain) and flops(passes) == cost                    # the U-Net is as it was
    assert not any("forward" in vars(module) for module in unet.modules())


@torch.no_grad()
def test_a_sampling_inside_another_and_one_that_fails_leave_the_network_as_it_was(unet):
    x, text = random(1, 1, 16, 16), random(1, 8, unet.config.encoder_hid_dim or unet.config.cross_attention_dim)
    plain = unet(x, 3, text).sample
    with reuse(unet):
        with pytest.raises(ZeroDivisionError), reuse(unet):
            unet(x, 3, text)
            raise ZeroDivisionError
        assert torch.equal(unet(x, 3, text).sample, plain)
    assert torch.equal(unet(x, 3, text).sample, plain)
    assert not any("forward" in vars(module) for module in unet.modules())


@pytest.mark.parametrize("name, w", [("cfg", 3.0), ("pag", 2.0)])
def test_a_compiled_network_is_used_where_nothing_is_hooked_in(unet, preset, name, w):
    """Compiled graphs do not see hooks, so the perturbed pass of PAG goes through the network itself."""
    calls = []

    def compiled(x_t, t, captions):
        calls.append(t)
        return unet(x_t, t, captions)

    width = unet.config.encoder_hid_dim or unet.config.cross_attention_dim
    cond, null = random(2, 8, width), random(1, 8, width, seed=1)
    arguments = (unet, make_scheduler(preset, "ddim"), make_guider(name, w), cond, null)
    plain = sample(*arguments, seeds=[0, 1], steps=3)
    fast = sample(*arguments, seeds=[0, 1], steps=3, compiled=compiled)
    assert_close(fast.images, plain.images, atol=1e-5, rtol=0)
    assert len(calls) == 6 and fast.forward_passes == plain.forward_passes


def test_in_bfloat16_the_network_computes_and_the_rest_stays_float32(unet, preset):
    width = unet.config.encoder_hid_dim or unet.config.cross_attention_dim
    cond, null = random(2, 8, width), random(1, 8, width, seed=1)
    scheduler, guider = make_scheduler(preset, "dpm++"), make_guider("cfg", 2)
    seen = []
    full = sample(unet, scheduler, guider, cond, null, seeds=[0, 1], steps=4)
    try:
        half = sample(unet.bfloat16(), scheduler, guider, cond.bfloat16(), null.bfloat16(), seeds=[0, 1], steps=4,
                      callback=lambda i, x_t, x_0: seen.append(x_t.dtype))
    finally:
        unet.float()
    assert half.images.dtype == torch.float32 and set(seen) == {torch.float32}
    assert 0 < (half.images - full.images).abs().mean() < 0.01


def test_a_network_that_cannot_be_compiled_runs_as_it_is(unet, capsys, monkeypatch):
    def backend(graph, inputs):
        raise RuntimeError("no compiler here\nsecond line")

    width = unet.config.encoder_hid_dim or unet.config.cross_attention_dim
    x, text = random(1, 1, 16, 16), random(1, 8, width)
    compile_unet.cache_clear()
    monkeypatch.setenv("T2I_COMPILE", "0")
    assert compile_unet(unet) is unet
    compile_unet.cache_clear()
    monkeypatch.delenv("T2I_COMPILE")
    run = compile_unet(unet, backend=backend)
    with torch.no_grad():
        for _ in range(2):
            assert torch.equal(run(x, 3, text).sample, unet(x, 3, text).sample)
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

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

PRESET = tiny_preset(resolution=16, block_channels=(32, 32, 32),
                     down_blocks=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"))
IMAGES = torch.randn(3, 2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
TEXTS = torch.randn(2, 2, 8, 384, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return build_unet(PRESET).eval()


def flops(function) -> int:
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


@torch.no_grad()
def test_passes_with_reuse_predict_the_same_with_fewer_operations_and_leave_the_network_as_it_was(unet):
    def passes():
        return torch.stack([unet(x_t, t, text).sample for t, x_t in enumerate(IMAGES) for text in TEXTS])

    plain, cost = passes(), flops(passes)
    with reuse(unet):
        assert torch.equal(passes(), plain)
    with reuse(unet):
        assert flops(passes) < 0.95 * cost
    with reuse(unet):
        with pytest.raises(ZeroDivisionError), reuse(unet):                         # a sampling inside another
            passes()
            raise ZeroDivisionError
        assert torch.equal(passes(), plain)
    assert torch.equal(passes(), plain) and flops(passes) == cost                    # the U-Net is as it was
    assert not any("forward" in vars(module) for module in unet.modules())


@pytest.mark.parametrize("name, w", [("cfg", 3.0), ("pag", 2.0)])
def test_a_compiled_network_is_used_where_nothing_is_hooked_in(unet, name, w):
    """Compiled graphs do not see hooks, so the perturbed pass of PAG goes through the network itself."""
    calls = []

    def compiled(x_t, t, captions):
        calls.append(t)
        return unet(x_t, t, captions)

    arguments = (unet, make_scheduler(PRESET, "ddim"), make_guider(name, w), TEXTS[0], TEXTS[1, :1])
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

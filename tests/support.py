"""What several test files share: small presets, U-Nets with known answers, and the form of a refusal."""

import contextlib
import dataclasses
import io
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from t2i_helpers import presets
from t2i_helpers.data.wikiart_files import write_art_file
from t2i_helpers.diffusion import Step, make_guider, make_scheduler, sample
from t2i_helpers.diffusion.noise import NoisyBatch
from t2i_helpers.randomness import generator
from t2i_helpers.training import loop

MIRROR = Path(os.environ.get("T2I_MIRROR", "no mirror"))      # read before conftest.py takes it away
needs_mirror = pytest.mark.skipif(not MIRROR.is_dir(), reason="T2I_MIRROR names no mirror of the hub")
WIKIART = MIRROR / "datasets/huggan/wikiart"
needs_wikiart = pytest.mark.skipif(not WIKIART.is_dir(), reason="T2I_MIRROR holds no huggan/wikiart")


@contextlib.contextmanager
def refuses(error, *words):
    """The block raises `error` with a message of one line that holds `words`."""
    with pytest.raises(error) as caught:
        yield caught
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


class Killed(BaseException):
    """Ends a training as a power cut would: nothing is saved on the way out."""


@contextlib.contextmanager
def at_step(n, *signals):
    """Within the block, a training that has done `n` steps gets `signals` before its next one; without any, it is
    killed."""
    def train_step(trainer):
        if trainer.step == n and not signals:
            raise Killed
        for number in signals * (trainer.step == n):
            os.kill(os.getpid(), number)
        return real(trainer)

    real = loop._Trainer.train_step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop._Trainer, "train_step", train_step)
        yield


TINY_UNET = dict(block_channels=(32, 32), down_blocks=(presets.DOWN, presets.CROSS), layers_per_block=1,
                 cross_attention_dim=16, attention_head_dim=2)


def tiny_preset(variant="improved", **changes):
    fields = TINY_UNET | dict(batch_size=8, max_steps=None, bf16=False) | changes
    return dataclasses.replace(presets.get("mnist", variant, "smoke"), **fields)


def small_preset(variant="improved"):
    return tiny_preset(variant, resolution=8, train_timesteps=100)


def as_image(c, x_t):
    """One number a caption, spread over its image: an answer that shows which embedding was used."""
    return c.mean((1, 2)).view(-1, 1, 1, 1).expand_as(x_t)


def half(x_t, t, c):
    """A prediction that keeps unclipped samples small, and differs between captions."""
    return 0.5 * x_t + 0.1 * as_image(c, x_t)


class FakeUNet:
    """Predicts ``answer(x_t, t, c)`` and remembers what it was asked."""

    def __init__(self, answer=half, size=8, channels=1):
        self.answer, self.calls = answer, []
        self.config = SimpleNamespace(in_channels=channels, sample_size=size, encoder_hid_dim=16)

    def __call__(self, x_t, t, c):
        self.calls.append(SimpleNamespace(x_t=x_t.clone(), t=float(t), c=c.clone()))
        return SimpleNamespace(sample=self.answer(x_t, t, c))


def embeddings(count, seed=0):
    """(cond [count, 3, 16], null [1, 3, 16]) of random numbers."""
    numbers = torch.randn(1 + count, 3, 16, generator=torch.Generator().manual_seed(seed))
    return numbers[1:], numbers[:1]


def draw(unet, guider, scheduler="ddim", variant="improved", cond=None, seeds=(0, 1, 2), steps=4, **options):
    """The Samples of `small_preset`; `guider` may be the w of CFG."""
    known, null = embeddings(len(seeds))
    cond = known if cond is None else cond
    guider = make_guider("cfg", guider) if isinstance(guider, int | float) else guider
    return sample(unet, make_scheduler(small_preset(variant), scheduler), guider, cond, null.to(cond), seeds=seeds,
                  steps=steps, **options)


def guided(guider, c, n, abar=0.5, predicts_v=False, x_t=None, unet=None):
    """What `guider` makes of the predictions `c` and `n` at the first of two steps."""
    captions, empty = torch.ones(1), torch.zeros(1)
    unet = unet or FakeUNet(lambda x_t, t, embedding: c if embedding is captions else n)
    noisy = NoisyBatch(torch.zeros_like(c) if x_t is None else x_t, torch.tensor(abar, dtype=c.dtype),
                       "v_prediction" if predicts_v else "epsilon")
    return guider(Step(unet, noisy, torch.tensor(50), captions, empty, 0, 0, [1.0, 0.5], {}))


def of_diffusers(guider):
    """A guider of `diffusers.guiders` as a function of a step."""
    def guide(step):
        guider.set_state(step=step.index, num_inference_steps=step.steps, timestep=step.t)
        batches = guider.prepare_inputs({"captions": (step.captions, step.empty)})
        for batch in batches:
            guider.prepare_models(step.unet)
            batch.noise_pred = step.unet(step.noisy.x_t, step.t, batch.captions).sample
            guider.cleanup_models(step.unet)
        return guider(batches).pred

    return guide


def change_tensors(file, change):
    """Write the tensors of a safetensors file again as `change` makes them."""
    save_file(change(load_file(file)), file, metadata={"format": "pt"})


def random_images(n, *shape, key=0):
    """uint8 [n, *shape]."""
    return torch.randint(256, (n, *shape), generator=generator("images", key), dtype=torch.uint8)


def jpeg(pixels, **options) -> bytes:
    """A JPEG file of uint8 `pixels` [h, w, 3], [h, w] or a PIL image."""
    file = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(file, "JPEG", **options)
    return file.getvalue()


def write_art_files(folder, rows_per_file, seed=0):
    """Parquet files of small JPEGs with random labels, each filled with the brightness of its row id times 3."""
    first = 0
    for number, rows in enumerate(rows_per_file):
        pictures = [jpeg(np.full((12, 9, 3), 3 * (first + row) % 256, np.uint8)) for row in range(rows)]
        rng = np.random.default_rng([seed, number])
        styles, genres = (rng.integers(0, count, rows).tolist() for count in (27, 11))
        write_art_file(folder / f"train-{number:05d}.parquet", pictures, styles, genres)
        first += rows
    return folder

"""How noisy pictures are said to be: against an independent computation, known noise, and pictures without any."""

import math

import pytest
import torch
from scipy.signal import convolve2d
from torch.testing import assert_close

from t2i_helpers.data import load_images
from t2i_helpers.evaluation.experiments import NOISE, background_noise, guidance_noise, noise_level
from t2i_helpers.presets import get


def test_noise_level_is_immerkaers():
    images = torch.rand(3, 1, 11, 8, generator=torch.Generator().manual_seed(0))
    kernel = [[1, -2, 1], [-2, 4, -2], [1, -2, 1]]
    expected = [abs(convolve2d(image[0].double(), kernel, mode="valid")).sum()
                * math.sqrt(math.pi / 2) / (6 * (8 - 2) * (11 - 2)) for image in images]
    assert_close(noise_level(images).double(), torch.tensor(expected), rtol=1e-5, atol=0)


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("sigma", [0.01, 0.1, 0.3])
def test_gaussian_noise_is_measured(sigma):
    images = 0.5 + sigma * noise(4, 1, 128, 128)
    assert noise_level(images).tolist() == pytest.approx([sigma] * 4, rel=0.03)
    assert background_noise(images).tolist() == pytest.approx([0.96 * sigma] * 4, rel=0.03)


def test_slopes_are_no_noise_but_strokes_are_unless_the_background_is_asked_where_noise_is_found():
    slope = torch.linspace(0, 1, 28).expand(1, 1, 28, 28)
    assert_close(noise_level(slope), torch.zeros(1), atol=1e-6, rtol=0)
    clean = load_images(get("mnist"), "test").images[::10].float() / 255
    assert noise_level(clean).mean() > 0.03 and background_noise(clean).mean() < 0.003
    assert (background_noise(clean) == 0).double().mean() > 0.9
    assert float(background_noise(clean + 0.05 * noise(*clean.shape)).mean()) == pytest.approx(0.05, rel=0.2)


def test_guided_and_unguided_digits_are_compared_seed_by_seed():
    found = guidance_noise(n=10, steps=1)
    rows = {(row["variant"], row["w"]): row for row in found["rows"]}
    assert rows.keys() == {(variant, w) for variant in ("thesis", "improved") for w in (1.0, 5.0)}
    for apart in found["differences"]:
        for name in NOISE:
            guided, plain = (rows[apart["variant"], w][name]["value"] for w in (5.0, 1.0))
            assert apart[name]["value"] == pytest.approx(guided - plain, abs=1e-9)
            low, high = apart[name]["interval"]
            assert low < apart[name]["value"] < high
    assert found["real"]["n"] == 10 and found["real"]["background_noise"]["value"] < 0.01
    assert found["made_with"].keys() >= {"mnist-thesis", "mnist-improved"}

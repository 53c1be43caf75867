"""How noisy a picture looks, measured without another picture to compare it with."""

import math

import torch
import torch.nn.functional as F

LAPLACIANS = [[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]]       # a difference of two: blind to slopes


def noise_level(images: torch.Tensor) -> torch.Tensor:
    """The standard deviation of the noise in `images` [n, 1, h, w], estimated for each [n] (Immerkaer 1996, "Fast noise
    variance estimation", with absolute values): sqrt(pi / 2) times the mean of |images * LAPLACIANS| / 6.

    It takes all that is no slope for Gaussian noise, and so counts the edges of strokes too: a digit of more contrast
    is no noisier one. Read it beside `background_noise`, and beside real images.
    """
    kernel = torch.tensor(LAPLACIANS, device=images.device)[None, None]
    return math.sqrt(math.pi / 2) * F.conv2d(images, kernel).abs().mean((1, 2, 3)) / 6


def background_noise(images: torch.Tensor) -> torch.Tensor:
    """The median of the standard deviations of all windows of 3 x 3 pixels, for each of `images` [n, 1, h, w], [n].

    In pictures that are for the most part one even background it is the noise there: what strokes and their edges do
    stands in less than half of the windows. It is 0 for nearly all real digits, and 0.96 sigma for Gaussian noise.
    """
    return F.unfold(images, 3).std(1).median(1).values                          # of [n, 9, windows]

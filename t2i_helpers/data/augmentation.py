"""Random changes of real images before a network learns from them."""

import torch
import torch.nn.functional as F
from torchvision.transforms.v2.functional import gaussian_blur

from .pixels import from_uint8


def augment(images: torch.Tensor, flips: bool, rng, max_shift: int = 2) -> torch.Tensor:
    """uint8 [n, c, h, w] to float32 in [0, 1], each image shifted by up to `max_shift` pixels and mirrored or not."""
    n, _, height, width = images.shape
    padded = F.pad(from_uint8(images, (0, 1)), [max_shift] * 4, mode="reflect")
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)                      # [n, c, 2 max_shift + 1, .., h, w]
    down, right = torch.randint(2 * max_shift + 1, (2, n), generator=rng)
    shifted = windows[torch.arange(n), :, down, right]                             # [n, c, h, w]
    mirrored = torch.rand(n, generator=rng) < (0.5 if flips else 0.0)
    return torch.where(mirrored[:, None, None, None], shifted.flip(-1), shifted)


def degrade(images: torch.Tensor, rng) -> torch.Tensor:
    """Degrade images in [0, 1] [n, c, h, w]: the first half by a Gaussian blur of one width between 0.8 and 2 pixels,
    the rest by Gaussian noise of 0.1 to 0.3 each; the result is in [0, 1]."""
    blurred, noised = images.tensor_split(2)
    sigma = 0.8 + 1.2 * float(torch.rand((), generator=rng))
    if len(blurred):
        blurred = gaussian_blur(blurred, [9, 9], [sigma, sigma])
    level = 0.1 + 0.2 * torch.rand(len(noised), 1, 1, 1, generator=rng)
    noised = (noised + level * torch.randn(noised.shape, generator=rng)).clamp(0, 1)
    return torch.cat([blurred, noised])

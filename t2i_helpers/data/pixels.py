"""The one place where pixels change range: uint8 0..255 in files, [0, 1] in figures, `pixel_range` in the U-Net."""

import torch


def from_uint8(images: torch.Tensor, pixel_range: tuple[float, float]) -> torch.Tensor:
    """uint8 0..255 to float32 in `pixel_range`; any shape."""
    low, high = pixel_range
    # in place: a new array of some megabytes costs page faults, up to twenty times the arithmetic
    return images.to(torch.float32, copy=True).mul_((high - low) / 255).add_(low)


def to_unit(images: torch.Tensor, pixel_range: tuple[float, float]) -> torch.Tensor:
    """Floats in `pixel_range` to [0, 1], clamped; any shape."""
    low, high = pixel_range
    return ((images - low) / (high - low)).clamp(0, 1)


def from_unit(unit_images: torch.Tensor, pixel_range: tuple[float, float]) -> torch.Tensor:
    """Floats in [0, 1] to `pixel_range`; any shape."""
    low, high = pixel_range
    return low + (high - low) * unit_images


def to_uint8(unit_images: torch.Tensor) -> torch.Tensor:
    """Floats in [0, 1] to uint8 0..255, rounded to nearest; any shape."""
    return (unit_images * 255).round().to(torch.uint8)

"""Random numbers that depend on names, not on history: the key of a draw is all it takes to repeat it."""

import functools
import hashlib

import torch


def seed_from(*key) -> int:
    """A 63-bit seed from any printable key, e.g. ``seed_from(seed, "noise", step)``."""
    return int.from_bytes(hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=8).digest(), "big") >> 1


def generator(*key, device="cpu"):
    """A fresh ``torch.Generator`` on `device`, seeded by `key`."""
    return torch.Generator(device).manual_seed(seed_from(*key))


@functools.lru_cache(maxsize=1)
def epoch_order(images: int, seed, epoch: int):
    """int64 [images]: the shuffle of one epoch, drawn once for all its batches."""
    return torch.randperm(images, generator=generator(seed, "order", epoch))

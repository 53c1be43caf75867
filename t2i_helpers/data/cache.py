"""Tensors that are computed once and kept under ``data/``."""

import contextlib

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from .. import paths
from ..provenance import content_hash


def cached(name: str, identity, make) -> dict[str, torch.Tensor]:
    """The tensors that `make()` returns by name, kept, if possible, as ``data/<name>-<key>.safetensors``; a damaged
    file is replaced.

    The key is a hash of `identity`: JSON that names everything the tensors depend on, the version of the code included.
    """
    path = paths.DATA / f"{name}-{content_hash(identity)}.safetensors"
    with contextlib.suppress(OSError, SafetensorError):
        return load_file(path)
    tensors = make()
    paths.save_cache(path, tensors)
    return tensors

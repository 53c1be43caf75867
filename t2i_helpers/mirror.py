"""A copy of what the presets need from the hub, for machines without it."""

from pathlib import Path

from huggingface_hub import snapshot_download

from . import hub
from .data.images import HUB
from .errors import SourceUnavailable, one_line
from .models.autoencoder import TAESD
from .models.text import ENCODERS


def mirror_to(folder) -> list[Path]:
    """Copy every dataset and text encoder that the presets name, and TAESD, into `folder`, laid out like the hub, for
    ``T2I_MIRROR``; files that are there already are not fetched again. Raises SourceUnavailable without a hub."""
    wanted = [("datasets", repository.name) for repository in HUB.values()]
    wanted += [("models", repository) for repository, _ in ENCODERS.values() if repository] + [("models", TAESD)]
    if not hub.reachable():
        raise SourceUnavailable("the Hugging Face hub cannot be reached: run this on a machine with internet")
    return [_copy(kind, name, Path(folder) / kind / name) for kind, name in wanted]


def _copy(kind, name, folder) -> Path:
    try:
        return Path(snapshot_download(name, repo_type=kind.removesuffix("s"), local_dir=folder,
                                      ignore_patterns=["*.bin", "*.h5", "*.msgpack", "*.onnx"]))
    except Exception as error:        # the library raises many unrelated types: no network, no room, too many requests
        raise SourceUnavailable(f"cannot copy {name} to {folder} ({one_line(error)}): the same command goes on"
                                ) from error

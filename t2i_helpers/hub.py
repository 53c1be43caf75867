"""Access to the Hugging Face hub. Without it, its libraries retry for minutes before they fail."""

import time
from pathlib import Path

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, snapshot_download

from .errors import SourceUnavailable, or_raise

OFFLINE = constants.HF_HUB_OFFLINE      # what the user asked for; `download` changes the libraries' flag
WAITS = 1, 4                            # seconds before the second and the third try
# the commit of each repository that is read
REVISIONS = {
    "ylecun/mnist": "77f3279092a1c1579b2250db8eafed0ad422088c",
    "uoft-cs/cifar10": "0b2714987fa478483af9968de7c934580d0bb9a2",
    "zalando-datasets/fashion_mnist": "531be5e2ccc9dba0c201ad3ae567a4f3d16ecdd2",
    "huggan/wikiart": "d559852d2b232e0fcf195e775866964f0564f2b5",
    "openai/clip-vit-base-patch32": "c237dc49a33fc61debc9276459120b7eac67e7ef",     # `main` has no safetensors
    "CompVis/stable-diffusion-v1-4": "133a221b8aa7292a167afc5127cb63fb5005638b",
    "timm/resnet18.tv_in1k": "bbd144b3e5565108aad885f145491d11bc6ce807",
    "google-bert/bert-base-uncased": "86b5e0934494bd15c9632b12f734a8a67f723594",
    "madebyollin/taesd": "614f76814bbe30edbe2e627ace1c2234c81a2c0e",
}


def reachable() -> bool:
    """Whether the hub answers within three seconds; False if the user set HF_HUB_OFFLINE."""
    if OFFLINE:
        return False
    constants.HF_HUB_OFFLINE = False
    try:
        get_hf_file_metadata(hf_hub_url("openai/clip-vit-base-patch32", "config.json"), timeout=3)
    except Exception:        # a missing connection shows as any of a dozen types
        return False
    return True


def download(read):
    """`read()`, which downloads something. It is repeated after a few seconds, unless the hub refused it; if the hub
    cannot be reached now, the libraries only read their caches. Raises what `read` raises, of any type."""
    constants.HF_HUB_OFFLINE = not reachable()
    for wait in () if constants.HF_HUB_OFFLINE else WAITS:
        try:
            return read()
        except Exception as error:
            status = getattr(getattr(error, "response", None), "status_code", 500)
            if status < 500 and status != 429:               # 429: too many requests
                raise
            time.sleep(wait)
    return read()


def or_unavailable(what: str, remedy: str):
    """SourceUnavailable in place of any error of the block, which reads `what`."""
    return or_raise(SourceUnavailable, f"cannot {what}", remedy)


def snapshot(name: str, kind: str = "model", **options) -> Path:
    """The folder of a repository's files, downloaded where they are missing; `kind` is "model" or "dataset"."""
    return Path(download(lambda: snapshot_download(name, repo_type=kind, revision=REVISIONS.get(name), **options)))

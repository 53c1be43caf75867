"""Networks that others trained, as metrics use them, and files of real images' features to compare with.

Weights come from a path that is named, from the mirror, or from the network; nothing is unpickled but tensors.
"""

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from .. import hub
from ..data import from_uint8
from ..errors import BadValue, SourceUnavailable, one_line
from ..paths import DATA, atomic_write, mirror
from ..randomness import generator
from .classifiers import classifier_folder

INCEPTION_WIDTH = 2048
INCEPTION_FILE = "pt_inception-2015-12-05-6726825d.pth"
INCEPTION_SHA256 = "6726825d"            # the first digits, which the file's name promises
IMAGENET = "timm/resnet18.tv_in1k"       # torchvision's IMAGENET1K_V1 weights as safetensors


@dataclass(frozen=True)
class FeatureFile:
    """The features of an image set under one network."""

    features: torch.Tensor             # float32 [n, width]
    labels: torch.Tensor | None        # int64 [n], where the file tells them
    facts: dict[str, str]              # where the images came from

    @classmethod
    def load(cls, path, width: int) -> "FeatureFile":
        """A safetensors file with a tensor "features" [n, width]; BadValue where it is none or of another width."""
        try:
            with safe_open(path, "pt") as file:
                features, facts = file.get_tensor("features").float(), file.metadata() or {}
                labels = file.get_tensor("labels").long() if "labels" in file.keys() else None
        except (OSError, SafetensorError) as error:
            raise BadValue(f"{path} holds no features ({error}): name a safetensors file with a tensor "
                           "\"features\"") from error
        if features.ndim != 2 or features.shape[1] != width:
            raise BadValue(f"{path} holds features {tuple(features.shape)}, not {width} wide: name the features of the "
                           "same network")
        return cls(features, labels, facts)

    def rows(self, chosen: torch.Tensor) -> "FeatureFile":
        """The images `chosen`, int64 [m]."""
        return FeatureFile(self.features[chosen], None if self.labels is None else self.labels[chosen], self.facts)

    def save(self, path) -> None:
        """Write the features as float16; all or nothing."""
        tensors = {"features": self.features.half().contiguous()}
        if self.labels is not None:
            tensors["labels"] = self.labels.to(torch.uint8)
        with atomic_write(path) as temporary:
            save_file(tensors, temporary, metadata=self.facts)


def reference_file(dataset: str) -> Path:
    """The shipped features of the real test set under the shipped classifier of `dataset`."""
    return classifier_folder(dataset) / "test-features.safetensors"


def load_inception(weights: Path | None = None, device="cpu"):
    """pytorch-fid's Inception-v3 up to its 2,048 pooled features: uint8 [n, c, h, w] to float32 [n, 2048].

    `weights` names the file; otherwise it is looked for in the mirror (``models/mseitzer/pytorch-fid``), in torch's
    download folder, and at pytorch-fid's own address. Raises SourceUnavailable where it is nowhere, BadValue where it
    is another file.
    """
    from pytorch_fid import inception

    path = Path(weights) if weights else _find_inception(inception.FID_WEIGHTS_URL)
    if not path.is_file():
        raise SourceUnavailable(f"no Inception weights at {path}: name the file {INCEPTION_FILE}")
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(INCEPTION_SHA256):
        raise BadValue(f"{path} is not {INCEPTION_FILE}, whose SHA-256 begins with {INCEPTION_SHA256} and not with "
                       f"{digest[:8]}: download it again")
    state = torch.load(path, map_location="cpu", weights_only=True)
    with mock.patch.object(inception, "load_state_dict_from_url", lambda *_, **__: state):   # it would unpickle it
        network = inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[INCEPTION_WIDTH]])
    network = network.eval().to(device)
    return lambda images: network(as_rgb(images).to(device))[0].flatten(1)


def _find_inception(address) -> Path:
    folder = mirror("models", "mseitzer/pytorch-fid")
    if folder and (folder / INCEPTION_FILE).is_file():
        return folder / INCEPTION_FILE
    path = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(address, str(path), hash_prefix=INCEPTION_SHA256)
        except (OSError, RuntimeError) as error:
            raise SourceUnavailable(
                f"cannot fetch Inception's weights ({error}): name the file with --inception-weights, put "
                f"{INCEPTION_FILE} into $T2I_MIRROR/models/mseitzer/pytorch-fid, or leave out --also inception"
            ) from error
    return path


def load_untrained_head(device="cpu"):
    """The thesis's judge: torchvision's ImageNet ResNet-18 whose ten-way head was never trained.

    uint8 [n, c, h, w] to logits [n, 10]. The head is random (fixed by a seed), so its answers know nothing of
    CIFAR-10. Raises SourceUnavailable where the ImageNet weights are neither in the mirror nor on the hub.
    """
    from huggingface_hub import hf_hub_download
    from torchvision.models import resnet18

    try:
        folder = mirror("models", IMAGENET)
        if not folder:
            hub.fail_fast_offline()
        path = folder / "model.safetensors" if folder else hf_hub_download(IMAGENET, "model.safetensors")
        network = resnet18()
        network.load_state_dict(load_file(path))
    except Exception as error:      # the hub raises a dozen unrelated types when it cannot be reached
        raise SourceUnavailable(f"cannot load {IMAGENET} ({one_line(error)}): connect to the hub, set "
                                "T2I_MIRROR to a folder that holds it, or leave out --also imagenet") from error
    network.fc = torch.nn.Linear(512, 10)
    with torch.no_grad():
        network.fc.weight.copy_(torch.randn(10, 512, generator=generator("untrained head")) / 512**0.5)
        network.fc.bias.zero_()
    network = network.eval().to(device)
    mean, std = (torch.tensor(x, device=device).view(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return lambda images: network((as_rgb(images).to(device) - mean) / std)


def load_clip_score(device="cpu"):
    """(uint8 images [n, c, h, w], n prompts) to 100 cos(image, text) under CLIP ViT-B/32, float32 [n] (Hessel et al.
    2021). Raises SourceUnavailable where CLIP's whole weights are neither in the mirror nor on the hub."""
    from transformers import CLIPModel, CLIPProcessor

    from ..models.text import ENCODERS, encoder_location

    try:
        where = encoder_location("clip")
        if where == ENCODERS["clip"][0]:
            hub.fail_fast_offline()
        model, found = CLIPModel.from_pretrained(where, use_safetensors=True, output_loading_info=True)
        processor = CLIPProcessor.from_pretrained(where)
        if found["missing_keys"]:                               # transformers draws what is missing at random
            raise ValueError(f"{len(found['missing_keys'])} weights are missing, such as {min(found['missing_keys'])}")
        if len(processor.tokenizer) != model.config.text_config.vocab_size:
            raise ValueError(f"its tokenizer knows {len(processor.tokenizer)} tokens")
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise SourceUnavailable(f"cannot load CLIP ({one_line(error)}): connect to the hub, set "
                                "T2I_MIRROR to a folder with its model.safetensors, or leave out --also clip"
                                ) from error

    model.eval().to(device)

    def score(images, prompts):
        inputs = processor(text=prompts, images=list(as_rgb(images).mul(255).byte()), return_tensors="pt",
                           padding=True).to(device)
        found = model(**inputs)
        return 100 * torch.cosine_similarity(found.image_embeds, found.text_embeds)

    return score


@torch.inference_mode()
def in_batches(network, images: torch.Tensor, *others, batch_size: int = 64) -> torch.Tensor:
    """`network` over uint8 `images` (and lists as long), batch by batch, gathered on the CPU."""
    parts = [network(images[i:i + batch_size], *(other[i:i + batch_size] for other in others)).cpu()
             for i in range(0, len(images), batch_size)]
    return torch.cat(parts)


def cached_features(name: str, dataset, network, width: int) -> FeatureFile:
    """The features of real `dataset`, computed once and kept under ``data/`` by their network and fingerprint."""
    path = DATA / f"features-{name}-{dataset.fingerprint}.safetensors"
    with contextlib.suppress(BadValue):
        return FeatureFile.load(path, width)
    facts = {"data_source": dataset.source, "data_fingerprint": dataset.fingerprint}
    FeatureFile(in_batches(network, dataset.images), dataset.labels, facts).save(path)
    return FeatureFile.load(path, width)


def as_rgb(images):
    """uint8 [n, 1 or 3, h, w] to float32 [n, 3, h, w] in [0, 1]."""
    return from_uint8(images, (0, 1)).expand(-1, 3, -1, -1)

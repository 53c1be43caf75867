"""Networks that others trained, as metrics use them, and features of real images to compare with. Weights come from a
path, from the mirror, or from the network; only tensors are unpickled."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from .. import hub, presets
from ..data import from_uint8, load_images
from ..errors import BadValue, SourceUnavailable, or_raise
from ..models.text import encoder_location
from ..paths import cached, mirror
from ..provenance import best_device, code_hash, content_hash, file_hash
from ..randomness import generator
from .classifiers import classifier_hash, load_classifier, predict
from .samples import NETWORKS

INCEPTION_WIDTH = 2048
INCEPTION_FILE = "pt_inception-2015-12-05-6726825d.pth"
INCEPTION_SHA256 = "6726825d"            # the first digits, as in the file's name
IMAGENET = "timm/resnet18.tv_in1k"       # torchvision's IMAGENET1K_V1 weights as safetensors


@dataclass(frozen=True)
class FeatureFile:
    """The features of an image set under one network."""

    features: torch.Tensor             # float32 [n, width]
    labels: torch.Tensor | None        # int64 [n], if the file has them
    metadata: dict[str, str]           # where the images came from

    @classmethod
    def load(cls, path, width: int) -> "FeatureFile":
        """Read a safetensors file with a tensor "features" [n, width]; BadValue for any other file."""
        remedy = 'name a safetensors file with a tensor "features"'
        with or_raise(BadValue, f"{path} holds no features", remedy), safe_open(path, "pt") as file:
            features, metadata = file.get_tensor("features").float(), file.metadata() or {}
            labels = file.get_tensor("labels").long() if "labels" in file.keys() else None
        if features.ndim != 2 or features.shape[1] != width:
            raise BadValue(f"{path} holds features {tuple(features.shape)}, not {width} wide: name the features of the "
                           "same network")
        return cls(features, labels, metadata)

    def __len__(self) -> int:
        return len(self.features)

    def rows(self, chosen: torch.Tensor) -> "FeatureFile":
        """The images `chosen`, int64 [m]."""
        return FeatureFile(self.features[chosen], None if self.labels is None else self.labels[chosen], self.metadata)


def cached_features(name: str, weights: str, dataset, network) -> FeatureFile:
    """`network`'s features of real `dataset`, computed once and cached under ``data/`` as float16. The cache's key is
    the data's fingerprint, the hash of the network's `weights`, and its code, NETWORKS[`name`]."""
    identity = [dataset.fingerprint, weights, code_hash("data.pixels", NETWORKS[name])]
    features = cached(f"features-{name}-{content_hash(identity)}",
                      lambda: {"features": network(dataset.images).half()})["features"]
    metadata = {"data_source": dataset.source, "data_fingerprint": dataset.fingerprint, "weights_sha256_16": weights}
    return FeatureFile(features.float(), dataset.labels, metadata)


def real_features(dataset: str, at_least: int = 0, size: str = "demo") -> FeatureFile:
    """The shipped classifier's features of the real test images of `dataset`, cached under ``data/``.

    The images come from the mirror or the hub; without both, MNIST's are the 500 embedded test digits, a part of its
    training set. At `smoke` they are the preset's stand-ins. SourceUnavailable for fewer than `at_least` real images.
    """
    preset = presets.get(dataset, "improved", "smoke" if size == "smoke" else "full")
    try:
        test = load_images(preset, "test")
    except SourceUnavailable:
        if dataset != "mnist":                         # which alone has real images without the hub
            raise
        test = load_images(dataclasses.replace(preset, data_source="embedded"), "test")
        if len(test) < at_least:
            raise
    classifier, weights = load_classifier(dataset, best_device()), classifier_hash(dataset)
    real = cached_features("classifier", weights, test, lambda images: predict(classifier, images).features)
    return dataclasses.replace(real, metadata=real.metadata | {"classifier_sha256_16": weights})


def _or_unavailable(network: str, judge: str, file: str):
    return hub.or_unavailable(f"load {network}", f"connect to the network, set T2I_MIRROR to a folder with {file}, or "
                                                 f"leave out --also {judge}")


def load_inception(weights: Path | None = None, device="cpu"):
    """pytorch-fid's Inception-v3 up to its 2,048 pooled features: uint8 [n, c, h, w] to float32 [n, 2048].

    The file is `weights`, or in the mirror (``models/mseitzer/pytorch-fid``), or in torch's download folder, or
    downloaded from pytorch-fid's own address. Raises SourceUnavailable where it is nowhere, BadValue for another file.
    """
    from pytorch_fid import inception

    folder = mirror("models", "mseitzer/pytorch-fid")
    path = Path(weights or (folder or Path(torch.hub.get_dir()) / "checkpoints") / INCEPTION_FILE)
    if not weights and not folder and not path.is_file():
        with _or_unavailable("Inception's weights", "inception, or name the file with --inception-weights",
                             f"models/mseitzer/pytorch-fid/{INCEPTION_FILE}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(inception.FID_WEIGHTS_URL, str(path), hash_prefix=INCEPTION_SHA256)
    if not path.is_file():
        raise SourceUnavailable(f"no Inception weights at {path}: name the file {INCEPTION_FILE}")
    if not file_hash(path).startswith(INCEPTION_SHA256):
        raise BadValue(f"{path} is not {INCEPTION_FILE}, whose SHA-256 begins with {INCEPTION_SHA256}: download it "
                       "again")
    state = torch.load(path, map_location="cpu", weights_only=True)
    with mock.patch.object(inception, "load_state_dict_from_url", lambda *_, **__: state):   # it would unpickle it
        network = inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[INCEPTION_WIDTH]])
    network = network.eval().to(device)
    return lambda images: network(as_rgb(images).to(device))[0].flatten(1)


def load_untrained_head(device="cpu"):
    """The thesis's judge, torchvision's ImageNet ResNet-18 with a ten-way head that was never trained: uint8
    [n, c, h, w] to logits [n, 10]. The head is random (fixed by a seed), so its answers are unrelated to CIFAR-10.
    Raises SourceUnavailable where the ImageNet weights are neither in the mirror nor on the hub."""
    from torchvision.models import ResNet18_Weights, resnet18
    from torchvision.transforms.functional import normalize

    network, usual = resnet18(), ResNet18_Weights.IMAGENET1K_V1.transforms()
    with _or_unavailable(IMAGENET, "imagenet", "its model.safetensors"):
        folder = mirror("models", IMAGENET)
        path = (folder or hub.snapshot(IMAGENET, allow_patterns="model.safetensors")) / "model.safetensors"
        network.load_state_dict(load_file(path))
    network.fc = torch.nn.Identity()
    network.eval().to(device)
    head = torch.randn(10, 512, generator=generator("untrained head")).to(device) / 512**0.5
    return lambda images: network(normalize(as_rgb(images).to(device), usual.mean, usual.std)) @ head.T


def load_clip_score(device="cpu"):
    """(uint8 images [n, c, h, w], n prompts) to 100 cos(image, text) under CLIP ViT-B/32, float32 [n] (Hessel et al.
    2021). Raises SourceUnavailable where CLIP's whole weights are neither in the mirror nor on the hub."""
    from transformers import CLIPModel, CLIPProcessor

    with _or_unavailable("CLIP", "clip", "its model.safetensors"):
        where = encoder_location("clip")
        options = {"revision": hub.REVISIONS.get(str(where), "main")}

        def read():
            return (*CLIPModel.from_pretrained(where, use_safetensors=True, output_loading_info=True, **options),
                    CLIPProcessor.from_pretrained(where, **options))

        model, loading, processor = hub.download(read) if isinstance(where, str) else read()
        if missing := loading["missing_keys"]:                      # transformers initialises them at random
            raise ValueError(f"{len(missing)} weights are missing, such as {min(missing)}")
        if len(processor.tokenizer) != model.config.text_config.vocab_size:
            raise ValueError(f"its tokenizer has {len(processor.tokenizer)} tokens")
    model.eval().to(device)

    def score(images, prompts):
        output = model(**processor(text=prompts, images=list(images.expand(-1, 3, -1, -1)), return_tensors="pt",
                                   padding=True).to(device))
        return 100 * torch.cosine_similarity(output.image_embeds, output.text_embeds)

    return score


@torch.inference_mode()
def in_batches(network, images: torch.Tensor, *others, batch_size: int = 64) -> torch.Tensor:
    """`network` over uint8 `images` (and lists of the same length), batch by batch, gathered on the CPU."""
    return torch.cat([network(images[i:i + batch_size], *(other[i:i + batch_size] for other in others)).cpu()
                      for i in range(0, len(images), batch_size)])


def as_rgb(images):
    """uint8 [n, 1 or 3, h, w] to float32 [n, 3, h, w] in [0, 1]."""
    return from_uint8(images, (0, 1)).expand(-1, 3, -1, -1)

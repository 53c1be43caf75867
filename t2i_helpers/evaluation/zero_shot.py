"""How well the image-text model names images that it was never taught, by wordings that it was and was not taught.

``python -m t2i_helpers.evaluation.zero_shot`` writes evaluation.json beside the shipped model.
"""

import sys

import torch

from .. import presets
from ..data import HELD_OUT, QUALITY, TAUGHT, degrade, from_uint8, load_images, sentences
from ..errors import T2IError
from ..models import load_image_text
from ..models.image_text import FOLDER, ImageText
from ..provenance import best_device, file_hash, record, write_json
from ..randomness import generator
from .metrics import proportion


@torch.inference_mode()
def image_vectors(model: ImageText, images: torch.Tensor, batch_size: int = 500) -> torch.Tensor:
    """Unit vectors [n, d] of `images` in [0, 1], some at a time."""
    device = model.dual.device
    return torch.cat([model.embed_images(part.to(device)) for part in images.split(batch_size)])


@torch.inference_mode()
def nearest(model: ImageText, vectors: torch.Tensor, prompts: list[str]) -> torch.Tensor:
    """int64 [n]: which of the `prompts` is nearest to each image."""
    return (vectors @ model.embed_texts(prompts).T).argmax(1).cpu()


def named(model: ImageText, dataset: str, images: torch.Tensor, labels: torch.Tensor) -> dict:
    """The share of uint8 `images` [n, c, h, w] whose class is the nearest of its dataset's, for each wording."""
    vectors = image_vectors(model, from_uint8(images, (0, 1)))

    def share(wording):
        return proportion((nearest(model, vectors, sentences(dataset, wording)) == labels).double()).as_json()

    return {kind: {wording: share(wording) for wording in wordings[dataset]}
            for kind, wordings in (("taught", TAUGHT), ("held_out", HELD_OUT))}


def judged(model: ImageText, dataset: str, images: torch.Tensor, labels: torch.Tensor) -> dict:
    """The share of uint8 `images`, half of them degraded, that "good" and "blurry" of their class tell apart."""
    rng = generator("zero-shot", dataset)
    images, spoilt = from_uint8(images, (0, 1)), torch.rand(len(images), generator=rng) < 0.5
    images[spoilt] = degrade(images[spoilt], rng)
    vectors = image_vectors(model, images)
    good, blurry = (sentences(dataset, QUALITY[dataset], quality) for quality in ("good", "blurry"))
    told = torch.zeros_like(spoilt)
    for label in labels.unique():
        of_class = labels == label
        told[of_class] = nearest(model, vectors[of_class], [good[label], blurry[label]]) == spoilt[of_class]
    return proportion(told.double()).as_json()


def main() -> None:
    """Measure the shipped model on the real test sets and write what was found."""
    model, rows = load_image_text(best_device()), {}
    for dataset in TAUGHT:
        test = load_images(presets.get(dataset, "improved", "full"), "test")
        rows[dataset] = {"data_source": test.source, "data_fingerprint": test.fingerprint, "images": len(test),
                         **named(model, dataset, test.images, test.labels),
                         "good_or_blurry": judged(model, dataset, test.images, test.labels)}
    write_json(FOLDER / "evaluation.json",
               record(best_device(), weights_sha256_16=file_hash(FOLDER / "model.safetensors"), zero_shot=rows))


if __name__ == "__main__":
    try:
        main()
    except T2IError as error:
        sys.exit(f"zero_shot: {error}")

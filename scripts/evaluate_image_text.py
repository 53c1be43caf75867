"""Measure the shipped image-text model on real test sets: ``python scripts/evaluate_image_text.py``."""

import sys

import torch
from train_image_text import HELD_OUT_PROMPTS, TRAIN_PROMPTS, degrade

from t2i_helpers import presets
from t2i_helpers.data import QUALITY, from_uint8, load_images, sentences
from t2i_helpers.errors import T2IError
from t2i_helpers.evaluation.metrics import proportion
from t2i_helpers.models import load_image_text
from t2i_helpers.models.image_text import FOLDER, WEIGHTS_FILE
from t2i_helpers.provenance import best_device, file_hash, record, write_json
from t2i_helpers.randomness import generator


@torch.inference_mode()
def nearest(model, images, prompts) -> list[torch.Tensor]:
    """int64 [n] for each list in `prompts`: which of its texts is the nearest to each of `images` in [0, 1]."""
    vectors = torch.cat([model.embed_images(part.to(model.device)) for part in images.split(500)])
    return [(vectors @ model.embed_texts(texts).T).argmax(1).cpu() for texts in prompts]


def zero_shot_accuracy(model, dataset: str, images: torch.Tensor, labels: torch.Tensor) -> dict:
    """The share of uint8 `images` [n, c, h, w] whose own class is the nearest, for each wording of the prompts."""
    kinds = {"taught": TRAIN_PROMPTS[dataset], "held_out": HELD_OUT_PROMPTS[dataset]}
    wordings = [wording for kind in kinds.values() for wording in kind]
    answers = nearest(model, from_uint8(images, (0, 1)), [sentences(dataset, wording) for wording in wordings])
    accuracy = {wording: proportion(found == labels) for wording, found in zip(wordings, answers)}
    return {kind: {wording: accuracy[wording] for wording in kinds[kind]} for kind in kinds}


def quality_accuracy(model, dataset: str, images: torch.Tensor, labels: torch.Tensor) -> dict:
    """How often "blurry" is nearer than "good" to an image exactly if it is degraded; half of uint8 `images` are."""
    rng = generator("zero-shot", dataset)
    images, degraded = from_uint8(images, (0, 1)), torch.rand(len(images), generator=rng) < 0.5
    images[degraded] = degrade(images[degraded], rng)
    words = zip(*(sentences(dataset, QUALITY[dataset], quality) for quality in ("good", "blurry")))
    answers = torch.stack(nearest(model, images, [list(pair) for pair in words]))               # [classes, n]
    return proportion(answers[labels, torch.arange(len(labels))] == degraded)


def main() -> None:
    """Write evaluation.json beside the model."""
    model, results = load_image_text(best_device()), {}
    for dataset in TRAIN_PROMPTS:
        test = load_images(presets.get(dataset, "improved", "full"), "test")
        results[dataset] = {"data_source": test.source, "data_fingerprint": test.fingerprint, "images": len(test),
                            **zero_shot_accuracy(model, dataset, test.images, test.labels),
                            "good_or_blurry": quality_accuracy(model, dataset, test.images, test.labels)}
    write_json(FOLDER / "evaluation.json",
               record(best_device(), weights_sha256_16=file_hash(FOLDER / WEIGHTS_FILE), zero_shot=results))


if __name__ == "__main__":
    try:
        main()
    except T2IError as error:
        sys.exit(f"evaluate_image_text: {error}")

"""The checkpoints that ship: small, safe, documented, and as good as we say."""

import json

import pytest
import torch

from t2i_helpers import presets
from t2i_helpers.data import captions
from t2i_helpers.evaluation import evaluate_prompts
from t2i_helpers.models import WEIGHTS, load_pipeline
from t2i_helpers.paths import CHECKPOINTS
from t2i_helpers.provenance import file_hash
from t2i_helpers.training import Run

FOLDERS = [CHECKPOINTS / f"mnist-{variant}" for variant in presets.VARIANTS]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_sidecar_tells_the_weights_that_lie_beside_it(folder):
    sidecar = json.loads((folder / "provenance.json").read_text())
    assert sidecar["weights_sha256_16"] == file_hash(folder / WEIGHTS)
    assert sidecar["steps"] == Run(folder).metrics()[-1]["step"]
    assert sidecar["training_images"] == 60_000 and sidecar["text_encoder"] == "minilm"
    assert sidecar["git_commit"] and sidecar["git_dirty"] is False
    assert sidecar["preset_hash"] == presets.preset_hash(presets.from_dict(sidecar["preset"]))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_checkpoint_is_small_and_free_of_pickles(folder):
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 12e6
    assert {file.suffix for file in files} <= {".json", ".jsonl", ".safetensors"}
    assert not [file for file in files if file.suffix == ".json" and "_name_or_path" in file.read_text()]


@pytest.mark.parametrize("variant", presets.VARIANTS)
def test_full_width_of_the_thesis(variant):
    """3,140,385 parameters and the linear layer from MiniLM's 384 to CLIP's 512."""
    unet = load_pipeline("mnist", variant).unet
    assert sum(p.numel() for p in unet.parameters()) == 3_140_385 + 384 * 512 + 512
    assert unet.dtype == torch.float32


def test_improved_draws_the_digit_that_was_asked_for():
    (row,) = evaluate_prompts(load_pipeline("mnist", "improved"), [2.0], 200, steps=15, scheduler="dpm++")
    assert row["accuracy"] >= 0.97


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_stored_evaluation_is_of_these_weights(folder):
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert evaluation["checkpoint"]["weights_sha256_16"] == file_hash(folder / WEIGHTS)
    assert evaluation["classifier_sha256_16"] == file_hash(CHECKPOINTS / "classifier-mnist" / "model.safetensors")


def test_any_wording_is_drawn():
    pipe = load_pipeline("mnist", "improved")
    images = pipe(["seven", captions(pipe.preset)[7]], steps=2).images
    assert images.shape == (2, 1, 28, 28) and images.min() >= 0 and images.max() <= 1

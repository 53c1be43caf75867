"""Classifier, intervals, benchmark."""

import json

import pytest
import torch
from scipy.stats import binomtest

from t2i_helpers import presets
from t2i_helpers.data import load_images
from t2i_helpers.errors import BadCheckpoint
from t2i_helpers.evaluation import classifiers, load_classifier, predict, wilson_interval


@pytest.mark.parametrize("successes, n", [(0, 10), (10, 10), (97, 100), (412, 1000)])
def test_wilson_interval_is_scipys(successes, n):
    expected = binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson_interval(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_shipped_classifier_reads_real_digits_as_well_as_its_sidecar_says():
    """The embedded digits are part of MNIST's training set, so this is a lower bound on what it must reach."""
    digits = load_images(presets.get("mnist", "improved", "demo"), "test")
    accuracy = (predict(load_classifier(), digits.images.float() / 255) == digits.labels).float().mean()
    sidecar = json.loads((classifiers.FOLDER / "provenance.json").read_text())
    assert sidecar["test_accuracy"] >= 0.993 and sidecar["test_images"] == 10_000
    assert accuracy >= 0.99


def test_classifier_learns_from_scratch():
    digits = load_images(presets.get("mnist", "improved", "demo"), "train")
    some = torch.arange(0, len(digits), 5)
    classifier = classifiers.train_classifier(digits.images[some], digits.labels[some], epochs=3, batch_size=32)
    others = torch.arange(1, len(digits), 9)
    accuracy = (predict(classifier, digits.images[others].float() / 255) == digits.labels[others]).float().mean()
    assert accuracy > 0.8


def test_damaged_classifier_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(classifiers, "FOLDER", tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(BadCheckpoint, match="model.safetensors"):
        load_classifier()


def test_bench_reports_ratios_to_batch_one():
    from t2i_helpers.evaluation.bench import bench_sample

    rows = bench_sample(batch_sizes=(1, 2), seconds=0.0)
    assert [row["batch_size"] for row in rows] == [1, 2]
    assert rows[0]["ratio_to_batch_1"] == 1.0
    assert rows[1]["ratio_to_batch_1"] == pytest.approx(
        rows[1]["images_per_second"] / rows[0]["images_per_second"], abs=0.02)

"""The procedural stand-in: the real dataset's schema, and a difference between its classes."""

import datasets
import pytest
import torch
from support import MIRROR, needs_mirror

from t2i_helpers import presets
from t2i_helpers.data import load_images
from t2i_helpers.data.synthetic import draw_shapes, procedural_cifar10


@needs_mirror
@pytest.mark.parametrize("split", ["train", "test"])
def test_schema_is_the_hubs(split, tmp_path):
    (file,) = (MIRROR / "datasets" / "uoft-cs" / "cifar10").rglob(f"{split}-*.parquet")
    real = datasets.load_dataset("parquet", data_files=str(file), split="train", cache_dir=str(tmp_path))
    drawn = procedural_cifar10(split)
    assert drawn.features == real.features and drawn[0]["img"].size == real[0]["img"].size == (32, 32)
    assert drawn[0]["img"].mode == real[0]["img"].mode == "RGB"


def test_it_is_named_and_read_like_the_real_one(capsys):
    dataset = load_images(presets.get("cifar10", "improved", "smoke"), "test")
    assert dataset.images.shape == (500, 3, 32, 32) and dataset.images.dtype == torch.uint8
    assert dataset.labels.bincount().tolist() == [50] * 10
    assert "stand in" in dataset.source and dataset.source in capsys.readouterr().out
    expected, labels = draw_shapes(500, classes=10, size=32, seed="test")
    assert torch.equal(dataset.images, expected) and torch.equal(dataset.labels, labels)      # PNG loses nothing


def test_classes_differ_more_than_images_of_one_class():
    images, labels = draw_shapes(400, classes=10, size=32, seed=0)
    centre = images[:, :, 12:20, 12:20].float().mean((2, 3))                       # [n, 3]
    means = torch.stack([centre[labels == k].mean(0) for k in range(10)])
    assert torch.cdist(means, means).fill_diagonal_(1e9).min() > 10
    assert (torch.cdist(centre, means).argmin(1) == labels).double().mean() > 0.6


def test_splits_share_no_image():
    train, test = (draw_shapes(100, classes=10, size=32, seed=split)[0] for split in ("train", "test"))
    assert not (train[:, None] == test[None]).flatten(2).all(2).any()

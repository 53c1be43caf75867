"""The procedural stand-ins: the real dataset's schema, and a difference between its classes."""

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from support import MIRROR, needs_mirror

from t2i_helpers import presets
from t2i_helpers.data import CLASS_NAMES, load_images
from t2i_helpers.data.paintings import PAINTERS, paint
from t2i_helpers.data.synthetic import draw_shapes, procedural_cifar10, procedural_wikiart


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


def test_paintings_are_a_function_of_style_and_seed():
    first, again, other = paint(3, "a"), paint(3, "a"), paint(3, "b")
    assert first.tobytes() == again.tobytes() != other.tobytes()
    assert first.mode == "RGB" and first.size == (160, 160) and paint(3, "a", 64).size == (64, 64)


def test_every_style_has_a_painter_in_the_labels_order():
    assert tuple(PAINTERS) == CLASS_NAMES["wikiart"]


def test_styles_look_different_and_paintings_of_one_style_vary():
    """Nearest neighbours in pixels of 8 x 8 mostly share a style, and no painting is drawn twice."""
    seen = torch.stack([torch.from_numpy(np.array(paint(style, seed, 32), np.float32))
                        for style in range(27) for seed in range(6)])
    small = F.avg_pool2d(seen.permute(0, 3, 1, 2), 4).flatten(1)               # [162, 3 * 8 * 8]
    distance = torch.cdist(small, small).fill_diagonal_(torch.inf)
    styles = torch.arange(162) // 6
    assert (styles[distance.argmin(1)] == styles).float().mean() > 0.6           # by chance 0.03
    assert distance.min() > 1


def test_procedural_wikiart_has_the_hub_s_schema_and_is_painted_once(tmp_path):
    folder = procedural_wikiart(tmp_path, "train", 2)
    (table, *_) = tables = [pq.read_table(file) for file in sorted(folder.iterdir())]
    features = datasets.Features.from_arrow_schema(table.schema)
    assert [*features] == ["image", "artist", "genre", "style"] and isinstance(features["image"], datasets.Image)
    assert [name.replace("_", " ") for name in features["style"].names] == [*CLASS_NAMES["wikiart"]]
    labels = sum((table["style"].to_pylist() for table in tables), [])
    assert labels == sorted(labels) == [style for style in range(27) for _ in range(2)]
    before = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    procedural_wikiart(tmp_path, "train", 2)
    assert before == {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}


def test_load_images_gives_procedural_paintings_from_their_store(empty_data_folder):
    preset = presets.get("wikiart", "improved", "smoke")
    train, test = load_images(preset), load_images(preset, "test")
    assert train.images.shape == (216, 3, 64, 64) and train.images.dtype == torch.uint8
    assert train.labels.bincount().tolist() == [8] * 27 and "procedural paintings" in train.source
    assert train.fingerprint != test.fingerprint and not torch.equal(train.images[0], test.images[0])
    assert load_images(preset).fingerprint == train.fingerprint

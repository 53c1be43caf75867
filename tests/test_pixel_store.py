"""The decoder of paintings, and the store of decoded ones: what it holds, how it is built and rebuilt, and refusals."""

import io
import os
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support import jpeg, refuses, write_art_files

from t2i_helpers.data import pixel_store
from t2i_helpers.data.decoding import Undecodable, decode
from t2i_helpers.data.pixel_store import MappedImages, PixelStore, in_processes
from t2i_helpers.data.wikiart import WikiArtStream
from t2i_helpers.data.wikiart_files import find_art_files, read_paintings, write_art_file
from t2i_helpers.errors import BadData, BadValue, OutputError
from t2i_helpers.provenance import read_sidecar

ROWS = (7, 13, 5, 11)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_art_files(tmp_path_factory.mktemp("art"), ROWS)


@pytest.fixture(scope="module")
def store(folder, tmp_path_factory):
    return PixelStore.build(folder, tmp_path_factory.mktemp("store"), size=8, workers=2)


def test_store_and_stream_hold_every_painting_as_the_decoder_gives_it(folder, store):
    stored = [painting for file in find_art_files(folder) for painting in read_paintings(file)]
    streamed = {row_id: (image, style) for image, style, row_id in WikiArtStream(folder, size=8)}
    assert len(store) == sum(ROWS) and store.images.shape == (36, 8, 8, 3) and store.images.dtype == np.uint8
    assert store.row_ids.tolist() == list(range(36))
    for place, painting in enumerate(stored):
        decoded, (image, style) = decode(painting.encoded, 8), streamed[place]
        assert torch.equal(torch.from_numpy(store.images[place]).permute(2, 0, 1), decoded)
        assert torch.equal(image, decoded) and style == painting.style
        assert (store.labels[place], store.genres[place]) == (painting.style, painting.genre)
    assert set(store.genres) == set(range(-1, 10))


def rows_of(store, **options):
    """Row ids as batches bring them, each with its own image and label."""
    batches = list(store.batches(**dict(batch_size=4) | options))
    for images, labels, rows in batches:
        assert (images.permute(0, 2, 3, 1).numpy() == store.images[rows.numpy()]).all()
        assert labels.tolist() == store.labels[rows.numpy()].tolist()
    return [row for *_, rows in batches for row in rows.tolist()]


@given(world_size=st.integers(1, 36), epoch=st.integers(0, 99), batch_size=st.integers(1, 40), start=st.integers(0, 9))
def test_batches_give_every_row_once_and_resume_by_counting(store, world_size, epoch, batch_size, start):
    shares = [rows_of(store, epoch=epoch, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert len({len(share) for share in shares}) == 1
    yielded = sum(shares, [])
    assert len(yielded) == len(set(yielded)) == 36 - 36 % world_size
    assert rows_of(store, epoch=epoch) == rows_of(store, epoch=epoch) != rows_of(store, epoch=epoch + 1)
    assert rows_of(store, epoch=epoch) != rows_of(store, epoch=epoch, seed=1)
    options = dict(epoch=epoch, rank=world_size - 1, world_size=world_size, batch_size=batch_size)
    assert rows_of(store, start=start, **options) == rows_of(store, **options)[start * batch_size:]
    for wrong in (dict(batch_size=0), dict(start=-1), dict(rank=1), dict(rank=-1)):
        with refuses(BadValue, "rank"):
            rows_of(store, **wrong)


def test_writing_into_a_batch_or_the_map_does_not_reach_the_file(store):
    next(store.batches(36))[0].zero_()
    store.images[0] = 7
    written = PixelStore(store.folder).images
    assert written[1:].max() > 0 and written[0].max() != 7


def test_broken_rows_are_listed_with_their_reasons_and_leave_no_hole(tmp_path):
    good = [jpeg(np.full((9, 9, 3), level, np.uint8)) for level in range(5)]
    write_art_file(tmp_path / "in/a.parquet", good[:2], [0, 1])
    write_art_file(tmp_path / "in/b.parquet", [b"", good[2], good[3][:90], good[4]], [2, 3, 4, 5], [6, 7, 8, 9])
    store = PixelStore.build(tmp_path / "in", tmp_path / "out", size=4, workers=1)
    assert store.row_ids.tolist() == [0, 1, 3, 5] and store.labels.tolist() == [0, 1, 3, 5]
    assert store.genres.tolist() == [-1, -1, 7, 9]
    assert store.images[:, 0, 0, 0].tolist() == [0, 1, 2, 4]
    assert store.manifest["rejected"].keys() == {"2", "4"} and store.manifest["rejected"]["2"] == "no bytes"
    write_art_file(tmp_path / "none/a.parquet", [b"x", b"y"], [0, 1])
    with refuses(BadData, "none of the 2", "row 0", "not an image"):
        PixelStore.build(tmp_path / "none", tmp_path / "other", size=4, workers=1)


def test_any_folder_can_be_named_and_one_that_is_a_file_or_on_a_full_disk_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    with refuses(OutputError, "file", "another folder"):
        PixelStore.build(folder, "file/store", size=4, workers=1)
    assert len(PixelStore.build(folder, ".", size=4, workers=1)) == 36
    monkeypatch.setattr(pixel_store.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with refuses(OutputError, "needs", "more room"):
        PixelStore.build(folder, "out", size=8)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("function, items, error, words", [
    (read_sidecar, ["a.json", "b.json"], BadData, ["a.json"]),
    (signal.raise_signal, 2 * [signal.SIGKILL], OutputError, ["worker process died", "fewer workers"]),
], ids=["error", "killed"])
def test_an_error_or_the_end_of_a_process_is_one_line(function, items, error, words):
    with refuses(error, *words):
        list(in_processes(function, items, 2))


def test_the_same_call_again_decodes_only_what_is_missing(folder, store, tmp_path, monkeypatch):
    calls, decode_part = [], pixel_store.Part.decode

    def dies_at_the_third(part):
        calls.append(part.file.path)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return decode_part(part)

    monkeypatch.setattr(pixel_store.Part, "decode", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        PixelStore.build(folder, tmp_path, size=8, workers=1)
    with refuses(BadData, "no complete store", "build-wikiart"):
        PixelStore(tmp_path)
    finished = PixelStore.build(folder, tmp_path, size=8, workers=1)
    assert len(calls) == 5 and calls[2] == calls[3]                       # the file in hand, and the one after it
    assert finished.manifest["fingerprint"] == store.manifest["fingerprint"]          # which two workers built
    for name in ("images.npy", "labels.npy", "genres.npy", "row_ids.npy"):
        assert (finished.folder / name).read_bytes() == (store.folder / name).read_bytes()
    PixelStore.build(folder, tmp_path, size=8, workers=1)
    assert len(calls) == 5


@pytest.mark.parametrize("change, size", [
    (lambda files, part: write_art_files(files, ROWS[:1], seed=1), 8), (lambda files, part: None, 4),
    (lambda files, part: os.truncate(part, part.stat().st_size - 1), 8),
], ids=["another version", "another size", "cut short"])
def test_parts_of_another_version_of_a_file_or_another_size_and_damaged_ones_are_made_again(
        folder, tmp_path, monkeypatch, change, size):
    def dies(*_):
        raise KeyboardInterrupt

    changed = shutil.copytree(folder, tmp_path / "in")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pixel_store, "_join", dies)
        PixelStore.build(changed, tmp_path / "out", size=8, workers=1)
    change(changed, next((tmp_path / "out/parts").iterdir()))
    again, fresh = (PixelStore.build(changed, tmp_path / name, size=size, workers=1) for name in ("out", "fresh"))
    assert again.manifest["fingerprint"] == fresh.manifest["fingerprint"]


def test_a_damaged_store_and_another_one_s_folder_are_refused(folder, store, tmp_path):
    for files, size in ((folder, 16), (sorted(folder.iterdir())[:2], 8)):
        with refuses(OutputError, str(store.folder), "other files or another size"):
            PixelStore.build(files, store.folder, size=size)
    copy = shutil.copytree(store.folder, tmp_path / "copy")
    (copy / "genres.npy").unlink()                       # as in a store that was built before there were genres
    for action in (lambda: PixelStore(copy), lambda: PixelStore.build(folder, copy, size=8)):
        with refuses(BadData, str(copy), "delete it", "build-wikiart"):
            action()
    for file, length in (("images.npy", 500), ("manifest.json", 1)):
        copy = shutil.copytree(store.folder, tmp_path / file)
        os.truncate(copy / file, length)
        with refuses(BadData, str(copy)):
            PixelStore(copy)


def test_two_builders_of_one_store_take_turns(folder, store, tmp_path):
    build = (f"from t2i_helpers.data import PixelStore\n"
             f"print(len(PixelStore.build({str(folder)!r}, {str(tmp_path)!r}, 8, 1)))")
    both = [subprocess.Popen([sys.executable, "-c", build], stdout=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate()[0].strip() for process in both] == [b"36", b"36"]
    assert PixelStore(tmp_path).manifest["fingerprint"] == store.manifest["fingerprint"]


def test_mapped_images_are_the_chosen_rows_as_tensors(store):
    rows = torch.tensor([3, 4, 30])
    mapped, images = MappedImages(store.images, rows), torch.from_numpy(store.images).permute(0, 3, 1, 2)[rows]
    assert mapped.shape == images.shape and len(mapped) == 3
    for index in (1, slice(1, None), torch.tensor([2, 0]), torch.tensor([True, False, True]), torch.tensor([[0, 2]])):
        assert torch.equal(mapped[index], images[index])
    assert torch.equal(torch.cat(list(mapped.split(2))), images) and mapped.to("cpu") is mapped


def picture(height=90, width=70, seed=0):
    """uint8 [height, width, 3]: smooth colours with some grain."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [128 + 90 * np.sin(7 * x + channel + 5 * y * y) for channel in range(3)]
    return (np.stack(waves, -1) + rng.normal(0, 12, (height, width, 3))).clip(0, 255).astype(np.uint8)


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def levels(encoded, size=32):
    return decode(encoded, size).permute(1, 2, 0).numpy().astype(int)


def difference(encoded, reference=None):
    """Grey levels between our decoder and full decoding and resizing by Pillow, of `reference` or the same bytes."""
    with Image.open(io.BytesIO(reference or encoded)) as image:
        return np.abs(levels(encoded) - np.asarray(image.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)))


@given(st.integers(33, 400), st.integers(33, 400), st.integers(60, 98), st.sampled_from([0, 1, 2]), st.booleans())
def test_jpegs_are_within_one_level_of_pillow_s_on_average_and_two_at_most(height, width, quality, chroma, progressive):
    encoded = jpeg(picture(height, width), quality=quality, subsampling=chroma, progressive=progressive)
    assert difference(encoded).mean() <= 1 and difference(encoded).max() <= 2


@pytest.mark.parametrize("mode, kind", [("L", "JPEG"), ("CMYK", "JPEG"), *(
    ("RGB", kind) for kind in ("PNG", "WEBP", "GIF", "BMP", "TIFF"))])
def test_other_colours_and_formats_become_rgb(mode, kind):
    encoded = saved(Image.fromarray(picture()).convert(mode), kind)
    assert difference(encoded).max() <= 2 and (mode != "L" or np.ptp(levels(encoded), axis=-1).max() == 0)


def test_a_palette_keeps_its_colours_16_bits_their_brightness_and_what_is_transparent_is_white():
    reduced = Image.fromarray(picture()).quantize(16)
    assert difference(saved(reduced, "PNG"), saved(reduced.convert("RGB"), "PNG")).max() <= 1
    grey = np.repeat(np.linspace(0, 65535, 64).astype(np.uint16)[None], 64, 0)
    assert np.abs(levels(saved(Image.fromarray(grey), "PNG"), 64)[0, :, 0] - grey[0] / 257).max() <= 1
    clear = np.zeros((20, 20, 4), np.uint8)
    clear[:10] = (200, 0, 0, 255)
    pixels = levels(saved(Image.fromarray(clear), "PNG"), 20)
    assert (pixels[2] == (200, 0, 0)).all() and (pixels[17] == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_camera_s_picture_stands_upright(orientation):
    upright = Image.fromarray(picture(64, 64))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}            # EXIF's number to the transposition it undoes
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = levels(jpeg(stored, quality=98, subsampling=0, exif=exif))
    assert np.abs(pixels - levels(jpeg(upright, quality=98, subsampling=0))).mean() < 2


@pytest.mark.parametrize("encoded, reason", [
    (None, "no bytes"), (b"", "no bytes"), (b"<svg></svg>", "not an image of a known format"),
    (jpeg(picture())[:700], "truncated"), (jpeg(picture())[:200], "Truncated"),
    (saved(Image.fromarray(picture()), "PNG")[:900], "truncated"),
    (saved(Image.new("1", (20_000, 20_000)), "PNG"), "decompression bomb"),        # 400 million pixels in few bytes
])
def test_what_cannot_be_decoded_says_why(encoded, reason):
    with pytest.raises(Undecodable) as caught:
        decode(encoded, 32)
    assert reason in str(caught.value) and "\n" not in str(caught.value)

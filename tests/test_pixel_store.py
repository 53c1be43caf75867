"""The store of decoded paintings: what it holds, how it is built and rebuilt, and what it refuses."""

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
from support import jpeg, refuses, write_art_files

from t2i_helpers.data import pixel_store
from t2i_helpers.data.decoding import decode
from t2i_helpers.data.pixel_store import MappedImages, PixelStore, in_processes
from t2i_helpers.data.wikiart import WikiArtStream
from t2i_helpers.data.wikiart_files import find_art_files, read_paintings, write_art_file
from t2i_helpers.errors import BadData, BadValue, OutputError

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


def killed(item):
    os.kill(os.getpid(), signal.SIGKILL)


def broken(item):
    raise BadData(f"file {item} is damaged")


@pytest.mark.parametrize("function, error, words", [
    (broken, BadData, ["file 1 is damaged"]), (killed, OutputError, ["worker process died", "fewer workers"])])
def test_an_error_or_the_end_of_a_process_is_one_line(function, error, words):
    with refuses(error, *words):
        list(in_processes(function, [1, 2], 2))


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


@pytest.mark.parametrize("workers", [1, 2])
def test_a_damaged_file_is_one_line_whoever_reads_it(folder, tmp_path, workers):
    source = shutil.copytree(folder, tmp_path / "in")
    path = source / "train-00001.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:8] + bytes(2000) + whole[2008:])
    with refuses(BadData, str(path), "after row 0"):
        PixelStore.build(source, tmp_path / "out", size=8, workers=workers)


@pytest.mark.parametrize("seed, size", [(1, 8), (0, 4)])
def test_parts_of_another_version_of_a_file_or_another_size_are_made_again(folder, tmp_path, monkeypatch, seed, size):
    def dies(*_):
        raise KeyboardInterrupt

    changed = shutil.copytree(folder, tmp_path / "in")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pixel_store, "_join", dies)
        PixelStore.build(changed, tmp_path / "out", size=8, workers=1)
    write_art_files(changed, ROWS[:1], seed)
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

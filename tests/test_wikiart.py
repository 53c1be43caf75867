"""The stream of paintings: every one once an epoch, whatever the workers, ranks, stops and damages."""

import io
import itertools
import json
import warnings
from types import SimpleNamespace
from unittest import mock

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import jpeg, refuses, write_art_files
from torch.utils.data import DataLoader

from t2i_helpers.data import GENRES, UNKNOWN_GENRE, wikiart, wikiart_files
from t2i_helpers.data.wikiart import WikiArtStream, reservoir_shuffle
from t2i_helpers.data.wikiart_files import PAINTINGS, STYLES, ArtFile, find_art_files, read_labels, read_paintings
from t2i_helpers.errors import BadData, BadValue, OutputError, SourceUnavailable

ROWS = (7, 13, 5, 11)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_art_files(tmp_path_factory.mktemp("art"), ROWS)


def stream_of(folder, **options):
    return WikiArtStream(folder, **dict(size=8) | options)


def through_loader(stream, workers, batches=None):
    """Row ids as the first `batches` of a DataLoader bring them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)                   # more workers than cores
        loader = DataLoader(stream, 4, num_workers=workers)
        return sum((row_ids.tolist() for _, _, row_ids in itertools.islice(loader, batches)), [])


@pytest.mark.parametrize("workers", [0, 1, 2, 5])                      # five are more than there are files
def test_every_row_comes_exactly_once_in_an_order_of_seed_and_epoch_with_any_number_of_workers(folder, workers):
    orders = [through_loader(stream_of(folder, seed=seed, epoch=epoch), workers)
              for seed, epoch in [(0, 3), (0, 4), (1, 3), (0, 3)]]
    assert orders[0] == orders[3] and len({*map(tuple, orders)}) == 3
    assert all(sorted(order) == list(range(sum(ROWS))) for order in orders)


@given(world_size=st.integers(1, 9), epoch=st.integers(0, 50), seed=st.integers(0, 9))
def test_ranks_share_an_epoch_evenly_and_leave_out_other_rows_each_time(folder, world_size, epoch, seed):
    def left_out(epoch):
        shares = [stream_of(folder, seed=seed, epoch=epoch, rank=rank, world_size=world_size).row_ids.tolist()
                  for rank in range(world_size)]
        assert len({len(share) for share in shares}) == 1
        yielded = sum(shares, [])
        assert len(yielded) == len(set(yielded))
        return set(range(sum(ROWS))) - set(yielded)

    now, then = left_out(epoch), left_out(epoch + 1)
    assert len(now) == sum(ROWS) % world_size
    if 2 * len(now) <= sum(ROWS):
        assert not now & then


@settings(max_examples=6)
@given(stops=st.lists(st.integers(0, 5), max_size=3), workers=st.lists(st.sampled_from([0, 1, 2, 3]), min_size=4))
def test_a_stopped_epoch_goes_on_with_exactly_the_rows_not_seen(folder, stops, workers):
    done, stream = [], stream_of(folder, epoch=2)
    for batches, count in zip([*stops, None], workers):
        if read := through_loader(stream, count, batches):
            stream.mark_seen(torch.tensor(read))
            done += read
        state = json.loads(json.dumps(stream.state_dict()))
        stream = stream_of(folder)
        stream.load_state_dict(state)
        assert stream.epoch == 2 and len(stream) == sum(ROWS) - len(done)
    assert sorted(done) == list(range(sum(ROWS)))


def test_damaged_states_those_of_other_files_seeds_and_ranks_and_values_out_of_range_are_refused(folder, tmp_path):
    state = stream_of(folder).state_dict()
    others = [stream_of(folder, seed=1), stream_of(folder, rank=1, world_size=2),
              stream_of(write_art_files(tmp_path, (7, 13, 5, 10)))]
    for other in others:
        with refuses(BadValue, "same files"):
            other.load_state_dict(state)
    with refuses(BadValue, "rows [99]"):
        stream_of(write_art_files(tmp_path, (100,)), rank=0, world_size=100).mark_seen(99)
    for damage in ({"seen": "c-p"}, {"seen": "00" * 2}, {"seen": 1}, {"epoch": "x"}):
        with refuses(BadValue, "damaged"):
            stream_of(folder).load_state_dict(state | damage)
    for options in (dict(size=0), dict(reservoir=0), dict(rank=2, world_size=2), dict(rank=-1)):
        with refuses(BadValue, "ranks"):
            stream_of(folder, **options)


@pytest.mark.parametrize("workers", [1, 4])
def test_batches_of_style_sorted_files_are_nearly_as_mixed_as_a_perfect_shuffle(monkeypatch, workers):
    """That has an entropy of 3.10 bits. WikiArt's 72 files exist only as numbers here."""
    ends = np.linspace(0, sum(PAINTINGS), 73).astype(int)
    files = [ArtFile("", int(a), int(b - a), 0, f"{a}", STYLES) for a, b in zip(ends, ends[1:])]
    pixel = torch.zeros(3, 1, 1, dtype=torch.uint8)
    monkeypatch.setattr(wikiart, "find_art_files", lambda _: files)
    monkeypatch.setattr(WikiArtStream, "_decoded", lambda _, rows: ((pixel, 0, int(row)) for row in rows))
    for worker in range(workers):
        info = SimpleNamespace(id=worker, num_workers=workers)
        monkeypatch.setattr(wikiart, "get_worker_info", lambda info=info: info)
        order = [row for *_, row in WikiArtStream("", size=1)]
        batches = np.repeat(np.arange(27), PAINTINGS)[order[:len(order) // 16 * 16]].reshape(-1, 16)
        counts = [np.bincount(batch, minlength=27) for batch in batches]
        assert scipy.stats.entropy(counts, base=2, axis=1).mean() >= 2.9


def test_mixing_says_when_its_scratch_file_does_not_fit(monkeypatch):
    full = type("Full", (io.BytesIO,), {"write": lambda *_: 0})
    monkeypatch.setattr(wikiart.tempfile, "TemporaryFile", lambda **_: full())
    with refuses(OutputError, "TMPDIR"):
        list(reservoir_shuffle([(torch.zeros(3, 2, 2, dtype=torch.uint8), 0, 0)], 4, 2, np.random.default_rng(0)))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_broken_rows_are_skipped_listed_and_never_read_again(tmp_path, workers, capfd):
    good = jpeg(np.zeros((9, 9, 3), np.uint8))
    wikiart_files.write_art_file(tmp_path / "a.parquet", [good, good], [0, 1])
    wikiart_files.write_art_file(tmp_path / "b.parquet", [good, good[:80], None, b"no image", good], [0, 1, 2, 3, 4])
    stream = stream_of(tmp_path)
    assert sorted(through_loader(stream, workers)) == [0, 1, 2, 6]
    assert sorted(stream.rejected) == [3, 4, 5] and stream.rejected[4] == "no bytes"
    assert stream.rejected[5] == "not an image of a known format" and "cannot be decoded" in capfd.readouterr().err
    if not workers:
        later = stream_of(tmp_path)
        later.load_state_dict(stream.state_dict())
        assert len(later) == 0


def test_persistent_workers_follow_the_epoch_and_a_loaded_state(folder):
    stream = stream_of(folder)
    loader = DataLoader(stream, 4, num_workers=2, persistent_workers=True)

    def loaded():
        return [row_id for *_, row_ids in loader for row_id in row_ids.tolist()]

    first, _ = loaded(), stream.set_epoch(1)
    second = loaded()
    assert sorted(first) == list(range(36)) and second == through_loader(stream_of(folder, epoch=1), 2) != first
    earlier = stream_of(folder)
    before = [row for *_, row in itertools.islice(earlier, 10)]
    stream.load_state_dict(earlier.state_dict())
    assert sorted(before + loaded()) == list(range(36))
    stream.set_epoch(0)
    assert sorted(loaded()) == list(range(36))


def test_files_are_read_over_fsspec_as_from_disk_but_not_one_that_is_being_written(folder, tmp_path):
    for name in ("train-0.parquet", ".train-1.123.parquet"):
        (tmp_path / name).write_bytes((folder / "train-00000.parquet").read_bytes())
    assert [file.rows for file in find_art_files(tmp_path)] == [7]
    for file in folder.iterdir():
        fsspec.filesystem("memory").pipe(f"/art/{file.name}", file.read_bytes())
    order, *others = ([row for *_, row in stream_of(files)] for files in (folder, "memory://art", f"file://{folder}"))
    assert others == [order, order]


def test_no_files_and_a_lost_connection_are_one_line(monkeypatch):
    for source in ("/nowhere", "memory://nowhere", "foo://x"):
        with refuses(SourceUnavailable, source):
            find_art_files(source)
    memory = fsspec.get_filesystem_class("memory")
    monkeypatch.setattr(memory, "isfile", lambda _, path: path.endswith("parquet"))
    for method in ("find", "_open"):                    # which may raise what no library promises
        monkeypatch.setattr(memory, method, mock.Mock(side_effect=RuntimeError("connection lost")))
    with refuses(SourceUnavailable, "memory://art", "connection lost"):
        find_art_files("memory://art")
    with refuses(BadData, "train-0.parquet", "connection lost", "connect and repeat"):
        find_art_files("memory://art/train-0.parquet")


@pytest.mark.parametrize("column, names", [("style", [*STYLES]), ("genre", [*GENRES])])
def test_files_that_differ_in_their_labels_names_alone_are_different(tmp_path, column, names):
    for folder, order in (("a", names), ("b", [names[1], names[0], *names[2:]])):
        rewritten(tmp_path / folder, lambda table, order=order: with_names(table, order, column))
    a, b = (find_art_files(tmp_path / folder)[0] for folder in ("a", "b"))
    assert a.size == b.size and a.fingerprint != b.fingerprint


def rewritten(folder, change):
    """The path of a Parquet file of 6 rows whose table `change` has altered."""
    path = write_art_files(folder, (6,)) / "train-00000.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    return path


def with_labels(table, labels, column="style"):
    place = table.schema.get_field_index(column)
    return table.set_column(place, table.schema.field(column), pa.array(labels, pa.int64()))


def with_names(table, names, column="style"):
    metadata = json.loads(table.schema.metadata[b"huggingface"])
    metadata["info"]["features"][column]["names"] = names
    return table.replace_schema_metadata({"huggingface": json.dumps(metadata)})


@pytest.mark.parametrize("change, words", [
    (lambda table: table.drop_columns("image"), ("column 'image'",)),
    (lambda table: table.drop_columns("style"), ("column 'style'",)),
    (lambda table: table.replace_schema_metadata({}), ("labels mean",)),
    (lambda table: with_labels(table, [0, 1, 2, 27, 4, 5]), ("row 3", "27")),
    (lambda table: with_labels(table, [0, 1, 2, 3, -1, 5]), ("row 4", "-1")),
    (lambda table: with_labels(table, [0, None, 2, 3, 4, 5]), ("row 1", "None")),
    (lambda table: with_labels(with_names(table, ["Cubism", "Vorticism"]), [0, 0, 1, 0, 0, 0]), ("row 2", "Vorticism")),
])
def test_files_of_another_schema_are_refused_by_name_and_row(tmp_path, change, words):
    path = rewritten(tmp_path, change)
    with refuses(BadData, str(path), *words):
        list(stream_of(path))


def test_labels_follow_the_file_s_own_names(tmp_path):
    path = rewritten(tmp_path, lambda table: with_labels(with_names(table, ["Ukiyo_e", "Cubism"]), [0, 1] * 3))
    assert {STYLES[style] for _, style, _ in stream_of(path)} == {"Ukiyo e", "Cubism"}


GENRE_NAMES = ["portrait", "Unknown_Genre", "still_life", "abstract_painting", "caricature"]


@pytest.mark.parametrize("change, expected", [
    (lambda table: table.drop_columns("genre"), [UNKNOWN_GENRE] * 6),
    (lambda table: with_labels(table, [None] * 6, "genre"), [UNKNOWN_GENRE] * 6),
    (lambda table: with_labels(table, [4, None, -1, 11, 10, 0], "genre"), [4, *[UNKNOWN_GENRE] * 4, 0]),
    (lambda table: with_labels(with_names(table, GENRE_NAMES, "genre"), [0, 1, 2, 3, 4, 0], "genre"),
     [[*GENRES].index("portrait"), UNKNOWN_GENRE, 9, 0, UNKNOWN_GENRE, 6]),
])
def test_a_genre_has_the_file_s_own_name_and_may_be_unknown(tmp_path, change, expected):
    (file,) = find_art_files(rewritten(tmp_path, change))
    paintings = list(read_paintings(file))
    assert read_labels(file).T.tolist() == [[painting.style, painting.genre] for painting in paintings]
    assert [painting.genre for painting in paintings] == expected


def test_a_truncated_file_and_a_damaged_page_are_named_also_from_a_worker(folder, tmp_path):
    whole = (folder / "train-00001.parquet").read_bytes()
    path = tmp_path / "cut.parquet"
    path.write_bytes(whole[:-400])
    with refuses(BadData, str(path), "fetch the file again"):
        find_art_files(path)
    path.write_bytes(whole[:8] + bytes(2000) + whole[2008:])
    for workers in (0, 2):
        with refuses(BadData, str(path), "after row 0"):
            through_loader(stream_of(path), workers)

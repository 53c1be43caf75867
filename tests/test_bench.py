"""The benchmark command's arithmetic, and that each way of loading it compares is what it says."""

import itertools
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from support import jpeg, refuses

from t2i_helpers.data.wikiart_files import find_art_files, read_paintings
from t2i_helpers.errors import BadValue
from t2i_helpers.evaluation import bench_loader


def test_bench_reports_ratios_to_batch_one():
    from t2i_helpers.evaluation.bench import bench_sample

    rows = bench_sample(batch_sizes=(1, 2), seconds=0.0)
    assert [row["batch_size"] for row in rows] == [1, 2]
    assert rows[0]["ratio_to_batch_1"] == 1.0
    assert rows[1]["ratio_to_batch_1"] == pytest.approx(
        rows[1]["images_per_second"] / rows[0]["images_per_second"], rel=0.1)       # both are rounded


@pytest.fixture(scope="module")
def bench_files(tmp_path_factory):
    """Two files of 20 rows, with pictures of 60 KB in place of 400."""
    folder = tmp_path_factory.mktemp("bench")

    def picture(seed):
        return jpeg(np.random.default_rng(seed).integers(0, 256, (180, 180, 3), dtype=np.uint8))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench_loader, "_picture", picture)
        bench_loader.write_bench_files(folder, 2, 20)
    return folder


def test_bench_files_are_like_the_hub_s(bench_files):
    files = find_art_files(bench_files)
    styles = [painting.style for file in files for painting in read_paintings(file)]
    assert styles == sorted(styles) and len(styles) == 40 and styles.count(12) in (6, 7)      # 13,060 of 81,444
    column = pq.ParquetFile(files[0].path).metadata.row_group(0).column(0)
    assert column.has_dictionary_page and len({p.encoded for p in read_paintings(files[0])}) == 20


def test_a_picture_is_as_large_as_wikiart_s():
    assert 350_000 < len(bench_loader._picture(0)) < 450_000


@pytest.mark.parametrize("way", [way for way in bench_loader.WAYS if way != "WebDataset"])
def test_every_way_is_measured_over_an_epoch_and_the_store_over_a_thousand_batches(bench_files, way):
    found = bench_loader.measure(way, bench_files, seconds=60.0)
    assert found["samples"] == (16_000 if way == "our store" else 40)
    assert 0 < found["p50_ms"] <= found["p99_ms"] and found["first_batch_s"] > 0 and found["peak_memory_mb"] >= 0
    if way == "random access":                                           # half of them, a file, for every sample
        assert found["times_the_files"] == pytest.approx(40 / 2, rel=0.5)


@pytest.mark.parametrize("way", [way for way in bench_loader.WAYS if way not in ("WebDataset", "our store")])
def test_every_way_gives_every_painting_once(bench_files, way):
    """Told by its style and its mean in half grey levels: decoders differ by less."""
    files = find_art_files(bench_files)

    def told(image, style):
        return style, round(2 * image.float().mean().item())

    stored = [told(bench_loader._by_pillow(painting.encoded), painting.style)
              for file in files for painting in read_paintings(file)]
    seen = [told(image, style) for image, style in bench_loader.WAYS[way](files)]
    assert sorted(seen) == sorted(stored) and len(set(stored)) > 20


def test_a_way_that_fails_is_named_and_the_others_are_kept(bench_files, monkeypatch):
    monkeypatch.setattr(bench_loader, "WAYS", {"our store": None, "by hand": None})
    monkeypatch.setattr(bench_loader, "write_bench_files", lambda *_: None)
    found = bench_loader.bench_loader(2, 20, 0.0, bench_files)
    assert found["failed"] == ["by hand"] and [row["way"] for row in found["rows"]] == ["our store"]


def test_our_decoder_is_compared_with_the_thesis_s(bench_files, monkeypatch):
    """By a clock that goes on by a millisecond when it is read: a picture then takes one, however many there are."""
    file = find_art_files(bench_files)[0]
    monkeypatch.setattr(bench_loader, "time", SimpleNamespace(process_time=itertools.count(0, 0.001).__next__))
    for paintings in (10, 2000):                                         # of the 20 that there are
        found = bench_loader.compare_decoders(file, paintings)
        assert found["pillow_ms"] == pytest.approx(1) and found["ours_ms"] == pytest.approx(1)
    assert found["mean_difference"] <= 1 and found["largest_difference"] <= 2
    assert found["ratio"] == pytest.approx(found["pillow_ms"] / found["ours_ms"])


def test_mixing_is_told_at_wikiart_s_size():
    found = {way: bench_loader.mixing_at_full_size(way) for way in ("random access", "file-sequential (thesis)")}
    assert found["random access"]["style_entropy_bits"] == pytest.approx(3.10, abs=0.01)
    assert found["file-sequential (thesis)"]["style_entropy_bits"] == pytest.approx(0.24, abs=0.02)
    assert found["file-sequential (thesis)"]["files_per_batch"] < 1.1


def test_ways_are_measured_in_processes_of_their_own(bench_files, monkeypatch):
    monkeypatch.setattr(bench_loader, "WAYS", {"our store": None})
    monkeypatch.setattr(bench_loader, "write_bench_files", lambda *_: None)
    found = bench_loader.bench_loader(2, 20, 0.0, bench_files)
    assert found["files"] == 2 and [row["way"] for row in found["rows"]] == ["our store"]
    assert found["rows"][0]["samples"] == 16 + 16 + 8 + 16 and found["rows"][0]["times_the_files"] > 0


def test_peak_memory_counts_what_was_allocated_and_not_what_is_mapped(tmp_path):
    """In a process of its own: in this one, memory that earlier tests gave back may be used again."""
    told = subprocess.run([sys.executable, "-c", f"""
import time
import numpy as np
from t2i_helpers.evaluation.bench_loader import peak_anonymous_memory
with peak_anonymous_memory() as allocated:
    block = np.ones(40_000_000, np.uint8)
    time.sleep(0.1)
block.tofile({str(tmp_path / "mapped")!r})
with peak_anonymous_memory() as mapped:
    np.memmap({str(tmp_path / "mapped")!r}, np.uint8).sum()
print(allocated[0], mapped[0])"""], capture_output=True, text=True, check=True)
    allocated, mapped = map(int, told.stdout.split())
    assert 35e6 < allocated < 80e6 and mapped < 10e6


@pytest.mark.parametrize("options", [dict(files=0), dict(rows=3), dict(seconds=-1)])
def test_too_little_to_measure_is_refused(options):
    with refuses(BadValue, "files of"):
        bench_loader.bench_loader(**options)

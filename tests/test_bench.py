"""The benchmark command's arithmetic, and that each way of loading it compares is what it says."""

import dataclasses
import itertools
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import gpu
import loading
import memory
import numpy as np
import pyarrow.parquet as pq
import pytest
import speed
import torch
from safetensors.torch import load_file
from support import TINY_UNET, jpeg, refuses

from t2i_helpers import cli, paths, presets
from t2i_helpers.data.wikiart_files import find_art_files, read_paintings
from t2i_helpers.errors import BadData, BadValue, UnknownName
from t2i_helpers.models import build_unet, load_pipeline
from t2i_helpers.paths import ROOT, TABLES


def test_ways_to_sample_are_timed_in_turn_and_equal_settings_give_equal_images():
    ways = ("thesis", "ours-equal", "ours")                             # each takes ten seconds
    thesis, equal, ours = speed.bench_speed("sample", rounds=1, images=20, steps=10, ways=ways)["rows"]
    assert thesis["ratio"] == 1 and equal["largest_difference"] <= 1 / 255
    assert [row["forward_passes"] for row in (thesis, equal, ours)] == [20, 20, 4]
    assert thesis["accuracy"]["value"] == equal["accuracy"]["value"] >= 0.6
    for row in (thesis, equal, ours):
        low, high = row["spread"]
        assert 0 < low <= row["images_per_second"] <= high and 0 < row["share_of_peak"] < 1
        assert row["peak_memory_mb"] > 100 and row["accuracy"]["interval"][0] <= row["accuracy"]["value"]


def test_the_gpu_run_rehearsed_on_a_cpu(tmp_path, monkeypatch):
    """All stages with tiny networks: every one has a result, trainings resume bit for bit, and files come back."""
    chosen = gpu.chosen
    monkeypatch.setattr(gpu, "chosen", lambda *names: dataclasses.replace(chosen(*names), **TINY_UNET, max_steps=4))
    monkeypatch.setattr(gpu, "DATA", paths.DATA)
    names = ("machine", "train-mnist-thesis", "train-mnist-improved", "train-cifar10-improved-full",
             "samples-cifar10-improved", "bench-train", "bench-sample", "memory")
    monkeypatch.setattr(sys, "argv", ["gpu.py", str(tmp_path), *names, "--size", "smoke"])
    gpu.main()
    stages = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in names}
    assert {name: stage.get("error") for name, stage in stages.items()} == dict.fromkeys(names)
    assert stages["machine"]["resume_is_identical"] and stages["machine"]["difference_to_cpu"] < 1e-3
    assert stages["machine"]["difference_in_bf16"] < 0.05 and stages["train-mnist-thesis"]["steps"] == 4
    assert all(stages[f"bench-{task}"]["rows"][0]["images_per_second"] > 0 for task in ("sample", "train"))
    assert load_pipeline(tmp_path / "checkpoints" / "mnist-thesis").preset.variant == "thesis"
    assert len(load_file(tmp_path / "cifar10-improved-samples.safetensors")) == 2


def test_a_training_of_the_gpu_run_ends_in_time_and_is_exported(tmp_path, monkeypatch):
    chosen = gpu.chosen
    monkeypatch.setattr(gpu, "chosen", lambda *names: dataclasses.replace(
        chosen(*names), **TINY_UNET, max_steps=None, epochs=10**6))
    monkeypatch.setattr(gpu, "RUNS", tmp_path)
    result = gpu.Stages(tmp_path, "smoke", seconds=3).run("train-mnist-thesis")
    assert result["stopped"] and result["steps"] > 0
    assert load_pipeline(tmp_path / "checkpoints" / "mnist-thesis").preset.epochs == 10**6


def test_memory_of_a_step_follows_from_shapes():
    """The thesis's network for paintings fits a GPU of 40 GB at batch 16, and one of 24 GB with checkpointing."""
    preset = presets.get("wikiart", "thesis", "full")
    whole, half, checkpointed = (memory.step_memory(preset, 16, *way) for way in memory.WAYS.values())
    with torch.device("meta"):
        unet = build_unet(preset, text_dim=memory.CLIP_WIDTH)
    assert whole["parameters"] == sum(each.numel() for each in unet.parameters())
    assert whole["state_gb"] == pytest.approx(20 * whole["parameters"] / 1e9)
    assert whole["activations_gb"] > 1.5 * half["activations_gb"] > 6 * checkpointed["activations_gb"]
    assert half["state_gb"] + half["activations_gb"] < 40
    assert checkpointed["state_gb"] + checkpointed["activations_gb"] < 24
    smoke = presets.get("mnist", "improved", "smoke")
    one, four = (memory.step_memory(smoke, n, bf16=False)["activations_gb"] for n in (1, 4))
    assert four == pytest.approx(4 * one, rel=0.02)


def test_a_busy_machine_and_a_program_that_fails_are_reported(capsys, monkeypatch):
    monkeypatch.setattr(speed.os, "getloadavg", lambda: (1000.0, 0, 0))
    with refuses(BadData, "sample thesis failed", "/nowhere"):
        speed.bench_speed("sample", checkpoint="/nowhere")
    assert "busy" in capsys.readouterr().err
    with refuses(BadValue, "0 rounds"):
        speed.bench_speed("sample", rounds=0)
    with refuses(UnknownName, "enormous"):
        speed.bench_speed("train", size="enormous")
    monkeypatch.setattr(cli, "ROOT", Path("nowhere"))
    with refuses(BadData, "benchmarks", "clone"):
        cli.bench("sample")
    for options in (dict(files=0), dict(rows=3), dict(seconds=-1)):
        with refuses(BadValue, "files of"):
            loading.bench_loader(**options)


@pytest.fixture(scope="module")
def bench_files(tmp_path_factory):
    """Two files of 20 rows, with pictures of 60 KB in place of 400."""
    folder = tmp_path_factory.mktemp("bench")

    def picture(seed):
        return jpeg(np.random.default_rng(seed).integers(0, 256, (180, 180, 3), dtype=np.uint8))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "_picture", picture)
        loading.write_bench_files(folder, 2, 20)
    return folder


def test_bench_files_are_like_the_hub_s(bench_files):
    files = find_art_files(bench_files)
    styles = [painting.style for file in files for painting in read_paintings(file)]
    assert styles == sorted(styles) and len(styles) == 40 and styles.count(12) in (6, 7)      # 13,060 of 81,444
    column = pq.ParquetFile(files[0].path).metadata.row_group(0).column(0)
    assert column.has_dictionary_page and len({p.encoded for p in read_paintings(files[0])}) == 20
    assert 350_000 < len(loading._picture(0)) < 450_000


@pytest.mark.parametrize("way", loading.WAYS)
def test_every_way_is_measured_over_an_epoch_and_gives_every_painting_once(bench_files, way):
    """Paintings are recognised by their style and their mean in half grey levels: decoders differ by less."""
    found = loading.measure(way, bench_files, seconds=60.0)
    assert found["samples"] == (16_000 if way == "our store" else 40)
    assert 0 < found["p50_ms"] <= found["p99_ms"] and found["first_batch_s"] > 0 and found["peak_memory_mb"] >= 0
    if way == "random access":                                           # half of them, a file, for every sample
        assert found["times_the_files"] == pytest.approx(40 / 2)
    if way == "our store":
        return

    def identity(image, style):
        return style, round(2 * image.float().mean().item())

    files = find_art_files(bench_files)
    stored = [identity(loading._by_pillow(painting.encoded), painting.style)
              for file in files for painting in read_paintings(file)]
    given = [identity(image, style) for image, style in loading.WAYS[way][0](files)]
    assert sorted(given) == sorted(stored) and len(set(stored)) > 20


def test_ways_have_processes_of_their_own_and_one_that_fails_is_named(bench_files, monkeypatch, capsys):
    store = loading.WAYS["our store"]
    monkeypatch.setattr(loading, "WAYS", {"by hand": store, "our store": store})
    found = loading.bench_loader(2, 20, 0.0, bench_files)
    assert found["failed"] == ["by hand"] and "by hand failed" in capsys.readouterr().err
    (row,) = found["rows"]
    assert row["way"] == "our store" and row["samples"] == 16 + 16 + 8 + 16 and row["times_the_files"] > 0


def test_our_decoder_is_compared_with_the_thesis_s(bench_files, monkeypatch):
    """By a clock that goes on by a millisecond when it is read: a picture then takes one, however many there are."""
    file = find_art_files(bench_files)[0]
    monkeypatch.setattr(loading, "time", SimpleNamespace(process_time=itertools.count(0, 0.001).__next__))
    for paintings in (10, 2000):                                         # of the 20 that there are
        found = loading.compare_decoders(file, paintings)
        assert found["pillow_ms"] == pytest.approx(1) and found["ours_ms"] == pytest.approx(1)
    assert found["mean_difference"] <= 1 and found["largest_difference"] <= 2
    assert found["ratio"] == pytest.approx(found["pillow_ms"] / found["ours_ms"])


def test_mixing_at_wikiart_s_size_is_what_the_report_s_table_holds():
    stored = json.loads((TABLES / "table03_loading.json").read_text())["bench"]["rows"]
    stored = {row["way"]: {"style_entropy_bits": row["style_entropy_bits"], "files_per_batch": row["files_per_batch"]}
              for row in stored}
    assert stored["file-sequential (thesis)"]["style_entropy_bits"] == pytest.approx(0.24, abs=0.02)
    assert stored["random access"]["style_entropy_bits"] == pytest.approx(3.10, abs=0.01)
    for way, (_, order) in loading.WAYS.items():
        assert loading.mixing(order()) == pytest.approx(stored[way], abs=1e-9), way


def test_peak_memory_counts_what_was_allocated_and_not_what_is_mapped(tmp_path):
    """In a process of its own: in this one, memory that earlier tests gave back may be used again."""
    code = """
import sys, time
import numpy as np
from loading import peak_memory
with peak_memory() as allocated:
    block = np.ones(40_000_000, np.uint8)
    time.sleep(0.1)
block.tofile(sys.argv[1])
with peak_memory() as mapped:
    np.memmap(sys.argv[1], np.uint8).sum()
print(allocated.peak, mapped.peak)"""
    printed = subprocess.run([sys.executable, "-c", code, tmp_path / "mapped"], cwd=ROOT / "benchmarks",
                             capture_output=True, text=True).stdout
    allocated, mapped = map(int, printed.split())
    assert 35e6 < allocated < 80e6 and mapped < 10e6

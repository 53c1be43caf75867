"""Full disks, read-only folders, killed writers, other locales, other people's files: one line, and nothing is lost."""

import ast
import contextlib
import errno
import io
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import diffusers
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soak
import torch
from conftest import use_data_folder
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image
from support import jpeg, refuses, tiny_preset, write_art_files

from t2i_helpers import cli, paths, provenance
from t2i_helpers.data import PixelStore
from t2i_helpers.data.images import read_labelled
from t2i_helpers.data.wikiart_files import find_art_files, read_paintings, write_art_file
from t2i_helpers.errors import BadCheckpoint, BadData, BadValue, OutputError, T2IError
from t2i_helpers.models import load_pipeline
from t2i_helpers.reporting import exhibits
from t2i_helpers.training import train

pytestmark = pytest.mark.usefixtures("few_digits")
DIGIT, WEIGHTS = "A handwritten digit 5", "unet/diffusion_pytorch_model.safetensors"
PRESET = tiny_preset(ema_decay=0.5)
NOWHERE = Path("/proc/nowhere")                              # not even root can write there
few = settings(max_examples=25)


@pytest.fixture(scope="module")
def run(few_digits, tmp_path_factory):
    return train(PRESET, tmp_path_factory.mktemp("run"), max_steps=2)


@pytest.fixture
def full_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("a full disk needs the rights to mount one")
    yield folder
    subprocess.run(["umount", folder], check=True)


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def write_figure(path):
    figure = Figure()
    figure.add_subplot().imshow(noise(300, 300, 3))
    with paths.atomic_write(path) as temporary:
        exhibits.Exhibit(figure, "x", path.suffix[1:], "", {}).save(temporary)


WRITERS = {
    "weights.safetensors": lambda path: paths.save_tensors(path, {"x": torch.zeros(10**6)}),
    "text.json": lambda path: provenance.write_json(path, {"x": "x" * 10**6}),
    "rows.parquet": lambda path: write_art_file(path, [jpeg(noise(900, 900, 3))], [0]),
    "figure.png": write_figure, "figure.pdf": write_figure,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_line_and_the_old_file_stays(full_disk, name):
    path = full_disk / name
    path.write_text("old")
    with refuses(OutputError, f"cannot write {path}: ", "choose another output path"):
        WRITERS[name](path)
    assert path.read_text() == "old" and list(full_disk.iterdir()) == [path]


def test_a_store_or_a_pipeline_that_does_not_fit_on_the_disk_is_one_line(full_disk, run, pipe, tmp_path, monkeypatch):
    write_art_files(tmp_path / "in", (3,))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
    with refuses(OutputError, str(full_disk), "No space left"):
        PixelStore.build(tmp_path / "in", full_disk / "out", size=60, workers=1)
    shutil.rmtree(full_disk / "out")
    with refuses(OutputError, str(full_disk), "No space left"):
        type(run)(full_disk).save_pipeline(pipe)
    with refuses(OutputError, "metrics", "No space left"):
        paths.append_text(full_disk / "metrics.jsonl", "x" * 10**6)
    assert [path.name for path in full_disk.iterdir()] == ["metrics.jsonl"]


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*")
            if path.is_file() and path.name not in ("config.json", "metrics.jsonl", "state.safetensors")}


def test_a_training_on_a_full_disk_stops_at_any_file_and_goes_on_to_the_same_weights(run, tmp_path, monkeypatch):
    def full(_):
        if not left.pop():
            raise OSError(errno.ENOSPC, "No space left on device")

    for written in range(20):
        left = [False, *[True] * written]
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            try:
                train(PRESET, tmp_path / f"{written}", max_steps=1)
                break                                                          # no file is left to fail
            except OutputError as error:
                assert str(tmp_path / f"{written}") in str(error) and "No space left" in str(error)
        again = train(PRESET, tmp_path / f"{written}", max_steps=2)
        assert content(again.folder) == content(run.folder)
        assert again.metrics()[-1]["step"] == 2 and not list(again.folder.rglob(".*"))
    assert written > 5


def test_what_a_killed_process_left_is_removed_by_the_next_and_a_living_one_s_is_not(tmp_path):
    code = ("import os, sys; from t2i_helpers.paths import atomic_write\n"
            "with atomic_write(sys.argv[1]) as file: file.write_text('half'); os.kill(os.getpid(), 9)")
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.json"], cwd=paths.ROOT)
    (left,) = tmp_path.iterdir()
    assert done.returncode == -signal.SIGKILL and left.is_dir()
    living = left.with_name(f"{left.name.rpartition('-')[0]}-{os.getppid()}")
    living.mkdir()
    paths.write_text(tmp_path / "b.json", "another file")
    assert left.exists()
    paths.write_text(tmp_path / "a.json", "whole")
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "b.json", living.name}


def test_a_run_begins_in_what_a_killed_process_left_and_its_files_have_the_permissions_of_the_umask(tmp_path):
    left = tmp_path / f".config.json.{platform.node()}-{2**22 + 1}"                              # beyond any process
    left.mkdir()
    earlier = os.umask(0o027)
    try:
        train(PRESET, tmp_path, max_steps=1)
    finally:
        os.umask(earlier)
    assert not list(tmp_path.rglob(".*"))
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()}
    assert {Path(WEIGHTS).name, "state.safetensors"} <= modes.keys() and set(modes.values()) == {0o640}


def test_caches_that_cannot_be_written_stop_no_command(run, tmp_path, monkeypatch, capsys):
    use_data_folder(monkeypatch, NOWHERE)
    common = ["mnist", "--checkpoint", str(run.folder)]
    cli.main(["sample", *common, "--prompt", DIGIT, "--steps", "1", "--out", str(tmp_path / "x.png")])
    cli.main(["evaluate", *common, "--w", "1", "--samples", "24", "--steps", "1", "--json", str(tmp_path / "x.json")])
    assert Image.open(tmp_path / "x.png").size == (112, 112) and json.loads((tmp_path / "x.json").read_text())["rows"]
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: nothing is kept")]
    assert len(warnings) == 1 and str(NOWHERE) in warnings[0] and "T2I_HOME" in warnings[0]


def python(*arguments, folder=paths.ROOT, **environment):
    """The CompletedProcess of Python in `folder`, with `environment` changed."""
    known = {name: value for name, value in os.environ.items() if not name.startswith(("T2I_", "LC_", "LANG"))}
    return subprocess.run([sys.executable, *map(str, arguments)], cwd=folder, capture_output=True,
                          env=known | {"PYTHONPATH": str(folder)} | environment)


def test_t2i_home_moves_data_and_runs_but_not_what_ships(tmp_path):
    code = "from t2i_helpers.paths import *; print(DATA, RUNS, CHECKPOINTS, checkpoint_dir('mnist', 'weak', 'full'))"
    runs = tmp_path / "checkpoints" / "runs"
    expected = [tmp_path / "data", runs, paths.ROOT / "checkpoints", runs / "mnist-weak-full"]
    assert python("-c", code, T2I_HOME=str(tmp_path)).stdout.decode().split() == [*map(str, expected)]


def test_every_text_file_is_opened_as_utf_8():
    for file in sorted((paths.ROOT / "t2i_helpers").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called == "open" or called.endswith((".read_text", ".write_text")) and "/proc/" not in called:
                binary = len(node.args) > 1 and "b" in ast.unparse(node.args[1])
                assert binary or "encoding" in [keyword.arg for keyword in node.keywords], f"{file}:{node.lineno}"


def test_a_locale_without_utf_8_breaks_nothing(tmp_path):
    ascii_only = dict(LC_ALL="C", LANG="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="")
    code = ("from t2i_helpers import cli; import sys\n"
            "cli.main(['sample', 'mnist', '--prompt', sys.argv[1], '--out', sys.argv[2], '--steps', '1'])\n"
            "cli.main(['report', '--check'])")
    done = python("-c", code, "a ünique 7", tmp_path / "ü b.png", **ascii_only)
    assert done.returncode in (0, 1) and b"Traceback" not in done.stderr, done.stderr
    assert rb"b.png; trained on" in done.stdout and (tmp_path / "ü b.png").exists()


def test_an_installed_package_says_what_is_missing_and_where_it_can_be_put(tmp_path):
    """In a path with a space and an umlaut, without git, with a home that cannot be written."""
    folder = tmp_path / "site packages ü"
    shutil.copytree(paths.ROOT / "t2i_helpers", folder / "t2i_helpers", ignore=shutil.ignore_patterns("__pycache__"))
    code = ("from t2i_helpers import cli\n"
            "for arguments in (['doctor', '--json'], ['figures'], ['report'], ['sample', 'mnist', '--prompt', 'a',\n"
            "                  '--out', 'a.png']):\n"
            "    try: cli.main(arguments)\n"
            "    except SystemExit as stop: assert stop.code == 2")
    done = python("-c", code, folder=folder, HOME=str(NOWHERE), PATH="", HF_HOME=str(tmp_path / "hf"))
    figures, report, sample = done.stderr.decode().splitlines()
    assert done.returncode == 0 and json.loads(done.stdout)["git_commit"] is None
    assert figures == report and "clone the repository" in report
    assert f"copy the repository's checkpoints to {NOWHERE}/.t2i/checkpoints" in sample


@pytest.mark.parametrize("kind, words", [
    ("pickle", ("pickled", ".bin", "safetensors")), ("shards", ("shards", "max_shard_size")),
    ("fp16", ("fp16", "rename")), ("pipeline", ("DDPMPipeline", "t2i train")), ("file", ("pickled", ".pt")),
])
def test_a_checkpoint_of_another_kind_is_refused_with_the_cause(run, tmp_path, kind, words):
    folder = shutil.copytree(run.folder, tmp_path / "other.pt")
    weights = folder / WEIGHTS
    if kind == "pickle":
        torch.save({}, weights.rename(weights.with_suffix(".bin")))
    elif kind == "shards":
        unet = diffusers.UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
        weights.unlink()
        unet.save_pretrained(folder / "unet", max_shard_size="20KB")
    elif kind == "fp16":
        weights.rename(weights.with_name("diffusion_pytorch_model.fp16.safetensors"))
    elif kind == "pipeline":
        unet = diffusers.UNet2DModel(8, 1, 1, block_out_channels=(32,), down_block_types=("DownBlock2D",),
                                     up_block_types=("UpBlock2D",), layers_per_block=1)
        diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler()).save_pretrained(folder)
    else:
        shutil.rmtree(folder)
        torch.save({}, folder)
    with refuses(BadCheckpoint, str(folder), *words):
        load_pipeline(folder)


def test_a_pipeline_in_half_precision_draws_nearly_the_same_and_a_device_that_is_not_here_is_refused(run):
    """The network computes in it, and the rest in float32."""
    full, half = load_pipeline(run.folder, device="cpu"), load_pipeline(run.folder, device="cpu").to(torch.float16)
    options, seen = dict(steps=3, seeds=[0], scheduler="dpm++"), set()
    images = half([DIGIT], **options, callback=lambda step, x_t, x_0: seen.add(x_t.dtype)).images
    assert images.dtype == torch.float32 and seen == {torch.float32}
    assert 0 < (images - full([DIGIT], **options).images).abs().mean() < 0.02
    for device in ("cuda", "cudda", "cuda:9"):
        with refuses(BadValue, repr(device), "'cpu'"):
            load_pipeline(run.folder, device=device)


@pytest.mark.parametrize("options, note", [
    (("--w", "1"), "note: at w = 1 --negative has no effect\n"), (("--w", "2"), ""),
    (("--w", "0"), "note: at w = 0 --negative alone is drawn, and no --prompt\n"),
    (("--w", "1", "--guider", "cfg-original"), ""),
])
def test_a_negative_text_without_its_usual_effect_is_noted(run, tmp_path, capsys, options, note):
    cli.main(["sample", "mnist", "--checkpoint", str(run.folder), "--prompt", DIGIT, "--steps", "1", "--negative",
              "A handwritten digit 3", "--out", str(tmp_path / "x.png"), *options])
    assert capsys.readouterr().err == note


def test_errors_of_files_that_no_command_expects_are_one_line(monkeypatch, capsys):
    def fails(*_):
        raise PermissionError(errno.EACCES, "Permission denied", "/home/x")

    monkeypatch.setattr(cli.presets, "get", fails)
    with pytest.raises(SystemExit):
        cli.main(["train", "mnist"])
    assert capsys.readouterr().err == ("t2i: [Errno 13] Permission denied: '/home/x': check its name, its permissions "
                                       "and the disk's space\n")


def test_json_is_read_up_to_a_size_and_a_depth(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    path.write_text("[" * 10**5)
    with pytest.raises(ValueError, match="nested"):
        paths.read_json(path)
    monkeypatch.setattr(paths, "LARGEST_JSON", 10**4)
    with pytest.raises(ValueError, match="larger"):
        paths.read_json(path)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))


@few
@given(content=st.binary() | st.builds(lambda each: json.dumps({"schema": 3} | each).encode(),
                                       st.dictionaries(st.sampled_from(["file", "code", "record_sha256_16"]), JSON)))
def test_any_sidecar_is_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "sidecar.json"
    path.write_bytes(content)
    with contextlib.suppress(BadData):
        assert isinstance(provenance.read_sidecar(path), dict)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    return PixelStore.build(write_art_files(folder / "in", (3,)), folder / "out", size=8, workers=1)


@few
@given(st.dictionaries(st.sampled_from(["images", "size", "fingerprint", "sources", "rejected"]), JSON, min_size=1)
       | st.binary())
def test_any_manifest_is_read_or_refused(store, changed):
    path, before = store.folder / "manifest.json", (store.folder / "manifest.json").read_bytes()
    path.write_bytes(changed if isinstance(changed, bytes) else json.dumps(json.loads(before) | changed).encode())
    try:
        with contextlib.suppress(BadData):
            assert len(PixelStore(store.folder)) == 3
    finally:
        path.write_bytes(before)


FEATURES = st.fixed_dictionaries({}, optional={
    "image": st.just({"_type": "Image"}) | JSON, "style": st.fixed_dictionaries({"names": JSON | st.just(["0", "5"])})})


@few
@given(st.lists(st.tuples(st.none() | st.binary(max_size=9) | st.just(jpeg(noise(28, 28))),
                          st.none() | st.integers(-2**31, 2**31) | st.integers(0, 2)), max_size=3), FEATURES)
def test_any_parquet_rows_are_read_or_refused(tmp_path_factory, rows, features):
    path = tmp_path_factory.getbasetemp() / "rows.parquet"
    table = pa.table({"image": pa.array([{"bytes": image, "path": None} for image, _ in rows],
                                        pa.struct({"bytes": pa.binary(), "path": pa.string()})),
                      "style": pa.array([label for _, label in rows], pa.int64())})
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}), path)
    with contextlib.suppress(T2IError):
        images, labels = read_labelled([path], tuple("0123456789"), 1, 28)
        assert len(images) == len(labels) == len(rows) and set(labels.tolist()) <= set(range(10))
    with contextlib.suppress(T2IError):
        assert all(list(read_paintings(file)) for file in find_art_files(path))


@few
@given(st.lists(st.text(st.characters(exclude_categories=()), max_size=8), max_size=2))
def test_any_prompts_are_embedded_or_refused(pipe, prompts):
    with contextlib.suppress(T2IError):
        cond, null = pipe.embed(prompts)
        assert len(cond) == len(prompts) and cond.isfinite().all() and null.shape == (1, 8, 384)


WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=()), max_size=8)    # arguments have no NUL
SETTINGS = {"--w": WORDS | st.sampled_from(["1", "-3", "inf", "nan", "1e9"]), "--seed": WORDS | st.just("7"),
            "--guider": WORDS | st.sampled_from(["apg eta=2", "interval", "auto weak=x", "cfg ="]),
            "--scheduler": WORDS | st.sampled_from(["ddim eta=", "heun", "dpm++ spacing=x"]), "--prompt": WORDS,
            "--negative": WORDS, "--steps": st.sampled_from(["0", "1", "-1", "²", "1e2"]), "--checkpoint": WORDS}


@few
@given(st.data())
def test_any_arguments_run_or_are_refused_in_one_line(run, tmp_path_factory, data):
    command = data.draw(st.sampled_from(["sample", "evaluate", "train", "data", "bench", "doctor"]))
    name = data.draw(WORDS.filter(lambda text: text not in ("mnist", "cifar10", "wikiart", "study", "sample", "loader")
                                  and "mirror" not in text)) if command != "sample" else "mnist"
    chosen = data.draw(st.fixed_dictionaries({}, optional=SETTINGS))
    out = tmp_path_factory.getbasetemp() / "fuzzed.png"
    base = {"--out": str(out), "--checkpoint": str(run.folder), "--prompt": DIGIT} if command == "sample" else {}
    arguments = [command, name, *(part for pair in (base | chosen).items() for part in pair)]
    with contextlib.redirect_stderr(io.StringIO()) as errors, contextlib.redirect_stdout(io.StringIO()), \
            contextlib.suppress(SystemExit):
        cli.main(arguments)
    message = errors.getvalue()
    assert "Traceback" not in message and (not message.startswith("t2i:") or message.count("\n") == 1)


# the quick part of soak.py

@pytest.mark.parametrize("name", ["train", "data build-wikiart", "report"])
def test_a_killed_command_leaves_what_an_undisturbed_one_does_after_it_was_started_again(name, tmp_path):
    row = soak.soak(name, tmp_path, kills=1)
    assert row["kills"] == 1 and row["files"] >= 3 and row["different"] == []


def test_a_second_training_in_a_folder_is_refused_until_the_first_has_ended_or_was_killed(tmp_path):
    home = soak.prepare("train", tmp_path / "home")
    first = soak.start("train", home)
    while not (home / "run" / "config.json").exists():
        assert first.exitcode is None
        time.sleep(0.05)
    second = soak.start("train", home)
    second.join()
    message = soak.log(home, second.pid).read_text().strip().splitlines()[-1]
    assert second.exitcode == 2 and message.startswith("t2i: ") and f"process {first.pid}" in message
    first.kill()
    first.join()
    soak.finish("train", home)

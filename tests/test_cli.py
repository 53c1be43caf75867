"""The command line: its output, its exit status, and that a mistake costs nothing."""

import json
import os
import subprocess
import sys

import pytest
from PIL import Image
from support import tiny_preset, write_art_files

from t2i_helpers.cli import main
from t2i_helpers.data import PixelStore
from t2i_helpers.data.wikiart_files import write_art_file
from t2i_helpers.models import CaptionPipeline
from t2i_helpers.training import train

DIGIT = "A handwritten digit 5"


def run(capsys, *arguments):
    """(exit status, stdout, stderr) of `t2i ARGUMENTS`."""
    status = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        status = stop.code
    return status, *capsys.readouterr()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return train(tiny_preset(), tmp_path_factory.mktemp("run"), max_steps=1).folder


def test_sample_writes_prompts_by_scales(capsys, checkpoint, tmp_path):
    out = tmp_path / "new" / "grid.png"
    status, printed, _ = run(capsys, "sample", "mnist", "--checkpoint", checkpoint, "--prompt", DIGIT, "seven",
                             "--w", 0, 1, 2, "--steps", 2, "--seed", 3, "--out", out)
    assert status == 0
    assert Image.open(out).size == (3 * 116 + 4, 2 * 116 + 4)     # 4 x 28 pixels and a margin of 4 each
    assert "6 images" in printed and "MiniLM" in printed


def test_doctor_prints_json(capsys):
    status, printed, _ = run(capsys, "doctor", "--json")
    machine = json.loads(printed)
    assert status == 0
    assert {"device", "versions", "data", "text_encoders", "checkpoints", "sizes_that_run"} <= machine.keys()
    assert "embedded" in machine["data"]["mnist"] and machine["text_encoders"]["minilm"] == "packaged"
    assert machine["processor"] and machine["cores"] >= 1 and machine["memory_gb"] >= 1 and machine["operating_system"]


def test_evaluate_writes_its_rows(capsys, checkpoint, tmp_path):
    out = tmp_path / "rows.json"
    status, printed, _ = run(capsys, "evaluate", "mnist", "--checkpoint", checkpoint, "--w", 1, "--samples", 10,
                             "--steps", 1, "--json", out)
    written = json.loads(out.read_text())
    (row,), (low, high) = written["rows"], written["rows"][0]["accuracy"]["interval"]
    assert written["checkpoint"]["weights_sha256_16"] and written["judges"]["classifier"]["classifier_sha256_16"]
    assert status == 0 and row["n"] == 10 and low <= row["accuracy"]["value"] <= high and written["steps"] == 1
    assert row["accuracy"]["real"]["value"] > 0.8 and "too few" in printed and "classifier" not in row
    assert row["forward_passes"] == 1 and "accuracy" in printed


def test_a_reader_that_leaves_costs_no_result_and_is_no_error(capsys, checkpoint, tmp_path, monkeypatch):
    """As in `t2i evaluate ... --json FILE | head -1`."""
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        status, _, warned = run(capsys, "evaluate", "mnist", "--checkpoint", checkpoint, "--w", 1, "--samples", 10,
                                "--steps", 1, "--json", tmp_path / "rows.json")
    assert status == 141 and "t2i:" not in warned and json.loads((tmp_path / "rows.json").read_text())["rows"]


def test_evaluate_again_draws_nothing(capsys, checkpoint, monkeypatch):
    arguments = ("evaluate", "mnist", "--checkpoint", checkpoint, "--w", 1, "--samples", 24, "--steps", 1)
    status, first, _ = run(capsys, *arguments)
    assert status == 0 and "classifier frechet" in first and "warning: 24 samples" in first
    monkeypatch.setattr(CaptionPipeline, "__call__", lambda *_, **__: pytest.fail("drew again"))
    status, second, _ = run(capsys, *arguments)
    assert status == 0 and second == first


# one for each place that refuses; the modules' own tests have the others
MISTAKES = {
    "unknown dataset": (("train", "mnits"), ("mnits", "mnist")),
    "paintings of neither hub nor mirror": (("train", "wikiart"), ("huggan/wikiart", "--source procedural")),
    "own images of no folder": (("train", "own"), ("own", "--data PATH")),
    "a folder for another dataset": (("train", "mnist", "--data", "x"), ("own", "--data PATH")),
    "a template for another dataset": (("train", "mnist", "--caption", "a {}"), ("own", "--caption")),
    "own images of the thesis": (("train", "own", "--data", "x", "--variant", "thesis"), ("thesis", "improved")),
    "unknown encoder": (("train", "mnist", "--encoder", "elmo"), ("elmo", "minilm")),
    "no training steps": (("train", "mnist", "--max-steps", "0"), ("max_steps",)),
    "unknown scheduler": (("sample", "mnist", "--scheduler", "magic"), ("magic", "dpm++")),
    "w is infinite": (("sample", "mnist", "--w", "1", "inf"), ("inf", "finite")),
    "no prompt": (("sample", "mnist", "--prompt"), ("--prompt",)),
    "no PNG": (("sample", "mnist", "--out", "grid.txt"), ("grid.txt", ".png")),
    "prompt too long": (("sample", "mnist", "--prompt", "a very long sentence about one digit"), ("digit", "tokens")),
    "checkpoint missing": (("sample", "mnist", "--checkpoint", "nowhere"), ("nowhere", "train")),
    "other dataset": (("sample", "cifar10"), ("mnist", "cifar10")),
    "output folder is a file": (("sample", "mnist", "--out", f"{__file__}/a.png"), ("cannot write", "test_cli.py")),
    "no kind of data": (("data", "wikiart"), ("wikiart", "build-wikiart")),
    "no paintings": (("data", "build-wikiart", "--source", "nowhere", "--out", "x"), ("nowhere", "Parquet")),
    "source without out": (("data", "build-wikiart", "--source", "x"), ("--out", "neither")),
    "no hub to decode": (("data", "build-wikiart"), ("huggan/wikiart", "T2I_MIRROR")),
    "no place for a mirror": (("data", "mirror"), ("--to",)),
    "no hub to copy": (("data", "mirror", "--to", "x"), ("hub", "internet")),
    "unknown benchmark": (("bench", "coffee"), ("coffee", "sample")),
    "too few samples": (("evaluate", "mnist", "--samples", "1"), ("1", "2")),
    "no scales to evaluate": (("evaluate", "mnist", "--w"), ("scale",)),
    "options of the study": (("evaluate", "study", "--samples", "9"), ("--size", "--stale")),
    "stale results of no study": (("evaluate", "mnist", "--stale"), ("study",)),
    "unknown judge": (("evaluate", "mnist", "--also", "critic"), ("critic", "inception")),
    "Inception weights of another file": (
        ("evaluate", "mnist", "--also", "inception", "--inception-weights", __file__), ("test_cli.py", "SHA-256")),
    "a reference without its judge": (("evaluate", "mnist", "--reference", "a.safetensors"), ("inception",)),
    "unknown size to draw": (("figures", "--size", "huge"), ("huge", "demo")),
}


@pytest.mark.parametrize("arguments, words", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_clear_line_and_changes_nothing(capsys, checkpoint, tmp_path, arguments, words, monkeypatch):
    drawn = CaptionPipeline.__call__
    monkeypatch.setattr(CaptionPipeline, "__call__", lambda *a, **k: [drawn(*a, **k), pytest.fail("it drew images")])
    out = tmp_path / "out.png"
    defaults = {"train": {"--out": tmp_path / "run"}, "evaluate": {"--checkpoint": checkpoint, "--json": out},
                "sample": {"--checkpoint": checkpoint, "--prompt": DIGIT, "--out": out}}
    options = [each for name, value in defaults.get(arguments[0], {}).items() if name not in arguments
               for each in (name, value)]
    out.write_bytes(b"precious")
    status, _, message = run(capsys, *arguments[:2], *options, *arguments[2:])
    assert status == 2 and message.startswith("t2i: ") and message.count("\n") == 1
    assert all(word in message for word in words)
    assert out.read_bytes() == b"precious" and not (tmp_path / "run").exists()


@pytest.mark.parametrize("arguments, words", [
    (("sample", "mnist", "--w", "two"), ("--w", "two", "--help")), (("train",), ("Required", "t2i train --help")),
    (("sample", "mnist", "--stepz", "2"), ("--stepz", "meant", "--steps")), (("paint",), ("paint", "doctor", "sample")),
    (("evaluate", "study", "--size", "smoke"), ("size of the study",)),
    (("evaluate", "mnist", "--size", "full"), ("mnist-improved-full",)),
    (("train", "mnist", "--source", "hub", "--out", "unused"), ("T2I_MIRROR", "gone")),
])
def test_a_usage_error_names_the_option_and_the_help(capsys, arguments, words, monkeypatch):
    monkeypatch.setenv("T2I_MIRROR", "gone")                                                # is no folder
    status, _, message = run(capsys, *arguments)
    assert status == 2 and "Traceback" not in message and all(word in message for word in words)


def test_help_answers_without_heavy_libraries(capsys):
    status, printed, _ = run(capsys, "--help")
    assert not status and "Draw a grid of prompts" in printed
    code = "import sys; from t2i_helpers.cli import main\ntry: main(['--help'])\nfinally: print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    assert "tyro" in loaded and not {"torch", "diffusers", "transformers", "matplotlib", "numpy"} & {*loaded}


def test_build_wikiart_makes_a_store_and_names_rejected_rows(capsys, tmp_path):
    write_art_files(tmp_path / "in", (3,))
    write_art_file(tmp_path / "in/z.parquet", [b"no picture"], [0])
    arguments = ("data", "build-wikiart", "--source", tmp_path / "in", "--out", tmp_path / "out", "--workers", 1)
    for warning in ("1 of 4 paintings cannot be decoded and were left out, such as row 3: not an image", ""):
        status, printed, warned = run(capsys, *arguments, "--size", 8)
        assert status == 0 and "3 paintings" in printed and "1 rejected" in printed and warning in warned
    assert len(PixelStore(tmp_path / "out")) == 3

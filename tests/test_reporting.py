"""Figures and notebooks: what is written, at which size, from which checkpoints, and how a failure reads."""

import io
import json
from dataclasses import replace

import nbformat
import numpy as np
import pytest
import torch
from IPython.display import Image as Picture
from PIL import Image
from support import refuses

from t2i_helpers import evaluation, paths, presets
from t2i_helpers.errors import BadData, SourceUnavailable
from t2i_helpers.provenance import file_hash, read_sidecar, recording
from t2i_helpers.reporting import animations, checkpoints, exhibits, guidance, mnist, study
from t2i_helpers.reporting.drawing import TEXT_WIDTH, image_grid, new_figure
from t2i_helpers.reporting.exhibits import Exhibit, Table, export
from t2i_helpers.reporting.notebooks import execute_notebooks

NOTE = "what was drawn, and with what"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(exhibits, "figures_dir", lambda size: tmp_path)
    monkeypatch.setattr(exhibits, "tables_dir", lambda size: tmp_path)
    return tmp_path


def picture(channels=1):
    figure, axes = new_figure(1, 1, 9)
    images = torch.rand(2, 6, channels, 28, 28, generator=torch.Generator().manual_seed(0))
    image_grid(axes[0, 0], images)
    return Exhibit(figure, "picture", "png", NOTE, {})


def test_grid_draws_each_image_in_its_place():
    images = torch.linspace(0, 1, 6).view(2, 3, 1, 1, 1).expand(2, 3, 1, 28, 28)
    _, axes = new_figure(1, 1, 2)
    image_grid(axes[0, 0], images, ["a", "b"], [1, 2, 3])
    drawn = axes[0, 0].images[0].get_array()
    columns, rows = axes[0, 0].get_xticks().astype(int), axes[0, 0].get_yticks().astype(int)
    assert drawn[rows][:, columns, 0].flatten().tolist() == pytest.approx(images[:, :, 0, 0, 0].flatten().tolist())


def test_the_sidecar_of_a_figure_or_a_table_leads_back_to_file_note_and_checkpoints(pipes, folder):
    shown = mnist.unguided_digits(pipes, steps=1)
    assert export(shown, "smoke") is shown
    sidecar = read_sidecar(folder / "fig04_digits_no_cfg.json")
    assert sidecar["file_sha256_16"] == file_hash(folder / sidecar["file"]) and sidecar["note"] == shown.note
    assert sidecar["sampling"]["thesis"]["first_and_last_seed"] == [422, 441]
    assert all(sidecar["checkpoints"][variant]["weights_sha256_16"] == pipe.weights_sha256_16
               for variant, pipe in pipes.items())
    assert {"git_commit", "git_dirty", "versions", "device", "wall_seconds", "code", "size"} <= sidecar.keys()
    assert "stand-in for CLIP" in sidecar["note"]
    export(Table("x", ["a", "b"], [["1", "2"]], NOTE, {"input_hashes": {}}), "smoke")
    sidecar = read_sidecar(folder / "x.json")
    assert sidecar["note"] == NOTE and sidecar["file_sha256_16"] == file_hash(folder / "x.tex")


def test_pictures_leave_no_empty_height_and_no_label_is_cut(pipes, folder):
    export(guidance.negative_prompts(pipes["improved"], 1), "smoke")
    pixels = np.asarray(Image.open(folder / "study_negative.png").convert("L"))
    rows = np.flatnonzero((pixels < 250).any(1))
    assert rows[0] < 15 and len(pixels) - rows[-1] < 15, "an empty strip is left"
    assert (pixels[:, :4] == 255).all(), "the labels at the left end outside"


def test_the_same_figure_is_the_same_bytes(pipes, folder):
    for draw, file in ((lambda: mnist.loss_curves(pipes), "fig06_loss.pdf"), (picture, "picture.png")):
        first, second = ((export(draw(), "smoke"), (folder / file).read_bytes())[1] for _ in range(2))
        assert first == second and first[:4] in (b"%PDF", b"\x89PNG")


def test_pictures_are_opaque_and_small(folder):
    export(picture(), "smoke")
    file, direct = Image.open(folder / "picture.png"), io.BytesIO()
    picture().figure.savefig(direct, format="png")
    assert (folder / "picture.png").stat().st_size < len(direct.getvalue())
    assert file.mode == "L" and file.info["dpi"] == pytest.approx((100, 100), abs=0.02)
    assert file.width == round(TEXT_WIDTH * 100)
    export(picture(channels=3), "smoke")
    file = Image.open(folder / "picture.png")
    direct = np.asarray(exhibits._raster(picture(channels=3).figure), float)
    assert file.mode == "P" and np.square(np.asarray(file.convert("RGB")) - direct).mean() < 255**2 / 10**2.5  # 25 dB


@pytest.mark.parametrize("channels, kind", [(1, "PNG"), (3, "JPEG")])
def test_a_notebook_shows_a_small_picture_and_its_note(monkeypatch, channels, kind):
    displayed = []
    monkeypatch.setattr(exhibits, "display", lambda *shown: displayed.extend(shown))
    picture(channels)._ipython_display_()
    image = Image.open(io.BytesIO(displayed[0].data))
    assert image.format == kind and image.width == pytest.approx(TEXT_WIDTH * 72, abs=1)
    assert displayed[1].data == f"*{NOTE}*"


def test_an_animation_keeps_its_frames_and_ends_with_what_is_drawn(pipes, folder, monkeypatch):
    pipe = pipes["improved"]
    shown = export(animations.denoising(pipe, steps=3), "smoke")
    displayed, ends = [], []
    monkeypatch.setattr(exhibits, "display", lambda *shown: displayed.extend(shown))
    shown._ipython_display_()
    assert displayed[0].alt == "One image a class, as noise x_t and as the estimate x^_0, at every step."
    for animation in (folder / "denoising_animation.gif", io.BytesIO(displayed[0].data)):       # the file, the notebook
        with Image.open(animation) as file:
            assert file.n_frames >= 4 and file.info["loop"] == 0
            file.seek(file.n_frames - 1)
            ends.append(np.asarray(file.convert("L"), float))
    images = pipe(pipe.captions, w=2.0, steps=3).images.expand(2, -1, -1, -1, -1)
    figure = shown.figure[-1]
    image_grid(figure.axes[0], images, ["$x_t$", r"$\hat x_0$"], title="3 of 3 steps")
    wanted = Image.open(io.BytesIO(exhibits.inline_image(figure))).convert("L")
    assert all(np.abs(end - np.asarray(wanted, float)).mean() < 4 for end in ends)


def test_a_committed_figure_is_shown_with_its_note_where_its_data_are_missing(folder, monkeypatch, capsys):
    def unavailable():
        raise SourceUnavailable("no photographs here")

    export(picture(), "demo")
    export(replace(picture(), name="curve", format="pdf"), "demo")
    assert isinstance(exhibits.committed("picture"), Picture) and NOTE in capsys.readouterr().out
    monkeypatch.setattr(exhibits, "export", lambda shown, size: (shown, size))
    show = exhibits.shower("smoke")
    assert show(lambda: "figure", "curve") == ("figure", "smoke")
    assert show(unavailable, "curve").data == "[curve.pdf](../figures/curve.pdf)"
    assert "no photographs here" in capsys.readouterr().out


def test_smoke_never_touches_the_reports_figures_and_tables():
    for folder, shipped in ((paths.figures_dir, paths.FIGURES), (paths.tables_dir, paths.TABLES)):
        assert folder("smoke") != folder("demo") == folder("full") == shipped


@pytest.mark.parametrize("size, trained, folder", [
    ("full", True, "runs/mnist-improved-full"), ("demo", False, "mnist-improved"), ("smoke", False, "mnist-improved")])
def test_pipelines_are_the_user_s_at_full_and_those_that_ship_else(monkeypatch, size, trained, folder):
    calls = []
    monkeypatch.setattr(checkpoints, "train", lambda preset, out: calls.append((preset, out)))
    monkeypatch.setattr(checkpoints, "load_pipeline", lambda path: path)
    loaded = checkpoints.pipelines("mnist", size)
    assert list(loaded) == list(presets.VARIANTS) and loaded["improved"] == paths.CHECKPOINTS / folder
    assert calls == [(presets.get("mnist", variant, "full"), path) for variant, path in loaded.items() if trained]


def test_at_full_the_study_is_the_user_s(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(study, "run_study", lambda parts, size: calls.append(("measured", *parts, size)))
    monkeypatch.setattr(study, "read_part", lambda part, size: calls.append(("read", part, size)) or {})
    monkeypatch.setattr(study, "read_experiment", lambda name, size: calls.append(("read", name, size)) or {})
    for draw in (lambda: study.pareto("full"), lambda: mnist.noise_table("full")):
        with refuses(BadData, "t2i evaluate study"):
            draw()
    assert calls == [(what, part, "full") for part in ("rules-mnist", "noise") for what in ("measured", "read")]


def test_a_figure_records_a_result_and_not_what_is_drawn_to_measure_it(pipes, tmp_path, monkeypatch):
    def measure(pipe, *_):
        pipe(["7"], w=1, steps=1)
        return {}

    monkeypatch.setattr(pipes["improved"], "folder", tmp_path)
    monkeypatch.setattr(checkpoints, "evaluate", measure)
    monkeypatch.setattr(evaluation.study, "PARTS", {"part": []})
    monkeypatch.setattr(evaluation.study, "read_part", lambda *_: measure(pipes["improved"]))
    with recording() as uses:
        checkpoints.measured(pipes["improved"], "evaluation")
        evaluation.study.run_study(["part"])
    assert uses == [("file", tmp_path / "evaluation.json")]


def test_a_stored_evaluation_is_used_only_for_its_weights(pipes, tmp_path, monkeypatch):
    pipe, measured = pipes["improved"], []
    monkeypatch.setattr(checkpoints, "evaluate", lambda *_: measured.append(1) or {"rows": []})
    stored = checkpoints.measured(pipe, "evaluation")
    assert stored["rows"] and not measured
    monkeypatch.setattr(pipe, "folder", tmp_path)
    for content in ("{", json.dumps(stored | {"checkpoint": {"weights_sha256_16": "other"}}), json.dumps(stored)):
        (tmp_path / "evaluation.json").write_text(content)
        checkpoints.measured(pipe, "evaluation")
    assert len(measured) == 2


def test_notebooks_are_executed_in_place_at_a_size_and_one_that_fails_is_left(tmp_path):
    def write(*sources):
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)

    path = tmp_path / "05_test.ipynb"
    write("import os", "print(os.environ['T2I_SIZE'], 6 * 7)")
    assert list(execute_notebooks("demo", tmp_path)) == [path]
    assert nbformat.read(path, 4).cells[1].outputs[0].text == "demo 42\n"
    write("x = 0", "1 / x")
    before = path.read_bytes()
    with refuses(BadData, "05_test.ipynb", "code cell 2", "ZeroDivisionError"):
        list(execute_notebooks("demo", tmp_path))
    assert path.read_bytes() == before

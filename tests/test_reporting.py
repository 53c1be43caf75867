"""Figures: what is written, what the sidecar says, and that `smoke` leaves the report's figures alone."""

import dataclasses
import json

import pytest
import torch
from matplotlib.figure import Figure

from t2i_helpers import paths, presets
from t2i_helpers.data import load_images
from t2i_helpers.models import WEIGHTS, load_pipeline
from t2i_helpers.provenance import file_hash
from t2i_helpers.reporting import export as export_module
from t2i_helpers.reporting import mnist
from t2i_helpers.reporting.drawing import image_grid, new_figure
from t2i_helpers.reporting.export import export

PRESET = presets.get("mnist", "improved", "smoke")


@pytest.fixture(scope="module")
def pipes():
    return {variant: load_pipeline("mnist", variant) for variant in presets.VARIANTS}


@pytest.fixture()
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "figures_dir", lambda size: tmp_path)
    return tmp_path


def test_grid_draws_each_image_in_its_place():
    images = torch.linspace(0, 1, 6).view(2, 3, 1, 1, 1).expand(2, 3, 1, 28, 28)
    _, axes = new_figure(1, 1, 2)
    image_grid(axes[0, 0], images, ["a", "b"], [1, 2, 3])
    picture = axes[0, 0].images[0].get_array()
    columns, rows = axes[0, 0].get_xticks().astype(int), axes[0, 0].get_yticks().astype(int)
    assert picture[rows][:, columns, 0].flatten().tolist() == pytest.approx(images[:, :, 0, 0, 0].flatten().tolist())


def test_sidecar_walks_back_to_the_checkpoints(pipes, folder):
    figure = export(mnist.unguided_digits(pipes, steps=1, samples=1), "smoke")
    assert isinstance(figure, Figure)
    sidecar = json.loads((folder / "fig04_digits_no_cfg.json").read_text())
    assert sidecar["file_sha256_16"] == file_hash(folder / sidecar["file"])
    assert sidecar["images_a_variant_and_scale"] == 10 and sidecar["w"] == [1.0] and sidecar["steps"] == 1
    for variant, pipe in pipes.items():
        told = sidecar["checkpoints"][variant]
        assert told["weights_sha256_16"] == file_hash(pipe.folder / WEIGHTS) and told["text_encoder"] == "minilm"
        assert told["preset_hash"] and sidecar["first_and_last_seed"][variant] == [422, 431]
    assert {"git_commit", "git_dirty", "versions", "device", "wall_seconds"} <= sidecar.keys()


def test_a_stand_in_is_named_in_the_picture(pipes):
    figure = mnist.unguided_digits(pipes, steps=1, samples=1).figure
    assert "stand-in for CLIP" in figure._supxlabel.get_text().replace("\n", " ")


def test_curves_are_the_same_bytes_when_nothing_changed(pipes, folder):
    written = []
    for _ in range(2):
        export(mnist.loss_curves(pipes), "smoke")
        written.append((folder / "fig06_loss.pdf").read_bytes())
    assert written[0] == written[1] and written[0].startswith(b"%PDF")


def test_every_figure_of_the_thesis_is_drawn(pipes):
    quick = dataclasses.replace(PRESET, sample_steps=1)
    names = [shown.name[:5] for shown in mnist.all_figures(pipes, load_images(PRESET), quick)]
    assert [name for name in names if name.startswith("fig")] == [f"fig0{i}" for i in range(1, 8)]


def test_smoke_never_touches_the_reports_figures():
    assert paths.figures_dir("smoke") != paths.figures_dir("demo") == paths.figures_dir("full") == paths.FIGURES


def test_explorer_redraws_when_a_slider_moves(pipes, monkeypatch):
    from t2i_helpers.reporting import explore

    drawn = []
    monkeypatch.setattr(explore, "display", drawn.append)
    sliders = explore.guidance_explorer(pipes["improved"], steps=1).children[0].children
    before = len(drawn)
    sliders[1].value = 5.0
    assert len(drawn) == before + 1 and drawn[-1].size == (168, 168)

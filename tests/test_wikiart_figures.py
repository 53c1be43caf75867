"""Section 3.4's figures and tables: what they show is what was measured."""

from unittest.mock import Mock

import numpy as np
import torch
from support import refuses, write_art_files

from t2i_helpers import presets
from t2i_helpers.data import GENRES, HELD_OUT_PAIRS, PixelStore, load_images
from t2i_helpers.errors import BadData
from t2i_helpers.reporting import wikiart
from t2i_helpers.reporting.tables import configuration_table

ROWS = (40, 40, 40)
PRESET = presets.get("wikiart", "improved", "smoke")


def test_figure_12_shows_every_row_and_that_only_the_thesis_finishes_a_file_before_the_next(tmp_path):
    folder = write_art_files(tmp_path / "art", ROWS)
    traces = wikiart.read_traces(folder, PixelStore.build(folder, tmp_path / "store", size=8, workers=1))
    assert all(np.bincount(files).tolist() == list(ROWS) for files in traces.values())
    changes = {way: int((np.diff(files) != 0).sum()) for way, files in traces.items()}
    assert changes["file-sequential (thesis)"] == 2
    assert changes["our store"] > 40 and changes["our stream"] > 20
    dataset = load_images(PRESET)
    shown = wikiart.loading(traces, dataset, PRESET)
    assert shown.metadata["images"][0]["data_fingerprint"] == dataset.fingerprint
    assert shown.metadata["presets"][0]["preset_hash"]
    titles = [axis.get_title() for axis in shown.figure.axes]
    assert len(titles) == 3 and "1.1 files" in titles[0]       # one of seven batches has the end of a file
    assert "drawn shapes" in shown.note


def test_pictures_of_the_data_are_thumbnails_of_styles_in_the_public_domain():
    shown = wikiart.dataset_samples(load_images(PRESET), PRESET, columns=4)
    (axis,) = shown.figure.axes
    assert [text.get_text() for text in axis.get_yticklabels()] == list(wikiart.PUBLIC_DOMAIN)
    height, width, _ = axis.images[0].get_array().shape
    assert height < 5 * 72 and width < 4 * 72
    assert torch.equal(load_images(presets.get("wikiart", "thesis", "smoke")).labels.unique(), torch.arange(27))


def test_framed_pairs_are_those_that_training_never_saw():
    pipe = Mock(preset=PRESET, side_effect=lambda prompts, **_: Mock(images=torch.zeros(len(prompts), 3, 16, 16)))
    shown = wikiart.composition_grid(pipe, 2)
    prompts = pipe.call_args[0][0]
    (axis,) = shown.figure.axes
    framed = {(round(patch.get_y() / 17), round(patch.get_x() / 17)) for patch in axis.patches}
    captions_framed = {prompts[row * len(wikiart.COMPOSED) + column] for row, column in framed}
    assert captions_framed == {f"{GENRES[genre]} in the style of {style}" for genre, style in HELD_OUT_PAIRS
                               if style in wikiart.COMPOSED}
    assert len(framed) == shown.metadata["unseen_pairs_shown"] == 8


def test_the_composition_table_puts_drawn_beside_real(monkeypatch):
    part = {"n": 300, **{key: {"value": 0.5, "interval": [0.4, 0.6], "real": {"value": 0.7, "interval": [0.6, 0.8]}}
                         for key in ("genre_accuracy", "style_accuracy", "both")}}
    monkeypatch.setattr(wikiart, "measured", lambda pipe, name: {
        "seen": part, "unseen": part, "chance": {"genre": 1 / 9, "style": 1 / 16}, "w": 4.0, "steps": 15})
    table = wikiart.composition_table(None)
    assert table.rows[1][:2] == ["unseen in training", "300"] and "11.1%" in table.note
    assert [cell[0][:2] for cell in table.rows[0][2:]] == ["50", "70"] * 3


def test_table_3_puts_measured_beside_printed():
    rows = [dict(way=way, p50_ms=0.1234, p99_ms=1.5, samples_per_second=1234.0, first_batch_s=2.0, peak_memory_mb=812.3,
                 times_the_files=16.0, read_per_epoch_gb=1.0, style_entropy_bits=2.935, files_per_batch=12.64)
            for way in ("random access", "our store")]
    found = dict(files=4, rows_per_file=1100, bytes=1.9e9, rows=rows, decoding=dict(ours_ms=8.0, pillow_ms=13.0))
    table = wikiart.loader_table(found)
    assert table.rows[0][:5] == ["random access", "10–15 s", "variable", "0.123", "1.50"]
    assert table.rows[1][:3] == ["our store", "–", "–"] and table.rows[1][-2:] == ["2.94", "12.6"]
    assert "4 synthetic files of 1,100 rows" in table.note and table.metadata["bench"] == found


def test_without_a_measurement_table_3_says_how_to_get_one(monkeypatch, tmp_path):
    monkeypatch.setattr(wikiart, "TABLES", tmp_path)
    with refuses(BadData, "t2i bench loader"):
        wikiart.stored_loader_table()


def test_table_4_marks_what_the_thesis_s_text_contradicts():
    table = configuration_table("table04")
    marked = {(row[0], table.header[column - 1]): row[column] for row in table.rows for column in (2, 4, 6)
              if row[column].startswith("≠")}
    assert marked == {
        ("parameters", "MNIST: printed"): "≠ 3,140,385", ("parameters", "CIFAR-10: printed"): "≠ 87,983,363",
        ("parameters", "WikiArt: printed"): "≠ 347,990,531", ("batch size", "MNIST: printed"): "≠ 512",
        ("learning rate", "MNIST: printed"): "≠ 1e-3"}
    assert "≠ 3,140,385" in table.latex()

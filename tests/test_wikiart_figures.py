"""Section 3.4's figures and tables: what they show is what was measured."""

import numpy as np
import pytest
import torch
from support import refuses, write_art_files

from t2i_helpers import presets
from t2i_helpers.data import PixelStore, load_images
from t2i_helpers.errors import BadData
from t2i_helpers.reporting import wikiart
from t2i_helpers.reporting.tables import configuration_table

ROWS = (40, 40, 40)


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    folder = write_art_files(tmp_path_factory.mktemp("art"), ROWS)
    store = PixelStore.build(folder, tmp_path_factory.mktemp("store"), size=8, workers=1)
    return wikiart.read_traces(folder, store)


def test_traces_hold_every_row_of_every_file(traces):
    for files in traces.values():
        assert np.bincount(files).tolist() == list(ROWS)


def test_the_thesis_s_trace_finishes_a_file_before_the_next_and_ours_do_not(traces):
    changes = {way: int((np.diff(files) != 0).sum()) for way, files in traces.items()}
    assert changes["file-sequential (thesis)"] == 2
    assert changes["our store"] > 40 and changes["our stream"] > 20


def test_the_figure_counts_the_files_of_a_batch(traces):
    preset = presets.get("wikiart", "improved", "smoke")
    dataset = load_images(preset)
    shown = wikiart.loading(traces, dataset, preset)
    assert shown.facts["data_fingerprint"] == dataset.fingerprint and shown.facts["preset_hash"]
    titles = [axis.get_title() for axis in shown.figure.axes]
    assert len(titles) == 3 and "1.1 files" in titles[0]       # one of seven batches has the end of a file
    assert "procedural paintings" in shown.figure._supxlabel.get_text().replace("\n", " ")


def test_every_style_is_shown_once_in_label_order():
    preset = presets.get("wikiart", "improved", "smoke")
    shown = wikiart.dataset_samples(load_images(preset), preset)
    labels = [text.get_text() for axis in shown.figure.axes for text in axis.get_xticklabels()]
    assert labels == wikiart.short_names() and len(set(labels)) == 27


def test_the_imbalance_is_that_of_the_hub_s_labels():
    shown = wikiart.imbalance()
    heights = [bar.get_height() for bar in shown.figure.axes[0].patches]
    assert sum(heights) == presets.TRAINING_IMAGES["wikiart"] == 81_444
    assert heights == sorted(heights, reverse=True) and heights[0] == 13_060


def measured_row(way, **numbers):
    return dict(way=way, p50_ms=0.1234, p99_ms=1.5, samples_per_second=1234.0, first_batch_s=2.0, peak_memory_mb=812.3,
                times_the_files=16.0, read_per_epoch_gb=1.0, style_entropy_bits=2.935, files_per_batch=12.64) | numbers


def test_table_3_puts_measured_beside_printed():
    rows = [measured_row("random access"), measured_row("our store")]
    found = dict(files=4, rows_per_file=1100, bytes=1.9e9, rows=rows, decoding=dict(ours_ms=8.0, pillow_ms=13.0))
    table = wikiart.loader_table(found)
    assert table.rows[0][:5] == ["random access", "10–15 s", "variable", "0.123", "1.50"]
    assert table.rows[1][:3] == ["our store", "–", "–"] and table.rows[1][-2:] == ["2.94", "12.6"]
    assert "4 synthetic files of 1,100 rows" in table.note and table.facts["bench"] == found


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
    assert r"$\ne$~\num{3140385}" in table.latex()


def test_styles_fit_the_model_s_captions():
    assert torch.equal(load_images(presets.get("wikiart", "thesis", "smoke")).labels.unique(), torch.arange(27))

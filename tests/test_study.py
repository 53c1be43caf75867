"""The study: what is measured is kept, what has changed is measured again, and figures show what is stored."""

import dataclasses
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import refuses

from t2i_helpers import presets
from t2i_helpers.diffusion import make_guider, make_scheduler
from t2i_helpers.errors import BadData, BadValue, SourceUnavailable, UnknownName
from t2i_helpers.evaluation import study
from t2i_helpers.evaluation.study import PARTS, WORDINGS, Cell, read_part, run_study
from t2i_helpers.models import WEIGHTS, load_text_encoder
from t2i_helpers.paths import CHECKPOINTS
from t2i_helpers.provenance import file_hash
from t2i_helpers.reporting import exhibits as exporting
from t2i_helpers.reporting import losses, networks, rules, samplers, tables
from t2i_helpers.reporting import study as stored
from t2i_helpers.reporting.latex import WithInterval
from t2i_helpers.training.ablation import ablation_preset

CELLS = [Cell(checkpoint="mnist", w=w, n=20, steps=1) for w in (0.0, 1.0, 5.0)]


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """A study of one part whose measurements cost nothing; the list of cells that were measured."""
    measured = []

    def measure(cell):
        measured.append(cell)
        return {"cell": dataclasses.asdict(cell), "accuracy": {"value": 0.5}, "weights_sha256_16": "of now",
                "classifier_sha256_16": "of now"}

    monkeypatch.setattr(study, "STUDY", tmp_path)
    monkeypatch.setattr(study, "PARTS", {"small": CELLS})
    monkeypatch.setattr(study, "EXPERIMENTS", {})
    monkeypatch.setattr(study, "measure", measure)
    monkeypatch.setattr(study, "classifier_hash", lambda dataset: "of now")
    monkeypatch.setattr(study, "file_hash", lambda path: "of now")
    return measured


def test_each_cell_is_measured_once(parts):
    run_study()
    run_study()
    assert parts == CELLS and list(read_part("small")) == CELLS


def test_an_interrupted_study_keeps_what_it_has(parts, monkeypatch):
    whole, count = study.measure, iter([True, False])
    monkeypatch.setattr(study, "measure", lambda cell: whole(cell) if next(count) else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_study()
    assert list(read_part("small")) == CELLS[:1]
    monkeypatch.setattr(study, "measure", whole)
    run_study()
    assert parts == CELLS, "a finished cell was measured again"


@pytest.mark.parametrize("changed", ["file_hash", "classifier_hash"])
def test_other_weights_or_another_classifier_are_measured_again(parts, monkeypatch, changed):
    run_study()
    monkeypatch.setattr(study, changed, lambda _: "of later")
    run_study()
    assert len(parts) == 2 * len(CELLS)


def test_autoguidance_is_measured_again_with_another_weaker_network(parts, monkeypatch):
    monkeypatch.setitem(study.PARTS, "small", [Cell(checkpoint="mnist", guider="auto")])
    whole = study.measure
    monkeypatch.setattr(study, "measure", lambda cell: whole(cell) | {"weak_weights_sha256_16": "of now"})
    run_study()
    monkeypatch.setattr(study, "file_hash", lambda path: "of later" if "weak" in str(path) else "of now")
    run_study()
    assert len(parts) == 2


def test_rows_of_a_network_that_is_not_here_are_kept(parts, monkeypatch):
    away = Cell(checkpoint="ablation-nowhere")
    monkeypatch.setitem(study.PARTS, "small", [away])
    run_study()
    monkeypatch.setattr(study, "file_hash", lambda _: "of later")
    run_study()
    assert parts == [away]


def test_a_small_training_that_was_stopped_is_finished_first(tmp_path, monkeypatch):
    from t2i_helpers.training import Run, ablation

    trained = []
    monkeypatch.setattr(ablation, "RUNS", tmp_path)
    monkeypatch.setattr(ablation, "train", lambda *_, max_steps, **__: trained.append(max_steps))
    folder = tmp_path / "ablation-minilm"
    folder.mkdir()
    run = Run(folder)
    run.log([{"step": 7, "epoch": 1, "loss": 1.0, "seconds": 1.0}])
    ablation.train_ablation("minilm")
    run.log([{"step": ablation.STEPS, "epoch": 1, "loss": 1.0, "seconds": 1.0}])
    ablation.train_ablation("minilm")
    assert trained == [ablation.STEPS]


def test_parts_whose_weights_cannot_be_had_are_left_out(parts, monkeypatch, capsys):
    def unavailable(cell):
        raise SourceUnavailable("cannot load the text encoder 'clip'")

    monkeypatch.setattr(study, "measure", unavailable)
    with refuses(SourceUnavailable, "clip"):
        run_study()
    monkeypatch.setattr(study, "OPTIONAL", ("small",))
    run_study()
    assert "small is left out" in capsys.readouterr().out


def test_a_cell_that_left_the_list_leaves_the_file(parts, monkeypatch):
    run_study()
    monkeypatch.setitem(study.PARTS, "small", CELLS[1:])
    run_study()
    assert list(read_part("small")) == CELLS[1:]


@pytest.mark.parametrize("line", [
    b'{"cell": {"chec', b'{"cell": {"checkpoint": "mnist", "colour": 1}}', b"[]", b"\xff",
    json.dumps({"cell": dataclasses.asdict(CELLS[0])}).encode(),
])
def test_a_damaged_line_is_named(parts, tmp_path, line):
    run_study()
    with (tmp_path / "small.jsonl").open("ab") as file:
        file.write(line)
    with refuses(BadData, "small.jsonl", "line 4", "restore"):
        run_study()


def test_an_unknown_part_is_refused(parts):
    with refuses(UnknownName, "big", "small"):
        run_study(["big"])


def test_a_cell_is_really_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "STUDY", tmp_path)
    monkeypatch.setattr(study, "PARTS", {"small": CELLS[1:2]})
    run_study(["small"])
    (row,) = read_part("small").values()
    assert row["forward_passes"] == 1 and row["n"] == 20 and row["seconds"] > 0
    assert row["weights_sha256_16"] == file_hash(CHECKPOINTS / "mnist-improved" / WEIGHTS)
    for metric in (row["accuracy"], row["saturation"], row["classifier"]["frechet"], row["classifier"]["diversity"]):
        low, high = metric["interval"]
        assert low <= metric["value"] <= high and metric["real"]["interval"]


def test_an_experiment_is_made_once_and_again_with_other_networks(parts, monkeypatch):
    made, hashes = [], {"mnist": "of now"}
    monkeypatch.setattr(study, "made_with", lambda name: dict(hashes))
    monkeypatch.setattr(study, "EXPERIMENTS", {"tried": lambda: made.append(1) or {"made_with": dict(hashes)}})
    run_study(["tried"])
    run_study(["tried"])
    assert len(made) == 1
    hashes["mnist"] = "of later"
    run_study(["tried"])
    assert len(made) == 2
    for damaged in (b"{", b"[1]", b"\xff"):
        (study.STUDY / "tried.json").write_bytes(damaged)
        with refuses(BadData, "tried.json", "restore"):
            run_study(["tried"])


def test_experiments_are_made_again_only_with_other_networks_of_their_own(monkeypatch):
    from t2i_helpers.evaluation import experiments

    def told():
        return {name: experiments.made_with(name) for name in experiments.EXPERIMENTS}

    before = told()
    monkeypatch.setattr(experiments, "file_hash",
                        lambda path: "of later" if "mnist-thesis" in str(path) else file_hash(path))
    assert [name for name, found in told().items() if found != before[name]] == ["noise"]


# the list

def test_no_cell_is_listed_twice():
    for cells in PARTS.values():
        assert len(set(cells)) == len(cells)


def test_every_rule_and_scheduler_of_the_list_exists():
    for cell in {cell for cells in PARTS.values() for cell in cells}:
        dataset = cell.checkpoint if cell.checkpoint in presets.DATASETS else "mnist"
        make_scheduler(presets.get(dataset), cell.scheduler)
        if not cell.guider.startswith("auto"):
            make_guider(cell.guider, cell.w)


def test_each_rule_is_measured_on_both_datasets():
    from t2i_helpers.diffusion import GUIDERS

    for part in ("rules-mnist", "rules-cifar10"):
        assert {cell.guider.split()[0] for cell in PARTS[part]} == set(GUIDERS) - {"cfg-original"}


def test_wordings_are_unseen_one_a_digit_and_short_enough():
    preset, _ = ablation_preset("minilm")
    for wording, prompts in WORDINGS.items():
        if prompts is not None:
            assert len(set(prompts)) == 10 and not {preset.caption.format(d) for d in range(10)} & set(prompts), wording
            load_text_encoder("minilm").encode(prompts, preset.max_length)


# what is stored

@pytest.mark.parametrize("part", set(PARTS) - set(study.OPTIONAL))
def test_the_stored_study_is_whole_and_of_the_weights_that_ship(part):
    for row in stored.rows_of(part):
        assert row["git_dirty"] is False and row["drawn_with"]
        assert all(drawn["git_commit"] and drawn["git_dirty"] is False for drawn in row["drawn_with"])
        assert row["n"] == row["cell"]["n"]
        if row["cell"]["checkpoint"] in presets.DATASETS:
            folder = CHECKPOINTS / f"{row['cell']['checkpoint']}-improved"
            assert row["weights_sha256_16"] == file_hash(folder / WEIGHTS)
        else:
            assert (study.STUDY / "pictures" / row["picture"]).stat().st_size > 0


def test_missing_cells_are_told(parts, monkeypatch):
    monkeypatch.setattr(stored, "PARTS", study.PARTS)
    with refuses(BadData, "3 of 3", "t2i evaluate study"):
        stored.rows_of("small")


# what is shown

numbers = st.floats(0, 1, allow_nan=False).map(lambda value: round(value, 1))


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=12))
def test_the_front_is_what_nothing_beats(points):
    rows = [{"accuracy": {"value": accuracy}, "classifier": {"frechet": {"value": frechet}}}
            for accuracy, frechet in points]
    chosen = {(row["accuracy"]["value"], row["classifier"]["frechet"]["value"]) for row in rules.front(rows)}
    assert chosen == {(a, f) for a, f in points
                      if not any(b >= a and g <= f and (b, g) != (a, f) for b, g in points)}


def test_tables_name_rules_that_were_measured():
    table = rules.rules_table("rules-mnist")
    measured = {row["cell"]["guider"] for row in stored.rows_of("rules-mnist")}
    assert {line[0] for line in table.rows} == measured | {"real images"}
    for line in rules.when_table().rows:
        assert all(text.removeprefix("no clear winner at this n (best: ").split(", w =")[0] in measured
                   for text in line[1:])


@pytest.mark.parametrize("draw", [
    rules.pareto, networks.averages_figure, networks.encoders_figure, samplers.quality_against_passes,
    losses.loss_curves,
])
def test_figures_of_the_study_are_written_with_what_they_were_made_from(draw, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "figures_dir", lambda size: tmp_path)
    shown = draw()
    exporting.export(shown, "smoke")
    sidecar = json.loads((tmp_path / f"{shown.name}.json").read_text())
    told = sidecar.get("study") or sidecar["experiment"]
    assert sidecar["git_commit"] and told["git_commit"] and (tmp_path / sidecar["file"]).stat().st_size > 0


@pytest.mark.parametrize("make", [rules.when_table, samplers.spacing_table, losses.best_of_table])
def test_tables_of_the_study_are_written(make, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "tables_dir", lambda size: tmp_path)
    table = tables.export_table(make(), "smoke")
    body = (tmp_path / f"{table.name}.tex").read_text().partition(r"\midrule")[2]
    estimates = any(isinstance(cell, WithInterval) for row in table.rows for cell in row)
    assert body.count(r"\\") == len(table.rows) * (2 if estimates else 1)


def invented(guider, w, passes, accuracy, diversity, half=0.01):
    """A row with intervals of one width; real images have diversity 1."""
    def metric(value):
        return {"value": value, "interval": [value - half, value + half], "real": {"value": 1.0}}

    return {"cell": {"guider": guider}, "w": w, "forward_passes": passes, "accuracy": metric(accuracy),
            "classifier": {"frechet": metric(0.5), "diversity": metric(diversity)}}


def test_the_cheapest_of_those_alike_is_recommended():
    rows = [invented("cfg", 2, 20, 0.9, 0.5), invented("pag", 2, 30, 0.905, 0.6), invented("interval", 2, 15, 0.8, 0.9),
            invented("apg", 2, 20, 0.9, 1.5), invented("tcfg", 2, 20, 0.7, 0.4), invented("mag", 2, 20, 0.6, 0.4)]
    _, accuracy, least = rules.WHEN[0]
    assert rules.recommended(rows, accuracy, least) == "cfg, w = 2 (20 passes), 2 others alike"
    _, diversity, nearest = rules.WHEN[2]
    assert rules.recommended(rows, diversity, nearest) == "pag, w = 2 (30 passes), 0 others alike", (
        "the interval is nearer, but less accurate; apg is more varied than real images")
    assert "no clear winner" in rules.recommended(rows[:2], accuracy, least)


def test_pictures_are_ten_digits():
    row = next(row for row in stored.rows_of("averages") if row["w"] == 2)
    images = stored.picture(row)
    assert images.shape == (10, 3, 28, 28) and 0 <= images.min() < images.max() <= 1


@pytest.mark.parametrize("option", [("--steps", "3"), ("--w", "1"), ("--samples", "3"), ("--guider", "apg")])
def test_studies_take_no_options(capsys, option):
    from t2i_helpers.cli import main

    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "study", *option])
    assert stop.value.code == 2 and "give no options" in capsys.readouterr().err


def test_autoguidance_refuses_a_weaker_checkpoint_of_another_kind():
    from t2i_helpers.models import load_pipeline

    pipe = load_pipeline("mnist")
    with refuses(BadValue, "cifar10-weak", "dataset"):
        pipe.make_guider(f"auto weak={CHECKPOINTS / 'cifar10-weak'}", 2.0)
    assert pipe.make_guider("auto", 2.0).facts["weak_weights_sha256_16"]
    assert torch.isfinite(pipe(["7"], guider=pipe.make_guider("auto", 2.0), steps=2).images).all()


def test_strengths_of_losses_are_measured_beside_none():
    from t2i_helpers.evaluation.experiments import STRENGTHS, loss_strengths

    rows = loss_strengths(n=3, steps=2)["rows"]
    assert [(row["loss"], row["strength"]) for row in rows] == [
        (loss, s) for loss in ("colour", "classifier", "similarity") for s in STRENGTHS]
    for first, *_, last in (rows[:5], rows[5:10], rows[10:]):
        assert last["loss_at_end"]["value"] < first["loss_at_end"]["value"], "the loss did not fall"
        assert first["accuracy"] == rows[0]["accuracy"], "without a push all losses draw the same"

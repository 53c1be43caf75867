"""The study: results are stored, measured again when their networks change, and figures show what is stored."""

import dataclasses
import json
import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import refuses

from t2i_helpers import paths, presets, provenance
from t2i_helpers.cli import main
from t2i_helpers.diffusion import GUIDERS, make_guider, make_scheduler
from t2i_helpers.errors import BadCheckpoint, BadData, BadValue, SourceUnavailable, UnknownName
from t2i_helpers.evaluation import experiments, study
from t2i_helpers.evaluation.study import PARTS, WORDINGS, Cell, read_part, run_study
from t2i_helpers.models import WEIGHTS, load_pipeline, load_text_encoder
from t2i_helpers.paths import CHECKPOINTS
from t2i_helpers.provenance import file_hash
from t2i_helpers.reporting import study as stored
from t2i_helpers.training import Run, ablation

CELLS = [Cell(checkpoint="mnist", w=w, n=20, steps=1) for w in (0.0, 1.0, 5.0)]
DEMO = [(cell, "demo") for cell in CELLS]


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """The study's own folder a size, in place of the repository's; checkpoints stay where they are."""
    monkeypatch.setattr(study, "study_dir", lambda size: tmp_path / size)
    return tmp_path


@pytest.fixture
def parts(folders, monkeypatch):
    """A study of one part whose measurements cost nothing; the list of (cell, size) that were measured."""
    measured = []

    def measure(cell, size):
        measured.append((cell, size))
        return {"cell": dataclasses.asdict(cell), "accuracy": {"value": 0.5}, "weights_sha256_16": "now",
                "classifier_sha256_16": "now", "weak_weights_sha256_16": "now", **provenance.code_record(*cell.code)}

    monkeypatch.setattr(study, "PARTS", {"small": CELLS})
    monkeypatch.setattr(study, "EXPERIMENTS", {})
    monkeypatch.setattr(study, "measure", measure)
    monkeypatch.setattr(study, "file_hash", lambda path: "now")
    return measured


def test_each_cell_is_measured_once_for_each_size_and_counted_and_leaves_the_file_with_the_list(parts, monkeypatch):
    """Results of the checkpoints that ship are never used at full size."""
    monkeypatch.setattr(stored, "PARTS", study.PARTS)
    with refuses(BadData, "3 of 3", "t2i evaluate study"):
        stored.rows_of("small")
    for size in ("demo", "demo", "full", "full"):
        main(["evaluate", "study", "--size", size])
    assert parts == DEMO + [(cell, "full") for cell in CELLS]
    assert list(read_part("small", "full")) == list(read_part("small")) == CELLS
    monkeypatch.setitem(study.PARTS, "small", CELLS[1:])
    run_study()
    assert list(read_part("small")) == CELLS[1:]
    with refuses(UnknownName, "big", "small"):
        run_study(["big"])
    with refuses(UnknownName, "smoke", "demo, full"):
        run_study(size="smoke")


def test_an_interrupted_study_keeps_its_finished_cells(parts, monkeypatch):
    whole, count = study.measure, iter([True, False])
    monkeypatch.setattr(study, "measure", lambda *cell: whole(*cell) if next(count) else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_study()
    assert list(read_part("small")) == CELLS[:1]
    monkeypatch.setattr(study, "measure", whole)
    run_study()
    assert parts == DEMO, "a finished cell was measured again"


@pytest.mark.parametrize("cell, changed, times", [
    (CELLS[0], "mnist-improved", 2), (CELLS[0], "classifier-mnist", 2),
    (Cell(checkpoint="mnist", guider="auto"), "mnist-weak", 2),
    (Cell(checkpoint="ablation-random"), "ablation-random", 1),             # a network that is not here: rows are kept
])
@pytest.mark.parametrize("size", ["demo", "full"])
def test_other_weights_or_another_classifier_or_weak_network_are_measured_again(
        parts, monkeypatch, tmp_path, size, cell, changed, times):
    for name in ("mnist-improved", "mnist-weak"):
        (tmp_path / name / WEIGHTS).parent.mkdir(parents=True)
        (tmp_path / name / WEIGHTS).touch()
    monkeypatch.setattr(study, "training_dir", lambda name, size: tmp_path / name)
    monkeypatch.setitem(study.PARTS, "small", [cell])
    run_study(size=size)
    run_study(size=size)
    assert parts == [(cell, size)]
    monkeypatch.setattr(study, "file_hash", lambda path: "later" if changed in str(path) else "now")
    run_study(size=size)
    assert parts == [(cell, size)] * times


def test_rows_of_other_code_or_without_a_hash_of_it_are_kept_and_named_until_they_are_asked_for(
        parts, folders, monkeypatch):
    run_study()
    file = folders / "demo" / "small.jsonl"
    row, *others = map(json.loads, file.open())
    del row["code"]
    file.write_text("".join(json.dumps(each) + "\n" for each in (row, *others)))
    monkeypatch.setattr(provenance, "_bare_code", lambda file: "rewritten")
    run_study()
    assert parts == DEMO and list(read_part("small").values()) == [row, *others]
    assert all("other code" in str(provenance.stale_reasons(other)) for other in others)
    for _ in range(2):
        main(["evaluate", "study", "--stale"])
    assert parts == 2 * DEMO and not any(map(provenance.stale_reasons, read_part("small").values()))


def test_parts_whose_weights_are_not_available_are_skipped(parts, monkeypatch, capsys):
    def unavailable(cell, size):
        raise SourceUnavailable("cannot load the text encoder 'clip'")

    monkeypatch.setattr(study, "measure", unavailable)
    with refuses(SourceUnavailable, "clip"):
        run_study()
    monkeypatch.setattr(study, "OPTIONAL", ("small",))
    run_study()
    assert "small is left out" in capsys.readouterr().out


@pytest.mark.parametrize("line", [
    b'{"cell": {"chec', b'{"cell": {"checkpoint": "mnist", "colour": 1}}', b"[]", b"\xff",
    json.dumps({"cell": dataclasses.asdict(CELLS[0])}).encode(),
])
def test_a_damaged_line_is_named(parts, folders, line):
    run_study()
    with (folders / "demo" / "small.jsonl").open("ab") as file:
        file.write(line)
    with refuses(BadData, "small.jsonl", "line 4", "restore"):
        run_study()


def test_an_experiment_is_made_once_and_again_with_other_networks(parts, folders, monkeypatch):
    made, hashes = [], {"mnist": "now"}
    monkeypatch.setattr(study, "dependency_hashes", lambda name, size: dict(hashes))
    monkeypatch.setattr(study, "EXPERIMENTS", {"tried": lambda size: made.append(size) or {"made_with": dict(hashes)}})
    run_study(["tried"])
    run_study(["tried"])
    assert made == ["demo"]
    run_study(["tried"], size="full")
    hashes["mnist"] = "later"
    run_study(["tried"])
    run_study(["tried"], stale=True)                            # the result has no hash of the code
    assert made == ["demo", "full", "demo", "demo"]
    for damaged in (b"{", b"[1]", b"\xff"):
        (folders / "demo" / "tried.json").write_bytes(damaged)
        with refuses(BadData, "tried.json", "restore"):
            run_study(["tried"])


def test_experiments_depend_on_networks_of_their_own(monkeypatch):
    before = {name: experiments.dependency_hashes(name) for name in experiments.EXPERIMENTS}
    monkeypatch.setattr(experiments, "file_hash",
                        lambda path: "later" if "mnist-thesis" in str(path) else file_hash(path))
    assert [name for name in before if experiments.dependency_hashes(name) != before[name]] == ["noise"]


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Folders for runs of their own, and a training that costs nothing: the list of (folder, preset, steps)."""
    calls = []
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    monkeypatch.setattr(ablation, "RUNS", tmp_path)
    monkeypatch.setattr(ablation, "train", lambda preset, folder, max_steps, averages: calls.append(
        (folder.name, preset, max_steps)))
    return calls


def test_a_training_that_was_stopped_is_completed(tmp_path, trained):
    run = Run(tmp_path / "ablation-minilm-demo")
    run.folder.mkdir()
    for step in (7, 1000):
        run.log([{"step": step, "epoch": 1, "loss": 1.0, "seconds": 1.0}])
        ablation.train_missing("ablation-minilm")
    assert [(name, steps) for name, _, steps in trained] == [("ablation-minilm-demo", 1000)]


def test_a_cell_is_measured_with_the_network_of_its_size(folders, trained, monkeypatch):
    def train(preset, folder, **options):
        shutil.copytree(CHECKPOINTS / "mnist-thesis", folder)           # other weights than the shipped `improved`
        trained.append(folder.name)

    monkeypatch.setattr(ablation, "train", train)
    monkeypatch.setattr(study, "PARTS", {"small": CELLS[1:2]})
    for size, checkpoint in (("full", "mnist-thesis"), ("demo", "mnist-improved")):
        run_study(["small"], size=size)
        (row,) = read_part("small", size).values()
        assert row["weights_sha256_16"] == file_hash(CHECKPOINTS / checkpoint / WEIGHTS)
    assert trained == ["mnist-improved-full"]
    assert row["forward_passes"] == 1 and row["n"] == 20 and row["seconds"] > 0
    assert {"evaluation.metrics", "diffusion"} <= set(row["code"]["modules"])
    for metric in (row["accuracy"], row["saturation"], row["classifier"]["frechet"], row["classifier"]["diversity"]):
        low, high = metric["interval"]
        assert low <= metric["value"] <= high and metric["real"]["interval"]
    with refuses(SourceUnavailable, "cifar10"):
        study.measure(Cell(checkpoint="cifar10"))


def test_at_full_size_every_network_is_trained_and_none_ships(trained):
    for name in ablation.TRAININGS:
        ablation.train_missing(name, "full")
    assert [folder for folder, *_ in trained] == [f"{name}-full" for name in ablation.TRAININGS]
    assert {preset.size for _, preset, _ in trained} == {"full"}
    trained.clear()
    for name in ablation.TRAININGS:
        folder = ablation.train_missing(name)
        assert folder == CHECKPOINTS / name or name.startswith(("ablation-", "change-", "flow-", "latent-", "v-"))
    assert all(folder.startswith(("ablation-", "change-", "flow-", "latent-", "v-")) for folder, *_ in trained)


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_a_weak_network_is_trained_like_the_one_that_it_guides_at_any_size(dataset):
    from t2i_helpers.models.pipeline import GUIDED_ALIKE

    for size in ("demo", "full"):
        weak, strong = (ablation.training_preset(f"{dataset}-{kind}", size) for kind in ("weak", "improved"))
        assert all(getattr(weak, field) == getattr(strong, field) for field in GUIDED_ALIKE)
        assert sum(weak.block_channels) < sum(strong.block_channels)
    with refuses(UnknownName, "ablation-elmo", "ablation-minilm"):
        ablation.training_preset("ablation-elmo")


def test_every_cell_is_listed_once_and_its_rule_and_scheduler_exist():
    for cells in PARTS.values():
        assert len(set(cells)) == len(cells)
        for cell in cells:
            make_scheduler(ablation.training_preset(cell.training), cell.scheduler)
            if not cell.guider.startswith("auto"):
                make_guider(cell.guider, cell.w)
    for part in ("rules-mnist", "rules-cifar10"):
        assert {cell.guider.split()[0] for cell in PARTS[part]} == set(GUIDERS) - {"cfg-original"}


def test_wordings_are_unseen_one_a_digit_and_short_enough():
    preset = ablation.training_preset("ablation-minilm")
    for wording, prompts in WORDINGS.items():
        if prompts is not None:
            assert len(set(prompts)) == 10 and not {preset.caption.format(d) for d in range(10)} & set(prompts), wording
            load_text_encoder("minilm").encode(prompts, preset.max_length)


@pytest.mark.parametrize("part", sorted(set(PARTS) - set(study.OPTIONAL)))
def test_the_stored_study_is_whole_and_of_the_weights_that_ship_and_none_of_full_size(part):
    assert len(read_part(part)) == len(PARTS[part]) and not read_part(part, "full")
    for row in stored.rows_of(part):
        assert all(drawn["git_commit"] and drawn["git_dirty"] is False for drawn in [row, *row.get("drawn_with", ())])
        assert row["n"] == row["cell"]["n"]
        if row["cell"]["checkpoint"] in presets.DATASETS:
            folder = CHECKPOINTS / f"{row['cell']['checkpoint']}-improved"
            assert row["weights_sha256_16"] == file_hash(folder / WEIGHTS)
        else:
            assert (study.study_dir("demo") / "pictures" / row["picture"]).stat().st_size > 0


numbers = st.floats(0, 1, allow_nan=False).map(lambda value: round(value, 1))


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=12))
def test_the_front_is_what_nothing_beats(points):
    rows = [{"accuracy": {"value": accuracy}, "frechet": {"value": frechet}} for accuracy, frechet in points]
    chosen = {(row["accuracy"]["value"], row["frechet"]["value"]) for row in stored.front(rows)}
    assert chosen == {(a, f) for a, f in points
                      if not any(b >= a and g <= f and (b, g) != (a, f) for b, g in points)}


def invented(guider, w, passes, accuracy, diversity, half=0.01):
    """A row with intervals of one width; real images have diversity 1."""
    def metric(value):
        return {"value": value, "interval": [value - half, value + half], "real": {"value": 1.0}}

    return {"guider": guider, "w": w, "forward_passes": passes, "accuracy": metric(accuracy), "frechet": metric(0.5),
            "diversity": metric(diversity)}


def test_the_cheapest_of_those_alike_is_recommended():
    rows = [invented("cfg", 2, 20, 0.9, 0.5), invented("pag", 2, 30, 0.905, 0.6), invented("interval", 2, 15, 0.8, 0.9),
            invented("apg", 2, 20, 0.9, 1.5), invented("tcfg", 2, 20, 0.7, 0.4), invented("mag", 2, 20, 0.6, 0.4)]
    assert stored.recommended(rows, "accuracy") == "cfg, w = 2 (20 passes), 2 others alike"
    assert stored.recommended(rows, "diversity") == "pag, w = 2 (30 passes), 0 others alike", (
        "the interval is nearer, but less accurate; apg is more varied than real images")
    assert "no clear winner" in stored.recommended(rows[:2], "accuracy")


def test_autoguidance_refuses_a_weak_checkpoint_of_another_kind_and_takes_the_one_of_its_own_size(monkeypatch):
    pipe = load_pipeline("mnist")
    with refuses(BadValue, "cifar10-weak", "dataset"):
        pipe.make_guider(f"auto weak={CHECKPOINTS / 'cifar10-weak'}", 2.0)
    assert pipe.make_guider("auto", 2.0).metadata["weak_weights_sha256_16"]
    assert torch.isfinite(pipe(["7"], guider=pipe.make_guider("auto", 2.0), steps=2).images).all()
    pipe.preset = dataclasses.replace(pipe.preset, size="full")
    with refuses(BadCheckpoint, "mnist-weak-full"):
        pipe.make_guider("auto", 2.0)


def test_strengths_of_losses_are_measured_beside_none():
    rows = experiments.loss_strengths(n=2, steps=2)["rows"]
    assert [(row["loss"], row["strength"]) for row in rows] == [
        (loss, s) for loss in ("colour", "classifier", "similarity") for s in experiments.STRENGTHS]
    for first, *_, last in (rows[:5], rows[5:10], rows[10:]):
        assert last["loss_at_end"]["value"] < first["loss_at_end"]["value"], "the loss did not fall"
        assert first["accuracy"] == rows[0]["accuracy"], "without guidance by a loss all draw the same"

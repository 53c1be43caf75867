"""The record beside figures and tables: it can be checked, and it names everything that they were made from."""

import functools
import json

import pytest
from support import refuses

from t2i_helpers import paths, presets, provenance
from t2i_helpers.errors import BadData
from t2i_helpers.models import WEIGHTS, load_pipeline
from t2i_helpers.provenance import SCHEMA, content_hash, file_hash, read_sidecar, write_sidecar
from t2i_helpers.reporting import cifar10, guidance, mnist, recorded, study, tables, wikiart
from t2i_helpers.reporting.derived import PRINTED
from t2i_helpers.reporting.exhibits import exhibit

RECORD = {"w": [1.0, 2.5], "note": "é ∞", "shares": {10: 0.1, 2: 0.3}, "file": "x.png"}


def test_a_sidecar_is_read_as_it_was_written_whatever_the_order_of_keys(tmp_path):
    one = write_sidecar(tmp_path / "a.json", RECORD)
    assert one.read_bytes() == write_sidecar(tmp_path / "b.json", dict(reversed(RECORD.items()))).read_bytes()
    assert read_sidecar(one) == {"schema": SCHEMA} | json.loads(json.dumps(RECORD))
    assert content_hash({"a": 1, "b": [2]}) == content_hash({"b": (2,), "a": 1}) != content_hash({"a": 1, "b": [3]})


@pytest.mark.parametrize("change, reason", [
    (None, "No such file"), (lambda text: text[:-20], "cut short"), (lambda text: b"\xff\xfe", "no JSON"),
    (lambda text: b"[2]", "schema unknown"), (lambda text: json.dumps(RECORD).encode(), "schema unknown"),
    (lambda text: text.replace(b'"schema": 3', b'"schema": 2'), "of schema 2, not 3"),
    (lambda text: text.replace(b'"schema": 3', b'"schema": 4'), "of schema 4, not 3"),
    (lambda text: text.replace(b"2.5", b"2.6"), "edited"),
    (lambda text: text.replace(b"{", b'{"more": 1,', 1), "edited"),
    (lambda text: json.dumps({"schema": SCHEMA} | RECORD).encode(), "edited"),
], ids=["missing", "cut short", "no text", "no object", "no schema", "older", "newer", "edited", "longer", "no hash"])
def test_a_damaged_sidecar_is_refused_with_reason_and_remedy(tmp_path, change, reason):
    file = write_sidecar(tmp_path / "fig99.json", RECORD)
    file.write_bytes(change(file.read_bytes())) if change else file.unlink()
    with refuses(BadData, "fig99.json", reason, "t2i figures", "make report"):
        read_sidecar(file)


def test_input_hashes_name_files_by_their_place_in_the_repository_and_change_with_them(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "ROOT", tmp_path / "repository")
    inside, outside = tmp_path / "repository" / "a" / "b.json", tmp_path / "runs" / "c" / "d.json"
    for file in (inside, outside):
        file.parent.mkdir(parents=True)
        file.write_text("1")
    before = provenance.input_hashes(outside, inside)["input_hashes"]
    assert before == {"a/b.json": file_hash(inside), "runs/c/d.json": file_hash(outside)}
    inside.write_text("2")
    after = provenance.input_hashes(inside, outside)["input_hashes"]
    assert {name for name in after if after[name] != before[name]} == {"a/b.json"} and after.keys() == before.keys()


@pytest.fixture(scope="module")
def evaluations():
    return {dataset: {variant: json.loads((paths.CHECKPOINTS / f"{dataset}-{variant}" / "evaluation.json").read_text())
                      for variant in presets.VARIANTS} for dataset in ("mnist", "cifar10")}


def weights(*names):
    return {f"checkpoints/{name}/{WEIGHTS}" for name in names}


def evaluated(*datasets):
    names = [f"{dataset}-{variant}" for dataset in datasets for variant in presets.VARIANTS]
    return {f"checkpoints/{name}/evaluation.json" for name in names} | weights(*names)


BOTH = ("mnist-thesis", "mnist-improved")
JUDGES = [f"checkpoints/classifier-{name}/model.safetensors" for name in ("mnist", "cifar10")]
IMAGE_TEXT = "checkpoints/image-text/model.safetensors"
SOURCES = {
    "pictures": (lambda pipes, _: mnist.unguided_digits(pipes, 1), weights(*BOTH)),
    "losses": (lambda pipes, _: mnist.loss_curves(pipes),
               weights(*BOTH) | {f"checkpoints/{name}/metrics.jsonl" for name in BOTH}),
    "strip": (lambda pipes, _: guidance.denoising_strip({"improved": pipes["improved"]}, 1), weights("mnist-improved")),
    "autoguidance": (lambda pipes, _: guidance.rule_strips(pipes["improved"], 1, [("cfg", 1), ("auto", 1)]),
                     weights("mnist-improved", "mnist-weak")),
    "loss guidance": (lambda pipes, _: guidance.loss_strips(pipes["improved"], 1, (7,)),
                      weights("mnist-improved") | {JUDGES[0], IMAGE_TEXT}),
    "evaluations": (lambda _, found: cifar10.tradeoff(found["cifar10"]), evaluated("cifar10")),
    "comparison": (lambda _, found: tables.comparison_table("x", found), evaluated("mnist", "cifar10")),
    "real images": (lambda *_: cifar10.real_against_real(size="smoke"), {JUDGES[1]}),
    "real images, n": (lambda *_: study.frechet_against_n(draws=1, size="smoke"), {*JUDGES}),
    "study": (lambda *_: study.pareto(), weights("mnist-improved", "cifar10-improved") | {
        f"checkpoints/study/rules-{name}.jsonl" for name in ("mnist", "cifar10")}),
    "study's pictures": (lambda *_: study.averages_figure(), {"checkpoints/study/averages.jsonl"} | {
        f"checkpoints/study/pictures/{row['picture']}" for row in study.rows_of("averages") if row["w"] == 2}),
    "study's table": (lambda *_: study.spacing_table(), {"checkpoints/study/samplers.jsonl"}),
    "experiment": (lambda *_: study.best_of_table(), weights("mnist-improved", "cifar10-improved") | {
        "checkpoints/study/best-of.json", IMAGE_TEXT, *JUDGES}),
    "noise": (lambda *_: mnist.noise_table(), weights(*BOTH) | {"checkpoints/study/noise.json"}),
    "composition": (lambda *_: wikiart.composition_table(load_pipeline("wikiart")), weights("wikiart-improved") | {
        "checkpoints/wikiart-improved/composition.json"}),
    "no file": (lambda *_: guidance.convention_table(), set()),
}

MODULES = {
    "pictures": {"reporting.pictures", "reporting.drawing", "diffusion", "models"},
    "evaluations": {"reporting.cifar10", "reporting.drawing", "evaluation.metrics"},
    "no file": {"reporting.guidance", "reporting.latex"},
}


@pytest.mark.parametrize("draw", [study.encoders_figure, study.loss_curves, study.when_table,
                                  functools.partial(study.rules_table, "rules-mnist")])
def test_the_study_s_exhibits_name_the_commit_that_measured(draw):
    metadata = draw().metadata
    assert (metadata.get("study") or metadata["experiment"])["git_commit"]


@pytest.mark.parametrize("case", SOURCES)
def test_exhibits_record_the_files_and_the_code_that_they_were_made_from(case, pipes, evaluations):
    make, files = SOURCES[case]
    metadata = make(pipes, evaluations).metadata
    assert metadata["input_hashes"].keys() == files and json.dumps(metadata)
    assert all(found == file_hash(paths.ROOT / name) for name, found in metadata["input_hashes"].items())
    assert set(metadata["code"]["modules"]) == MODULES.get(case, set(metadata["code"]["modules"]))


def test_sampling_is_recorded_by_checkpoint_and_names_of_files_by_their_first_argument(pipes):
    @exhibit("x_{}", "png", scales=(1, 5))
    def draw(part, pipes, scales):
        """Losses, after sampling."""
        for pipe in pipes.values():
            for w in scales:
                pipe(["7", "8"], w=w, steps=1, scheduler="ddim", seeds=[3, 4])
        return mnist.loss_curves(pipes).figure

    shown = draw("two-words", pipes)
    assert shown.name == "x_two_words"
    assert shown.metadata["sampling"] == {variant: {
        "guidance": ["w = 1", "w = 5"], "scheduler": ["ddim"], "steps": [1], "first_and_last_seed": [3, 4],
        "images": 4} for variant in pipes}
    assert "thesis: 1,500 steps of 64 images" in shown.note and shown.note.endswith("DDIM, 1 steps")


def test_an_evaluation_s_files_are_those_of_its_size(tmp_path, monkeypatch, evaluations):
    evaluation = json.loads(json.dumps(evaluations["mnist"]["thesis"]))
    evaluation["checkpoint"]["preset"]["size"] = "full"
    monkeypatch.setattr(recorded, "checkpoint_dir", lambda *key: tmp_path / "-".join(key))

    def files():
        return recorded.describe([("evaluation", evaluation)])[1]["input_hashes"]

    assert files() == {}
    (tmp_path / "mnist-thesis-full").mkdir()
    (tmp_path / "mnist-thesis-full" / "evaluation.json").write_text("{}")
    (name,) = files()
    assert name.endswith("mnist-thesis-full/evaluation.json")


def test_the_setup_stands_beside_the_thesis_s_and_names_every_device_that_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "describe_machine", lambda: {
        "processor": "Abacus 7", "cores": 3, "memory_gb": 17, "accelerator": None, "cuda": None, "hub": "not reachable",
        "operating_system": "DOS", "versions": {"python": "9.1", "torch": "9.2", "diffusers": "9.3",
                                                "transformers": "9.4"}})
    table = tables.setup_table()
    rows = {name: (printed, ours) for name, printed, ours in table.rows}
    assert table.name == "setup" and table.header == ["", "the thesis", "this machine"]
    assert rows["processor"] == ("Intel Xeon Gold 6330", "Abacus 7") and rows["memory"] == ("32 GB of 256 GB", "17 GB")
    assert rows["PyTorch"] == ("2.7.1+cu118", "9.2") and rows["accelerator"] == ("1 of 8 NVIDIA A100 80GB PCIe", "none")
    assert set(PRINTED["setup"]) <= set(rows) and "stand-in for CLIP" in rows["text encoder"][1]
    assert "checkpoints/mnist-thesis/provenance.json" in table.metadata["input_hashes"]
    for size, root, name in (("demo", "CHECKPOINTS", "provenance"), ("full", "RUNS", "config")):
        monkeypatch.setattr(tables, root, tmp_path / size)
        for folder, record in (("a", {"text_encoder": "minilm", "device": "not given", "parts": [
                {"device": "NVIDIA H200"}, {"device": "x86_64 CPU, 1 threads"}]}), ("b", {"device": "M4"})):
            provenance.write_json(tmp_path / size / folder / f"{name}.json", record)
        rows = {name: ours for name, _, ours in tables.setup_table(size).rows}
        assert rows["trained on"] == "M4; NVIDIA H200; x86_64 CPU, 1 threads"

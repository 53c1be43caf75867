"""The report: named results, findings that are checked, exhibits that become stale, and LaTeX."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support import refuses

from t2i_helpers import cli, paths, presets, provenance
from t2i_helpers.cli import main
from t2i_helpers.errors import BadData, BadReport
from t2i_helpers.models import load_pipeline
from t2i_helpers.reporting import findings, report
from t2i_helpers.reporting.report import GENERATED, WRITTEN_HERE, read_exhibits, read_report
from t2i_helpers.reporting.result import Result, Results, to_latex
from t2i_helpers.reporting.results import read_results

CLAIM = re.compile(r"\\claim\{([^}]*)\}\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}")
needs_latex = pytest.mark.skipif(not report.has_latex(), reason="no LaTeX here: latexmk and pdflatex are not installed")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The repository's results and text, as links: what a test changes, it changes here."""
    for folder in ("checkpoints", "figures", "report"):
        for file in (paths.ROOT / folder).rglob("*"):
            if file.is_file() and paths.RUNS not in file.parents:
                link = tmp_path / file.relative_to(paths.ROOT)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(file)
    for module in (paths, cli):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    return tmp_path


def rewrite(file: Path, change) -> None:
    text = change(file.read_text())
    file.unlink()
    file.write_text(text)


def change_sidecar(file: Path, **changes) -> None:
    """As code would have written it: with a hash that fits."""
    sidecar = {key: value for key, value in json.loads(file.read_text()).items() if key != "record_sha256_16"} | changes
    file.unlink()
    provenance.write_sidecar(file, sidecar)


def change_row(root, file, w, **metrics) -> None:
    """Put other values into a row of an evaluation, with narrow intervals."""
    def changed(text):
        evaluation = json.loads(text)
        (row,) = [row for row in evaluation["rows"] if row["w"] == w]
        for metric, value in metrics.items():
            row[metric] |= {"value": value, "interval": [value - 0.001, value + 0.001]}
        return json.dumps(evaluation)

    rewrite(root / file, changed)


def stored_results(root) -> Results:
    sidecars = {f"{exhibit.file.rpartition('.')[0]}.json": exhibit.sidecar for exhibit in read_exhibits(root).values()}
    return read_results(root, sidecars)[0]


def exit_status(*arguments) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["report", *arguments])
    return 1 if isinstance(stopped.value.code, str) else stopped.value.code          # a message stands for 1


def test_every_finding_of_the_report_holds_and_nothing_in_it_is_stale_as_read_without_torch():
    code = ("import sys; from t2i_helpers.paths import ROOT; from t2i_helpers.reporting.report import read_report; "
            "print(read_report(ROOT).problems, {'torch', 'pandas'} & {*sys.modules})")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[] set()\n"


def test_what_is_committed_is_what_code_writes_to_the_byte(root):
    committed = {name: (root / GENERATED / name).read_bytes() for name in WRITTEN_HERE}
    for name in WRITTEN_HERE:
        (root / GENERATED / name).unlink()
    main(["report"])
    assert {name: (root / GENERATED / name).read_bytes() for name in WRITTEN_HERE} == committed


def test_all_figures_and_tables_of_the_thesis_are_shown_and_links_into_the_report_lead_to_its_sections(root):
    text = "".join(file.read_text() for file in (root / "report/sections").glob("*.tex"))
    assert all(re.search(rf"\\exhibitfigure{{fig{place:02}_", text) for place in range(1, 13))
    assert all(re.search(rf"\\exhibittable{{table{place:02}_", text) for place in range(1, 5))
    labels = re.findall(r"\\label\{(sec:[^}]*)\}", text)
    repository = Path(__file__).parents[1]
    for file in [repository / "README.md", *(repository / "notebooks").glob("*.py")]:
        linked = re.findall(r"main\.pdf#nameddest=([\w:-]+)", file.read_text())
        assert linked and set(linked) <= set(labels), file.name
    pdf = root / "report/main.pdf"
    assert pdf.read_bytes().startswith(b"%PDF") and pdf.stat().st_size < 4.9e6


def test_each_finding_reads_the_numbers_of_its_sentences_and_each_is_stated(root):
    class Asked(Results):
        names = set()

        def __getitem__(self, name):
            self.names.add(name)
            return super().__getitem__(name)

    results = Asked(stored_results(root))
    stated = tomllib.loads((root / "report/findings.toml").read_text())["findings"]
    claimed = {}
    for file in (root / "report/sections").glob("*.tex"):
        for name, sentence in CLAIM.findall(file.read_text()):
            claimed.setdefault(name, set()).update(re.findall(r"\\(?:val|ci)\{([^}]*)\}", sentence))
    assert claimed.keys() == stated.keys()
    for name, printed in claimed.items():
        Asked.names.clear()
        assert findings.why_false(stated[name], results) is None
        counts = {each for each in printed if each.endswith((".n", ".images", "steps"))}
        assert printed - counts <= Asked.names, name


def test_results_are_those_of_the_files_by_the_names_of_their_structure(root):
    results = stored_results(root)
    stored = json.loads((root / "checkpoints/cifar10-improved/evaluation.json").read_text())
    (row,) = [row for row in stored["rows"] if row["w"] == 10]
    accuracy = results["cifar10.improved.w10.accuracy"]
    assert accuracy == Result(row["accuracy"]["value"], "checkpoints/cifar10-improved/evaluation.json",
                              tuple(row["accuracy"]["interval"]), row["n"])
    assert results["cifar10.improved.w10.frechet"].value == row["classifier"]["frechet"]["value"]
    assert results["cifar10.real.recall"].value == row["classifier"]["recall"]["real"]["value"]
    counted = sum(p.numel() for p in load_pipeline("cifar10", "improved").unet.parameters())
    assert results["cifar10.improved.parameters"].value == counted


def test_the_size_of_the_tables_decides_which_checkpoints_are_read(root):
    run = root / "checkpoints/runs"
    for dataset in presets.DATASETS:
        for variant in presets.VARIANTS:
            shutil.copytree(root / f"checkpoints/{dataset}-{variant}", run / f"{dataset}-{variant}-full")
    shutil.copytree(root / "checkpoints/study", run / "study-full")
    change_row(root, "checkpoints/runs/mnist-thesis-full/evaluation.json", 1.0, accuracy=0.5)
    assert stored_results(root)["mnist.thesis.w1.accuracy"].value != 0.5
    for table in (root / GENERATED).glob("*.json"):
        if table.name not in WRITTEN_HERE:
            change_sidecar(table, size="full")
    result = stored_results(root)["mnist.thesis.w1.accuracy"]
    assert result.value == 0.5 and "runs" in result.source


@pytest.mark.parametrize("file", ["checkpoints/mnist-thesis/evaluation.json", "checkpoints/study/samplers.jsonl",
                                  "checkpoints/mnist-improved/metrics.jsonl"])
@pytest.mark.parametrize("text", [None, "", "{}\n", '{"judges": 1, "rows": [{"w": 0}]}'])
def test_results_cut_short_are_refused_with_a_remedy(root, file, text):
    rewrite(root / file, lambda whole: whole[:-40] if text is None else text)
    with refuses((BadData, BadReport), "t2i evaluate"):
        read_report(root)
    assert exit_status("--check") == 1


@pytest.mark.parametrize("name, result, tex", [
    ("x.accuracy", Result(0.28, interval=(0.18, 0.41)), (r"\qty{28}{\percent}", r"\qtyrange{18}{41}{\percent}")),
    ("x.frechet", Result(113.93, interval=(105.6, 122.2)), (r"\num{114}", r"\numrange{106}{122}")),
    ("x.noise_level", Result(0.00403, interval=(0.00298, 0.00509)), (r"\num{4.0}", r"\numrange{3.0}{5.1}")),
    ("x.p50_ms", Result(275.286), (r"\qty{275.3}{\milli\second}", "")), ("x.heldout_psnr_db", Result(23.82), (
        r"\qty{23.82}{\decibel}", "")),
    ("x.learning_rate", Result(1e-4), (r"\num{1e-04}", "")), ("x.n", Result(87983363), (r"\num{87983363}", "")),
    ("x.dropout", Result(0.1), (r"\qty{10}{\percent}", "")), ("x.accuracy.n", Result(1000), (r"\num{1000}", "")),
    ("x", Result(3140385.0, text="3,140,385"), (r"\num{3140385}", "")),
    ("x", Result(45e6, text="~45M"), (r"$\sim$\num{45}M", "")),
    ("x", Result(10.0, text="10, 20"), (r"\num{10}, 20", "")),
])
def test_numbers_are_printed_with_unit_and_the_digits_that_their_interval_allows(name, result, tex):
    assert to_latex(name, result) == tex


R = Results({"a.w1": Result(1.0, interval=(0.9, 1.1)), "a.w2": Result(2.0, interval=(1.9, 2.1)),
             "b.w1": Result(1.05, interval=(0.8, 1.3)), "b.w2": Result(1.2, interval=(1.05, 1.4)),
             "a.n": Result(5), "x.1.5": Result(1.5)})


@pytest.mark.parametrize("condition, holds", [
    ("a.w1 < a.w2", True), ("a.w2 < a.w1", False), ("a.w2 > a.w1", True), ("a.w1 < b.w1", False), ("a.w1 ~ b.w1", True),
    ("a.w1 ~ b.w1 ~ b.w2", True), ("a.w1 ~ a.w2", False), ("not a.w1 < b.w1", True), ("a.w{1 < 2}", True),
    ("{a, b}.w{1 < 2}", False), ("{a, b}.w1 < 2", True), ("{a, b}.w1 < {a, b}.w2", False), ("a.w1 ~ 1", True),
    ("a.w1 > 0.95", False), ("a.w1 <= b.w1", True), ("b.w1 <= a.w1", False), ("1.5 * a.w1 < a.w2", True),
    ("0.5 < a.w1 < a.w2 < a.n", True), ("a.n ~ 5", True), ("*.w1 < 1.5", True), ("not a.* > 6", True),
    ("x.1.5 > 1.4", True), ("{a.w2 > b.w1 ~ a.w1}", True),
])
def test_conditions_compare_intervals_and_without_a_result_name_the_nearest(condition, holds):
    assert findings.holds(condition, R) is holds
    with_unknown = findings.why_false(["a.w1 < a.w2", "a.w3 > 1"], R)
    assert "a.w3 > 1" in with_unknown and "did you mean a.w" in with_unknown


def test_results_that_improve_never_block_the_report(root, capsys):
    """The thesis's recipe becomes better, and its loader slower: findings fail, and are marked in the margin."""
    change_row(root, "checkpoints/mnist-thesis/evaluation.json", 1.0, accuracy=0.97)
    table = root / "report/generated/table03_loading.json"
    bench = json.loads(table.read_text())["bench"]
    for row in bench["rows"]:
        row["p50_ms"] = 764.3 if row["way"].startswith("file-sequential") else row["p50_ms"]
    change_sidecar(table, bench=bench)
    main(["report"])
    numbers = (root / "report/generated/numbers.tex").read_text()
    assert r"\setfalse{mnist-thesis-guided}" in numbers and r"\setfalse{wikiart-sequential}" not in numbers
    assert r"\qty{97.0}{\percent}" in numbers
    assert r"\setnumber{table03_loading.speedup.file-sequential-thesis}{\num{5}}" in numbers
    assert exit_status("--check") == 1
    lines = capsys.readouterr().out.splitlines()
    assert any("04_mnist.tex, line" in line and "mnist-thesis-guided does not hold" in line for line in lines)


def test_verdicts_on_the_thesis_follow_the_numbers(root):
    def verdict(name):
        return re.search(rf"\\setverdict{{{name}}}{{(.*)}}", read_report(root).texts["numbers.tex"])[1]

    assert (verdict("mnist-consistently"), verdict("mnist-training-helps")) == ("corrected", "reproduced")
    change_row(root, "checkpoints/mnist-thesis/evaluation.json", 20.0, accuracy=0.999)
    assert verdict("mnist-training-helps") == "corrected"


def stale(root) -> dict[str, tuple[str, ...]]:
    return {name: exhibit.stale for name, exhibit in read_exhibits(root).items() if exhibit.stale}


def test_what_was_changed_since_makes_an_exhibit_stale(root):
    rewrite(root / "checkpoints/cifar10-thesis/evaluation.json", lambda text: text + "\n")
    (root / "checkpoints/mnist-improved/unet/diffusion_pytorch_model.safetensors").unlink()
    change_sidecar(root / "figures/fig03_dataset.json", git_dirty=True)
    change_sidecar(root / "figures/wikiart_imbalance.json", code={"modules": ["reporting.gone"], "sha256_16": "0"})
    (root / "figures/fig06_loss.json").unlink()
    change_sidecar(root / "figures/fig12_loading.json", file_sha256_16="0")
    found = stale(root)
    assert "cannot be read" in found["fig06_loss"][0]
    assert "not the file that its sidecar describes" in found["fig12_loading"][0]
    assert found["wikiart_imbalance"] == ("made with other code than today's reporting.gone",)
    assert found["fig09_cifar10_metrics"] == ("older than checkpoints/cifar10-thesis/evaluation.json",)
    assert "table01_cifar10" in found and "cifar10_floor" not in found
    assert "mnist-improved" in found["hero"][0] and "gone" in found["hero"][0]
    assert found["fig03_dataset"] == ("made from code that no commit holds",)


def test_an_exhibit_of_another_preset_is_stale_and_of_a_chosen_seed_is_not(root, monkeypatch):
    today = presets.get
    monkeypatch.setattr(presets, "get", lambda *names: dataclasses.replace(today(*names), seed=1, text_encoder="bert"))
    assert "fig04_digits_no_cfg" not in stale(root)
    monkeypatch.setattr(presets, "get", lambda *names: dataclasses.replace(today(*names), batch_size=65))
    reasons = stale(root)["fig04_digits_no_cfg"]
    assert all("preset" in reason for reason in reasons) and "mnist improved demo" in " ".join(reasons)


def test_staleness_is_marked_in_the_margin_and_fails_the_check(root, capsys):
    assert exit_status("--check") == 0
    change_sidecar(root / "figures/fig03_dataset.json", git_dirty=True)
    rewrite(root / "checkpoints/image-text/evaluation.json", lambda text: text.replace(": false", ": true", 1))
    assert exit_status("--check") == 1
    said = capsys.readouterr().out
    assert "figures/fig03_dataset.png: made from code that no commit holds" in said
    assert "checkpoints/image-text/evaluation.json: made from code that no commit holds" in said
    assert "report/generated/exhibits.tex: not what t2i report writes" in said
    main(["report"])
    lines = (root / "report/generated/exhibits.tex").read_text().splitlines()
    (line,) = [line for line in lines if "fig03_dataset" in line]
    assert line.endswith("{made from code that no commit holds}")


@pytest.mark.parametrize("text, words", [
    (r"It was \val{mnist.thesis.w1.acuracy}.", ("mnist.thesis.w1.accuracy",)),
    (r"\ci{mnist.thesis.training_steps}", ("mnist.thesis.training_steps",)),
    (r"\claim{mnist-five-to-much}{It is.}", ("did you mean mnist-five-too-much",)),
    (r"\exhibitfigure{fig13_dreams}{None.}", ("fig13_dreams",)), (r"\exhibittable{hero}{A figure.}", ("hero",)),
    ("It was right on 97.5 per cent.", ("97.5", r"\val")), (r"It is $73.2$ times as large.", ("$73.2$", r"\val")),
    (r"It was right on $97\%$ of them.", ("97",)),
])
def test_slips_of_an_author_are_refused_where_they_are(root, text, words, capsys):
    rewrite(root / "report/sections/04_mnist.tex", lambda former: former + f"\n{text}\n")
    with refuses(BadReport, "04_mnist.tex, line", *words):
        read_report(root)
    assert exit_status("--pdf") == 2
    said = capsys.readouterr().err
    assert said.startswith("t2i: ") and said.count("\n") == 1


def test_without_latex_everything_but_the_pdf_is_made(root, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    (root / "report/generated/numbers.tex").unlink()
    main(["report", "--pdf"])
    said = capsys.readouterr().out.splitlines()
    assert "texlive-latex-extra" in said[-1] and "conda" in said[-1]
    assert (root / "report/generated/numbers.tex").read_text().startswith(r"\setnumber")


@needs_latex
def test_a_report_that_latex_refuses_leaves_the_last_good_one(tmp_path):
    (tmp_path / "report").mkdir()
    source, pdf = tmp_path / "report/main.tex", tmp_path / "report/main.pdf"
    source.write_text(r"\documentclass{article}\begin{document}Good.\end{document}")
    assert report.build_pdf(tmp_path) == []
    good = pdf.read_bytes()
    # texts of different lengths: latexmk takes a file of the same size and second for the same file
    for bad, words in ((r"\nonsense", "Undefined control sequence"), ("山水", "山")):
        source.write_text(rf"\documentclass{{article}}\begin{{document}}{bad}\end{{document}}")
        with refuses(BadReport, words, "main.tex:1", "main.pdf is left"):
            report.build_pdf(tmp_path)
        assert pdf.read_bytes() == good
    source.write_text(r"\documentclass{article}\begin{document}\ref{none} \rule{500pt}{1pt}\end{document}")
    warnings = " ".join(report.build_pdf(tmp_path))
    assert "none" in warnings and "Overfull" in warnings and pdf.read_bytes() != good

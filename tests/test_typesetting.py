"""The report: numbers from stored results, findings that are checked, staleness, and LaTeX's complaints."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import refuses

from t2i_helpers import paths, presets, provenance
from t2i_helpers.cli import main
from t2i_helpers.errors import BadData, BadReport, OutputError
from t2i_helpers.typesetting import build, claims, exhibits, generated, number, numbers, prose, verdicts
from t2i_helpers.typesetting.stored import Stored

needs_latex = pytest.mark.skipif(not build.has_latex(), reason="no LaTeX here: latexmk and pdflatex are not installed")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The repository's results and text, as links: what a test changes, it changes here."""
    for folder in ("checkpoints", "figures", "report"):
        for file in (paths.ROOT / folder).rglob("*"):
            if file.is_file() and paths.RUNS not in file.parents:
                link = tmp_path / file.relative_to(paths.ROOT)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(file)
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    return tmp_path


def rewrite(file: Path, change) -> None:
    """Replace a link by a file with changed text."""
    text = change(file.read_text())
    file.unlink()
    file.write_text(text)


def change_json(file: Path, **changes) -> None:
    rewrite(file, lambda text: json.dumps(json.loads(text) | changes))


def change_sidecar(file: Path, **changes) -> None:
    """As code would have written it: with a hash that fits."""
    told = {name: value for name, value in json.loads(file.read_text()).items() if name != "record_sha256_16"} | changes
    file.unlink()
    provenance.write_sidecar(file, told)


def exit_status(*arguments) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["report", *arguments])
    return 1 if isinstance(stopped.value.code, str) else stopped.value.code


# what ships

def test_every_finding_of_the_report_holds_and_nothing_in_it_is_stale(root):
    report = generated.read_report(root)
    assert {exhibit.name: exhibit.stale for exhibit in report.exhibits if exhibit.stale} == {}
    assert len(report.claims) > 50 and len(report.numbers) > 100


def test_what_is_committed_is_what_code_writes_to_the_byte(root):
    committed = {name: (root / "report/generated" / name).read_bytes() for name in exhibits.WRITTEN_HERE}
    for name in exhibits.WRITTEN_HERE:
        (root / "report/generated" / name).unlink()
    generated.write_generated(generated.read_report(root))
    assert {name: (root / "report/generated" / name).read_bytes() for name in exhibits.WRITTEN_HERE} == committed


def test_all_figures_and_tables_of_the_thesis_are_shown(root):
    shown = prose.read_prose(root).exhibits
    for place in range(1, 13):
        assert any(kind == "figure" and name.startswith(f"fig{place:02}_") for kind, name in shown), place
    for place in range(1, 5):
        assert any(kind == "table" and name.startswith(f"table{place:02}_") for kind, name in shown), place


def test_links_into_the_report_lead_to_its_sections(root):
    labels = {label for file in (root / "report/sections").glob("*.tex")
              for label in re.findall(r"\\label\{(sec:[^}]*)\}", file.read_text())}
    repository = Path(__file__).parents[1]
    for file in [repository / "README.md", *(repository / "notebooks").glob("*.py")]:
        linked = re.findall(r"main\.pdf#nameddest=([\w:-]+)", file.read_text())
        assert linked and set(linked) <= labels, file.name


def test_the_report_that_ships_is_a_pdf_of_moderate_size(root):
    built = root / "report/main.pdf"
    assert built.read_bytes().startswith(b"%PDF") and built.stat().st_size < 5e6


def test_no_word_is_left_to_be_written(root):
    for file in (root / "report/sections").glob("*.tex"):
        text = file.read_text()
        assert not any(word in text for word in ("TODO", "FIXME", "[insert", "lorem", "??")), file.name


# numbers

def test_numbers_are_those_of_the_files(root):
    found = numbers.all_numbers(Stored(root))
    stored = json.loads((root / "checkpoints/cifar10-improved/evaluation.json").read_text())
    (row,) = [row for row in stored["rows"] if row["w"] == 10]
    accuracy = found["CifarImprovedAccuracyWTen"]
    assert accuracy.value == row["accuracy"]["value"] and accuracy.interval == tuple(row["accuracy"]["interval"])
    assert accuracy.text == rf"\qty{{{100 * accuracy.value:.1f}}}{{\percent}}" and "w = 10" in accuracy.source
    assert found["CifarImprovedAccuracyWTenCI"].text.startswith(r"\qtyrange{")
    assert found["MnistThesisParams"].value == 3_140_385 and found["MnistThesisParams"].text == r"\num{3140385}"


def test_parameters_are_counted_from_the_weights_themselves(root):
    from t2i_helpers.models import load_pipeline

    counted = sum(p.numel() for p in load_pipeline("cifar10", "improved").unet.parameters())
    assert Stored(root).parameters("checkpoints/cifar10-improved") == counted


def test_names_are_letters_and_no_two_scales_share_one(root):
    assert all(name.isalpha() for name in numbers.all_numbers(Stored(root)))
    scales = [*number.WORDS, 0.5, 0.25, 1.5, 1.25, 0.2, 0.65, 0.8]
    assert len({number.words(scale) for scale in scales}) == len(scales)


@pytest.mark.parametrize("file, remedy", [
    ("checkpoints/mnist-thesis/evaluation.json", "t2i evaluate"),
    ("checkpoints/study/samplers.jsonl", "t2i evaluate study"),
    ("checkpoints/mnist-improved/metrics.jsonl", "git checkout"), ("report/generated/table03_loading.json", "t2i"),
])
@pytest.mark.parametrize("cut", [lambda text: text[:-40], lambda text: "", lambda text: "[]\n", lambda text: "{}\n"],
                         ids=["half", "empty", "a list", "an object"])
def test_results_cut_short_are_refused_with_a_remedy(root, file, remedy, cut):
    rewrite(root / file, cut)
    with refuses(BadData, file, remedy):
        generated.read_report(root)


def test_a_training_cut_at_the_end_of_a_line_is_refused(root):
    rewrite(root / "checkpoints/mnist-improved/metrics.jsonl", lambda text: "".join(text.splitlines(True)[:700]))
    with refuses(BadData, "metrics.jsonl", "ends at step 700 of 1500"):
        generated.read_report(root)


def test_a_study_that_lost_a_row_is_refused(root):
    rewrite(root / "checkpoints/study/samplers.jsonl", lambda text: "".join(text.splitlines(True)[:-1]))
    with refuses(BadReport, "has no source", "restore the result"):
        generated.read_report(root)


def test_a_checkpoint_without_a_record_is_refused(root):
    rewrite(root / "checkpoints/mnist-weak/provenance.json", lambda text: "{}")
    with refuses(BadData, "mnist-weak/provenance.json", "git checkout"):
        generated.texts(generated.read_report(root))
    assert exit_status("--check") == 1


def test_results_that_miss_what_they_should_hold_are_refused(root):
    change_json(root / "checkpoints/wikiart-thesis/evaluation.json", rows=[{"w": 0.0, "n": 3}])
    with refuses(BadData, "wikiart-thesis/evaluation.json", "t2i evaluate"):
        generated.read_report(root)


# exhibits

def test_a_missing_sidecar_is_refused(root):
    (root / "figures/fig09_cifar10_metrics.json").unlink()
    with refuses(BadData, "fig09_cifar10_metrics.json", "t2i figures"):
        generated.read_report(root)


def test_an_edited_sidecar_is_refused(root):
    rewrite(root / "figures/fig06_loss.json", lambda text: text.replace('"git_dirty": false', '"git_dirty": null', 1))
    with refuses(BadData, "fig06_loss.json", "edited", "t2i figures"):
        generated.read_report(root)


def test_a_sidecar_of_an_older_schema_is_refused(root):
    change_sidecar(root / "figures/fig06_loss.json", schema=1)
    with refuses(BadData, "fig06_loss.json", "schema", "t2i figures"):
        generated.read_report(root)


def test_a_file_that_is_no_sidecar_is_refused(root):
    provenance.write_sidecar(root / "figures/notes.json", {"author": "me"})
    with refuses(BadData, "notes.json", "remove it"):
        generated.read_report(root)


def test_a_replaced_figure_is_refused(root):
    rewrite(root / "report/generated/table01_cifar10.tex", lambda text: text.replace("5", "6"))
    with refuses(BadData, "table01_cifar10.tex", "edited", "t2i figures"):
        generated.read_report(root)


def test_a_lost_figure_is_refused(root):
    (root / "figures/fig12_loading.pdf").unlink()
    with refuses(BadData, "fig12_loading.pdf", "missing", "t2i figures"):
        generated.read_report(root)


@pytest.mark.parametrize("name", ["50%_off", "a&b", "x#1", "绘画"])
def test_a_name_that_latex_would_misread_is_refused(root, name):
    (root / f"figures/{name}.png").write_bytes(b"")
    provenance.write_sidecar(root / f"figures/{name}.json", dict.fromkeys(exhibits.TOLD, "") | {"file": f"{name}.png"})
    with refuses(BadData, name, "rename"):
        generated.read_report(root)


def test_a_figure_older_than_its_run_is_stale(root):
    rewrite(root / "checkpoints/cifar10-thesis/evaluation.json", lambda text: text + "\n")
    stale = {exhibit.name: exhibit.stale for exhibit in exhibits.read_exhibits(root).values() if exhibit.stale}
    assert stale["fig09_cifar10_metrics"] == ("older than checkpoints/cifar10-thesis/evaluation.json",)
    assert "table01_cifar10" in stale and "fig06_loss" not in stale


def test_a_figure_of_lost_weights_is_stale(root):
    (root / "checkpoints/mnist-improved/unet/diffusion_pytorch_model.safetensors").unlink()
    (reason,) = exhibits.read_exhibits(root)["hero"].stale
    assert "mnist-improved" in reason and "gone" in reason


def test_a_table_is_stale_when_the_weights_changed_that_were_evaluated(root):
    file = root / "checkpoints/cifar10-thesis/unet/diffusion_pytorch_model.safetensors"
    weights = bytearray(file.read_bytes())
    weights[-1] ^= 1
    file.unlink()
    file.write_bytes(weights)
    assert any("cifar10-thesis/unet" in reason for reason in exhibits.read_exhibits(root)["table01_cifar10"].stale)


def test_a_result_from_uncommitted_code_is_stale(root):
    file = "checkpoints/image-text/evaluation.json"
    change_json(root / file, git_dirty=True)
    assert f"{file}: made from code that no commit holds" in generated.find_stale(generated.read_report(root))


def test_the_check_finds_text_that_code_did_not_write(root, capsys):
    rewrite(root / "report/generated/numbers.tex", lambda text: text.replace("100.0", "100.1"))
    assert exit_status("--check") == 1
    assert "report/generated/numbers.tex: not what t2i report writes" in capsys.readouterr().out


def test_a_figure_from_uncommitted_code_is_stale(root):
    change_sidecar(root / "figures/fig03_dataset.json", git_dirty=True)
    assert exhibits.read_exhibits(root)["fig03_dataset"].stale == ("made from code that no commit holds",)


def test_a_figure_of_an_uncommitted_run_is_stale(root):
    told = json.loads((root / "figures/study_pareto.json").read_text())
    change_sidecar(root / "figures/study_pareto.json", study=told["study"] | {"git_dirty": [False, True]})
    assert exhibits.read_exhibits(root)["study_pareto"].stale


def test_a_figure_of_another_preset_is_stale_and_a_chosen_seed_is_not(root, monkeypatch):
    today = presets.get
    monkeypatch.setattr(presets, "get", lambda *names: dataclasses.replace(today(*names), seed=1, text_encoder="bert"))
    assert not exhibits.read_exhibits(root)["fig04_digits_no_cfg"].stale
    monkeypatch.setattr(presets, "get", lambda *names: dataclasses.replace(today(*names), batch_size=65))
    reasons = exhibits.read_exhibits(root)["fig04_digits_no_cfg"].stale
    assert reasons and all("preset" in reason for reason in reasons) and "mnist improved demo" in " ".join(reasons)


def test_staleness_is_marked_in_the_margin_and_fails_the_check(root, capsys):
    assert exit_status("--check") == 0
    change_sidecar(root / "figures/fig03_dataset.json", git_dirty=True)
    assert exit_status("--check") == 1
    assert "figures/fig03_dataset.png: made from code that no commit holds" in capsys.readouterr().out
    main(["report"])
    lines = (root / "report/generated/exhibits.tex").read_text().splitlines()
    (line,) = [line for line in lines if "fig03_dataset" in line]
    assert line.endswith("{made from code that no commit holds}")


def test_bad_input_exits_2_and_the_check_1(root, capsys):
    (root / "figures/fig09_cifar10_metrics.json").unlink()
    (root / "report/main.pdf").unlink(missing_ok=True)
    (root / "report/main.pdf").write_bytes(b"the last good one")
    assert exit_status("--pdf") == 2
    said = capsys.readouterr().err
    assert said.startswith("t2i: ") and said.count("\n") == 1
    assert exit_status("--check") == 1 and (root / "report/main.pdf").read_bytes() == b"the last good one"


# the text

def add_to(root, section, text) -> None:
    rewrite(root / f"report/sections/{section}.tex", lambda former: former + text)


def test_a_macro_without_a_source_is_refused(root):
    add_to(root, "04_mnist", "\nIt was \\MnistWishfulAccuracy{} then.\n")
    with refuses(BadReport, "04_mnist.tex, line", r"\MnistWishfulAccuracy", "typesetting/"):
        generated.read_report(root)


def test_a_typed_number_is_refused(root):
    add_to(root, "04_mnist", "\nIt was right on 97.5 per cent.\n")
    with refuses(BadReport, "04_mnist.tex, line", "97.5", "macro"):
        generated.read_report(root)


def test_a_figure_that_was_never_exported_is_refused(root):
    add_to(root, "04_mnist", "\n\\exhibitfigure{fig13_dreams}{None.}\n")
    with refuses(BadReport, "fig13_dreams", "t2i figures"):
        generated.read_report(root)


@pytest.mark.parametrize("sentence", [r"We got \MnistImprovedAccuracyWTwo{}.", "Ours is better than theirs.",
                                      "Ninety per cent were right."])
def test_a_conclusion_outside_a_claim_is_refused(root, sentence):
    add_to(root, "10_discussion", f"\n{sentence}\n")
    with refuses(BadReport, "10_discussion.tex, line", r"\claim"):
        generated.read_report(root)


def test_a_claim_without_a_predicate_is_refused(root):
    add_to(root, "10_discussion", "\n\\claim{the-moon}{It is made of cheese.}\n")
    with refuses(BadReport, "10_discussion.tex, line", "the-moon", "findings.py"):
        generated.read_report(root)


def test_a_claim_that_stands_twice_or_says_nothing_is_refused(root):
    add_to(root, "11_conclusion", "\n\\claim{abstract-recall}{All is well.}\n")
    with refuses(BadReport, "11_conclusion.tex, line", "abstract-recall", "twice"):
        generated.read_report(root)
    add_to(root, "11_conclusion", "\n\\claim{nothing}\n")
    with refuses(BadReport, "has no sentence"):
        prose._collect("\\claim{nothing} at all", lambda position: "a.tex, line 1", prose.Prose({}, {}, []))


@pytest.mark.parametrize("text, words", [
    (r"\citep{ho2022clasifier}", ("ho2022clasifier", "did you mean ho2022classifier")),
    (r"\cref{fig:nowhere}", ("fig:nowhere",)),
    (r"\exhibittable{hero}{A figure.}", ("figures/hero.png is no table",)),
    (r"\exhibitfigure{fig06_loss}{Again.}", ("fig06_loss", "twice")),
    (r"It is $73.2$ times as large.", ("$73.2$", "macro")),
    (r"\claim{mnist-five-to-much}{It is.}", ("did you mean mnist-five-too-much",)),
    (r"\MnistThesisParms", (r"did you mean MnistThesisParams",)),
])
def test_slips_of_an_author_are_refused_where_they_are(root, text, words):
    add_to(root, "04_mnist", f"\n{text}\n")
    with refuses(BadReport, "04_mnist.tex, line", *words):
        generated.read_report(root)


def test_a_missing_section_is_refused(root):
    (root / "report/sections/11_conclusion.tex").unlink()
    with refuses(BadReport, "11_conclusion.tex", "git checkout"):
        generated.read_report(root)


def test_a_share_typed_in_math_is_refused(root):
    add_to(root, "04_mnist", "\nIt was right on $97\\%$ of them.\n")
    with refuses(BadReport, "04_mnist.tex, line", "97"):
        generated.read_report(root)


def test_a_brace_that_is_left_open_is_refused(root):
    add_to(root, "10_discussion", "\n\\claim{the-moon}{It is made of cheese.\n")
    with refuses(BadReport, "10_discussion.tex, line", "brace"):
        generated.read_report(root)


def asked(**values):
    return {name: number.Number(value, str(value), "", (value - 1, value + 1)) for name, value in values.items()}


def claim(sentence, name="c"):
    return prose.Claim(name, sentence, "a.tex, line 1")


def test_a_finding_that_no_longer_holds_fails_with_its_sentence():
    sentence, rule = claim(r"It rises from \Before{} to \After{}."), {"c": lambda n: claims.above(n.After, n.Before)}
    claims.check_claims([sentence], asked(Before=10, After=20), rule)
    with refuses(BadReport, "a.tex, line 1", "It rises from 20 to 10."):
        claims.check_claims([sentence], asked(Before=20, After=10), rule)
    with refuses(BadReport, "no longer true"):                    # apart, and the intervals overlap
        claims.check_claims([sentence], asked(Before=10, After=11), rule)


def test_a_finding_of_two_parts_fails_with_its_sentence_too():
    """`and` stops at the first part that is false, so the numbers of the second one are not read then."""
    rule = {"c": lambda n: n.Before.value > 90 and n.After.value > 90}
    with refuses(BadReport, "no longer true", "It rises from 10 to 20."):
        claims.check_claims([claim(r"It rises from \Before{} to \After{}.")], asked(Before=10, After=20), rule)


@pytest.mark.parametrize("rule", [lambda n: n.Before > 1, lambda n: undefined(n.Before),              # noqa: F821
                                  lambda n: claims.above(n.Plain, n.Before)], ids=["a number", "a name", "an interval"])
def test_a_predicate_that_stops_is_told_with_its_claim(rule):
    known = asked(Before=1) | {"Plain": number.count(3, "")}
    with refuses(BadReport, "a.tex, line 1", "predicate of 'c' stops", "findings.py"):
        claims.check_claims([claim(r"It is \Before{}.")], known, {"c": rule})


def test_a_predicate_reads_every_number_of_its_sentence():
    with refuses(BadReport, "does not read", "After"):
        claims.check_claims([claim(r"From \Before{} to \After{}.")], asked(Before=1, After=9),
                            {"c": lambda n: n.Before.value < 5})


def test_a_predicate_that_no_sentence_states_is_refused():
    with refuses(BadReport, "'unsaid'"):
        claims.check_claims([], {}, {"unsaid": lambda n: True})


@given(st.tuples(*[st.floats(-5, 5)] * 4))
def test_above_and_overlap_exclude_each_other(ends):
    a, b = (SimpleNamespace(low=min(pair), high=max(pair)) for pair in (ends[:2], ends[2:]))
    assert claims.above(a, b) + claims.above(b, a) + claims.overlap(a, b) == 1


# the thesis's claims

def test_verdicts_follow_the_numbers(root):
    found = numbers.all_numbers(Stored(root))

    def verdict(part, claim, changed):
        (one,) = [v.verdict for v in verdicts.all_verdicts(found | changed)[part] if v.claim.startswith(claim)]
        return one

    part, times = "Its Table 3: loading WikiArt", found["LoadingSequentialOverRandom"]
    assert verdict(part, "file-sequential against", {}) == verdicts.CORRECTED
    fast = dataclasses.replace(times, value=50.0)
    assert verdict(part, "file-sequential against", {"LoadingSequentialOverRandom": fast}) == verdicts.REPRODUCED
    part, counted = "Its Sections 3.2 and 3.4: networks, data and training", found["CifarThesisParams"]
    assert verdict(part, "parameters, CIFAR-10", {}) == verdicts.CORRECTED
    true = {"CifarThesisParams": dataclasses.replace(counted, value=45_100_000)}
    assert verdict(part, "parameters, CIFAR-10", true) == verdicts.REPRODUCED


def test_every_printed_number_of_the_tables_has_a_verdict(root):
    found = verdicts.all_verdicts(numbers.all_numbers(Stored(root)))
    printed = presets.PRINTED["cifar10"]
    assert len(found["Its Table 1: metrics on CIFAR-10"]) == len(printed["fid"]) + len(printed["accuracy"])
    assert len(found[verdicts.TABLE_4]) == 3 * len(presets.PRINTED_COMPARISON) == 30
    assert sum(verdicts.summary(found).values()) == sum(map(len, found.values())) - 7         # the faults
    for claims_of_part in found.values():
        for one in claims_of_part:
            assert one.verdict == verdicts.REPRODUCED or one.reason, f"{one.claim} has no reason"


# LaTeX

@pytest.mark.parametrize("line, found", [
    ("Overfull \\hbox (5.1pt too wide) in paragraph at lines 3--4", True),
    ("Overfull \\hbox (4.9pt too wide) in paragraph at lines 3--4", False),
    ("Overfull \\vbox (12.0pt too high) has occurred while \\output is active", True),
    ("Underfull \\hbox (badness 10000) in paragraph at lines 3--4", False),
    ("LaTeX Warning: Reference `fig:x' on page 1 undefined on input line 5.", True),
    ("Package natbib Warning: Citation `ho' on page 1 undefined on input line 5.", True),
    ("LaTeX Warning: There were undefined references.", True),
    ("LaTeX Warning: There were multiply-defined labels.", True),
    ("LaTeX Warning: Float too large for page by 156.2pt on input line 7.", True),
    ("LaTeX Warning: Float too large for page by 2.2pt on input line 7.", False),
    ("! LaTeX Error: File `siunitx.sty' not found.\n\nl.7 \\usepackage", True),
    ("Missing character: There is no ∅ in font ec-lmr10!", True),
    ("! LaTeX Error: File `../figures/x.pdf' not found.\n\nl.7 \\includegraphics{x}", True),
    ("LaTeX Font Warning: Some font shapes were not available", False),
])
def test_what_must_not_be_in_a_log(line, found):
    assert bool(build.find_complaint(f"This is pdfTeX\n{line}\nOutput written")) is found


def test_a_build_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "build").write_text("")
    with refuses(OutputError, "build/report"):
        build.build_pdf(tmp_path)


def test_without_latex_everything_but_the_pdf_is_made(root, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    (root / "report/generated/numbers.tex").unlink()
    main(["report", "--pdf"])
    said = capsys.readouterr().out.splitlines()
    assert "texlive-latex-extra" in said[-1] and "conda" in said[-1]
    assert (root / "report/generated/numbers.tex").read_text().startswith(r"\newcommand")


@needs_latex
def test_a_report_that_latex_refuses_leaves_the_last_good_one(tmp_path):
    (tmp_path / "report").mkdir()
    source, pdf = tmp_path / "report/main.tex", tmp_path / "report/main.pdf"
    source.write_text(r"\documentclass{article}\begin{document}Good.\end{document}")
    assert build.build_pdf(tmp_path) == pdf
    good = pdf.read_bytes()
    for bad, word in ((r"\nonsense", "Undefined control sequence"), (r"\rule{500pt}{1pt}", "Overfull"),
                      (r"\ref{none}", "none")):
        source.write_text(rf"\documentclass{{article}}\begin{{document}}{bad}\end{{document}}")
        with refuses(BadReport, word, "main.pdf is left"):
            build.build_pdf(tmp_path)
        assert pdf.read_bytes() == good

"""LaTeX of the report: nothing unescaped, nothing that cannot be printed, numbers aligned over their intervals."""

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import refuses

from t2i_helpers.errors import BadValue
from t2i_helpers.reporting.booktabs import tabular
from t2i_helpers.reporting.latex import WithInterval, escaped
from t2i_helpers.reporting.tables import Table, with_interval

PLAIN = [*map(chr, range(32, 127)), *"éäüßøÀŁžœ"]
PRINTED = [*PLAIN, *"±×→←↑↓∞≠≤≥−–—…“”‘’·∅σηαετλΔΩ"]
COMMANDS = re.compile(r"\\[&%$#_{},]|\$\\[A-Za-z]+\$|\$-\$|\\[a-z]+\{\}|\{\}|~")
ACCURACY, FRECHET = WithInterval(0.852, 0.829, 0.873, percent=True), WithInterval(6.33, 4.87, 7.79)
KERNEL = WithInterval(-0.0604, -2.93, 2.81)


@given(st.text(PRINTED))
def test_no_special_character_is_left(text):
    left = COMMANDS.sub("", escaped(text))
    assert not re.search(r"[&%$#_{}^\\~]", left) and left.isprintable()
    assert not re.search("[^\x20-\x7eÀ-ž]", escaped(text))


@given(st.text(PLAIN))
def test_what_is_no_special_character_stays_and_in_its_order(text):
    def kept(text):
        return re.sub(r"[&%$#_{}^~\\]", "", text)

    assert kept(COMMANDS.sub("", escaped(text))) == kept(text)


@pytest.mark.parametrize("text, tex", [
    ("Ho & Salimans, 95 %", r"Ho \& Salimans, 95 \%"), ("sigma_min=0.2", r"sigma\_min=0.2"),
    ("C:\\x^2", r"C:\textbackslash{}x\textasciicircum{}2"), ("t2i report --pdf", "t2i report -{}-pdf"),
    ("“σ ≠ 1 – 2”", r"``$\sigma$ $\ne$ 1 -- 2''"), ("Kynka\N{COMBINING DIAERESIS}a", "Kynkäa")])
def test_each_is_escaped_as_it_is_printed(text, tex):
    assert escaped(text) == tex


@pytest.mark.parametrize("text, named", [
    ("style 山水画 of\nwikiart", "山 (U+5C71)"), ("best 🎨", "🎨 (U+1F3A8)"), ("a\0b", "U+0000")])
def test_what_the_fonts_lack_is_refused_by_name(text, named):
    with refuses(BadValue, named, "rename or replace"):
        escaped(text)
    with refuses(BadValue, named):
        tabular(["", "n"], [[text, "1"]])


@pytest.mark.parametrize("value, interval, percent, text", [
    (0.852, (0.829, 0.873), True, "85.2% (82.9% to 87.3%)"), (113.93, (105.6, 122.2), False, "113.9 ± 8.3"),
    (6.33, (4.87, 7.79), False, "6.33 ± 1.46"), (-0.0604, (-2.93, 2.81), False, "-0.060 ± 2.870"),
    (3059.9, (1911.3, 4208.5), False, "3059.9 ± 1148.6")])
def test_an_estimate_reads_in_markdown_as_before(value, interval, percent, text):
    cell = with_interval({"value": value, "interval": list(interval)}, percent)
    assert str(cell) == text
    table = Table("name", ["w", "metric"], [["1", cell]], "a note", {})
    assert table._repr_markdown_() == f"| w | metric |\n| --- | --- |\n| 1 | {text} |\n\n*a note*"


def test_thousands_have_no_decimals_and_a_rounded_zero_no_minus():
    assert WithInterval(3059.9, 1911.3, 4208.5).numbers() == ("3060", "1911", "4208")
    assert WithInterval(703.8, 172.2, 1235.4).numbers() == ("703.8", "172", "1235")
    assert WithInterval(0.0, -0.0004, 0.004).numbers() == ("0.000", "0.000", "0.004")


def test_numbers_are_aligned_over_their_intervals():
    tex = tabular(["w", "model: Fréchet", "model: accuracy"],
                  [["0", WithInterval(113.93, 105.6, 122.2), ACCURACY], ["real images", KERNEL, "–"]])
    assert "{@{}lS[table-format=-3.3]S[table-format=2.1]@{}}" in tex
    lines = tex.splitlines()
    above = next(place for place, line in enumerate(lines) if line.startswith(r"\num{0} & 113.9 & 85.2"))
    assert lines[above + 1] == r" & {\scriptsize[\num{105.6}, \num{122.2}]} & {\scriptsize[\num{82.9}, \num{87.3}]} \\"
    assert lines[above + 2:above + 4] == [r"\midrule", r"real images & -0.060 & {--} \\[-1.5pt]"]
    assert r" & \multicolumn{2}{c}{model} \\" in lines and r"\cmidrule(lr){2-3}" in lines
    assert r"$w$ & {Fréchet} & {accuracy (\%)} \\" in lines


def test_the_unit_is_the_row_s_where_columns_are_mixed():
    tex = tabular(["improved", "w = 2"], [["recall (classifier)", ACCURACY], ["accuracy", "16.5%"], ["FID", FRECHET]])
    assert r"recall (classifier,~\%) & 85.2" in tex and r"accuracy (\%) & 16.5 \\" in tex and "FID & 6.33" in tex
    assert r"{$w$~=~2}" in tex


def test_estimates_that_have_no_place_for_their_unit_keep_it():
    tex = tabular(["", "a", "b"], [["x", ACCURACY, FRECHET], ["y", FRECHET, ACCURACY]])
    assert tex.count(r"85.2\% (82.9\% to 87.3\%)") == 2 and "table-format" not in tex


def test_numbers_are_siunitx_s_and_marked_ones_are_to_the_right():
    tex = tabular(["", "said", "counted"], [["batch", "1e-4", "60,000"], ["rate", "≠ 1,512", "131925"],
                                             ["x", "~2M", ""]])
    assert "{@{}lrS[table-format=6.0]@{}}" in tex
    assert r"batch & \num{1e-4} & 60000 \\" in tex and r"rate & $\ne$~\num{1512} & 131925 \\" in tex
    assert r"x & $\sim$2M &  \\" in tex


def test_symbols_are_italic_but_seconds_and_genitives_are_not():
    tex = tabular(["first (s)", "samples/s", "n"], [["0.1–0.5 s", "n a network's", "c - s n"]])
    assert "first (s) & samples/s & $n$" in tex
    assert "0.1--0.5 s & $n$ a network's & $c$ $-$ $s$ $n$" in tex


def test_long_text_is_broken_only_where_the_table_is_too_wide():
    narrow = tabular(["a", "b"], [["word " * 5, "x"]])
    wide = tabular(["a", "b"], [["word " * 20, "x_y " * 20]])
    assert r"\begin{tabular}{@{}ll@{}}" in narrow
    assert r"\begin{tabularx}{\textwidth}" in wide and wide.count(r"\arraybackslash}X") == 2
    assert r"x\_\allowbreak{}y" in wide


def test_a_long_title_takes_the_line_of_the_interval():
    tex = tabular(["rule", *"abcdefg"], [["interval start=0.2 stop=0.8", *[KERNEL] * 7],
                                         ["kernel (classifier)", *[KERNEL] * 7]])
    first, second = tex.partition("\\midrule\n")[2].splitlines()[:2]
    assert first.startswith("interval start=0.2 & -0.060") and second.startswith("stop=0.8 & {")
    assert "\nkernel & -0.060" in tex and "\n(classifier) & {" in tex         # as narrow as the others


def test_a_long_header_takes_several_lines():
    tex = tabular(["", "style entropy (bits)"], [["x", "1"]])
    assert r"{\makecell[b]{style \\ entropy \\ (bits)}}" in tex


def test_a_row_that_starts_with_a_bracket_is_no_option_of_the_row_before():
    assert "\n{}[−1, 1]".replace("−", "$-$") in tabular(["", "x"], [["a", "b"], ["[−1, 1]", "c"]])


def test_nothing_leaks_out_of_a_table_and_its_note_is_not_in_it():
    tex = Table("name", ["a"], [["b"]], "the note", {}).latex()
    assert tex.startswith(r"\begingroup") and tex.endswith("\\end{tabular}\\endgroup\n") and "the note" not in tex


def test_it_starts_without_torch():
    code = "import sys, t2i_helpers.reporting.booktabs; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

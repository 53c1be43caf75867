"""LaTeX of the report: nothing unescaped, nothing that cannot be printed, numbers aligned over their intervals."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2i_helpers.reporting.exhibits import Table
from t2i_helpers.reporting.latex import cell, escaped, rounded, tabular

PRINTED = [*map(chr, range(32, 127)), *"éäüßøÀŁžœ±×→←↑↓∞≠≤≥−–—…“”‘’·∅σηαετλΔΩ"]
COMMANDS = re.compile(r"\\[&%$#_{},]|\$\\[A-Za-z]+\$|\$-\$|\\[a-z]+\{\}|\{\}|~")
ACCURACY = cell({"value": 0.852, "interval": [0.829, 0.873]}, percent=True)
FRECHET, KERNEL = (cell({"value": value, "interval": ends}) for value, ends in (
    (6.33, [4.87, 7.79]), (-0.0604, [-2.93, 2.81])))


@given(st.text(PRINTED))
def test_no_special_character_is_left_and_all_others_are_in_their_order(text):
    def kept(text):
        return re.sub(r"[&%$#_{}^~\\]", "", text)

    left = COMMANDS.sub("", escaped(text))
    assert not re.search(r"[&%$#_{}^\\~]", left) and left.isprintable() and left == kept(text)


@pytest.mark.parametrize("text, tex", [
    ("Ho & Salimans, 95 %", r"Ho \& Salimans, 95 \%"), ("sigma_min=0.2", r"sigma\_min=0.2"),
    ("C:\\x^2", r"C:\textbackslash{}x\textasciicircum{}2"), ("t2i report --pdf", "t2i report -{}-pdf"),
    ("Kynka\N{COMBINING DIAERESIS}a", "Kynkäa")])
def test_each_is_escaped_as_it_is_printed(text, tex):
    assert escaped(text) == tex


@pytest.mark.parametrize("value, interval, percent, text", [
    (0.852, (0.829, 0.873), True, "85.2 (82.9 to 87.3)"), (0.28, (0.18, 0.41), True, "28 (18 to 41)"),
    (113.93, (105.6, 122.2), False, "114 (106 to 122)"), (6.33, (4.87, 7.79), False, "6.3 (4.9 to 7.8)"),
    (-0.0604, (-2.93, 2.81), False, "-0.1 (-2.9 to 2.8)"), (3059.9, (1911.3, 4208.5), False, "3060 (1911 to 4208)"),
    (0.0, (-0.0004, 0.004), False, "0.000 (0.000 to 0.004)"), (1.0, (1.0, 1.0), True, "100.0 (100.0 to 100.0)")])
def test_an_estimate_has_the_digits_that_its_interval_allows(value, interval, percent, text):
    shown = cell({"value": value, "interval": list(interval)}, percent)
    table = Table("name", ["w", "metric"], [["1", shown]], "a note", {})
    tex = table.latex()
    assert tex.startswith(r"\begingroup") and tex.endswith("\\end{adjustbox}\\endgroup\n") and "a note" not in tex
    assert table._repr_markdown_() == f"| w | metric |\n| --- | --- |\n| 1 | {text} |\n\n*a note*"


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e3))
def test_a_number_and_the_ends_of_its_interval_have_the_same_decimals(value, half):
    texts = rounded(value, value - half, value + half)
    assert len({len(text.partition(".")[2]) for text in texts}) == 1
    # two digits of a width from 1 to 10 are tenths, and half a tenth is at most a twentieth of it; at most 3 decimals
    most = 2 * half / 20 + 5e-4
    assert all(abs(float(text) - end) <= most for text, end in zip(texts, (value, value - half, value + half)))


def body(tex) -> list[str]:
    return tex.partition("\\midrule\n")[2].partition("\\bottomrule")[0].splitlines()


def test_numbers_are_aligned_over_their_intervals_under_shared_heads():
    tex = tabular(["w", "model: Fréchet", "model: accuracy (%)"],
                  [["0", FRECHET, ACCURACY], ["real images", KERNEL, "–"]])
    assert "{@{}lS[table-format=-1.1]S[table-format=2.1]@{}}" in tex
    assert r"\multicolumn{1}{c}{} & \multicolumn{2}{c}{model} \\ \cmidrule(lr){2-3}" in tex
    assert r"{$w$} & {Fréchet} & {accuracy (\%)} \\" in tex
    first, second, third, _ = body(tex)
    assert (first, third) == (r"0 & 6.3 & 85.2 \\", r"\midrule real images & -0.1 & {–} \\")
    assert r" & {\scriptsize[\num{4.9}, \num{7.8}]} & {\scriptsize[\num{82.9}, \num{87.3}]} \\" in second


def test_numbers_are_siunitx_s_and_other_text_is_to_the_right():
    tex = tabular(["", "said", "counted", "share (%)"], [["batch", "1e-4", "60,000", ACCURACY],
                                                         ["rate", "≠ 1,512", "131925", "16.5"], ["x", "~2M", "", "–"]])
    assert "{@{}lrS[table-format=6.0]S[table-format=2.1]@{}}" in tex and r"{share (\%)} \\" in tex
    first, interval, *others = body(tex)
    assert first == r"batch & 1e-4 & 60000 & 85.2 \\"
    assert [line.removeprefix(r"\addlinespace[2.5pt]") for line in others] == [
        r"rate & ≠ 1,512 & 131925 & 16.5 \\", r"x & $\sim$2M & {} & {–} \\"]


def test_symbols_are_italic_but_seconds_and_genitives_are_not():
    tex = tabular(["first (s)", "rate", "n"], [["0.1–0.5 s", "n a network's", "c - s n"], ["[−1, 1]", "", ""]])
    assert "{first (s)} & {rate} & {$n$}" in tex
    assert "0.1–0.5 s & $n$ a network's & $c$ − $s$ $n$" in tex
    assert "\n{}[−1, 1]" in tex                                                    # no option of the row before


def test_long_text_and_titles_are_broken_where_the_table_is_too_wide():
    narrow = tabular(["a", "b", "c"], [["word " * 5, "x", "1"]])
    wide = tabular(["a", "b", "style entropy (bits)"], [["a", "x", "word " * 20], ["b", "x", "x_y " * 20]])
    assert r"{@{}lrS[table-format=1.0]@{}}" in narrow
    assert r"\begin{tabularx}{\textwidth}{@{}ll>{\raggedright\arraybackslash}X@{}}" in wide
    assert wide.endswith("\\end{tabularx}\n\\end{adjustbox}\\endgroup\n")
    assert r"x\_\allowbreak{}y" in wide and r"{\makecell[b]{style entropy \\ (bits)}}" in wide
    first, second, *_ = body(tabular(["rule", "a"], [["interval sigma_min=0.2 sigma_max=5", KERNEL]]))
    assert first.startswith(r"interval sigma\_min=0.2 & -0.1") and r"sigma\_max=5 & {" in second

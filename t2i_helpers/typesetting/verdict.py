"""What became of a claim of the thesis: reproduced, corrected, or not testable here."""

from dataclasses import dataclass

from ..reporting.latex import escaped

REPRODUCED, CORRECTED, UNTESTABLE = "reproduced", "corrected", "not testable here"


@dataclass(frozen=True)
class Verdict:
    """A claim of the thesis and what was found here (both LaTeX), and why they differ or cannot be compared."""

    claim: str
    printed: str
    here: str
    verdict: str
    reason: str = ""
    setting: bool = False                    # what was configured, and not what was found


def decided(holds: bool) -> str:
    return REPRODUCED if holds else CORRECTED


def untestable(claim: str, printed: str, reason: str, here: str = "--") -> Verdict:
    return Verdict(claim, printed, here, UNTESTABLE, reason)


def both(n, name: str, dataset: str = "Cifar") -> str:
    """A number of both recipes, in words."""
    thesis, improved = (n[f"{dataset}{variant}{name}"].text for variant in ("Thesis", "Improved"))
    return f"thesis's recipe {thesis}, improved {improved}"


def plain(text: str) -> str:
    """What the thesis prints, escaped; a number alone is set by siunitx."""
    number = text.replace(",", "")
    return rf"\num{{{number}}}" if number.replace("e-", "").isdigit() else escaped(text)

"""LaTeX: from ``report/main.tex`` and what was generated to ``report/main.pdf``, or one line on why not."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from ..errors import BadReport
from ..paths import atomic_write

PACKAGES = ("latexmk texlive-latex-extra texlive-science lmodern (Debian), or texlive-core latexmk (conda, as "
            "environment.yml does)")
INSTALL = f"no LaTeX here, so report/main.pdf is left as it was: install {PACKAGES}"
WARNINGS = re.compile(r"^(?:LaTeX|Package \w+) Warning: .*(?:undefined|not found|multiply[- ]defined).*"
                      r"|^Missing character.*|^Overfull \\[hv]box \((?:[5-9]|\d\d+)\.?\d*pt.*", re.M)


def has_latex() -> bool:
    """Whether latexmk, pdflatex and bibtex are here."""
    return all(map(shutil.which, ("latexmk", "pdflatex", "bibtex")))


def build_pdf(root: Path) -> list[str]:
    """Write ``report/main.pdf`` with latexmk; returns what LaTeX warns of: references, characters, wide lines.

    BadReport, and the PDF that was there stays, where LaTeX stops.
    """
    work, main = root / "build" / "report", root / "report" / "main.pdf"
    command = ["latexmk", "-norc", "-pdf", "-interaction=nonstopmode", "-halt-on-error", "-file-line-error",
               f"-outdir={work}", "main.tex"]
    run = subprocess.run(command, cwd=root / "report", capture_output=True, text=True, errors="replace",
                         env=os.environ | {"max_print_line": "10000"})
    log = work / "main.log"
    text = log.read_text(errors="replace") if log.is_file() else run.stdout + run.stderr
    if run.returncode:
        error = re.search(r"^(?:! |\S+:\d+: )(?!.*==> Fatal).*", text, re.M)
        line = error[0] if error else (run.stderr or run.stdout).strip().splitlines()[-1]
        missing = f" (install {PACKAGES})" if ".sty' not found" in line else ""
        raise BadReport(f"LaTeX stops: {line}{missing}; see {log}; {main.name} is left as it was")
    with atomic_write(main) as temporary:
        shutil.copyfile(work / "main.pdf", temporary)
    return list(dict.fromkeys(WARNINGS.findall(text)))

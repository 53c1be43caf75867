"""LaTeX: from ``report/main.tex`` and what was generated to ``report/main.pdf``, or one line on why not."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from ..errors import BadReport, OutputError
from ..paths import atomic_write

INSTALL = ("no LaTeX here, so report/main.pdf is left as it was: install latexmk texlive-latex-extra texlive-science "
           "lmodern (Debian), or texlive-core latexmk (conda, as environment.yml does)")
TOO_WIDE = 5.0                                                 # points


def has_latex() -> bool:
    """Whether latexmk, pdflatex and bibtex are here."""
    return all(map(shutil.which, ("latexmk", "pdflatex", "bibtex")))


def build_pdf(root: Path) -> Path:
    """Run latexmk in ``build/report`` and put the PDF beside main.tex.

    BadReport, and the PDF that was there stays, where LaTeX stops, a reference or figure is missing, or a line is more
    than 5 pt too wide.
    """
    work, main = root / "build" / "report", root / "report" / "main.pdf"
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write into {work} ({error.strerror}): make room for that folder") from error
    command = ["latexmk", "-norc", "-pdf", "-interaction=nonstopmode", "-halt-on-error", "-file-line-error",
               f"-outdir={work}", "main.tex"]
    told = subprocess.run(command, cwd=root / "report", capture_output=True, text=True, errors="replace",
                          env=os.environ | {"max_print_line": "10000"})
    log = work / "main.log"
    if complaint := find_complaint(log.read_text(errors="replace") if log.is_file() else told.stdout + told.stderr):
        raise BadReport(f"{complaint}; see {log}; {main.name} is left as it was")
    if told.returncode:
        raise BadReport(f"latexmk stopped ({(told.stderr or told.stdout).strip().splitlines()[-1]}); see {log}; "
                        f"{main.name} is left as it was")
    with atomic_write(main) as temporary:
        shutil.copyfile(work / "main.pdf", temporary)
    return main


def find_complaint(log: str) -> str | None:
    """The first thing in LaTeX's log that must not be in a report; None where it is clean."""
    if error := re.search(r"^(?:! |\S+:\d+: )(?!.*==> Fatal).*", log, re.M):
        return f"{error[0]} ({INSTALL.partition(': ')[2]})" if ".sty' not found" in error[0] else error[0]
    for found in re.finditer(r"^(?:Overfull \\[hv]box \(|LaTeX Warning: Float too large for page by )"
                             r"(\d+(?:\.\d+)?)pt.*", log, re.M):
        if float(found[1]) > TOO_WIDE:
            opened = re.findall(r"\(\.?/?((?:sections|generated)/[\w.]+)", log[:found.start()])
            return found[0] + (f" (about {opened[-1]})" if opened else "")
    missing = re.search(r"^(?:LaTeX|Package \w+) Warning: .*(?:undefined|not found|multiply[- ]defined).*"
                        r"|^Missing character.*", log, re.M)
    return missing[0] if missing else None

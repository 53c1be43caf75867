"""The thesis's settings: what its tables print of the configurations, against what its own text gives."""

from .. import presets
from ..reporting.configured import FROM_TEXT, agrees
from .number import SHORT
from .verdict import UNTESTABLE, Verdict, decided, plain

COUNTED = {"parameters": "ThesisParams", "training samples": "TrainingImages", "classes": "Classes"}
REASONS = {"parameters": "its section's network, built and counted", "training samples": "as the hub has them"}


def table_2(n):
    """The settings of its Table 2."""
    for row, values in presets.PRINTED_SETTINGS.items():
        for dataset, printed in zip(SHORT, values):
            yield _against_its_text(n, dataset, row, printed)


def table_4(n):
    """All of its Table 4."""
    for row, values in presets.PRINTED_COMPARISON.items():
        for dataset, printed in zip(SHORT, values):
            if row == "dataset size":
                raw = n[f"{SHORT[dataset]}RawMegabytes"]
                yield Verdict(f"{row}, {presets.NAMES[dataset]}", plain(printed), f"{raw.text} of raw training pixels",
                              UNTESTABLE, "the size of a download, which depends on its encoding", setting=True)
            else:
                yield _against_its_text(n, dataset, row, printed)


def text(n):
    """The settings that its sections state."""
    for dataset, printed in presets.PRINTED.items():
        yield _against_its_text(n, dataset, "parameters", printed["parameters"].split()[0])
    yield Verdict("tokens a caption, WikiArt", "77", "8 in the code that accompanies it", decided(False),
                  "at 8 tokens all 27 captions become one sequence; a test holds that", setting=True)
    rows, files = presets.TRAINING_IMAGES["wikiart"], presets.WIKIART_FILES
    yield Verdict("samples a file, WikiArt", r"$\sim$\num{1100}", rf"\num{{{rows / files:.0f}}}",
                  decided(agrees("~1,100", f"{rows / files:.0f}", within=0.03)),
                  rf"\num{{{rows}}} rows in {files} files", setting=True)


def _against_its_text(n, dataset, row, printed) -> Verdict:
    if row in FROM_TEXT:
        here = FROM_TEXT[row](presets.get(dataset, "thesis", "full"))
    else:
        here = f"{n[SHORT[dataset] + COUNTED[row]].value:,}"
    same = agrees(printed, here)
    reason = REASONS.get(row, "" if same else "its own text says otherwise")
    return Verdict(f"{row}, {presets.NAMES[dataset]}", plain(printed), plain(here), decided(same), reason, setting=True)

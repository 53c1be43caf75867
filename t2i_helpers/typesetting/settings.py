"""The thesis's settings: what its tables print of the configurations, against what its own text gives."""

import re

from .. import presets
from .number import SHORT
from .verdict import UNTESTABLE, Verdict, decided, plain

FROM_TEXT = {                                       # a row of Table 4 -> what the text's configuration says
    "resolution": lambda p: f"{p.resolution}×{p.resolution}", "channels": lambda p: str(p.channels),
    "U-Net blocks": lambda p: str(len(p.block_channels)), "batch size": lambda p: str(p.batch_size),
    "learning rate": lambda p: f"{p.learning_rate:.0e}".replace("e-0", "e-"), "epochs": lambda p: str(p.epochs),
}
COUNTED = {"parameters": "ThesisParams", "training samples": "TrainingImages", "classes": "Classes"}
REASONS = {"parameters": "its section's network, built and counted", "training samples": "as the hub has them"}
TABLE_2 = {"resolution": ("28×28", "32×32"), "channels": ("1", "3"), "parameters": ("~3.1M", "~45M"),
           "epochs": ("20", "50")}


def table_2(n):
    """The settings of its Table 2."""
    for row, values in TABLE_2.items():
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
    for dataset, printed in (("mnist", "3,140,385"), ("cifar10", "~45M"), ("wikiart", "~150M")):
        yield _against_its_text(n, dataset, "parameters", printed)
    yield Verdict("tokens a caption, WikiArt", "77", "8 in the code that accompanies it", decided(False),
                  "at 8 tokens all 27 captions become one sequence; a test holds that", setting=True)
    rows, files = presets.TRAINING_IMAGES["wikiart"], presets.WIKIART_FILES
    yield Verdict("samples a file, WikiArt", r"$\sim$\num{1100}", rf"\num{{{rows / files:.0f}}}",
                  decided(about("~1,100", rows / files)), rf"\num{{{rows}}} rows in {files} files", setting=True)


def _against_its_text(n, dataset, row, printed) -> Verdict:
    if row in FROM_TEXT:
        here = FROM_TEXT[row](presets.get(dataset, "thesis", "full"))
        same = here == printed
    else:
        value = n[SHORT[dataset] + COUNTED[row]].value
        here, same = f"{value:,}", about(printed, value)
    reason = REASONS.get(row, "" if same else "its own text says otherwise")
    return Verdict(f"{row}, {presets.NAMES[dataset]}", plain(printed), plain(here), decided(same), reason, setting=True)


def about(printed: str, value: float) -> bool:
    """Whether a printed number, "~45M" or "60,000", is `value`: exactly, or to within 3 % if it says "~"."""
    number = float(re.sub(r"[~M,]", "", printed)) * (1e6 if printed.endswith("M") else 1)
    return abs(value - number) <= (0.03 if "~" in printed else 0) * value

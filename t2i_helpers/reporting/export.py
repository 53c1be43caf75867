"""From a function that draws to a file with its provenance: every figure leaves the project through `export`."""

import functools
import io
import time
from dataclasses import dataclass

from matplotlib.figure import Figure
from PIL import Image

from ..paths import atomic_write, figures_dir
from ..provenance import best_device, file_hash, read_sidecar, record, write_sidecar
from .drawing import note_under, without_footnote


@dataclass(frozen=True)
class Exhibit:
    """A drawn figure, the name of its file, and the facts that it was drawn from."""

    figure: Figure
    name: str                # fig02_digits_w5, say
    format: str              # "png" for pictures, "pdf" for curves
    facts: dict              # JSON


def exhibit(name: str, format: str):
    """Turn a function that returns (figure, facts) into one that returns an Exhibit, with the time it took."""

    def decorate(draw):
        @functools.wraps(draw)
        def timed(*arguments, **options) -> Exhibit:
            began = time.monotonic()
            figure, facts = draw(*arguments, **options)
            return Exhibit(figure, name, format, facts | {"wall_seconds": round(time.monotonic() - began, 1)})

        return timed

    return decorate


def export(shown: Exhibit, size: str) -> Figure:
    """Write the figure and its JSON sidecar into the figures folder of `size`; returns the figure, to be displayed.

    The footnote goes into the sidecar, as "note", and not into the file: a caption prints it there.
    """
    path = figures_dir(size) / f"{shown.name}.{shown.format}"
    with atomic_write(path) as temporary, without_footnote(shown.figure):
        SAVE[shown.format](shown.figure, temporary)
    sidecar = record(best_device(), size=size, **shown.facts, note=note_under(shown.figure), file=path.name,
                     file_sha256_16=file_hash(path))
    write_sidecar(path.with_suffix(".json"), sidecar)
    return shown.figure


def committed(name: str):
    """The picture NAME.png as it lies in `figures/`, to be displayed where it cannot be drawn; its note is printed."""
    from IPython.display import Image as Picture

    path = figures_dir("demo") / f"{name}.png"
    print(f"drawn earlier: {read_sidecar(path.with_suffix('.json'))['note']}")
    return Picture(filename=str(path))


def _save_pdf(figure, path):
    figure.savefig(path, metadata={"CreationDate": None})               # the same figure gives the same bytes


def _save_png(figure, path):
    """Without transparency, in grey if it has no colours, and compressed as far as it goes: half as large."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    picture = Image.open(drawn)
    red, green, blue, _ = picture.split()
    kind = "L" if red.tobytes() == green.tobytes() == blue.tobytes() else "RGB"
    picture.convert(kind).save(path, optimize=True, dpi=picture.info["dpi"])


SAVE = {"pdf": _save_pdf, "png": _save_png}

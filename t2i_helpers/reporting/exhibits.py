"""From a function that draws to a file with its provenance: every figure leaves the project through `export`."""

import functools
import io
import time
from dataclasses import dataclass

from IPython.display import Image as Picture
from IPython.display import Markdown, display
from matplotlib.figure import Figure
from PIL import Image

from ..paths import atomic_write, figures_dir
from ..provenance import best_device, file_hash, read_sidecar, record, recording, write_sidecar
from . import drawing, tables
from .recorded import describe, note_argument

INLINE_DPI = 72


@dataclass(frozen=True)
class Exhibit:
    """A drawn figure, the name and format of its file, and the note and metadata of what it was drawn from."""

    figure: Figure
    name: str                # such as fig02_digits_w5
    format: str              # "png" for pictures, "pdf" for curves
    note: str                # printed under it in a notebook, and in the caption of the report
    metadata: dict           # JSON

    def _ipython_display_(self):
        display(Picture(data=_inline(self.figure, photographs=self.format == "png")), Markdown(f"*{self.note}*"))


def exhibit(name: str, format: str, **fixed):
    """Make a function that draws return an Exhibit, or a Table where `format` is "tex".

    The function returns its figure, or (header, rows) of a table, and optionally metadata of its own, with a "note".
    The note and the metadata of what it reads are added. `fixed` are arguments.
    """
    def decorate(draw):
        @functools.wraps(draw)
        def recorded(*arguments, **options):
            began = time.monotonic()
            with recording() as uses:
                for value in (*arguments, *options.values()):
                    note_argument(value)
                result = draw(*arguments, **fixed | options)
            *content, own = result if isinstance(result, tuple) else (result, {})
            note, metadata = describe(uses, draw.__module__, tables.__name__ if format == "tex" else drawing.__name__)
            note = "; ".join(filter(None, [own.pop("note", ""), note]))
            metadata |= own | {"wall_seconds": round(time.monotonic() - began, 1)}
            if format == "tex":
                return tables.Table(name, *content, note, metadata)
            (figure,) = content
            if format == "png" and not figure.subfigs:
                drawing.fit_height(figure)
            return Exhibit(figure, name, format, note, metadata)

        return recorded

    return decorate


def export(shown: Exhibit, size: str) -> Exhibit:
    """Write the figure and its JSON sidecar into the figures folder of `size`; returns `shown`, to be displayed."""
    path = figures_dir(size) / f"{shown.name}.{shown.format}"
    with atomic_write(path) as temporary:
        if shown.format == "pdf":
            shown.figure.savefig(temporary, metadata={"CreationDate": None})      # the same figure gives the same bytes
        else:
            picture = _raster(shown.figure)
            picture.save(temporary, optimize=True, dpi=picture.info["dpi"])
    write_sidecar(path.with_suffix(".json"), record(
        best_device(), size=size, **shown.metadata, note=shown.note, file=path.name, file_sha256_16=file_hash(path)))
    return shown


def committed(name: str):
    """The figure NAME in `figures/`, to be displayed where its data is not available; its note is printed."""
    sidecar = read_sidecar(figures_dir("demo") / f"{name}.json")
    print(f"drawn earlier: {sidecar['note']}")
    path = figures_dir("demo") / sidecar["file"]
    return Picture(filename=str(path)) if path.suffix == ".png" else Markdown(f"[{path.name}](../figures/{path.name})")


def _raster(figure, **options) -> Image.Image:
    """The figure without transparency, and in grey if it has no colours: half as large."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", **options)
    picture = Image.open(drawn)
    red, green, blue, _ = picture.split()
    return picture.convert("L" if red.tobytes() == green.tobytes() == blue.tobytes() else "RGB")


def _inline(figure, photographs: bool) -> bytes:
    """The figure for a notebook: PNG with a palette, or JPEG where photographs have more colours than that."""
    picture, file = _raster(figure, dpi=INLINE_DPI), io.BytesIO()
    if picture.mode == "RGB" and photographs:
        picture.save(file, "JPEG", quality=80, optimize=True)
    else:
        (picture if picture.mode == "L" else picture.quantize(128)).save(file, "PNG", optimize=True)
    return file.getvalue()

"""From a function that draws to a file with its provenance: every figure and table leaves the project by `export`."""

import functools
import inspect
import io
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from IPython.display import Image as Picture
from IPython.display import Markdown, display
from matplotlib import rcParams
from matplotlib.figure import Figure
from PIL import Image

from ..errors import SourceUnavailable
from ..paths import atomic_write, figures_dir, tables_dir
from ..provenance import best_device, file_hash, read_sidecar, record, recording, write_sidecar
from . import drawing, latex
from .recorded import describe, note_argument

FRAME_MS, HELD = 200, 8         # milliseconds of an animation's frame; how many times its last one is shown again


@dataclass(frozen=True)
class Exhibit:
    """A drawn figure, the name and format of its file, and the note and metadata of what it was drawn from."""

    figure: Figure | list[Figure]            # a list: the frames of an animation
    name: str                # such as fig02_digits_w5
    format: str              # "png" for pictures, "pdf" for curves, "gif" for animations
    note: str                # printed under it in a notebook, and in the caption of the report
    metadata: dict           # JSON
    alt: str = ""            # what it shows, for readers who cannot see it

    def _ipython_display_(self):
        """PNG with a palette, or JPEG where photographs have more colours than that."""
        data = _animated_png(self.figure) if self.format == "gif" else inline_image(self.figure, self.format == "png")
        display(Picture(data=data, alt=self.alt), Markdown(f"*{self.note}*"))

    def save(self, path):
        if self.format == "gif":
            first, *others = (_raster(frame, dpi=72).quantize(32) for frame in self.figure)
            first.save(path, "GIF", save_all=True, append_images=others, duration=FRAME_MS, loop=0)
        elif self.format == "pdf":
            self.figure.savefig(path, metadata={"CreationDate": None})      # the same figure gives the same bytes
        else:
            _with_palette(_raster(self.figure)).save(path, optimize=True, dpi=2 * (rcParams["savefig.dpi"],))


@dataclass(frozen=True)
class Table:
    """Rows of text and numbers under a header, the name of its file, and its note and metadata as for a figure."""

    name: str
    header: list[str]
    rows: list[list[str | list[str]]]             # see `latex.cell`
    note: str
    metadata: dict = field(repr=False)
    format: ClassVar[str] = "tex"

    def _repr_markdown_(self) -> str:
        lines = [self.header, ["---"] * len(self.header), *(
            ["{} ({} to {})".format(*cell) if isinstance(cell, list) else cell for cell in row] for row in self.rows)]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n*{self.note}*"

    def latex(self) -> str:
        """A booktabs table without its note, for any float."""
        return latex.tabular(self.header, self.rows)

    def save(self, path):
        path.write_text(self.latex(), encoding="utf-8")


def exhibit(name: str, format: str, **fixed):
    """Make a function that draws return an Exhibit, or a Table where `format` is "tex".

    The function returns its figure, or (header, rows) of a table, and optionally metadata of its own, with a "note".
    A metric in a table is shown with its interval, in per cent if its column's or row's title has the sign.
    The note and the metadata of what it reads are added, or no note to a "whole_note". `fixed` are arguments; {} in
    `name` is the first argument.
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
            note, metadata = describe(uses, draw.__module__, (latex if format == "tex" else drawing).__name__)
            note = own.pop("whole_note", None) or "; ".join(filter(None, [own.pop("note", ""), note]))
            metadata |= own | {"wall_seconds": round(time.monotonic() - began, 1)}
            file_name = name.format(*arguments).replace("-", "_")
            if format == "tex":
                header, rows = content
                cells = [[latex.cell(value, "%" in title + str(row[0])) for title, value in zip(header, row)]
                         for row in rows]
                return Table(file_name, header, cells, note, metadata)
            (figure,) = content
            if format == "gif":
                figure += HELD * figure[-1:]
            if format == "png" and not figure.subfigs:
                drawing.fit_height(figure)
            alt = " ".join(inspect.getdoc(draw).split("\n\n")[0].split())
            return Exhibit(figure, file_name, format, note, metadata, alt)

        return recorded

    return decorate


def export(shown: Exhibit | Table, size: str) -> Exhibit | Table:
    """Write a figure or table and its JSON sidecar into the folder of `size`; returns `shown`, to be displayed."""
    folder = tables_dir(size) if isinstance(shown, Table) else figures_dir(size)
    path = folder / f"{shown.name}.{shown.format}"
    with atomic_write(path) as temporary:
        shown.save(temporary)
    write_sidecar(path.with_suffix(".json"), record(
        best_device(), size=size, **shown.metadata, note=shown.note, file=path.name, file_sha256_16=file_hash(path)))
    return shown


def committed(name: str):
    """The figure NAME in `figures/`, to be displayed where its data is not available; its note is printed."""
    sidecar = read_sidecar(figures_dir("demo") / f"{name}.json")
    print(f"drawn earlier: {sidecar['note']}")
    path = figures_dir("demo") / Path(sidecar["file"]).name
    if path.suffix == ".png":
        return Picture(filename=str(path), alt=sidecar["note"])
    return Markdown(f"[{path.name}](../figures/{path.name})")


def shower(size: str):
    """`show` of a notebook: `show(figure)` is `export` at `size`. `show(draw, otherwise=NAME)` exports what `draw()`
    returns, or, where its data is not available, prints the reason and returns `committed(NAME)`."""
    def show(shown, otherwise: str | None = None):
        try:
            return export(shown() if otherwise else shown, size)
        except SourceUnavailable as error:
            print(error)
            return committed(otherwise)

    return show


def inline_image(figure, photographs: bool = False) -> bytes:
    """A small file for a notebook: PNG with a palette, or JPEG for `photographs` in colour."""
    picture, file = _raster(figure, dpi=72), io.BytesIO()
    if picture.mode == "RGB" and photographs:
        picture.save(file, "JPEG", quality=80, optimize=True)
    else:
        _with_palette(picture).save(file, "PNG", optimize=True)
    return file.getvalue()


def _animated_png(frames) -> bytes:
    """The frames with one palette. Unlike GIF, nbconvert shows it."""
    pictures = [np.asarray(_raster(frame, dpi=72).convert("RGB")) for frame in frames]
    height, width, _ = pictures[0].shape
    stack, file = Image.fromarray(np.concatenate(pictures)).quantize(32), io.BytesIO()
    first, *others = (stack.crop((0, top, width, top + height)) for top in range(0, stack.height, height))
    first.save(file, "PNG", save_all=True, append_images=others, duration=FRAME_MS, loop=0)
    return file.getvalue()


def _raster(figure, **options) -> Image.Image:
    """The figure without transparency, and in grey if it has no colours."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", **options)
    picture = Image.open(drawn)
    red, green, blue, _ = picture.split()
    return picture.convert("L" if red.tobytes() == green.tobytes() == blue.tobytes() else "RGB")


def _with_palette(picture):
    """256 colours that fit the picture: a third as large, photographs too."""
    return picture if picture.mode == "L" else picture.quantize(256, kmeans=1)

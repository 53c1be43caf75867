"""From a function that draws to a file with its provenance: every figure leaves the project through `export`."""

import functools
import time
from dataclasses import dataclass

from matplotlib.figure import Figure

from ..paths import atomic_write, figures_dir
from ..provenance import best_device, file_hash, record, write_json


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
    """Write the figure and its JSON sidecar into the figures folder of `size`; returns the figure, to be displayed."""
    path = figures_dir(size) / f"{shown.name}.{shown.format}"
    undated = {"CreationDate": None} if shown.format == "pdf" else None       # the same figure gives the same bytes
    with atomic_write(path) as temporary:
        shown.figure.savefig(temporary, metadata=undated)
    sidecar = record(best_device(), size=size, **shown.facts, file=path.name, file_sha256_16=file_hash(path))
    write_json(path.with_suffix(".json"), sidecar)
    return shown.figure

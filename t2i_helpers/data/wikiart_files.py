"""WikiArt's Parquet files in the schema of huggan/wikiart: their labels and rows, read from front to back.

Such a file is one row group whose images lie in one compressed dictionary, so that reading any row unpacks about
0.8 GB. Files are therefore read sequentially, one at a time, in small batches over a memory map.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .. import hub
from ..errors import BadData, SourceUnavailable, one_line
from ..paths import atomic_write
from .captions import CLASS_NAMES, GENRES, UNKNOWN_GENRE

STYLES = CLASS_NAMES["wikiart"]
# huggan/wikiart's paintings by style, in that order: 81,444 in all
PAINTINGS = (2782, 98, 110, 4334, 4240, 1615, 481, 2235, 1391, 6736, 934, 1343, 13060, 1279, 1337, 2405, 314, 2552, 513,
             1483, 6450, 10733, 2089, 7019, 4528, 216, 1167)
READ_AT_ONCE = 16                        # rows, about 6 MB of JPEGs


class ArtFile(NamedTuple):
    """One Parquet file of paintings; `first_row` makes its row numbers global."""

    path: str                            # local, or an fsspec URL such as hf://datasets/huggan/wikiart/data/...
    first_row: int
    rows: int
    size: int                            # bytes
    fingerprint: str                     # of its size, label names and Parquet footer
    style_names: tuple[str, ...]         # the file's own label names
    genre_names: tuple[str, ...] = ()    # empty if it has no genres

    row_ids = property(lambda self: range(self.first_row, self.first_row + self.rows))
    label_columns = property(lambda self: ["style", "genre"] if self.genre_names else ["style"])


class Painting(NamedTuple):
    """One row of a file."""

    row_id: int
    style: int                           # an index into STYLES, independent of the file's own order
    genre: int                           # an index into GENRES, or UNKNOWN_GENRE
    encoded: bytes | None


def find_art_files(source) -> list[ArtFile]:
    """The Parquet files of `source`, in order: a folder, one file, an fsspec URL of either, or a list of files. Raises
    SourceUnavailable if there are none; BadData for one that is truncated, lacks a column or does not name styles."""
    files, first_row = [], 0
    for path in map(str, source if isinstance(source, (list, tuple)) else _list(str(source))):
        files.append(_describe(path, first_row))
        first_row += files[-1].rows
    if not first_row:
        raise SourceUnavailable(f"no paintings in {source}: name a folder of Parquet files like huggan/wikiart's")
    return files


def read_paintings(file: ArtFile, wanted: np.ndarray | None = None) -> Iterator[Painting]:
    """The rows of `file` in order, or only those for which the bools `wanted` [rows] are true. Raises BadData, naming
    file and row, for damaged pages, a missing style or a style that is not one of the 27."""
    for first, batch in read_batches(file.path, ["image.bytes", *file.label_columns]):
        encoded = batch.column("image").field("bytes")
        for place, (style, genre) in enumerate(_labels(file, first, batch).T.tolist()):
            if wanted is None or wanted[first + place]:
                yield Painting(file.first_row + first + place, style, genre, encoded[place].as_py())


def read_labels(file: ArtFile) -> np.ndarray:
    """Styles and genres of all rows, int64 [2, rows], without reading images; errors as in `read_paintings`."""
    labels = (_labels(file, *batch) for batch in read_batches(file.path, file.label_columns))
    return np.concatenate([np.zeros((2, 0), np.int64), *labels], 1)


def write_art_file(path, pictures: list[bytes], styles: list[int], genres: list[int] | None = None) -> Path:
    """Write encoded `pictures` in huggan/wikiart's schema: one row group, one dictionary. `styles` are indices into
    STYLES, `genres` into GENRES; len(GENRES) is the unknown genre, the default of all. The artist is unknown."""
    import datasets

    features = datasets.Features({
        "image": datasets.Image(), "artist": datasets.ClassLabel(names=["Unknown Artist"]),
        "genre": datasets.ClassLabel(names=[name.replace(" ", "_") for name in GENRES] + ["Unknown Genre"]),
        "style": datasets.ClassLabel(names=[name.replace(" ", "_") for name in STYLES])})
    content = {"image": [{"bytes": picture, "path": None} for picture in pictures], "artist": [0] * len(styles),
               "genre": [len(GENRES)] * len(styles) if genres is None else genres, "style": styles}
    with atomic_write(path) as temporary:
        pq.write_table(pa.table(content, schema=features.arrow_schema), temporary, row_group_size=max(1, len(styles)))
    return Path(path)


def _list(source) -> list[str]:
    with hub.or_unavailable(f"list {source}", "connect, or name a local folder"):
        filesystem, path = fsspec.core.url_to_fs(source)
        if filesystem.isfile(path):
            return [source]
        paths = sorted(filesystem.find(path))
    return [filesystem.unstrip_protocol(name) if "://" in source else name for name in paths
            if name.endswith(".parquet") and not Path(name).name.startswith(".")]       # a dot: being written


@contextlib.contextmanager
def open_parquet(path: str):
    """Yield (pyarrow's ParquetFile, bytes, {"rows": read so far} for messages); BadData if it cannot be read."""
    remote, progress = "://" in path, {}
    failures = Exception if remote else (OSError, pa.ArrowException)             # each file system raises its own types
    try:
        with fsspec.open(path, "rb") as file, \
                pq.ParquetFile(file if remote else path, memory_map=not remote, pre_buffer=False) as parquet:
            yield parquet, file.size, progress
    except failures as error:
        after = f", after row {progress['rows']}" if progress else ""
        remedy = "connect and repeat" if remote else "fetch the file again"
        raise BadData(f"{path}{after}: {one_line(error)}; {remedy}") from error


def read_batches(path: str, columns: list[str], rows: int = READ_AT_ONCE):
    """Yield (number of its first row, batch of `rows`) of the file's `columns`."""
    with open_parquet(path) as (parquet, _, progress):
        progress["rows"] = 0
        for batch in parquet.iter_batches(rows, columns=columns, use_threads=False):
            yield progress["rows"], batch
            progress["rows"] += len(batch)


def _describe(path, first_row) -> ArtFile:
    with open_parquet(path) as (parquet, size, _):
        metadata, columns = parquet.metadata, {column.path: column.physical_type for column in parquet.schema}
        features = read_features(parquet)
    if "image.bytes" not in columns or not columns.get("style", "").startswith("INT"):
        raise BadData(f"{path} has no column 'image' with bytes, or no integer column 'style', as huggan/wikiart has")
    names, genres = (tuple(name.replace("_", " ") for name in features.get(column, {}).get("names", ()))
                     for column in ("style", "genre" if "genre" in columns else None))
    if not names:
        raise BadData(f"{path} does not say what its style labels mean: write it with the datasets library")
    footer = hashlib.blake2b(f"{size} {names} {genres} {metadata.to_dict()}".encode(), digest_size=8).hexdigest()
    return ArtFile(path, first_row, metadata.num_rows, size, footer, names, genres)


def read_features(parquet) -> dict[str, dict]:
    """What the datasets library stores of each column, such as {"style": {"_type": "ClassLabel", "names": [..]}};
    nothing of columns or a file that it did not write."""
    try:
        features = json.loads(parquet.metadata.metadata[b"huggingface"])["info"]["features"].items()
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}
    return {column: feature for column, feature in features if isinstance(feature, dict)
            and isinstance(names := feature.get("names", []), list) and all(isinstance(name, str) for name in names)}


def known_labels(path, first: int, column, names, known, kind: str) -> np.ndarray:
    """The labels of `column`, which begins at row `first` and indexes the file's `names`, as indices into `known`,
    int64 [n]. BadData, naming the row and the `kind` of label, for one that is missing or not known."""
    labels = _translate(column, names, known)
    if (labels < 0).any():
        place = int((labels < 0).argmax())
        label = column[place].as_py()
        name = repr(names[label]) if label in range(len(names)) else f"label {label}"
        raise BadData(f"{path}, row {first + place}: {kind} {name} is none of the {len(known)} known; drop the row")
    return labels


def _labels(file, first, batch) -> np.ndarray:
    """Styles and genres, int64 [2, n], of a batch that begins at row `first`; only a genre may be unknown."""
    styles = known_labels(file.path, first, batch.column("style"), file.style_names, STYLES, "style")
    genres = (_translate(batch.column("genre"), file.genre_names, [*GENRES]) if file.genre_names
              else np.full_like(styles, UNKNOWN_GENRE))
    return np.stack([styles, genres])


def _translate(column, names, known) -> np.ndarray:
    """The labels of `column`, which index the file's `names`, as indices into `known`; -1 for all others."""
    places = np.array([*(known.index(name) if name in known else -1 for name in names), -1])
    labels = np.array(column.fill_null(-1))
    return places[np.where((labels >= 0) & (labels < len(names)), labels, len(names))]

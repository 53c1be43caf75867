"""WikiArt's Parquet files in the schema of huggan/wikiart: their labels and rows, read from front to back.

Such a file is one row group whose images lie in one compressed dictionary, so that reading any row unpacks about
0.8 GB. Files are therefore read sequentially, one at a time, in small batches over a memory map.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import BadData, SourceUnavailable, T2IError, one_line
from ..paths import atomic_write
from .captions import CLASS_NAMES, GENRES, UNKNOWN_GENRE

STYLES = CLASS_NAMES["wikiart"]
# huggan/wikiart's paintings by style, in that order: 81,444 in all
PAINTINGS = (2782, 98, 110, 4334, 4240, 1615, 481, 2235, 1391, 6736, 934, 1343, 13060, 1279, 1337, 2405, 314, 2552, 513,
             1483, 6450, 10733, 2089, 7019, 4528, 216, 1167)
READ_AT_ONCE = 16                        # rows per read, about 6 MB of JPEGs


@dataclass(frozen=True)
class ArtFile:
    """One Parquet file of paintings; `first_row` makes its row numbers global."""

    path: str                            # local, or an fsspec URL such as hf://datasets/huggan/wikiart/data/...
    first_row: int
    rows: int
    size: int                            # bytes
    fingerprint: str                     # of its size, label names and Parquet footer
    style_names: tuple[str, ...]         # the file's own label names
    genre_names: tuple[str, ...] = ()    # empty if it has no genres

    @property
    def row_ids(self) -> range:
        return range(self.first_row, self.first_row + self.rows)


@dataclass(frozen=True)
class Painting:
    """One row of a file."""

    row_id: int
    style: int                           # an index into STYLES, independent of the file's own order
    genre: int                           # an index into GENRES, or UNKNOWN_GENRE
    encoded: bytes | None


def find_art_files(source) -> list[ArtFile]:
    """The Parquet files of `source`, in order: a folder, one file, an fsspec URL of either, or a list of files.

    Raises SourceUnavailable if there are none; BadData, naming the file, for one that is truncated, lacks a column or
    does not name its styles.
    """
    files, first_row = [], 0
    for path in map(str, source if isinstance(source, (list, tuple)) else _list(str(source))):
        files.append(_describe(path, first_row))
        first_row += files[-1].rows
    if not first_row:
        raise SourceUnavailable(f"no paintings in {source}: name a folder of Parquet files like huggan/wikiart's")
    return files


def read_paintings(file: ArtFile, wanted: np.ndarray | None = None) -> Iterator[Painting]:
    """The rows of `file` in order, or only those for which the bools `wanted` [rows] are true.

    Raises BadData, naming file and row, for damaged pages, a missing style or a style that is not one of the 27.
    """
    row = 0
    try:
        with _open(file.path) as (parquet, _):
            columns = ["image.bytes", "style", *(["genre"] if file.genre_names else [])]
            for batch in parquet.iter_batches(READ_AT_ONCE, columns=columns, use_threads=False):
                encoded, (styles, genres) = batch.column("image").field("bytes"), _labels(file, row, batch)
                for place in range(len(batch)):
                    if wanted is None or wanted[row + place]:
                        yield Painting(file.first_row + row + place, int(styles[place]), int(genres[place]),
                                       encoded[place].as_py())
                row += len(batch)
    except T2IError:
        raise
    except _failures(file.path) as error:
        raise BadData(f"{file.path}, after row {row}: {one_line(error)}; {_remedy(file.path)}") from error


def read_labels(file: ArtFile) -> tuple[np.ndarray, np.ndarray]:
    """(styles, genres) of all rows, int64 [rows] each, without reading images; errors as in `read_paintings`."""
    try:
        with _open(file.path) as (parquet, _):
            table = parquet.read(["style", *(["genre"] if file.genre_names else [])])
    except _failures(file.path) as error:
        raise BadData(f"{file.path}: {one_line(error)}; {_remedy(file.path)}") from error
    return _labels(file, 0, table)


def write_art_file(path, pictures: list[bytes], styles: list[int], genres: list[int] | None = None) -> Path:
    """Write encoded `pictures` in huggan/wikiart's schema: one row group, one dictionary. `styles` are indices into
    STYLES, `genres` into GENRES; len(GENRES) is the unknown genre, the default of all. The artist is unknown."""
    import datasets

    features = datasets.Features({
        "image": datasets.Image(), "artist": datasets.ClassLabel(names=["Unknown Artist"]),
        "genre": datasets.ClassLabel(names=[name.replace(" ", "_") for name in GENRES] + ["Unknown Genre"]),
        "style": datasets.ClassLabel(names=[name.replace(" ", "_") for name in STYLES])})
    rows = len(styles)
    files = pa.array(pictures, pa.binary()), pa.nulls(rows, pa.string())
    images, unknown = pa.StructArray.from_arrays(files, ["bytes", "path"]), pa.array(np.zeros(rows, np.int64))
    genres = pa.array([len(GENRES)] * rows if genres is None else genres, pa.int64())
    table = pa.Table.from_arrays([images, unknown, genres, pa.array(styles, pa.int64())], schema=features.arrow_schema)
    with atomic_write(path) as temporary:
        pq.write_table(table, temporary, row_group_size=max(1, rows))
    return Path(path)


def _list(source) -> list[str]:
    try:
        filesystem, path = fsspec.core.url_to_fs(source)
        if filesystem.isfile(path):
            return [source]
        paths = sorted(filesystem.find(path))
    except Exception as error:        # each file system raises its own types
        raise SourceUnavailable(f"cannot list {source}: {one_line(error)}; connect, or name a local folder") from error
    remote = "://" in source
    return [filesystem.unstrip_protocol(name) if remote else name for name in paths
            if name.endswith(".parquet") and not Path(name).name.startswith(".")]       # a dot: being written


@contextlib.contextmanager
def _open(path):
    """(pyarrow's ParquetFile, the file's size in bytes); a local file is memory-mapped."""
    if "://" in path:
        with fsspec.open(path, "rb") as file:
            yield pq.ParquetFile(file, pre_buffer=False), file.size
    else:
        with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as parquet:
            yield parquet, Path(path).stat().st_size


def _failures(path):
    """The errors of reading a damaged or unreachable file; each remote file system raises its own types."""
    return Exception if "://" in path else (OSError, pa.ArrowException)


def _remedy(path) -> str:
    return "connect and repeat" if "://" in str(path) else "fetch the file again"


def _describe(path, first_row) -> ArtFile:
    try:
        with _open(path) as (parquet, size):
            schema, metadata = parquet.schema_arrow, parquet.metadata
    except _failures(path) as error:
        raise BadData(f"{path}: {one_line(error)}; {_remedy(path)}") from error
    image = schema.field("image").type if "image" in schema.names else None
    if not (image and pa.types.is_struct(image) and image.get_field_index("bytes") >= 0):
        raise BadData(f"{path} has no column 'image' with a field 'bytes': name files like huggan/wikiart's")
    if "style" not in schema.names or not pa.types.is_integer(schema.field("style").type):
        raise BadData(f"{path} has no integer column 'style': name files like huggan/wikiart's")
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        names = tuple(name.replace("_", " ") for name in features["style"]["names"])
        genres = features.get("genre", {}).get("names", ()) if "genre" in schema.names else ()
        genres = tuple(name.replace("_", " ") for name in genres)
    except (KeyError, TypeError, ValueError) as error:
        raise BadData(f"{path} does not say what its style labels mean: write it with the datasets library") from error
    footer = hashlib.blake2b(f"{size} {names} {genres} {metadata.to_dict()}".encode(), digest_size=8).hexdigest()
    return ArtFile(path, first_row, metadata.num_rows, size, footer, names, genres)


def _labels(file, first, rows) -> tuple[np.ndarray, np.ndarray]:
    """(styles, genres), int64 [n] each, of `rows`, a batch or table that begins at the file's row `first`.

    A genre may be unknown; a style may not.
    """
    styles = _translate(rows.column("style"), file.style_names, STYLES)
    if (styles < 0).any():
        place = int((styles < 0).argmax())
        label = rows.column("style")[place].as_py()
        name = repr(file.style_names[label]) if label in range(len(file.style_names)) else f"label {label}"
        raise BadData(f"{file.path}, row {first + place}: style {name} is not one of WikiArt's 27; correct or drop the "
                      "row")
    if not file.genre_names:
        return styles, np.full_like(styles, UNKNOWN_GENRE)
    return styles, _translate(rows.column("genre"), file.genre_names, list(GENRES))


def _translate(column, names, known) -> np.ndarray:
    """The labels of `column`, which index the file's `names`, as indices into `known`; -1 for all others."""
    places = np.array([*(known.index(name) if name in known else -1 for name in names), -1])
    labels = np.array(column.fill_null(-1))
    return places[np.where((labels >= 0) & (labels < len(names)), labels, len(names))]

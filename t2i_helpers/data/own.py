"""A user's own images: a folder with one sub-folder a class, or a CSV or Parquet file of images and captions."""

import dataclasses
import hashlib
import re
import sys
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import torch
from PIL import Image

from .. import presets
from ..errors import BadData, BadValue, or_raise
from ..paths import cached
from ..provenance import code_hash, content_hash
from .decoding import FORMATS, Undecodable, decode
from .images import LabelledImages, without_genres

IMAGE_COLUMNS, CAPTION_COLUMNS = ("image", "file_name"), ("caption", "text")
TEST_EVERY = 5                      # in order of class and pixels, every fifth image is held out
MOST_CAPTIONS = 10_000              # distinct ones; the embeddings of each take 120 KB


class Item(NamedTuple):
    name: str                       # for messages
    text: str                       # the class or the caption
    image: Path | bytes | None


def own_preset(data, size: str = "demo", caption: str | None = None, resolution: int | None = None) -> presets.Preset:
    """The preset of a training on the images of `data`: a folder with a sub-folder of images a class, whose name fills
    the "{}" of `caption` ("A photo of a {}"); or a .csv or .parquet file with a column "image" (or "file_name"), a path
    from the file's folder or bytes, and a column "caption" (or "text"). Images are squared to `resolution` pixels, a
    multiple of 8 from 16 to 4096. Raises BadData for data of another form, BadValue for other settings."""
    preset, path = presets.get("own", size=size), Path(data).resolve()
    resolution = preset.resolution if resolution is None else resolution
    if not 16 <= resolution <= 4096 or resolution % 8:
        raise BadValue(f"resolution = {resolution}: images become squares; choose a multiple of 8 from 16 to 4096")
    caption = caption or (preset.caption if path.is_dir() else "{}")
    if not re.fullmatch(r"[^{}]*\{\}[^{}]*", caption):
        raise BadValue(f"caption {caption!r}: give a text with one {{}}, such as {preset.caption!r}")
    names = sorted({item.text for item in find_items(path)})
    if len(names) > MOST_CAPTIONS:
        raise BadData(f"{path} holds {len(names):,} different captions, more than {MOST_CAPTIONS:,}: give fewer images")
    return dataclasses.replace(preset, data_source=str(path), class_names=tuple(names), caption=caption,
                               resolution=resolution)


def find_items(path: Path) -> list[Item]:
    """The images of `path` with their classes or captions; BadData, naming what is wrong, for other content."""
    if path.suffix.lower() in (".csv", ".parquet"):
        return _of_table(path)
    if not path.is_dir():
        raise BadData(f"{path} is neither a folder nor a .csv or .parquet file: name one, as README.md describes it")
    folders = {folder: _visible(folder) for folder in _visible(path) if folder.is_dir()}
    if not folders:
        raise BadData(f"{path} has no sub-folders: put the images of each class into one that is named like the class")
    if empty := [folder for folder, files in folders.items() if not any(file.is_file() for file in files)]:
        raise BadData(f"{empty[0]} holds no images: fill it or remove it; each sub-folder is a class")
    formats = Image.registered_extensions()
    if loose := [file for file in _visible(path) if file.is_file() and formats.get(file.suffix.lower()) in FORMATS]:
        raise BadData(f"{loose[0]} is beside the sub-folders: move it into one; each sub-folder is a class")
    return [Item(f"{folder.name}/{file.name}", folder.name.replace("_", " "), file)
            for folder, files in folders.items() for file in files]


def _visible(folder):
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _of_table(path):
    as_text = pa.csv.ConvertOptions(column_types=dict.fromkeys((*IMAGE_COLUMNS, *CAPTION_COLUMNS), pa.string()))
    remedy = "write it again, a CSV in UTF-8 with commas between the columns"
    with or_raise(BadData, f"{path} cannot be read", remedy):
        table = (pa.parquet.read_table(path) if path.suffix.lower() == ".parquet" else pa.csv.read_csv(
            path, parse_options=pa.csv.ParseOptions(newlines_in_values=True), convert_options=as_text))
        columns = [next((name for name in names if name in table.column_names), None)
                   for names in (IMAGE_COLUMNS, CAPTION_COLUMNS)]
        rows = [] if None in columns else [*zip(*(table[column].to_pylist() for column in columns))]
    if None in columns:
        raise BadData(f"{path} has the columns {', '.join(table.column_names)}: name two of them image and caption, "
                      "in a CSV with a comma between them")
    items = []
    for row, (image, text) in enumerate(rows):
        if isinstance(image, dict):                                    # as the datasets library stores it
            image = image.get("bytes") or image.get("path")
        if not isinstance(image, str | bytes | None) or not isinstance(text, str) or not text.strip():
            raise BadData(f"{path}, row {row}: the image is a {type(image).__name__}, the caption {text!r}: correct it")
        items.append(Item(f"row {row}: {image}", text.strip(), path.parent / image) if isinstance(image, str)
                     else Item(f"row {row}", text.strip(), image))
    return items


def load_own(preset, split: str) -> LabelledImages:
    """The "train" or "test" images of the folder or file ``preset.data_source``; see `load_images`. Unreadable ones are
    named and left out, repeated ones are kept once. Raises BadData for fewer than TEST_EVERY images, or a class or
    caption that the preset does not have."""
    path, names = Path(preset.data_source), preset.class_names
    items = find_items(path)
    if unknown := {item.text for item in items} - set(names):
        raise BadData(f"{path} holds {min(unknown)!r}, which the model was not trained on: remove it, or train anew")
    identity = [preset.resolution, names, *map(_identity, items), code_hash("data.own", "data.decoding")]
    tensors = cached(f"own-{content_hash(identity)}", lambda: _decode_all(path, items, names, preset.resolution))
    images, labels = tensors["images"], tensors["labels"]
    if len(labels) < TEST_EVERY:
        raise BadData(f"{path}: {len(labels)} of {len(items)} images can be read; give at least {TEST_EVERY}")
    chosen = (torch.arange(len(labels)) % TEST_EVERY == TEST_EVERY - 1) == (split == "test")
    return without_genres(preset, images[chosen], labels[chosen], f"own images ({path.name})")


def _identity(item):
    if isinstance(item.image, Path):
        stat = item.image.stat() if item.image.exists() else None
        return [item.name, item.text, stat and [stat.st_size, stat.st_mtime_ns]]
    return [item.text, hashlib.blake2b(item.image or b"", digest_size=16).hexdigest()]


def _decode_all(path, items, names, size):
    """The images by label, then by a hash of their pixels: an order that does not depend on names of files."""
    found, unreadable = {}, []
    for item in items:
        try:
            pixels = decode(item.image.read_bytes() if isinstance(item.image, Path) else item.image, size)
        except (Undecodable, OSError, ValueError) as error:             # ValueError: a path with a zero byte
            unreadable.append(f"{item.name} ({getattr(error, 'strerror', None) or error})")
        else:
            digest = hashlib.blake2b(pixels.numpy().tobytes(), digest_size=16).digest()
            found[names.index(item.text), digest] = pixels
    if unreadable:
        print(f"{len(unreadable)} of {len(items)} images in {path} cannot be read and were left out: "
              f"{', '.join(unreadable[:5])}{', ...' * (len(unreadable) > 5)}", file=sys.stderr)
    if repeated := len(items) - len(unreadable) - len(found):
        print(f"{repeated} of {len(items)} images in {path} repeat another one and were left out", file=sys.stderr)
    order = sorted(found)
    return {"images": torch.stack([torch.zeros(3, size, size, dtype=torch.uint8), *map(found.get, order)])[1:],
            "labels": torch.tensor([label for label, _ in order], dtype=torch.int64)}

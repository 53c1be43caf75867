"""Paintings decoded once: a memory map of pixels that any epoch order reads at random, in microseconds."""

import contextlib
import hashlib
import io
import json
import multiprocessing
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from tqdm.auto import tqdm

from ..errors import BadData, BadValue, OutputError, or_raise
from ..paths import atomic_write, directory_lock, read_json, save_tensors
from ..provenance import content_hash, record, write_json
from ..randomness import epoch_order
from .decoding import DECODER, FILTER, Undecodable, decode
from .wikiart_files import ArtFile, find_art_files, read_paintings


class PixelStore:
    """The readable paintings of a set of Parquet files, in `folder` as `build` left them; BadData if it is incomplete.

    `images` is a memory map, uint8 [n, size, size, 3]; `labels` int64 [n], indices into the 27 styles; `genres` int64
    [n], indices into GENRES or UNKNOWN_GENRE; `row_ids` int64 [n], the paintings' rows in the source; `manifest` holds
    sources, decoder and the rejected rows with their reasons."""

    def __init__(self, folder):
        self.folder = Path(folder)
        remedy = "delete it and " if (self.folder / "manifest.json").exists() else ""          # a build would trust it
        with or_raise(BadData, f"{folder} holds no complete store",
                      f"{remedy}run t2i data build-wikiart --source DIR --out {folder}"):
            self.manifest = read_json(self.folder / "manifest.json")
            # copy on write: torch asks for writable memory, and nothing written there reaches the file
            self.images, self.labels, self.genres, self.row_ids = (
                np.load(self.folder / f"{name}.npy", mmap_mode="c" if name == "images" else None)
                for name in ("images", "labels", "genres", "row_ids"))
            rows, size = len(self.labels), self.manifest["size"]
            if self.images.shape != (rows, size, size, 3) or not rows == len(self.genres) == len(self.row_ids):
                raise ValueError("its arrays differ in length")

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, batch_size: int, seed: int = 0, epoch: int = 0, rank: int = 0, world_size: int = 1,
                start: int = 0):
        """Yield (images uint8 [n, 3, size, size], labels int64 [n], row_ids int64 [n]) from batch `start` on. The
        order is a shuffle of everything that depends on (seed, epoch) alone, so to resume is to count batches. Ranks
        take turns and get equally many; the ``len % world_size`` images that are left out change each epoch."""
        if batch_size < 1 or start < 0 or not 0 <= rank < world_size:
            raise BadValue(f"batches of {batch_size} from {start}, rank {rank} of {world_size}: one is out of range")
        share = len(self) // world_size
        mine = epoch_order(len(self), seed, epoch)[rank::world_size][:share].numpy()
        for first in range(start * batch_size, share, batch_size):
            chosen = mine[first:first + batch_size]
            images = torch.from_numpy(self.images[chosen]).permute(0, 3, 1, 2)       # [n, s, s, 3] -> [n, 3, s, s]
            yield images, torch.from_numpy(self.labels[chosen]), torch.from_numpy(self.row_ids[chosen])

    @classmethod
    def build(cls, files, out_dir, size: int = 128, workers: int = 2) -> "PixelStore":
        """Decode `files` (see `find_art_files`) into `out_dir`, one file a process; the same call again resumes. Each
        decoded file is a part in ``parts/``; joining them needs twice their space for a moment. Raises OutputError if
        `out_dir` holds another store, if the disk is too small, or if a process was killed."""
        if size < 1:
            raise BadValue(f"size {size}: paintings have at least 1 pixel a side")
        files, out = find_art_files(files), Path(out_dir)
        with directory_lock(out):
            if (out / "manifest.json").exists():
                shutil.rmtree(out / "parts", ignore_errors=True)         # a kill may have left them
                store = cls(out)
                sources = [(source["fingerprint"], source["rows"]) for source in store.manifest["sources"]]
                if sources != [(file.fingerprint, file.rows) for file in files] or store.manifest["size"] != size:
                    raise OutputError(f"{out} is the store of other files or another size: choose another folder")
                return store
            parts = [Part(file, size, out / "parts" / f"{content_hash([file, size, DECODER])}.safetensors")
                     for file in files]
            missing = [part for part in parts if not part.is_whole()]
            needed = 3 * size**2 * sum(part.file.rows for part in [*parts, *missing])
            free = shutil.disk_usage(out if out.exists() else out.resolve().parent).free      # which the lock has made
            if free < needed:
                raise OutputError(f"{out} needs {needed / 1e9:.1f} GB and has {free / 1e9:.1f} GB: choose a folder "
                                  "with more room")
            with tqdm(total=sum(part.file.rows for part in missing), unit="painting", disable=not missing) as bar:
                for rows in in_processes(Part.decode, missing, workers):
                    bar.update(rows)
            _join(parts, out)
            store = cls(out)
        if rejected := store.manifest["rejected"]:
            print(f"{len(rejected)} of {len(store) + len(rejected)} paintings cannot be decoded and were left out, "
                  "such as row {}: {}".format(*next(iter(rejected.items()))), file=sys.stderr)
        return store


class MappedImages:
    """`rows` of a store's memory map as uint8 [n, 3, size, size]; only the rows that are indexed are read from disk."""

    def __init__(self, images: np.ndarray, rows: torch.Tensor):
        self.images, self.rows = images, rows                            # [m, size, size, 3]; int64 [n]
        self.shape = torch.Size((len(rows), images.shape[3], *images.shape[1:3]))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index) -> torch.Tensor:
        return torch.from_numpy(self.images[self.rows[index].numpy()]).movedim(-1, -3)     # -> [.., 3, size, size]

    def split(self, size: int):
        """Yield tensors of `size` images each, the last of fewer."""
        return (self[first:first + size] for first in range(0, len(self), size))

    def to(self, device) -> "MappedImages | torch.Tensor":
        """On a GPU a tensor of all images; on the CPU they stay on disk."""
        return self if torch.device(device).type == "cpu" else self[:].to(device)


def in_processes(function, items: list, workers: int):
    """Yield ``function(item)`` of each item in order, from `workers` processes, or this one; OutputError if one of them
    was killed."""
    workers = min(workers, len(items))
    if workers < 2:
        yield from map(function, items)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        try:
            yield from pool.map(function, items)
        except BrokenProcessPool as error:
            raise OutputError("a worker process died, perhaps because memory ran out: run the same command again, with "
                              "fewer workers (in a script, under if __name__ == '__main__')") from error


class Part(NamedTuple):
    """One source file's share of a store, in one safetensors file."""

    file: ArtFile
    size: int
    path: Path

    def is_whole(self) -> bool:
        """Whether the part was written and not cut short since."""
        with contextlib.suppress(OSError, SafetensorError), safe_open(self.path, "np"):
            return True
        return False

    def decode(self) -> int:
        """Write the part; returns the number of rows it covers."""
        images, rows, rejected = [], [], {}
        for painting in read_paintings(self.file):
            try:
                images.append(decode(painting.encoded, self.size).permute(1, 2, 0))       # [3, s, s] -> [s, s, 3]
                rows.append((painting.row_id, painting.style, painting.genre))
            except Undecodable as reason:
                rejected[painting.row_id] = str(reason)
        images = torch.stack(images) if images else torch.zeros(0, self.size, self.size, 3, dtype=torch.uint8)
        save_tensors(self.path, {"images": images, "rows": torch.tensor(rows, dtype=torch.int64).view(-1, 3)},
                     {"rejected": json.dumps(rejected)})
        return self.file.rows


def _join(parts, out) -> None:
    """Join the parts to a store in `out` and remove them. The manifest is written last and marks it complete."""
    rows, rejected, digest = [], {}, hashlib.blake2b(digest_size=8)
    for part in parts:
        with safe_open(part.path, "np") as stored:
            rows.append(stored.get_tensor("rows"))
            rejected |= json.loads(stored.metadata()["rejected"])
    row_ids, labels, genres = np.ascontiguousarray(np.concatenate(rows).T)
    if not len(row_ids):
        raise BadData("none of the {} paintings can be decoded, such as row {}: {}; name other files".format(
            len(rejected), *next(iter(rejected.items()))))
    size = parts[0].size
    with atomic_write(out / "images.npy") as temporary, open(temporary, "wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(row_ids), size, size, 3)}
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            with safe_open(part.path, "np") as stored:
                pixels = stored.get_tensor("images").data
            digest.update(pixels)
            file.write(pixels)
    for name, content in (("labels", labels), ("genres", genres), ("row_ids", row_ids)):
        digest.update(content.data)
        np.save(array := io.BytesIO(), content)              # to a file, it names no reason if the disk is full
        with atomic_write(out / f"{name}.npy") as temporary:
            temporary.write_bytes(array.getvalue())
    sources = [{"name": Path(part.file.path).name, "bytes": part.file.size, "rows": part.file.rows,
                "fingerprint": part.file.fingerprint} for part in parts]
    write_json(out / "manifest.json", record(
        "cpu", images=len(row_ids), size=size, fingerprint=digest.hexdigest(), decoder=DECODER, filter=FILTER,
        sources=sources, rejected=rejected))
    shutil.rmtree(out / "parts")

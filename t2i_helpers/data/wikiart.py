"""WikiArt as a stream: every painting once an epoch, well mixed, in bounded memory, while 32 GB are read once.

For mixing, it keeps decoded squares of 49 KB in a scratch file: a reservoir of 20,480 spans a quarter of the dataset.
With 4 GB of disk, a `PixelStore` shuffles perfectly instead.
"""

import itertools
import sys
import tempfile

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from ..errors import BadValue, OutputError, or_raise
from ..randomness import seed_from
from .decoding import Undecodable, decode
from .wikiart_files import PAINTINGS, STYLES, find_art_files, read_paintings

REASON = 80                              # bytes of a reason that are kept
RESERVOIR = 20_480                       # decoded paintings a rank holds back, over all its workers
FIRST = 1024                             # paintings decoded before the first one is yielded
FILL = 4                                 # until the reservoir is full, one is yielded for every 4 decoded


class WikiArtStream(IterableDataset):
    """Iterates (image uint8 [3, size, size], style int, row_id int), in an order that depends on (seed, epoch).

    Each epoch shuffles the files (see `find_art_files`) and gives every rank a contiguous run of equally many rows; the
    ``rows % world_size`` rows that are left out differ between epochs. The workers of a DataLoader take turns at the
    rows of each file, and each mixes them in a reservoir; over a network each fetches every file: use one. `rejected`
    lists rows that cannot be decoded.

    Every iteration restarts the epoch, except after `load_state_dict`, which leaves out the rows that the state has
    seen, with any number of workers. Through a DataLoader, the consumer calls `mark_seen` with the rows that it has
    used, before it takes `state_dict`.
    """

    def __init__(self, files, size: int = 128, seed: int = 0, epoch: int = 0, rank: int = 0, world_size: int = 1,
                 reservoir: int = RESERVOIR):
        if size < 1 or reservoir < 1 or not 0 <= rank < world_size:
            raise BadValue(f"size {size}, reservoir {reservoir}, rank {rank} of {world_size} ranks: one does not fit")
        self.files = find_art_files(files)
        self.size, self.seed, self.rank, self.world_size, self.reservoir = size, seed, rank, world_size, reservoir
        rows = self.files[-1].row_ids.stop
        # in shared memory: persistent workers read the epoch and write reasons
        self._shared_epoch = torch.zeros(1, dtype=torch.int64).share_memory_()
        self._done = torch.zeros(rows, dtype=torch.bool).share_memory_()         # by row id: seen in the loaded state
        self._reasons = torch.zeros(rows, REASON, dtype=torch.uint8).share_memory_()
        self.epoch = None
        self.set_epoch(epoch)

    def set_epoch(self, epoch: int) -> None:
        """Start an epoch, with none of its rows seen."""
        self._shared_epoch[0] = epoch
        self._done.zero_()
        self._follow()
        self.seen = np.zeros(len(self._done), bool)                      # by row id

    def __len__(self) -> int:
        """The number of rows in an iteration, undecodable ones included."""
        return len(self._to_read())

    @property
    def rejected(self) -> dict[int, str]:
        """{row_id: reason} of the rows that no worker could decode so far."""
        rows = torch.nonzero(self._reasons[:, 0])[:, 0].tolist()
        return {row: bytes(self._reasons[row].tolist()).rstrip(b"\0").decode(errors="replace") for row in rows}

    def __iter__(self):
        worker = get_worker_info()
        index, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        self._follow()
        rows = self._to_read()
        mine = rows[index::workers]
        rng = np.random.default_rng(seed_from(self.seed, self.epoch, self.rank, index, workers, len(rows)))
        for item in reservoir_shuffle(self._decoded(mine), -(-self.reservoir // workers), self.size, rng):
            self.mark_seen(item[2])
            yield item
        if skipped := [f"row {row}: {reason}" for row, reason in self.rejected.items() if row in mine]:
            print(f"{len(skipped)} of {len(mine)} paintings cannot be decoded and were skipped, such as {skipped[0]}",
                  file=sys.stderr)

    def mark_seen(self, row_ids) -> None:
        """Mark rows, an int or a tensor [n] of row ids, as used: a state saved later leaves them out."""
        row_ids = np.atleast_1d(np.asarray(row_ids))
        if not ((row_ids >= 0) & (row_ids < len(self._mine))).all() or not self._mine[row_ids].all():
            raise BadValue(f"rows {row_ids.tolist()} do not all belong to rank {self.rank} in epoch {self.epoch}")
        self.seen[row_ids] = True

    def state_dict(self) -> dict:
        """20 KB of JSON from which `load_state_dict` continues with exactly the rows not yet seen."""
        seen = (self.seen | self._reasons[:, 0].bool().numpy())[self.row_ids]
        return {**self._identity(), "seen": np.packbits(seen).tobytes().hex()}

    def load_state_dict(self, state: dict) -> None:
        """Continue from `state`; BadValue if it belongs to other files, another seed or another rank."""
        mine, theirs = self._identity(), {name: state.get(name) for name in self._identity()}
        if mine | {"epoch": 0} != theirs | {"epoch": 0}:
            raise BadValue(f"the state belongs to {theirs}, the stream is {mine}: give the same files, seed and ranks")
        with or_raise(BadValue, "the state is damaged", "restart the epoch"):
            packed, epoch = bytes.fromhex(state["seen"]), int(state["epoch"])
            if len(packed) != -(-len(self.row_ids) // 8):
                raise ValueError(f"it has {8 * len(packed)} rows, not {len(self.row_ids)}")
        self.set_epoch(epoch)
        self.seen[self.row_ids] = np.unpackbits(np.frombuffer(packed, np.uint8), count=len(self.row_ids))
        self._done[:] = torch.from_numpy(self.seen)

    def _follow(self):
        """Take over the consumer's epoch, which may have changed during a worker's life, and shuffle its rows."""
        if self.epoch == (epoch := int(self._shared_epoch[0])):
            return
        files = np.random.default_rng(seed_from(self.seed, epoch)).permutation(len(self.files))
        self.epoch, self._order = epoch, [self.files[i] for i in files]
        rows = np.concatenate([file.row_ids for file in self._order])
        left_out = len(rows) % self.world_size
        # this place moves by `left_out` each epoch: no row is left out of two consecutive epochs
        first = seed_from(self.seed, "left out") + epoch * left_out
        rows = rows[~np.isin(rows, [(first + i) % len(rows) for i in range(left_out)])]
        share = len(rows) // self.world_size
        self.row_ids = rows[self.rank * share:(self.rank + 1) * share]   # int64, in the order in which they are read
        self._mine = np.isin(np.arange(len(self._done)), self.row_ids)   # by row id

    def _to_read(self):
        return self.row_ids[~self._done.numpy()[self.row_ids]]

    def _identity(self):
        return {"seed": self.seed, "epoch": self.epoch, "rank": self.rank, "world_size": self.world_size,
                "files": f"{seed_from(*(file.fingerprint for file in self.files)):016x}"}

    def _decoded(self, row_ids):
        wanted = np.isin(np.arange(len(self._done)), row_ids)
        for file in self._order:
            here = wanted[file.first_row:file.row_ids.stop]
            for painting in read_paintings(file, here) if here.any() else ():
                try:
                    yield decode(painting.encoded, self.size), painting.style, painting.row_id
                except Undecodable as reason:
                    text = str(reason).encode()[:REASON]
                    self._reasons[painting.row_id, :len(text)] = torch.tensor(list(text), dtype=torch.uint8)


def reservoir_shuffle(paintings, capacity: int, size: int, rng):
    """Yield `paintings`, (uint8 [3, size, size], style, row_id), shuffled by a reservoir of `capacity` of them, whose
    pixels lie in an unlinked scratch file in $TMPDIR, 1 GB at the default capacity."""
    bytes_each = 3 * size * size
    labels = []                                                          # (style, row_id) by place in the file
    with tempfile.TemporaryFile(buffering=0) as scratch:

        def take(place):
            scratch.seek(place * bytes_each)
            pixels = torch.frombuffer(bytearray(scratch.read(bytes_each)), dtype=torch.uint8)
            return pixels.view(3, size, size), *labels[place]

        for i, (image, *label) in enumerate(paintings):
            if len(labels) < capacity and (i % FILL or i < FIRST):
                place = len(labels)
                labels.append(label)
            else:
                place = int(rng.integers(len(labels)))
                yield take(place)
                labels[place] = label
            with or_raise(OutputError, f"cannot keep {capacity} paintings in {tempfile.gettempdir()}",
                          "set TMPDIR to a folder with more space, or give a smaller reservoir"):
                scratch.seek(place * bytes_each)
                if scratch.write(image.numpy().tobytes()) < bytes_each:
                    raise OSError("the disk is full")
        for place in rng.permutation(len(labels)):
            yield take(int(place))


# how well an order of WikiArt's rows mixes its styles, from row numbers alone: 72 equal files, sorted by style

BATCH, WIKIART_FILES = 16, 72
FILE_OF = np.arange(sum(PAINTINGS)) * WIKIART_FILES // sum(PAINTINGS)                # the file of each row
ROWS_OF = [np.flatnonzero(file == FILE_OF) for file in range(WIKIART_FILES)]         # the rows of each file


def mixing(order: np.ndarray) -> dict:
    """Mean style entropy (bits) and distinct files of batches of 16, for an order of WikiArt's rows, int [81,444]."""
    batches = order[:len(order) // BATCH * BATCH].reshape(-1, BATCH)
    styles = np.repeat(np.arange(len(STYLES)), PAINTINGS)[batches]
    shares = np.stack([np.bincount(batch, minlength=len(STYLES)) for batch in styles]) / BATCH
    logarithms = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return {"style_entropy_bits": float(-(shares * logarithms).sum(1).mean()),
            "files_per_batch": float(np.mean([len(set(batch)) for batch in FILE_OF[batches].tolist()]))}


def file_sequential_order(rows_of) -> np.ndarray:
    """The order of the thesis's loader for files with the row ids `rows_of`: files in random order, each shuffled."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.permutation(rows_of[file]) for file in rng.permutation(len(rows_of))])


def file_after_file(rng):
    """WikiArt's rows as they are read by streams: files in random order, the rows of each in their own order."""
    return itertools.chain.from_iterable(ROWS_OF[file] for file in rng.permutation(WIKIART_FILES))


def our_stream_order(reservoir: int = RESERVOIR) -> np.ndarray:
    """The rows through the stream's own reservoir, of so many pictures, here of one pixel."""
    rng, pixel = np.random.default_rng(0), torch.zeros(3, 1, 1, dtype=torch.uint8)
    rows = ((pixel, 0, row) for row in file_after_file(rng))
    return np.array([row for _, _, row in reservoir_shuffle(rows, reservoir, 1, rng)])

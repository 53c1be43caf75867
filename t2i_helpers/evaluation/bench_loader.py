"""Seven ways to read WikiArt's files in batches of 16, each in a process of its own, on files like the hub's.

The pictures are grain, the sizes real: JPEGs of about 400 KB, one row group and one dictionary a file, sorted by style.
What a way of reading does to the mixing of styles is told at WikiArt's full size, by sending row numbers through it.
"""

import contextlib
import functools
import importlib.util
import io
import itertools
import json
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from ..data import PixelStore, WikiArtStream, from_uint8
from ..data.decoding import decode
from ..data.wikiart import RESERVOIR, reservoir_shuffle
from ..data.wikiart_files import PAINTINGS, STYLES, find_art_files, read_paintings, write_art_file
from ..errors import BadValue
from ..paths import DATA, atomic_write
from ..randomness import epoch_order

BATCH, SIZE = 16, 128
FULL_FILES = 72
STORE_BATCHES = 1000


def bench_loader(files: int = 4, rows: int = 1100, seconds: float = 60.0, folder=None) -> dict:
    """{"files", "rows_per_file", "bytes", "decoding", "failed", "rows"}: `compare_decoders`, and a row for each way:
    batch time (median and 99th percentile, ms), samples/s, seconds to the first batch, peak anonymous memory over the
    imports (MB), bytes read an epoch (GB), and its mixing at full size. A way that failed is named, and the others'
    numbers are kept.

    Each way runs for an epoch of `files` files of `rows` rows (the store for as many as make 1,000 batches), or at
    least four batches and then until `seconds` are over.
    """
    if files < 1 or rows < BATCH or seconds < 0:
        raise BadValue(f"{files} files of {rows} rows for {seconds:g} s: give a file or more of at least {BATCH} rows")
    folder = Path(folder or DATA / f"bench-loader-{files}x{rows}")
    write_bench_files(folder, files, rows)
    found, failed = [], []
    for name in [name for name in WAYS if name != "WebDataset" or importlib.util.find_spec("webdataset")]:
        command = [sys.executable, "-m", __name__, name, str(folder), str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            failed.append(name)
            print(f"{name} failed: {(done.stderr.strip().splitlines() or ['no word'])[-1]}", file=sys.stderr)
            continue
        found.append({"way": name, **json.loads(done.stdout.splitlines()[-1]), **mixing_at_full_size(name)})
    written = find_art_files(folder)
    return {"files": files, "rows_per_file": rows, "bytes": sum(file.size for file in written),
            "decoding": compare_decoders(written[0]), "failed": failed, "rows": found}


def compare_decoders(file, paintings: int = 60) -> dict:
    """Milliseconds a picture, once by Pillow as the thesis decodes and once by ours, in turns, and how they differ in
    grey levels."""
    spent, differences = {"pillow_ms": 0.0, "ours_ms": 0.0}, []
    for painting in itertools.islice(read_paintings(file), paintings):
        squares = []
        for name, decoder in (("pillow_ms", _by_pillow), ("ours_ms", functools.partial(decode, size=SIZE))):
            began = time.process_time()
            squares.append(decoder(painting.encoded).int())
            spent[name] += 1000 * (time.process_time() - began)
        differences.append((squares[0] - squares[1]).abs())
    apart = torch.stack(differences)
    spent = {name: milliseconds / len(differences) for name, milliseconds in spent.items()}
    return {**spent, "ratio": spent["pillow_ms"] / spent["ours_ms"], "mean_difference": float(apart.float().mean()),
            "largest_difference": int(apart.max())}


def write_bench_files(folder: Path, files: int, rows: int) -> None:
    """`files` Parquet files of `rows` JPEGs, styles in WikiArt's proportions and sorted; once."""
    styles = np.repeat(np.arange(len(STYLES)), PAINTINGS)[np.linspace(0, sum(PAINTINGS) - 1, files * rows).astype(int)]
    paths = [folder / f"train-{number:05d}-of-{files:05d}.parquet" for number in range(files)]
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    pool = [_picture(number) for number in range(24)] if missing else []
    for number in tqdm(missing, unit="file", desc="bench files", disable=None):
        # bytes after a JPEG's end mark are ignored, and make each row a value of its own in the dictionary
        pictures = [pool[row % len(pool)] + f"{number}/{row}".encode() for row in range(rows)]
        write_art_file(paths[number], pictures, styles[number * rows:(number + 1) * rows].tolist())


def _picture(seed) -> bytes:
    """A JPEG of 1500 x 1200 pixels and about 400 KB."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (8, 6, 3), dtype=np.uint8)).resize((1200, 1500), Image.BICUBIC)
    pixels = np.asarray(coarse, np.float32) + rng.normal(0, 16, (1500, 1200, 1))
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=66)
    return file.getvalue()


# the ways: each yields an epoch of (image uint8 [3, 128, 128], style)

def random_access(files):
    """The naive map-style dataset: a whole file is read for every sample."""
    return _frames_at_random(files, _frame)


def lru_cache(files):
    """The same, with the files kept that were read last: five of 72, or as large a share."""
    return _frames_at_random(files, functools.lru_cache(kept_files(len(files)))(_frame))


def file_sequential(files):
    """The thesis's loader."""
    for encoded, style, _ in file_by_file(files):
        yield _by_pillow(encoded), style


def file_by_file(files):
    """(encoded, style, row_id) in the thesis's order: files at random, each read whole and shuffled in itself."""
    rng = np.random.default_rng(0)
    for number in rng.permutation(len(files)):
        frame = _frame(files[number].path)
        for row in rng.permutation(len(frame)):
            yield frame["image"][row]["bytes"], int(frame["style"][row]), files[number].first_row + int(row)


def datasets_stream(files):
    """Hugging Face's streaming with its shuffle buffer of 1,000."""
    import datasets

    paths = [file.path for file in files]
    for row in datasets.load_dataset("parquet", data_files=paths, split="train", streaming=True).shuffle(seed=0):
        yield _squared(row["image"]), row["style"]


def webdataset_stream(files):
    """WebDataset over tar files of the same pictures, with a shuffle buffer of 1,000."""
    import webdataset

    shards = [_as_tar(file) for file in files]
    for row in webdataset.WebDataset(shards, shardshuffle=len(shards), seed=0).shuffle(1000).decode("pil"):
        yield _squared(row["jpg"]), int(row["cls"])


def our_stream(files):
    """`WikiArtStream` without workers."""
    rows = sum(file.rows for file in files)
    reservoir = round(rows * RESERVOIR / sum(PAINTINGS))             # as large a share as of WikiArt, so that it fills
    for image, style, _ in WikiArtStream([file.path for file in files], SIZE, reservoir=reservoir):
        yield image, style


def _frame(path):
    import pandas

    return pandas.read_parquet(path, columns=["image", "style"])


def _frames_at_random(files, frame_of):
    places = [(file.path, row) for file in files for row in range(file.rows)]
    for i in np.random.default_rng(0).permutation(len(places)):
        path, row = places[i]
        frame = frame_of(path)
        yield _by_pillow(frame["image"][row]["bytes"]), int(frame["style"][row])


def kept_files(files: int) -> int:
    return max(1, round(5 * files / FULL_FILES))


def _by_pillow(encoded):
    return _squared(Image.open(io.BytesIO(encoded)))


def _squared(image):
    """The thesis's decoding: in full, then resized. uint8 [3, 128, 128]."""
    resized = image.convert("RGB").resize((SIZE, SIZE), Image.BILINEAR)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1)


def _as_tar(file):
    tar = Path(file.path).with_suffix(".tar")
    if not tar.exists():
        with atomic_write(tar) as temporary, tarfile.open(temporary, "w") as shard:
            for painting in read_paintings(file):
                for suffix, content in (("jpg", painting.encoded), ("cls", str(painting.style).encode())):
                    member = tarfile.TarInfo(f"{painting.row_id:06d}.{suffix}")
                    member.size = len(content)
                    shard.addfile(member, io.BytesIO(content))
    return str(tar)


def _in_batches(samples):
    """(images uint8 [n, 3, 128, 128], styles) of samples; the last batch may be smaller."""
    while batch := list(itertools.islice(samples, BATCH)):
        images, styles = zip(*batch)
        yield torch.stack(images), torch.tensor(styles)


IMPORTS = {"random access": ["pandas"], "LRU of 5 files": ["pandas"], "file-sequential (thesis)": ["pandas"],
           "datasets streaming": ["datasets"], "WebDataset": ["webdataset"]}
WAYS = {"random access": random_access, "LRU of 5 files": lru_cache, "file-sequential (thesis)": file_sequential,
        "datasets streaming": datasets_stream, "WebDataset": webdataset_stream, "our stream": our_stream,
        "our store": None}


# measuring one way, in a process of its own

def measure(way: str, folder, seconds: float) -> dict:
    """Batches of one way for `seconds`, images converted to float32 in [-1, 1]; what `bench_loader` tells of it."""
    files = find_art_files(folder)
    rows, read_once = sum(file.rows for file in files), sum(file.size for file in files)
    if way == "our store":
        store = PixelStore.build(folder, Path(folder) / "store", SIZE)
        epochs = -(-STORE_BATCHES * BATCH // len(store))             # one is over before a 99th percentile means much
        batches = itertools.chain.from_iterable(store.batches(BATCH, epoch=epoch) for epoch in range(epochs))
    else:
        batches = _in_batches(WAYS[way](files))
    for library in IMPORTS.get(way, ()):                             # so that the baseline has them
        importlib.import_module(library)
    if way == "WebDataset":
        [_as_tar(file) for file in files]
    times, samples, read_before = [], 0, _bytes_read()
    with peak_anonymous_memory() as peak:
        began = last = time.perf_counter()
        for images, *_ in batches:
            from_uint8(images, (-1.0, 1.0))
            now = time.perf_counter()
            times.append(now - last)
            samples, last = samples + len(images), now
            if now - began > seconds and len(times) > 3:
                break
    steady = np.array(times[1:])
    # whoever goes through the files once reads them once; a store is mapped, which /proc/self/io does not see
    read = {"our store": rows * 3 * SIZE**2}.get(way, read_once)
    if way in ("random access", "LRU of 5 files"):
        read = (_bytes_read() - read_before) / samples * rows
    return {"samples": samples, "p50_ms": 1000 * float(np.median(steady)),
            "p99_ms": 1000 * float(np.quantile(steady, 0.99)), "samples_per_second": samples / (last - began),
            "first_batch_s": times[0], "peak_memory_mb": peak[0] / 1e6, "read_per_epoch_gb": read / 1e9,
            "times_the_files": read / read_once}


def _bytes_read() -> int:
    told = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(told["rchar"])


@contextlib.contextmanager
def peak_anonymous_memory(every: float = 0.005):
    """A list whose one entry becomes the most anonymous memory in the block over that before it, in bytes."""

    def anonymous():
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("RssAnon")).split()[1])

    before, peak, stop = anonymous(), [0], threading.Event()

    def watch():
        while not stop.wait(every):
            peak[0] = max(peak[0], anonymous() - before)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        stop.set()
        watcher.join()


# what each way does to the order

def mixing_at_full_size(way: str) -> dict:
    """`mixing` of the order in which a way reads 81,444 rows in 72 files sorted by style."""
    return mixing(ORDERS.get(way, perfect_order)(files_at_full_size()))


def files_at_full_size() -> np.ndarray:
    """The file of each of WikiArt's rows, int [81,444]: 72 equal ones."""
    return np.arange(sum(PAINTINGS)) * FULL_FILES // sum(PAINTINGS)


def mixing(order) -> dict:
    """Mean style entropy (bits) and distinct files of batches of 16, for an order of WikiArt's rows sorted by style."""
    batches = order[:len(order) // BATCH * BATCH].reshape(-1, BATCH)
    styles = np.repeat(np.arange(len(STYLES)), PAINTINGS)[batches]
    shares = np.stack([np.bincount(batch, minlength=len(STYLES)) for batch in styles]) / BATCH
    logarithms = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return {"style_entropy_bits": float(-(shares * logarithms).sum(1).mean()),
            "files_per_batch": float(np.mean([len(set(batch)) for batch in files_at_full_size()[batches].tolist()]))}


def perfect_order(file_of) -> np.ndarray:
    """Of random access, and of the store."""
    return epoch_order(len(file_of), 0, 0).numpy()


def file_sequential_order(file_of) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.permutation(np.flatnonzero(file_of == file)) for file in rng.permutation(FULL_FILES)])


def buffered_order(file_of) -> np.ndarray:
    """Files in random order through a shuffle buffer of 1,000, as datasets and WebDataset do by default."""
    rng, buffer, order = np.random.default_rng(0), [], []
    for row in _file_after_file(file_of, rng):
        if len(buffer) < 1000:
            buffer.append(row)
            continue
        place = rng.integers(1000)
        order.append(buffer[place])
        buffer[place] = row
    return np.array(order + rng.permutation(buffer).tolist())


def our_stream_order(file_of, reservoir: int = RESERVOIR) -> np.ndarray:
    """The rows through the stream's own reservoir, with pictures of one pixel."""
    rng, pixel = np.random.default_rng(0), torch.zeros(3, 1, 1, dtype=torch.uint8)
    rows = ((pixel, 0, row) for row in _file_after_file(file_of, rng))
    return np.array([row for _, _, row in reservoir_shuffle(rows, reservoir, 1, rng)])


def _file_after_file(file_of, rng):
    """Row numbers as the files hold them, the files in random order."""
    return itertools.chain.from_iterable(np.flatnonzero(file_of == file) for file in rng.permutation(FULL_FILES))


ORDERS = {"file-sequential (thesis)": file_sequential_order, "datasets streaming": buffered_order,
          "WebDataset": buffered_order, "our stream": our_stream_order}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2], float(sys.argv[3]))))

"""Ways to read WikiArt's files in batches of 16, from the naive one to ours. `t2i bench loader` calls it.

The files are synthetic and like the hub's: JPEGs of 400 KB, one row group and one dictionary a file, sorted by style.
How well each way mixes styles is computed at WikiArt's full size, from row numbers alone.
"""

import concurrent.futures
import contextlib
import io
import itertools
import multiprocessing
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pandas
import torch
from PIL import Image
from tqdm.auto import tqdm

from t2i_helpers.data import PixelStore, WikiArtStream, from_uint8
from t2i_helpers.data.decoding import decode
from t2i_helpers.data.wikiart import (
    BATCH,
    FILE_OF,
    RESERVOIR,
    ROWS_OF,
    file_after_file,
    file_sequential_order,
    mixing,
    our_stream_order,
)
from t2i_helpers.data.wikiart_files import PAINTINGS, STYLES, find_art_files, read_paintings, write_art_file
from t2i_helpers.errors import BadValue, one_line
from t2i_helpers.paths import DATA
from t2i_helpers.randomness import epoch_order

SIZE = 128
STORE_BATCHES = 1000


def bench_loader(files: int = 4, rows: int = 1100, seconds: float = 60.0, folder=None) -> dict:
    """{"files", "rows_per_file", "bytes", "decoding": of `compare_decoders`, "failed": names of WAYS, "rows": for each
    other way those of `measure` and its `mixing` at full size}.

    Each way runs in a process of its own for an epoch of `files` files of `rows` rows (the store for 1,000 batches), or
    until `seconds` are over and at least four batches are read.
    """
    if files < 1 or rows < BATCH or seconds < 0:
        raise BadValue(f"{files} files of {rows} rows for {seconds:g} s: give a file or more of at least {BATCH} rows")
    folder = Path(folder or DATA / f"bench-loader-{files}x{rows}")
    write_bench_files(folder, files, rows)
    measured, failed = [], []
    for way, (_, order) in WAYS.items():
        try:
            with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                row = process.submit(measure, way, folder, seconds).result()
            measured.append({"way": way, **row, **mixing(order())})
        except Exception as error:              # of any library; the other ways' numbers are kept
            failed.append(way)
            print(f"{way} failed: {one_line(error)}", file=sys.stderr)
    written = find_art_files(folder)
    return {"files": files, "rows_per_file": rows, "bytes": sum(file.size for file in written),
            "decoding": compare_decoders(written[0]), "failed": failed, "rows": measured}


def measure(way: str, folder, seconds: float) -> dict:
    """Batches of one way for `seconds`, as float32 in [-1, 1]: batch time (median and 99th percentile, ms), samples/s,
    seconds to the first batch, peak anonymous memory (MB), bytes read an epoch (GB)."""
    files = find_art_files(folder)
    if way == "our store":
        store = PixelStore.build(folder, Path(folder) / "store", SIZE)
        epochs = -(-STORE_BATCHES * BATCH // len(store))             # one is over before a 99th percentile means much
        batches = itertools.chain.from_iterable(store.batches(BATCH, epoch=epoch) for epoch in range(epochs))
    else:
        batches = _in_batches(WAYS[way][0](files))
    times, samples = [], 0
    with peak_memory() as memory:
        began = last = time.perf_counter()
        for images, *_ in batches:
            from_uint8(images, (-1.0, 1.0))
            now = time.perf_counter()
            times.append(now - last)
            samples, last = samples + len(images), now
            if now - began > seconds and len(times) > 3:
                break
    once = sum(file.size for file in files)
    read = {"our store": sum(file.rows for file in files) * 3 * SIZE**2,
            "random access": sum(file.rows * file.size for file in files)}.get(way, once)
    return {"samples": samples, "p50_ms": 1000 * float(np.median(times[1:])),
            "p99_ms": 1000 * float(np.quantile(times[1:], 0.99)), "samples_per_second": samples / (last - began),
            "first_batch_s": times[0], "peak_memory_mb": memory.peak / 1e6, "read_per_epoch_gb": read / 1e9,
            "times_the_files": read / once}


@contextlib.contextmanager
def peak_memory():
    """Yields an object; its `peak` is the most anonymous memory of this process in the block over that before it, in
    bytes. Linux only."""
    def anonymous():
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("RssAnon")).split()[1])

    def watch():
        while not over.wait(0.005):
            memory.peak = max(memory.peak, anonymous() - before)

    memory, over, before = SimpleNamespace(peak=0), threading.Event(), anonymous()
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield memory
    finally:
        over.set()
        watcher.join()


def compare_decoders(file, paintings: int = 60) -> dict:
    """Milliseconds a picture by Pillow, as in the thesis, and by our decoder, and how they differ in grey levels."""
    spent, differences = np.zeros(2), []
    for painting in itertools.islice(read_paintings(file), paintings):
        began = time.process_time()
        theirs = _by_pillow(painting.encoded)
        between = time.process_time()
        ours = decode(painting.encoded, SIZE)
        spent += 1000 * np.diff([began, between, time.process_time()])
        differences.append((theirs.int() - ours.int()).abs())
    apart, (pillow, own) = torch.stack(differences), (spent / len(differences)).tolist()
    return {"pillow_ms": pillow, "ours_ms": own, "ratio": pillow / own,
            "mean_difference": float(apart.float().mean()), "largest_difference": int(apart.max())}


def write_bench_files(folder: Path, files: int, rows: int) -> None:
    """`files` Parquet files of `rows` JPEGs, styles sorted and in WikiArt's proportions; existing files stay."""
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
    places = [(file.path, row) for file in files for row in range(file.rows)]
    for i in np.random.default_rng(0).permutation(len(places)):
        path, row = places[i]
        frame = pandas.read_parquet(path, columns=["image", "style"])
        yield _by_pillow(frame["image"][row]["bytes"]), int(frame["style"][row])


def file_sequential(files):
    """The thesis's loader: files in random order, each read whole and shuffled."""
    rng = np.random.default_rng(0)
    for number in rng.permutation(len(files)):
        frame = pandas.read_parquet(files[number].path, columns=["image", "style"])
        for row in rng.permutation(len(frame)):
            yield _by_pillow(frame["image"][row]["bytes"]), int(frame["style"][row])


def datasets_stream(files):
    """Hugging Face's streaming with its shuffle buffer of 1,000."""
    paths = [file.path for file in files]
    for row in datasets.load_dataset("parquet", data_files=paths, split="train", streaming=True).shuffle(seed=0):
        yield _squared(row["image"]), row["style"]


def our_stream(files):
    """`WikiArtStream` without workers, with the same share of the rows in its reservoir as of WikiArt's."""
    reservoir = round(sum(file.rows for file in files) * RESERVOIR / sum(PAINTINGS))
    stream = WikiArtStream([file.path for file in files], SIZE, reservoir=reservoir)
    return ((image, style) for image, style, _ in stream)


def _by_pillow(encoded):
    return _squared(Image.open(io.BytesIO(encoded)))


def _squared(image):
    """The thesis's decoding: in full, then resized. uint8 [3, 128, 128]."""
    resized = image.convert("RGB").resize((SIZE, SIZE), Image.BILINEAR)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1)


def _in_batches(samples):
    """(images uint8 [n, 3, 128, 128], styles) of samples; the last batch may be smaller."""
    while batch := list(itertools.islice(samples, BATCH)):
        images, styles = zip(*batch)
        yield torch.stack(images), torch.tensor(styles)


# the order of each way at WikiArt's full size, as row numbers int [81,444]

def perfect_order():
    """Of random access, and of the store."""
    return epoch_order(len(FILE_OF), 0, 0).numpy()


def buffered_order():
    """Files in random order through a shuffle buffer of 1,000, the default of datasets."""
    rng, order = np.random.default_rng(0), []
    rows = file_after_file(rng)
    buffer = list(itertools.islice(rows, 1000))
    for row in rows:
        place = rng.integers(1000)
        order.append(buffer[place])
        buffer[place] = row
    return np.array(order + rng.permutation(buffer).tolist())


WAYS = {
    "random access": (random_access, perfect_order),
    "file-sequential (thesis)": (file_sequential, lambda: file_sequential_order(ROWS_OF)),
    "datasets streaming": (datasets_stream, buffered_order),
    "our stream": (our_stream, our_stream_order),
    "our store": (None, perfect_order),
}

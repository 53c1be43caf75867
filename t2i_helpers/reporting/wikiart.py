"""Section 3.4 of the thesis: the paintings, how they are loaded (Figure 12, Table 3), and what is drawn from them."""

import json

import numpy as np
import torch

from ..data import CLASS_NAMES, WikiArtStream, captions, from_uint8
from ..data.wikiart_files import PAINTINGS, STYLES, find_art_files
from ..errors import BadData
from ..evaluation.bench_loader import BATCH, file_by_file, kept_files
from ..paths import TABLES
from ..presets import PRINTED_LOADING
from .drawing import COLOURS, fit_height, footnote, image_grid, new_figure
from .export import exhibit
from .pictures import noted, of_data
from .tables import Table

LOADING = "table03_loading"
SHORT = {"Abstract Expressionism": "Abstract Expr.", "Analytical Cubism": "Analyt. Cubism",
         "Color Field Painting": "Color Field", "Contemporary Realism": "Contemp. Real.",
         "Early Renaissance": "Early Ren.", "High Renaissance": "High Ren.", "Mannerism Late Renaissance": "Mannerism",
         "Naive Art Primitivism": "Naive Art", "Northern Renaissance": "Northern Ren.",
         "Post Impressionism": "Post Impr.", "Synthetic Cubism": "Synth. Cubism"}


def short_names() -> list[str]:
    """The 27 styles, short enough to stand over a small picture."""
    return [SHORT.get(name, name) for name in CLASS_NAMES["wikiart"]]


@exhibit("wikiart_dataset", "png")
def dataset_samples(dataset, preset):
    """One painting of each style, three rows of nine."""
    first = torch.stack([torch.nonzero(dataset.labels == style)[0, 0] for style in range(len(STYLES))])
    figure = _named_pictures({"": from_uint8(dataset.images[first], (0, 1))})
    footnote(figure, f"the first of each style among {len(dataset):,} images; {dataset.source}")
    fit_height(figure)
    return figure, of_data(dataset, preset) | {"images": len(first)}


@exhibit("wikiart_imbalance", "pdf")
def imbalance():
    """How many paintings huggan/wikiart has of each style."""
    order = np.argsort(PAINTINGS)[::-1]
    figure, axes = new_figure(1, 1, 2.7)
    axis = axes[0, 0]
    axis.bar(range(len(order)), np.array(PAINTINGS)[order], color=COLOURS["improved"], width=0.75)
    axis.axhline(np.mean(PAINTINGS), color="0.45", linestyle="--", label="if all were equally frequent")
    axis.set_xticks(range(len(order)), [short_names()[style] for style in order], rotation=60, ha="right", fontsize=6.5)
    axis.set(yscale="log", ylabel="paintings")
    axis.grid(axis="x", visible=False)
    axis.legend()
    footnote(figure, f"labels of the {sum(PAINTINGS):,} rows of huggan/wikiart")
    return figure, {"paintings": dict(zip(STYLES, PAINTINGS))}


def read_traces(source, store) -> dict[str, np.ndarray]:
    """{way: the file that each image of epoch 0 came from, int [rows]}, as the three loaders really give them out.

    `source` is what `find_art_files` takes, `store` its PixelStore.
    """
    files = find_art_files(source)
    ends = np.array([file.row_ids.stop for file in files])
    stream = WikiArtStream(source, size=8, reservoir=int(ends[-1]) // 4)
    row_ids = {"file-sequential (thesis)": [row_id for _, _, row_id in file_by_file(files)],
               "our stream": [row_id for _, _, row_id in stream],
               "our store": [row_id for *_, batch in store.batches(BATCH) for row_id in batch.tolist()]}
    return {way: np.searchsorted(ends, found, side="right") for way, found in row_ids.items()}


@exhibit("fig12_loading", "pdf")
def loading(traces, dataset, preset):
    """Figure 12, from traces: which file each image of an epoch came from, batch by batch."""
    figure, axes = new_figure(1, len(traces), 2.5, sharey=True)
    for axis, (way, files) in zip(axes[0], traces.items()):
        batches = np.arange(len(files)) // BATCH
        distinct = np.mean([len(set(files[batches == batch])) for batch in range(len(files) // BATCH)])
        axis.scatter(batches, files, s=1.0, color=COLOURS["thesis" if "thesis" in way else "improved"], linewidths=0,
                     rasterized=True)
        axis.set(title=f"{way}\n{distinct:.1f} files in a batch", xlabel="batch of the epoch")
    axes[0, 0].set_ylabel("file")
    rows, count = len(files), max(files) + 1
    footnote(figure, f"{rows:,} rows in {count} files, batches of {BATCH}; the stream's reservoir "
                     f"holds a quarter of the rows, as with WikiArt; {dataset.source}")
    return figure, of_data(dataset, preset) | {"rows": rows, "files": int(count), "reader_seed": 0, "epoch": 0}


@exhibit("wikiart_styles", "png")
def style_grid(pipes, steps: int, w: float = 2.0):
    """Every style once, drawn with guidance."""
    drawn = {variant: pipe(captions(pipe.preset), w=w, steps=steps).images for variant, pipe in pipes.items()}
    figure = _named_pictures({f"{variant}, w = {w:g}": images for variant, images in drawn.items()})
    return noted(figure, pipes, steps, drawn=len(STYLES), w=[w])


@exhibit("wikiart_sweep", "png")
def guidance_sweep(pipes, steps: int, styles=(2, 3, 5, 14, 18, 26), scales=(0, 1, 2, 5)):
    """Some styles (columns) against guidance scales (rows), every column from one noise image."""
    figure, axes = new_figure(len(pipes), 1, 0.4 + 3.0 * len(pipes))
    for axis, (variant, pipe) in zip(axes[:, 0], pipes.items()):
        prompts = [captions(pipe.preset)[style] for style in styles]
        rows = torch.stack([pipe(prompts, w=w, steps=steps).images for w in scales])     # [scales, styles, 3, h, w]
        image_grid(axis, rows, [f"w = {w:g}" for w in scales], [short_names()[style] for style in styles], variant)
        axis.tick_params(axis="x", labelsize=5.5)
    return noted(figure, pipes, steps, drawn=len(styles), w=list(scales), styles=[STYLES[style] for style in styles])


def all_figures(pipes, dataset, traces, preset):
    """Notebook 03's figures, Figure 12 among them, one after the other."""
    yield dataset_samples(dataset, preset)
    yield imbalance()
    yield loading(traces, dataset, preset)
    yield style_grid(pipes, preset.sample_steps)
    yield guidance_sweep(pipes, preset.sample_steps)


def _named_pictures(pictures):
    """A figure of 27 images [27, 3, h, w] a title, three rows of nine with the style over each."""
    figure, axes = new_figure(3 * len(pictures), 1, 3.4 * len(pictures))
    for (title, images), block in zip(pictures.items(), axes[:, 0].reshape(-1, 3)):
        for row, axis in enumerate(block):
            shown = slice(9 * row, 9 * row + 9)
            image_grid(axis, images[None, shown], column_labels=short_names()[shown], title=title if not row else "")
            axis.tick_params(axis="x", labelsize=5.5, pad=0)
    return figure


def stored_loader_table() -> Table:
    """Table 3 from the last `t2i bench loader`; BadData where there was none."""
    file = TABLES / f"{LOADING}.json"
    try:
        return loader_table(json.loads(file.read_text())["bench"])
    except (OSError, ValueError, KeyError) as error:
        raise BadData(f"{file} holds no measurement ({error}): run t2i bench loader") from error


def loader_table(found: dict) -> Table:
    """Table 3: `found` is what `t2i bench loader` measured; the thesis's own numbers stand beside it."""
    header = ["loading strategy", "printed: batch", "printed: memory", "p50 (ms)", "p99 (ms)", "samples/s",
              "first batch (s)", "memory (MB)", "read an epoch (× the files)", "style entropy (bits)", "files a batch"]
    rows = []
    for row in found["rows"]:
        printed = PRINTED_LOADING.get(row["way"], ("–", "–"))
        rows.append([row["way"], *printed, _three(row["p50_ms"]), _three(row["p99_ms"]),
                     _three(row["samples_per_second"]), _three(row["first_batch_s"]), f"{row['peak_memory_mb']:.0f}",
                     _three(row["times_the_files"]), f"{row['style_entropy_bits']:.2f}",
                     f"{row['files_per_batch']:.1f}"])
    decoding = found["decoding"]
    note = (f"batches of {BATCH} paintings of 128×128, as float in [−1, 1]; {found['files']} synthetic files of "
            f"{found['rows_per_file']:,} rows and one row group, {found['bytes'] / 1e9:.1f} GB of JPEGs as large as "
            f"WikiArt's, of which the cache keeps {kept_files(found['files'])}; our reservoir holds as large a share "
            "of the rows as of WikiArt's; our store over several epochs, after it was built (a painting decoded in "
            f"{decoding['ours_ms']:.1f} ms, by Pillow in {decoding['pillow_ms']:.1f} ms); memory: peak of anonymous "
            "memory over the imports, one process; bytes are counted for the first two ways, the others go through "
            "the files once; entropy and files a batch: the same order at WikiArt's size, 81,444 rows in 72 files "
            "sorted by style")
    return Table(LOADING, header, rows, note, {"bench": found})


def _three(value) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:.{max(0, 2 - int(np.floor(np.log10(max(value, 1e-9)))))}f}"

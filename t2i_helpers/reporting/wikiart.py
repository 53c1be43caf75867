"""Section 3.4 of the thesis: the paintings, how they are loaded (Figure 12, Table 3), and what is drawn from them."""

import contextlib
import json

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.patches import Rectangle

from ..data import (
    CLASS_NAMES,
    GENRES,
    HELD_OUT_PAIRS,
    WikiArtStream,
    captions,
    find_paintings,
    from_uint8,
    genre_caption,
    load_images,
    painting_store,
    to_uint8,
)
from ..data.wikiart_files import PAINTINGS, STYLES, find_art_files
from ..errors import BadData, SourceUnavailable
from ..evaluation.bench import BATCH, file_by_file
from ..evaluation.paintings import nearest_paintings
from ..models import load_autoencoder
from ..paths import TABLES
from ..presets import PRINTED_LOADING
from ..randomness import generator
from .drawing import COLOURS, fit_height, footnote, image_grid, new_figure
from .export import exhibit
from .pictures import of_data, with_footnote
from .tables import Table, with_interval

LOADING = "table03_loading"
THUMBNAIL = (64, 64)
PUBLIC_DOMAIN = ("Baroque", "Rococo", "Romanticism", "Impressionism", "Ukiyo e")
COMPOSED = ("Art Nouveau", "Baroque", "Cubism", "Impressionism", "Naive Art Primitivism", "Post Impressionism",
            "Rococo", "Ukiyo e")
SHORT = {"Abstract Expressionism": "Abstract Expr.", "Analytical Cubism": "Analyt. Cubism",
         "Color Field Painting": "Color Field", "Contemporary Realism": "Contemp. Real.",
         "Early Renaissance": "Early Ren.", "High Renaissance": "High Ren.", "Mannerism Late Renaissance": "Mannerism",
         "Naive Art Primitivism": "Naive Art", "Northern Renaissance": "Northern Ren.",
         "Post Impressionism": "Post Impr.", "Synthetic Cubism": "Synth. Cubism"}


def short_names() -> list[str]:
    """The 27 styles, short enough to stand over a small picture."""
    return [SHORT.get(name, name) for name in CLASS_NAMES["wikiart"]]


@exhibit("wikiart_dataset", "png")
def dataset_samples(dataset, preset, columns: int = 9):
    """Some paintings of the styles whose works are in the public domain, a row a style."""
    styles = [STYLES.index(name) for name in PUBLIC_DOMAIN]
    first = torch.stack([torch.nonzero(dataset.labels == style)[:columns, 0] for style in styles])
    figure, axes = new_figure(1, 1, 4.0)
    image_grid(axes[0, 0], _thumbnails(dataset.images[first.flatten()]).unflatten(0, first.shape), PUBLIC_DOMAIN)
    footnote(figure, f"the first {columns} of five styles among {len(dataset):,} images, as thumbnails; "
                     + dataset.source)
    fit_height(figure)
    return figure, of_data(dataset, preset) | {"images": first.numel()}


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


@exhibit("latent_space", "png")
def latent_space(paintings: torch.Tensor, autoencoders: dict, source: str):
    """Paintings, their four latent channels, and what autoencoders make of these; uint8 [n, 3, h, w], {name: ..}."""
    images = from_uint8(paintings, (0, 1))
    latents = next(iter(autoencoders.values())).encode(images).cpu()
    trips = {name: each.decode(each.encode(images)).cpu() for name, each in autoencoders.items()}
    low, high = latents.amin((0, 2, 3), keepdim=True), latents.amax((0, 2, 3), keepdim=True)
    channels = F.interpolate((latents - low) / (high - low), images.shape[2:])            # [n, 4, h, w], grey
    columns = [images, *(channels[:, i:i + 1].expand(-1, 3, -1, -1) for i in range(4)), *trips.values()]
    figure, axes = new_figure(1, 1, 4.0)
    image_grid(axes[0, 0], torch.stack(columns, 1), (), ["painting", *(f"channel {i + 1}" for i in range(4)), *trips])
    errors = {name: (trip - images).square().mean((1, 2, 3)) for name, trip in trips.items()}
    quality = {name: float(-10 * error.log10().mean()) for name, error in errors.items()}
    told = ", ".join(f"{name} {value:.1f} dB" for name, value in quality.items())
    footnote(figure, f"channels of {next(iter(trips))}, 16×16 each; round trip of these paintings: {told}; {source}")
    fit_height(figure)
    return figure, {"psnr_db": quality, "data_source": source, "images": len(images),
                    "autoencoders": {name: each.encoder_sha256_16 for name, each in autoencoders.items()}}


@exhibit("latent_noise", "png")
def noisy_latents(paintings: torch.Tensor, space, source: str, sigmas=(0.0, 0.1, 0.25, 0.5, 1.0, 2.0)):
    """What the decoder makes of latents with Gaussian noise; uint8 [n, 3, h, w], `space` a LatentSpace."""
    z = space.encode(from_uint8(paintings, (0, 1)))
    noise = torch.randn(z.shape, generator=generator("noisy latents")).to(z)
    columns = torch.stack([space.decode(z + sigma * noise) for sigma in sigmas], 1)       # [n, sigmas, 3, h, w]
    figure, axes = new_figure(1, 1, 4.0)
    image_grid(axes[0, 0], columns, (), [rf"$\sigma$ = {sigma:g}" for sigma in sigmas])
    footnote(figure, "noise added to latents of mean 0 and variance 1 before they are decoded; " + source)
    fit_height(figure)
    return figure, {"sigmas": list(sigmas), "data_source": source, "latent_space": space.metadata()}


@exhibit("wikiart_styles", "png")
def style_grid(pipes, steps: int, w: float = 4.0):
    """Every style that was trained on, two rows of eight a variant, drawn with guidance."""
    figure, axes = new_figure(len(pipes), 1, 2.2 * len(pipes))
    for axis, (variant, pipe) in zip(axes[:, 0], pipes.items()):
        images, names = pipe(pipe.captions, w=w, steps=steps).images, [short_names()[k] for k in pipe.classes]
        half = len(names) // 2
        image_grid(axis, images[:2 * half].unflatten(0, (2, half)), (), names[:half], f"{variant}, w = {w:g}")
        for place, name in enumerate(names[half:2 * half]):
            axis.text((place + 0.5) / half, -0.01, name, transform=axis.transAxes, ha="center", va="top", fontsize=5.5)
        axis.tick_params(axis="x", labelsize=5.5)
    return with_footnote(figure, pipes, steps, drawn=len(names), w=[w])


@exhibit("wikiart_sweep", "png")
def guidance_sweep(pipes, steps: int, styles=PUBLIC_DOMAIN, scales=(1, 2, 4, 7, 12, 20)):
    """Some styles (rows) against guidance scales (columns), every row from one noise image."""
    figure, axes = new_figure(len(pipes), 1, 0.4 + 4.2 * len(pipes))
    for axis, (variant, pipe) in zip(axes[:, 0], pipes.items()):
        prompts = [captions(pipe.preset)[STYLES.index(style)] for style in styles]
        columns = torch.stack([pipe(prompts, w=w, steps=steps).images for w in scales], 1)   # [styles, scales, 3, h, w]
        image_grid(axis, columns, styles, [f"w = {w}" for w in scales], variant if len(pipes) > 1 else "")
    return with_footnote(figure, pipes, steps, drawn=len(styles), w=list(scales), styles=list(styles))


@exhibit("wikiart_composition", "png")
def composition_grid(pipe, steps: int, w: float = 4.0, styles=COMPOSED):
    """A plain painting and nine genres (rows) in eight styles (columns); pairs that training never saw are framed."""
    genres = [genre for genre in GENRES if genre != "nude painting"]
    prompts = [captions(pipe.preset)[STYLES.index(style)] for style in styles]
    prompts += [genre_caption(pipe.preset, list(GENRES).index(genre), STYLES.index(style))
                for genre in genres for style in styles]
    images = pipe(prompts, w=w, steps=steps, seeds=list(range(len(styles))) * (len(genres) + 1)).images
    figure, axes = new_figure(1, 1, 8.0)
    image_grid(axes[0, 0], images.unflatten(0, (-1, len(styles))), ["painting", *genres],
               [SHORT.get(style, style) for style in styles])
    side, pad = images.shape[-1], max(1, images.shape[-1] // 14)
    unseen = [(row, column) for row, genre in enumerate(genres, 1) for column, style in enumerate(styles)
              if (genre, style) in HELD_OUT_PAIRS]
    for row, column in unseen:
        corner = (pad + column * (side + pad) - pad / 2, pad + row * (side + pad) - pad / 2)
        frame = Rectangle(corner, side + pad, side + pad, fill=False, color=COLOURS["thesis"], linewidth=1.5)
        axes[0, 0].add_patch(frame)
    axes[0, 0].tick_params(axis="x", labelsize=6)
    figure, facts = with_footnote(figure, {pipe.preset.variant: pipe}, steps, drawn=len(prompts), w=[w])
    return figure, facts | {"first_and_last_seed": [0, len(styles) - 1], "unseen_pairs_shown": len(unseen)}


@exhibit("wikiart_neighbours", "png")
def neighbours(pipe, dataset, steps: int, w: float = 4.0, styles=PUBLIC_DOMAIN, k: int = 4):
    """Drawn paintings (first column) and the training paintings nearest to them, as thumbnails."""
    images = pipe([captions(pipe.preset)[STYLES.index(style)] for style in styles], w=w, steps=steps).images.cpu()
    indices, distances = nearest_paintings(to_uint8(images), dataset.images, k)
    found = _thumbnails(dataset.images[indices.flatten()]).unflatten(0, indices.shape)       # [styles, k, 3, 64, 64]
    figure, axes = new_figure(1, 1, 4.5)
    image_grid(axes[0, 0], torch.cat([F.interpolate(images, THUMBNAIL, mode="area")[:, None], found], 1), styles,
               ["drawn", *(f"nearest {i + 1}" for i in range(k))])
    figure, facts = with_footnote(figure, {pipe.preset.variant: pipe}, steps, drawn=len(styles), w=[w])
    return figure, facts | {"cosine_distances": distances.tolist()} | of_data(dataset, pipe.preset)


def all_figures(pipes, steps: int):
    """Notebook 03's figures that the checkpoints draw, one after the other."""
    yield imbalance()
    yield style_grid(pipes, steps)
    yield guidance_sweep({"improved": pipes["improved"]}, steps)
    yield composition_grid(pipes["improved"], steps)


def figures_of_paintings(pipe, preset):
    """Notebook 03's figures that need paintings; SourceUnavailable where there are none."""
    dataset, held_out = load_images(preset), load_images(preset, "test")
    shown = examples(held_out)
    yield dataset_samples(dataset, preset)
    found = find_paintings(preset)
    yield loading(read_traces(found.files, painting_store(preset)), dataset, preset)
    yield latent_space(shown, autoencoders(pipe), held_out.source)
    yield noisy_latents(shown, pipe.latent_space, held_out.source)
    yield neighbours(pipe, dataset, preset.sample_steps)


def examples(dataset) -> torch.Tensor:
    """A painting of each style in the public domain, uint8 [5, 3, h, w]."""
    return torch.stack([dataset.images[dataset.labels == STYLES.index(style)][0] for style in PUBLIC_DOMAIN])


def autoencoders(pipe) -> dict:
    """{name: Autoencoder}: the pipeline's own, and TAESD where it can be had."""
    found = {"ours": pipe.latent_space.autoencoder}
    with contextlib.suppress(SourceUnavailable):
        found["TAESD"] = load_autoencoder("taesd")
    return found


def composition_table(found: dict) -> Table:
    """What `evaluation.composition` found: accuracies on seen and unseen pairs, with those of real paintings."""
    titles = {"genre_accuracy": "genre", "style_accuracy": "style", "both": "both"}
    header = ["pairs", "n", *(f"{title}: {of}" for title in titles.values() for of in ("drawn", "real"))]
    rows = [[f"{name} in training", f"{found[name]['n']:,}",
             *(with_interval(each, percent=True) for key in titles
               for each in (found[name][key], found[name][key]["real"]))] for name in ("seen", "unseen")]
    chance = found["chance"]
    note = (f"w = {found['w']:g}, {found['steps']} steps; ten (genre, style) pairs each; linear probes on "
            f"EfficientNet-Lite0's features; chance: {chance['genre']:.1%} for genres, {chance['style']:.1%} for "
            f"styles; real: held-out paintings of the pairs; intervals 95 %; {found['data_source']}")
    return Table("wikiart_composition_accuracy", header, rows, note, {"composition": found})


def _thumbnails(images):
    """uint8 [n, 3, h, w] to floats in [0, 1] of 64x64."""
    return F.interpolate(from_uint8(images, (0, 1)), THUMBNAIL, mode="area")


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
            f"WikiArt's, of which the cache keeps {max(1, round(5 * found['files'] / 72))}; our "
            "reservoir holds as large a share of the rows as of WikiArt's; our store over several epochs, after it was "
            "built (a painting decoded in "
            f"{decoding['ours_ms']:.1f} ms, by Pillow in {decoding['pillow_ms']:.1f} ms); memory: peak of anonymous "
            "memory over the imports, one process; bytes are counted for the first two ways, the others go through "
            "the files once; entropy and files a batch: the same order at WikiArt's size, 81,444 rows in 72 files "
            "sorted by style")
    return Table(LOADING, header, rows, note, {"bench": found})


def _three(value) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:.{max(0, 2 - int(np.floor(np.log10(max(value, 1e-9)))))}f}"

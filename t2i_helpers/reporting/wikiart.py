"""Section 3.4 of the thesis: the paintings, how they are loaded (Figure 12, Table 3), and images of the models."""

import contextlib

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.patches import Rectangle

from ..data import GENRES, HELD_OUT_PAIRS, WikiArtStream, captions, from_uint8, genre_caption, to_uint8
from ..data.wikiart import BATCH, file_sequential_order
from ..data.wikiart_files import PAINTINGS, STYLES, find_art_files
from ..errors import BadData, SourceUnavailable
from ..evaluation.paintings import nearest_paintings
from ..models import load_autoencoder
from ..paths import TABLES, read_json
from ..randomness import generator
from . import pictures
from .checkpoints import measured
from .derived import PRINTED
from .drawing import COLOURS, image_grids, new_figure
from .exhibits import exhibit
from .latent import as_grey

LOADING = "table03_loading"
W = 4.0                                                     # of the pictures
PUBLIC_DOMAIN = ("Baroque", "Rococo", "Romanticism", "Impressionism", "Ukiyo e")
CHOSEN = [STYLES.index(name) for name in PUBLIC_DOMAIN]
COMPOSED = ("Art Nouveau", "Baroque", "Cubism", "Impressionism", "Naive Art Primitivism", "Post Impressionism",
            "Rococo", "Ukiyo e")
SHORT = {"Abstract Expressionism": "Abstract Expr.", "Analytical Cubism": "Analyt. Cubism",
         "Color Field Painting": "Color Field", "Contemporary Realism": "Contemp. Real.",
         "Early Renaissance": "Early Ren.", "High Renaissance": "High Ren.", "Mannerism Late Renaissance": "Mannerism",
         "Naive Art Primitivism": "Naive Art", "Northern Renaissance": "Northern Ren.",
         "Post Impressionism": "Post Impr.", "Synthetic Cubism": "Synth. Cubism"}       # over a small picture

guidance_sweep = exhibit("wikiart_sweep", "png", scales=(1, 2, 4, 7, 12, 20), classes=CHOSEN, beside=False)(
    pictures.sweep)


@exhibit("wikiart_dataset", "png")
def dataset_samples(dataset, preset, columns: int = 9):
    """Some paintings of the styles whose works are in the public domain, a row a style."""
    images = pictures.first_images(dataset, columns, CHOSEN)
    return image_grids({"": (_thumbnails(images), PUBLIC_DOMAIN)}), {
        "note": f"the first {columns} of five styles among {len(dataset):,} images, as thumbnails"}


def _thumbnails(images):
    """Images [rows, columns, 3, h, w] as [rows, columns, 3, 64, 64]."""
    return F.interpolate(images.flatten(0, 1), (64, 64), mode="area").unflatten(0, images.shape[:2])


@exhibit("wikiart_imbalance", "pdf")
def imbalance():
    """The number of paintings that huggan/wikiart has of each style."""
    counts = dict(sorted(zip(STYLES, PAINTINGS), key=lambda item: -item[1]))
    figure, ((axis,),) = new_figure(1, 1, 2.5)
    axis.plot(counts.values(), "o", color=COLOURS["improved"], markersize=4)
    axis.axhline(np.mean(PAINTINGS), color="0.45", linestyle="--", label="mean")
    axis.set_xticks(range(len(counts)), [SHORT.get(style, style) for style in counts], rotation=60, ha="right",
                    fontsize=6.5)
    axis.set(yscale="log", ylabel="paintings")
    axis.yaxis.set_major_formatter("{x:,.0f}")
    axis.legend(fontsize=8.5)
    return figure, {"note": f"labels of the {sum(PAINTINGS):,} rows of huggan/wikiart", "paintings": counts}


def read_traces(source, store) -> dict[str, np.ndarray]:
    """{way: the file that each image of epoch 0 came from, int [rows]}, as the three loaders yield them.

    `source` is what `find_art_files` takes, `store` its PixelStore.
    """
    files = find_art_files(source)
    ends = np.array([file.row_ids.stop for file in files])
    stream = WikiArtStream(source, size=8, reservoir=int(ends[-1]) // 4)
    row_ids = {"file-sequential (thesis)": file_sequential_order([file.row_ids for file in files]),
               "our stream": [row_id for _, _, row_id in stream],
               "our store": [row_id for *_, batch in store.batches(BATCH) for row_id in batch.tolist()]}
    return {way: np.searchsorted(ends, ids, side="right") for way, ids in row_ids.items()}


@exhibit("fig12_loading", "pdf")
def loading(traces, dataset, preset):
    """The thesis's Figure 12, from traces: which file each image of an epoch came from, batch by batch."""
    figure, (axes,) = new_figure(1, len(traces), 2.2, sharey=True)
    for axis, (way, files) in zip(axes, traces.items()):
        batches = np.arange(len(files)) // BATCH
        distinct = np.mean([len(set(files[batches == batch])) for batch in range(len(files) // BATCH)])
        axis.scatter(batches, files, s=1.0, color=COLOURS["thesis" if "thesis" in way else "improved"], linewidths=0,
                     rasterized=True)
        axis.set(title=f"{way}\n{distinct:.1f} files in a batch", xlabel="batch of the epoch")
    axes[0].set_ylabel("file")
    rows, count = len(files), int(max(files)) + 1
    note = (f"{rows:,} rows in {count} files, batches of {BATCH}; the stream's reservoir holds a quarter of the rows, "
            "as with WikiArt")
    return figure, {"note": note, "rows": rows, "files": count, "reader_seed": 0, "epoch": 0}


@exhibit("latent_space", "png")
def latent_space(dataset, pipe):
    """Paintings of `dataset`, their four latent channels, and their reconstructions by the autoencoder of `pipe` and,
    where it is available, by TAESD."""
    autoencoders = {"ours": pipe.latent_space.autoencoder}
    with contextlib.suppress(SourceUnavailable):
        autoencoders["TAESD"] = load_autoencoder("taesd")
    images = pictures.first_images(dataset, 1, CHOSEN)[:, 0]                              # [n, 3, h, w]
    latents = autoencoders["ours"].encode(images).cpu()
    trips = {name: each.decode(each.encode(images)).cpu() for name, each in autoencoders.items()}
    columns = [images, *as_grey(latents), *trips.values()]
    labels = ["painting", *(f"channel {i + 1}" for i in range(4)), *trips]
    errors = {name: (trip - images).square().mean((1, 2, 3)) for name, trip in trips.items()}
    quality = {name: float(-10 * error.log10().mean()) for name, error in errors.items()}
    psnr = ", ".join(f"{name} {value:.1f} dB" for name, value in quality.items())
    return image_grids({"": (torch.stack(columns, 1), (), labels)}, height=3.8), {
        "note": f"channels of ours, 16×16 each; PSNR of the reconstructions: {psnr}", "psnr_db": quality,
        "autoencoders": {name: each.encoder_sha256_16 for name, each in autoencoders.items()}}


@exhibit("latent_noise", "png")
def noisy_latents(dataset, pipe, sigmas=(0.0, 0.1, 0.25, 0.5, 1.0, 2.0)):
    """Latents of paintings of `dataset` with Gaussian noise, decoded by the autoencoder of `pipe`."""
    space = pipe.latent_space
    z = space.encode(pictures.first_images(dataset, 1, CHOSEN)[:, 0])
    noise = torch.randn(z.shape, generator=generator("noisy latents")).to(z)
    columns = torch.stack([space.decode(z + sigma * noise) for sigma in sigmas], 1)       # [n, sigmas, 3, h, w]
    return image_grids({"": (columns, (), [rf"$\sigma$ = {sigma:g}" for sigma in sigmas])}, height=3.8), {
        "note": "noise added to latents of mean 0 and variance 1", "sigmas": list(sigmas)}


@exhibit("wikiart_styles", "png")
def style_grid(pipes, steps: int, w: float = W):
    """Each style that was trained on, two rows a variant, drawn with guidance."""
    panels = {}
    for variant, pipe in pipes.items():
        names = [SHORT.get(STYLES[style], STYLES[style]) for style in pipe.classes]
        half = len(names) // 2
        images = pipe(pipe.captions[:2 * half], w=w, steps=steps).images.unflatten(0, (2, half))
        panels[f"{variant}, w = {w:g} (upper and lower row)"] = images, (), [*map("\n".join, zip(names, names[half:]))]
    figure = image_grids(panels)
    for axis in figure.axes:
        axis.tick_params(axis="x", labelsize=6)
    return figure


@exhibit("wikiart_composition", "png")
def composition_grid(pipe, steps: int, w: float = W, styles=COMPOSED):
    """A plain painting and nine genres (rows) in eight styles (columns); pairs that training never saw are framed."""
    genres = [genre for genre in GENRES if genre != "nude painting"]
    labels = [STYLES.index(style) for style in styles]
    prompts = [captions(pipe.preset)[label] for label in labels]
    prompts += [genre_caption(pipe.preset, list(GENRES).index(genre), label) for genre in genres for label in labels]
    images = pipe(prompts, w=w, steps=steps, seeds=list(range(len(styles))) * (len(genres) + 1)).images
    figure = image_grids({"": (images.unflatten(0, (-1, len(styles))), ["painting", *genres],
                               [SHORT.get(style, style) for style in styles])})
    (axis,) = figure.axes
    side, pad = images.shape[-1], max(1, images.shape[-1] // 14)
    unseen = [(row, column) for row, genre in enumerate(genres, 1) for column, style in enumerate(styles)
              if (genre, style) in HELD_OUT_PAIRS]
    for row, column in unseen:
        corner = (pad + column * (side + pad) - pad / 2, pad + row * (side + pad) - pad / 2)
        axis.add_patch(Rectangle(corner, side + pad, side + pad, fill=False, color=COLOURS["thesis"], linewidth=1.5))
    axis.tick_params(axis="x", labelsize=6)
    return figure, {"note": f"w = {w:g}", "unseen_pairs_shown": len(unseen)}


@exhibit("wikiart_neighbours", "png")
def neighbours(pipe, dataset, steps: int, w: float = W, k: int = 4):
    """Drawn paintings (first column) and the training paintings nearest to them, as thumbnails."""
    images = pipe([captions(pipe.preset)[style] for style in CHOSEN], w=w, steps=steps).images.cpu()
    indices, distances = nearest_paintings(to_uint8(images), dataset.images, k)
    nearest = from_uint8(dataset.images[indices], (0, 1))                                     # [styles, k, 3, h, w]
    images = torch.cat([_thumbnails(images[:, None]), _thumbnails(nearest)], 1)
    return image_grids({"": (images, PUBLIC_DOMAIN, ["drawn", *(f"nearest {i + 1}" for i in range(k))])}, height=4.2), {
        "note": f"w = {w:g}", "cosine_distances": distances.tolist()}


@exhibit("wikiart_composition_accuracy", "tex")
def composition_table(pipe):
    """`evaluation.composition` of `pipe`: accuracies on seen and unseen pairs, beside those of real paintings."""
    result = measured(pipe, "composition")
    titles = {"genre_accuracy": "genre", "style_accuracy": "style", "both": "both"}
    header = ["pairs", "n", *(f"{title}: {of}" for title in titles.values() for of in ("drawn (%)", "real (%)"))]
    rows = [[f"{name} in training", result[name]["n"],
             *(each for key in titles for each in (result[name][key], result[name][key]["real"]))]
            for name in ("seen", "unseen")]
    chance = result["chance"]
    note = (f"w = {result['w']:g}, {result['steps']} steps; ten (genre, style) pairs each; linear probes on "
            f"EfficientNet-Lite0's features; chance: {chance['genre']:.1%} for genres, {chance['style']:.1%} for "
            f"styles; real: held-out paintings of the pairs; intervals 95 %")
    return header, rows, {"note": note, "composition": result}


def stored_loader_table():
    """Table 3 from the last `t2i bench loader`; BadData where there was none."""
    file = TABLES / f"{LOADING}.json"
    try:
        return loader_table(read_json(file)["bench"])
    except (OSError, ValueError, KeyError) as error:
        raise BadData(f"{file} holds no measurement ({error}): run t2i bench loader") from error


@exhibit(LOADING, "tex")
def loader_table(result: dict):
    """Table 3 from `result`, the result of `t2i bench loader`, beside the numbers of the thesis."""
    columns = {"p50 (ms)": "p50_ms", "p99 (ms)": "p99_ms", "samples/s": "samples_per_second",
               "first batch (s)": "first_batch_s", "memory (MB)": "peak_memory_mb",
               "read an epoch (× the files)": "times_the_files", "style entropy (bits)": "style_entropy_bits",
               "files a batch": "files_per_batch"}
    decimals = {"peak_memory_mb": 0, "style_entropy_bits": 2, "files_per_batch": 1}

    def text(key, value):                                                   # with three digits where not in `decimals`
        digits = max(0, 2 - int(np.floor(np.log10(max(value, 1e-9)))))
        return f"{value:.{decimals.get(key, digits)}f}"

    rows = [[row["way"], *PRINTED["table3"].get(row["way"], {"batch": "–", "memory": "–"}).values(),
             *(text(key, row[key]) for key in columns.values())] for row in result["rows"]]
    decoding = result["decoding"]
    note = (f"batches of {BATCH} paintings of 128×128, as float in [−1, 1]; {result['files']} synthetic files of "
            f"{result['rows_per_file']:,} rows and one row group, {result['bytes'] / 1e9:.1f} GB of JPEGs as large as "
            f"WikiArt's; the cache holds {max(1, round(5 * result['files'] / 72))} file, our reservoir the same share "
            "of the rows as for WikiArt; our store over several epochs after it was built "
            f"({decoding['ours_ms']:.1f} ms to decode a painting, {decoding['pillow_ms']:.1f} ms with Pillow); memory: "
            "peak of anonymous memory of a process, without imports; bytes are counted for the first two ways, the "
            "others read the files once; entropy and files a batch: the same order at WikiArt's size, 81,444 rows in "
            "72 files sorted by style")
    return ["loading strategy", "printed: batch", "printed: memory", *columns], rows, {"note": note, "bench": result}

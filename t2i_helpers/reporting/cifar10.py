"""Figures 8-11 of the thesis (section 3.3), and why its Table 1 meant little.

`pipes` is {"thesis": pipeline, "improved": pipeline}; `evaluations` what `t2i evaluate` stored beside each.
"""

import torch

from ..data import captions
from ..evaluation.classifiers import weights_file
from ..evaluation.features import real_features
from ..evaluation.metrics import frechet_distance, frechet_infinity
from ..presets import PRINTED, from_dict
from ..provenance import input_hashes
from ..randomness import generator
from .drawing import GREY, footnote, image_grid, line, new_figure, variant_line
from .evaluations import by_w, facts_of, note_of
from .export import exhibit
from .pictures import names, real_images, sweep, with_footnote


@exhibit("cifar10_dataset", "png")
def dataset_samples(dataset, preset, rows: int = 4):
    """Real images, one column a class."""
    return real_images(dataset, preset, rows, height=2.8)


@exhibit("fig08_cifar10_w10", "png")
def class_grid(pipes, steps: int, samples: int = 4, w: float = 10.0):
    """Figure 8: `samples` images of every class (rows) at w = 10."""
    figure, axes = new_figure(1, len(pipes), 6.6)
    for axis, (variant, pipe) in zip(axes[0], pipes.items()):
        prompts = [prompt for prompt in captions(pipe.preset) for _ in range(samples)]
        images = pipe(prompts, w=w, steps=steps).images                           # [10 * samples, 3, 32, 32]
        image_grid(axis, images.unflatten(0, (-1, samples)), names(pipe.preset), title=f"{variant}, w = {w:g}")
    return with_footnote(figure, pipes, steps, drawn=10 * samples, w=[w])


@exhibit("cifar10_sweep", "png")
def guidance_sweep(pipes, steps: int, scales=(0, 1, 2, 5, 10)):
    """Every class (rows) against guidance scales (columns), every row from one noise image."""
    return sweep(pipes, steps, scales, height=5.4)


@exhibit("fig09_cifar10_metrics", "pdf")
def metrics_against_w(evaluations):
    """Figure 9: quality (left) and adherence (right) against w, with 95 % intervals and what real images score."""
    figure, axes = new_figure(1, 2, 2.9)
    panels = (("Fréchet distance ↓", lambda row: row["classifier"]["frechet"]),
              ("accuracy ↑", lambda row: row["accuracy"]))
    for axis, (title, metric) in zip(axes[0], panels):
        for variant, found in evaluations.items():
            _curve(axis, [row["w"] for row in found["rows"]], [metric(row) for row in found["rows"]], variant)
        real = metric(next(iter(evaluations.values()))["rows"][0])["real"]
        axis.axhline(real["value"], color=GREY, linestyle="--", label="real images")
        axis.axhspan(*real["interval"], color=GREY, alpha=0.2, linewidth=0)
        axis.set(title=title, xlabel="guidance scale w")
    axes[0, 0].set_yscale("log")
    axes[0, 1].set_ylim(0, 1.05)
    printed = PRINTED["cifar10"]["accuracy"]
    axes[0, 1].plot(printed.keys(), printed.values(), "x", color=GREY, label="printed in the thesis")
    axes[0, 0].legend(*axes[0, 1].get_legend_handles_labels(), loc="center", bbox_to_anchor=(0.5, 0.36), fontsize=7.5)
    footnote(figure, note_of(evaluations))
    return figure, facts_of(evaluations)


@exhibit("fig10_cifar10_tradeoff", "pdf")
def tradeoff(evaluations):
    """Figure 10: adherence against quality, one point a guidance scale; better is up and to the right."""
    figure, axes = new_figure(1, 1, 3.4, width=4.6)
    axis = axes[0, 0]
    for variant, found in evaluations.items():
        points = [(row["classifier"]["frechet"]["value"], row["accuracy"]["value"], row["w"]) for row in found["rows"]]
        axis.plot(*list(zip(*points))[:2], **variant_line(variant))
        above = variant == "improved"                      # its curve lies over the other's
        for x, y, w in points:
            axis.annotate(f"w = {w:g}", (x, y), textcoords="offset points", xytext=(4, 4 if above else -9), fontsize=7)
    row = next(iter(evaluations.values()))["rows"][0]
    axis.plot(row["classifier"]["frechet"]["real"]["value"], row["accuracy"]["real"]["value"], "*", markersize=10,
              color=GREY, label="real images")
    axis.set(xscale="log", xlabel="Fréchet distance (better →)", ylabel="accuracy", ylim=(0, 1.08))
    axis.invert_xaxis()
    axis.legend()
    footnote(figure, note_of(evaluations))
    return figure, facts_of(evaluations)


@exhibit("fig11_cifar10_confusion", "pdf")
def confusion_matrices(evaluations, scales=(0, 2, 5, 10)):
    """Figure 11: what was asked for (rows) against what the classifier saw (columns), each row adding up to 1."""
    figure, axes = new_figure(len(evaluations), len(scales), 0.6 + 1.75 * len(evaluations), sharex=True, sharey=True)
    labels = names(from_dict(next(iter(evaluations.values()))["checkpoint"]["preset"]))
    for row, (variant, found) in zip(axes, evaluations.items()):
        for axis, w in zip(row, scales):
            counts = torch.tensor(by_w(found)[w]["confusion"]).float()                # [10, 10]
            shown = axis.imshow(counts / counts.sum(1, keepdim=True), vmin=0, vmax=1, cmap="Blues")
            axis.grid(False)
            axis.set_title(f"{variant}, w = {w:g}", fontsize=8)
            axis.set_xticks(range(len(labels)), labels, rotation=90, fontsize=6)
            axis.set_yticks(range(len(labels)), labels, fontsize=6)
            axis.tick_params(length=0)
        row[0].set_ylabel("asked for")
    for axis in axes[-1]:
        axis.set_xlabel("seen")
    figure.colorbar(shown, ax=axes, shrink=0.6, label="share of the row")
    footnote(figure, note_of(evaluations, distances=False))
    return figure, facts_of(evaluations) | {"w": list(scales)}


@exhibit("cifar10_floor", "pdf")
def real_against_real(dataset: str = "cifar10", counts=(50, 100, 200, 300, 500, 1000, 2000, 3500, 5000), size="demo"):
    """The Fréchet distance of real images to other real images: it should be 0, and falls to it about as 1 / n."""
    counts = counts[:3] if size == "smoke" else counts
    real = real_features(dataset, 2 * max(counts), size)
    shuffled = real.features[torch.randperm(len(real.features), generator=generator("floor"))]
    half = len(shuffled) // 2
    a, b = shuffled[:half], shuffled[half:]
    plain = [frechet_distance(a[:n], b[:n]) for n in counts]
    extrapolated = [frechet_infinity(a[:n], b[:n]) for n in counts]
    figure, axes = new_figure(1, 1, 2.8, width=4.6)
    axis = axes[0, 0]
    axis.plot(counts, plain, label="Fréchet distance at n", **line(0))
    axis.plot(counts, extrapolated, label="extrapolated to n → ∞", **line(1))
    axis.axvline(real.features.shape[1], color=GREY, linestyle=":", label=f"n = {real.features.shape[1]} features")
    axis.axhline(0, color=GREY, linewidth=0.8)
    axis.set(xscale="log", xlabel="images on each side", ylabel="real against real")
    axis.legend()
    footnote(figure, f"features of our own classifier; {real.metadata['data_source']}, test set")
    return figure, {"counts": list(counts), "frechet": plain, "frechet_infinity": extrapolated, **real.metadata,
                    **input_hashes(weights_file(dataset))}


def _curve(axis, scales, metrics, variant):
    low, high = (torch.tensor([abs(m["interval"][end] - m["value"]) for m in metrics]) for end in (0, 1))
    axis.errorbar(scales, [m["value"] for m in metrics], yerr=torch.stack([low, high]).numpy(), capsize=2,
                  **variant_line(variant))


def all_figures(pipes, steps: int, evaluations):
    """Notebook 02's pictures of generated images and Figures 8-11, one after the other."""
    yield real_against_real()
    yield guidance_sweep(pipes, steps)
    yield class_grid(pipes, steps)
    yield metrics_against_w(evaluations)
    yield tradeoff(evaluations)
    yield confusion_matrices(evaluations)

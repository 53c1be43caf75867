"""The style of all figures: one palette, curves with intervals, grids of images with labels."""

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torchvision.utils import make_grid

from ..presets import VARIANTS

TEXT_WIDTH = 6.3        # inches between the report's margins: no figure is wider
TALL = 9.0              # inches: `fit_height` removes the height that pictures leave empty
# Okabe & Ito's, for colour-blind readers
PALETTE = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
COLOURS = dict(zip(VARIANTS, PALETTE))
DASHES, MARKERS = ("--", "-", ":", "-."), "soD^v"           # so that lines differ in grey, too
GREY = "0.45"          # for what is not a result: real images, chance, limits
plt.rcParams.update({                   # matplotlib reads it at every call that adds text
    # the report is set in 11 pt: lower-case letters of this font are as tall at 8.5 pt
    "figure.dpi": 72, "savefig.dpi": 100, "font.size": 8.5, "axes.titlesize": 9, "axes.titleweight": "bold",
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25,
    "legend.frameon": False, "legend.fontsize": 7, "pdf.fonttype": 42, "image.interpolation": "nearest",
    "figure.constrained_layout.use": True, "figure.constrained_layout.h_pad": 0.07,
})


def new_figure(rows: int, columns: int, height: float, width: float = TEXT_WIDTH, **options):
    """(Figure, axes [rows, columns]) in the project's style, of `width` x `height` inches."""
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, **options)
    plt.close(figure)               # the notebook shows it once
    return figure, axes


def image_grids(panels: dict, *, beside=False, height: float = TALL, width: float = TEXT_WIDTH) -> Figure:
    """A figure of {title: (images, row labels, column labels)}, see `image_grid`, below or `beside` each other, of at
    most `width` x `height` inches."""
    figure, axes = new_figure(*((1, len(panels)) if beside else (len(panels), 1)), height, width)
    for axis, (title, (images, *labels)) in zip(axes.flat, panels.items()):
        image_grid(axis, images, *labels, title=title)
    return figure


def image_grid(axis, images: torch.Tensor, row_labels=(), column_labels=(), title: str = "") -> None:
    """Draw images [rows, columns, c, h, w] in [0, 1] as one picture with labels at its edges."""
    rows, columns, _, height, width = images.shape
    pad = max(1, height // 14)
    picture = make_grid(images.flatten(0, 1).cpu(), nrow=columns, padding=pad, pad_value=1.0)     # [3, H, W]
    axis.imshow(picture.permute(1, 2, 0).clamp(0, 1).numpy())
    axis.grid(False)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0, labelsize=7.5, labeltop=True, labelbottom=False)
    axis.set_xticks([pad + width / 2 + i * (width + pad) for i in range(len(column_labels))], column_labels)
    axis.set_yticks([pad + height / 2 + i * (height + pad) for i in range(len(row_labels))], row_labels)
    if title:
        axis.set_title(title)


def line(place: int, **changes) -> dict:
    """How the n-th line of a figure is drawn: colour, dashes and marker all differ from its neighbours'."""
    return {"color": PALETTE[place % len(PALETTE)], "linestyle": DASHES[place % len(DASHES)],
            "marker": MARKERS[place % len(MARKERS)], "markersize": 4, **changes}


def plot_with_ci(axis, x, metrics, alpha: float = 0.15, **style) -> None:
    """A curve through metrics, {"value", "interval"}, and the band of their intervals."""
    (curve,) = axis.plot(x, [metric["value"] for metric in metrics], **style)
    low, high = zip(*(metric["interval"] for metric in metrics))
    axis.fill_between(x, low, high, color=curve.get_color(), alpha=alpha, linewidth=0)


def metric_curves(lines: dict, x: str, metrics: dict, height: float, **settings):
    """(Figure, its axes) with an axis for each of {title: a metric of the rows}: a curve through each of {label: rows}
    against their field `x`, and the value of real images where rows have it."""
    figure, (axes,) = new_figure(1, len(metrics), height)
    for axis, (title, metric) in zip(axes, metrics.items()):
        for place, (label, rows) in enumerate(lines.items()):
            plot_with_ci(axis, [row[x] for row in rows], [row[metric] for row in rows], label=label, **line(place))
        if "real" in rows[0][metric]:
            plot_real(axis, rows[0][metric])
        axis.set(title=title, **settings)
    return figure, axes


def smoothed(losses, window: int = 50) -> tuple[range, torch.Tensor]:
    """(steps, mean loss of the last `window` steps) of the losses of steps 1, 2, ..; a short training has a smaller
    window, which is the first of the steps."""
    window = max(1, min(window, len(losses) // 4))
    return range(window, len(losses) + 1), torch.as_tensor(losses).unfold(0, window, 1).mean(1)


def plot_smoothed(axis, losses, place: int, label: str, window: int = 50) -> None:
    """The `smoothed` losses as the n-th line of a figure; {} in its label is the window."""
    steps, means = smoothed(losses, window)
    axis.plot(steps, means, **line(place, marker="", label=label.format(steps[0])))


def bars(metrics) -> list[list[float]]:
    """The intervals of metrics as error bars for matplotlib: [2, metrics], down and up."""
    return [[max(0.0, metric["value"] - metric["interval"][0]) for metric in metrics],
            [max(0.0, metric["interval"][1] - metric["value"]) for metric in metrics]]


def plot_real(axis, metric) -> None:
    """The value of real images and the band of its interval."""
    axis.axhline(metric["real"]["value"], color=GREY, linestyle="--", label="real images")
    axis.axhspan(*metric["real"]["interval"], color=GREY, alpha=0.2, linewidth=0)


def fit_height(figure: Figure) -> None:
    """Remove the height that pictures, whose aspect is fixed, leave empty."""
    figure.draw_without_rendering()
    slack = {}                                            # by row of axes, as a share of the height
    for axis in figure.axes:
        row = axis.get_subplotspec().rowspan.start
        empty = axis.get_position(original=True).height - axis.get_position().height
        slack[row] = min(slack.get(row, 1.0), empty)
    figure.set_figheight(figure.get_figheight() * (1 - sum(slack.values())))
    for _ in range(2):
        figure.draw_without_rendering()                   # the layout settles over two draws; else labels are cut

"""The meaning of a guidance scale, here and elsewhere: a figure of two forms, a table of many."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..data import captions
from ..diffusion import make_guider
from .drawing import COLOURS, image_grid, new_figure
from .exhibits import exhibit
from .pictures import names, vary


@dataclass(frozen=True)
class Convention:
    """One way to write guidance at scale s; here it is w = max(s, least) + offset."""

    where: str
    written: str                                        # of the predictions c and n
    formula: Callable                                   # (c, n, s) -> the guided prediction
    offset: float = 0
    least: float = -math.inf                            # the scale up to which guidance is off
    null: str = "without the caption"                   # the meaning of n

    def to_w(self, s: float) -> float:
        """The w of n + w (c - n) for the same image."""
        return max(s, self.least) + self.offset

    def row(self) -> list[str]:
        meanings = [{0: self.null, 1: "with the caption"}.get(w, f"guided, w = {w:g}") for w in map(self.to_w, (0, 1))]
        scale = "s" if self.least == -math.inf else f"max(s, {self.least:g})"
        return [self.where, self.written, *meanings, f"w = {scale}" + f" + {self.offset:g}" * bool(self.offset)]


NULL = "n + s (c - n)", lambda c, n, s: n + s * (c - n)            # starts from the null prediction
COND = "c + s (c - n)", lambda c, n, s: c + s * (c - n)            # starts from the conditional one

CONVENTIONS = [
    Convention("this package, the thesis", *NULL),
    Convention("Ho & Salimans 2022 (arXiv:2207.12598)", "(1 + s) c - s n", lambda c, n, s: (1 + s) * c - s * n, 1),
    Convention("reports that start from c", *COND, 1),
    Convention("GLIDE (Nichol et al. 2021, arXiv:2112.10741)", *NULL),
    Convention("Imagen (Saharia et al. 2022, arXiv:2205.11487)", "s c + (1 - s) n",
               lambda c, n, s: s * c + (1 - s) * n),
    Convention("diffusers, guidance_scale of Stable Diffusion", "n + s (c - n), c up to s = 1",
               lambda c, n, s: n + s * (c - n) if s > 1 else c, least=1),
    Convention("diffusers.guiders, ClassifierFreeGuidance", *NULL),
    Convention("diffusers.guiders, use_original_formulation=True", *COND, 1),
    Convention("limited interval (Kynkäänniemi et al. 2024, arXiv:2404.07724)", "n + s (c - n) inside, c outside",
               NULL[1]),
    Convention("autoguidance (Karras et al. 2024, arXiv:2406.02507)", "n + s (c - n), n a weaker network's", NULL[1],
               null="with the caption, by the weaker"),
]


@exhibit("guidance_conventions", "tex")
def convention_table():
    """What s = 0 and s = 1 mean in each of CONVENTIONS, and the w of this package that draws the same."""
    rows = [each.row() for each in CONVENTIONS]
    note = ("c and n: the predictions with the caption and with the empty one; w: of n + w (c - n). With "
            "autoguidance n is that of a weaker network with the caption. CFG++ (Chung et al. 2024, "
            "arXiv:2406.08070) has no row: its scale from 0 to 1 takes x_0 from n + s (c - n) but the noise of the "
            "next image from n, which is CFG at no w but 0; here it is the guider cfg++ with w = s")
    return ["where", "prediction at scale s", "s = 0", "s = 1", "here"], rows, {
        "note": note, "conversions": {row[0]: row[-1] for row in rows}}


@exhibit("conventions", "png")
def conventions(pipe, steps: int, digits=(2, 5, 8), scales=(0, 1, 2, 5)):
    """The two forms side by side, from the same noise: two images for the same w, and the same for w' = w - 1."""
    panels = (("cfg", 0, r"$\epsilon_\varnothing + w\,(\epsilon_c - \epsilon_\varnothing)$", "w"),
              ("cfg-original", 0, r"$(1 + w)\,\epsilon_c - w\,\epsilon_\varnothing$", "w"),
              ("cfg-original", -1, r"$(1 + w')\,\epsilon_c - w'\epsilon_\varnothing$, $w' = w - 1$", "w'"))
    prompts = [captions(pipe.preset)[digit] for digit in digits]
    figure, axes = new_figure(2, len(panels), 3.5, height_ratios=(1.2, 2.4))
    drawn = []
    for axis, (guider, shift, title, letter) in zip(axes[1], panels):
        guiders = [make_guider(guider, w + shift) for w in scales]
        drawn.append(vary(pipe, prompts, "guider", guiders, steps=steps))         # [digits, scales, c, h, w]
        labels = [f"${letter}$={w + shift:g}" for w in scales]
        image_grid(axis, drawn[-1], [names(pipe.preset)[digit] for digit in digits], labels, title)
    place = axes[0, 0].get_gridspec()[0, :]
    for axis in axes[0]:
        axis.remove()
    _vectors(figure.add_subplot(place), scales)
    apart = [float((images - drawn[0]).abs().max()) for images in drawn[1:]]
    note = (f"each row from one noise image; largest difference of a pixel to the left panel: {apart[0]:.2g} in the "
            f"middle, {apart[1]:.2g} on the right")
    return figure, {"note": note, "w": list(scales), "largest_difference": apart}


def _vectors(axis, scales):
    """The guided predictions on their line through eps_null and eps_cond, with the scale of each form."""
    axis.axhline(0, color="0.7", linewidth=1, zorder=0)
    axis.plot([0, 1], [0, 0], "ko-", linewidth=2, markersize=6)
    for x, name in ((0, r"$\epsilon_\varnothing$"), (1, r"$\epsilon_c$")):
        axis.text(x, 0.7, name, ha="center", fontsize=11)
    for offset, y, side, variant, style in ((0, 2.1, "left", "improved", {}),
                                            (1, -1.3, "middle", "thesis", {"fillstyle": "none", "markersize": 9})):
        colour = {"color": COLOURS[variant]}
        axis.text(-0.4, y, f"{side}: $w$ =", ha="right", **colour)
        axis.plot([w + offset for w in scales], [0] * len(scales), "o", **style, **colour)
        for w in scales:
            axis.text(w + offset, y, f"{w:g}", ha="center", **colour)
    axis.set(xlim=(-1.8, max(scales) + 1.6), ylim=(-1.8, 2.8))
    axis.set_axis_off()

"""Pictures that change: by a control, which draws the picture again or takes it from a cache, or during a training.

The first picture is an ordinary output of its cell, so that views without a kernel show it too.
"""

import dataclasses
import functools
import inspect
import math
import time
from datetime import timedelta
from types import SimpleNamespace

import ipywidgets as widgets
import numpy as np
import torch
from ipycanvas import Canvas
from IPython.display import Image as Picture
from IPython.display import display
from torchvision.io import ImageReadMode, read_image

from .. import presets
from ..data import CLASS_NAMES, DRAWINGS, GENRES, captions, genre_caption, stroke_drawing, to_uint8, to_unit
from ..data.wikiart import BATCH, FILE_OF, RESERVOIR, mixing, our_stream_order
from ..diffusion import SDEditInit, make_guider, make_scheduler, sample
from ..diffusion.editing import AttentionMaps
from ..diffusion.noise import NoisyBatch, noise_level, predicted
from ..evaluation import frechet_distance, load_classifier, predict
from ..models import load_text_encoder
from ..randomness import generator
from ..training import Run
from .drawing import GREY, image_grid, image_grids, line, new_figure, smoothed
from .exhibits import inline_image
from .latent import as_grey
from .pictures import noised, traced


class Explorer:
    """A function that draws a figure, and a control for each of its arguments, as `ipywidgets.interact` makes them: a
    list of choices, the lowest and highest number and the step, or a widget. The arguments' defaults, or the widget's
    value, are what is shown first."""

    def __init__(self, draw, **choices):
        self.draw = functools.lru_cache(maxsize=256)(lambda *values: inline_image(draw(*values)))
        self.controls, self.shown = {}, None
        for name, argument in inspect.signature(draw).parameters.items():
            control = widgets.interactive.widget_from_abbrev(choices[name], argument.default)
            control.description, control.continuous_update = name, False
            control.style = {"description_width": "initial"}
            control.observe(self.redraw, "value")
            self.controls[name] = control
        self.redraw()

    def redraw(self, change=None):
        self.picture = self.draw(*(control.value for control in self.controls.values()))      # bytes of a PNG file
        if self.shown:
            self.shown.update(Picture(data=self.picture))

    def _ipython_display_(self):
        self.shown = display(Picture(data=self.picture), display_id=True)
        rows = widgets.Box([*self.controls.values()], layout={"flex_flow": "row wrap"})
        display(rows._repr_mimebundle_() | {"text/plain": "(a live notebook has controls here)"}, raw=True)


def schedule_explorer(dataset, preset):
    """How fast a schedule destroys an image: x_t, the weights of image and noise, and their ratio."""
    def draw(schedule="squaredcos_cap_v2", t=300, pixels="[−1, 1]"):
        pixel_range = (-1.0, 1.0) if pixels == "[−1, 1]" else (0.0, 1.0)
        chosen = dataclasses.replace(preset, beta_schedule=schedule, pixel_range=pixel_range)
        figure, ((picture, weights, ratio),) = new_figure(1, 3, 2.0)
        image_grid(picture, noised(dataset, chosen, [t])[None], title=f"$x_t$ at t = {t}")
        abar = make_scheduler(chosen, "ddpm").alphas_cumprod
        weights.plot(torch.stack([abar.sqrt(), (1 - abar).sqrt()], 1), label=["image", "noise"])
        weights.set(title="weights", xlabel="t")
        weights.legend()
        ratio.plot((abar / (1 - abar)).log10(), **line(2, marker=""))
        ratio.set(title=r"$\log_{10}\;\bar\alpha_t/(1-\bar\alpha_t)$", xlabel="t")
        for axis in (weights, ratio):
            axis.axvline(t, color=GREY)
        return figure

    return Explorer(draw, schedule=["squaredcos_cap_v2", "linear", "scaled_linear"], t=(0, 999),
                    pixels=["[−1, 1]", "[0, 1]"])


def guidance_explorer(pipe, steps: int = 10):
    """A caption from one noise image: without caption, without guidance, and at any w."""
    prompts = captions(pipe.preset)

    def draw(prompt=prompts[5], w=3.0, seed=1):
        return _at_scales(pipe, steps, prompt, seed, (0.0, 1.0, w))

    return Explorer(draw, prompt=prompts, w=(-2.0, 20.0, 0.5), seed=(0, 99))


def _at_scales(pipe, steps, prompt, seed, scales):
    images = torch.stack([_image(pipe, steps, prompt, seed, w) for w in scales])
    return image_grids({prompt: (images[None], (), [f"w = {w:g}" for w in scales])}, height=2.4, width=4)


@functools.lru_cache(maxsize=512)
def _image(pipe, steps, prompt, seed, w):
    return pipe([prompt], w=w, steps=steps, seeds=[seed], scheduler="dpm++").images[0].cpu()


def denoising_explorer(pipe, steps: int):
    """Every step of one sampling: x_t, x^_0, |eps_c - eps_null|, and the class that a classifier sees in x^_0."""
    names, classifier = list(CLASS_NAMES[pipe.preset.dataset]), load_classifier(pipe.preset.dataset)
    first = max(1, steps // 3)

    @functools.lru_cache
    def record(label, w):
        gaps = []

        def guider(step):
            gaps.append((step.noisy.eps(step.cond) - step.noisy.eps(step.null))[0].abs().cpu())
            return make_guider("cfg", w)(step)

        trace, _ = traced(pipe, [captions(pipe.preset)[label]], guider=guider, steps=steps)
        noisy, clean = (to_unit(torch.cat(each).cpu(), pipe.preset.pixel_range) for each in zip(*trace))
        return noisy, clean, torch.stack(gaps), predict(classifier, to_uint8(clean)).probabilities

    def draw(step=first, label=names[4], w=2.0):
        noisy, clean, gaps, probabilities = record(names.index(label), w)
        i = min(step, len(clean)) - 1
        figure, ((pictures, bars, curve),) = new_figure(1, 3, 1.9, width_ratios=(2.2, 1, 1))
        image_grid(pictures, torch.stack([noisy[i], clean[i], gaps[i] / gaps[i].max().clamp(min=1e-9)])[None],
                   column_labels=["$x_t$", r"$\hat x_0$", r"$|\epsilon_c-\epsilon_\varnothing|$"],
                   title=f"after step {i + 1} of {len(clean)}")
        bars.bar(range(len(names)), probabilities[i], color=line(1)["color"])
        bars.set(title=r"class of $\hat x_0$", ylim=(0, 1), xticks=range(len(names)))
        curve.plot(range(1, len(gaps) + 1), gaps.flatten(1).mean(1), **line(0, marker=""))
        curve.axvline(i + 1, color=GREY)
        curve.set(title=r"mean $|\epsilon_c-\epsilon_\varnothing|$", xlabel="step")
        return figure

    return Explorer(draw, step=(1, steps), label=names, w=(1.0, 11.0, 0.5))


def frechet_explorer(draws: int = 3):
    """The Frechet distance of n to n samples of two Gaussians whose means differ by a known amount."""
    sizes = [10, 20, 50, 100, 200, 500, 1000, 2000]

    def draw(features=16, difference=0.0):
        def sample_of(n, i, side):
            shift = side * difference * torch.eye(features)[0]
            return torch.randn(n, features, generator=generator(n, i, side)) + shift

        means = [sum(frechet_distance(sample_of(n, i, 0), sample_of(n, i, 1)) for i in range(draws)) / draws
                 for n in sizes]
        figure, ((axis,),) = new_figure(1, 1, 2.6, width=5)
        axis.plot(sizes, means, **line(1, label=f"mean of {draws} draws"))
        axis.axhline(difference**2, color=GREY, linestyle="--", label=f"true distance {difference**2:.2f}")
        axis.set(xscale="log", xlabel="images n in each set", ylabel="Fréchet distance", ylim=(0, None),
                 title=f"{features} features: {means[3]:.2f} at n = {sizes[3]}")
        axis.legend()
        return figure

    return Explorer(draw, features=[4, 16, 64], difference=(0.0, 4.0, 0.1))


def reservoir_explorer():
    """From which of WikiArt's 72 files the images of 40 batches come, and how many styles they have."""
    def draw(reservoir=RESERVOIR):
        rows = our_stream_order(reservoir)
        files, bits = FILE_OF[rows[len(rows) // 2:][:40 * BATCH]], mixing(rows)["style_entropy_bits"]
        figure, ((axis,),) = new_figure(1, 1, 2.4)
        axis.plot(np.arange(len(files)) // BATCH, files, ".", markersize=2, color=line(1)["color"])
        axis.set(xlabel="batch", ylabel="file", ylim=(-1, FILE_OF.max() + 1),
                 title=f"{reservoir:,} images held back: {bits:.2f} bits of style in a batch")
        return figure

    return Explorer(draw, reservoir=[1, 1_000, 5_120, 10_240, RESERVOIR, 40_960])


def painting_explorer(pipe, steps: int):
    """A genre in a style, without guidance and with it."""
    genres, styles = list(GENRES), [CLASS_NAMES["wikiart"][label] for label in pipe.classes]

    def draw(genre="landscape", style="Impressionism", w=4.0, seed=0):
        prompt = genre_caption(pipe.preset, genres.index(genre), CLASS_NAMES["wikiart"].index(style))
        return _at_scales(pipe, steps, prompt, seed, (1.0, w))

    return Explorer(draw, genre=genres, style=styles, w=(1.0, 9.0, 0.5), seed=(0, 99))


def latent_explorer(pipe, steps: int, prompts: list[str]):
    """Every step of one sampling in latent space: z_t and the estimated z_0, decoded, and the channels of z_0."""
    @functools.lru_cache
    def record(prompt, w, seed):
        return traced(pipe, [prompt], w=w, seeds=[seed], steps=steps)[0]

    middle, (first, *_) = max(1, steps // 2), prompts

    def draw(step=middle, prompt=first, w=4.0, seed=0):
        z_t, z_0 = record(prompt, w, seed)[step - 1]
        pictures = [pipe.decode(z_t), pipe.decode(z_0), *as_grey(z_0)]
        labels = ["$z_t$, decoded", r"$\hat z_0$, decoded", *(f"channel {i + 1}" for i in range(z_0.shape[1]))]
        return image_grids({f"step {step} of {steps}: {prompt}": (torch.stack(pictures, 1), (), labels)}, height=1.9)

    return Explorer(draw, step=(1, steps), prompt=prompts, w=(1.0, 9.0, 0.5), seed=(0, 99))


class Mixture:
    """Six Gaussians in the plane, two for each of three classes, in the place of a U-Net: their exact prediction."""

    config = SimpleNamespace(in_channels=2, sample_size=1)
    width = 0.28
    angles = torch.tensor([60.0, 105, 180, 225, 300, 345]).deg2rad()
    means = 1.5 * torch.stack([angles.cos(), angles.sin()], 1)                                              # [6, 2]

    ticks = torch.linspace(-3, 3, 61)                                                           # of the plane

    def __init__(self, scheduler):
        self.scheduler = scheduler

    def means_of(self, label):
        """The means [k, 2] of a class, or of all at -1."""
        return self.means if label < 0 else self.means[2 * label:2 * label + 2]

    def __call__(self, x_t, t, c):
        """What implies E[x_0 | x_t, c] for x_t [n, 2, 1, 1]; c [n, 1, 1] holds the class."""
        noisy = NoisyBatch(x_t, noise_level(self.scheduler, t), predicted(self.scheduler))
        means, variance = self.means_of(int(c[0])), (noisy.signal * self.width)**2 + noisy.noise**2
        away = x_t.flatten(1)[:, None] - noisy.signal * means                                           # [n, k, 2]
        weights = (-away.square().sum(-1) / (2 * variance)).softmax(1)[..., None]                       # [n, k, 1]
        x_0 = (weights * (means + noisy.signal * self.width**2 / variance * away)).sum(1)
        return SimpleNamespace(sample=noisy.prediction(x_0.view_as(x_t)))

    def log_density(self, label: int = -1) -> torch.Tensor:
        """log p(x | label) at `ticks` of both axes, [ticks, ticks], for contours of matplotlib."""
        means, points = self.means_of(label), torch.cartesian_prod(self.ticks, self.ticks)
        exponents = -(points[:, None] - means).square().sum(-1) / (2 * self.width**2)                   # [points, k]
        log_p = exponents.logsumexp(1) - math.log(len(means) * 2 * math.pi * self.width**2)
        return log_p.view(len(self.ticks), -1).T

    def sample(self, points: int, steps: int, label: int = -1, rule: str = "cfg", w: float = 1.0):
        """(paths [steps + 1, points, 2] from noise to samples of a class, [(x_t, x^_0) of each step])."""
        cond = torch.full((points, 1, 1), float(label))
        trace, end = traced(sample, self, self.scheduler, make_guider(rule, w), cond, -torch.ones(1, 1, 1),
                            seeds=range(points), steps=steps, clip=None)
        return torch.stack([*(x_t for x_t, _ in trace), end]).flatten(2), trace


def draw_plane(axis, mixture):
    """Contours of the density of all classes in the plane."""
    axis.contour(mixture.ticks, mixture.ticks, mixture.log_density().exp(), 4, colors=GREY, linewidths=0.5)
    axis.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal")


def plane_explorer(preset, points: int = 300):
    """Guided sampling in the plane with an exact score: paths, and where they end beside p(x) p(c|x)^w."""
    preset = dataclasses.replace(preset, prediction="epsilon")

    def draw(rule="cfg", w=2.0, steps=20, sampler="ddim"):
        mixture = Mixture(make_scheduler(preset, sampler))
        paths, _ = mixture.sample(points, steps, 0, rule, w)
        everywhere, of_class = mixture.log_density(), mixture.log_density(0)
        figure, ((left, right),) = new_figure(1, 2, 3.0)
        left.plot(*paths[:, :40].unbind(-1), color=line(1)["color"], linewidth=0.5, alpha=0.7)
        right.plot(*paths[-1].T, ".", color=line(0)["color"], markersize=2)
        for axis, log, title in ((left, of_class, "paths, and $p(x|c)$"),
                                 (right, torch.lerp(everywhere, of_class, w), "ends, and $p(x)\\,p(c|x)^w$")):
            draw_plane(axis, mixture)
            axis.contourf(mixture.ticks, mixture.ticks, (log - log.max()).exp(), 6, cmap="Blues", alpha=0.6, zorder=0)
            axis.set_title(title)
        return figure

    return Explorer(draw, rule=["cfg", "interval sigma_min=0.3 sigma_max=3", "rescale", "apg", "cfg-zero", "tcfg"],
                    w=(0.0, 10.0, 0.5), steps=(2, 50), sampler=["ddim", "ddpm", "dpm++"])


class Sketchpad(widgets.HBox, widgets.ValueWidget):
    """A square on which the mouse draws white strokes, a menu of drawings to begin with, and a button to clear it.
    `value` is a tuple of strokes like those of DRAWINGS."""

    side, width = 168, 0.1                                                          # in pixels; a share of the side

    def __init__(self, drawings: dict[str, tuple], channels: int):
        self.white, self.points = (1.0,) * channels, []
        black = (((0, 0.5), (1, 0.5)), 1, (0.0,) * channels)
        self.canvas = Canvas(width=self.side, height=self.side)
        menu, button = widgets.Dropdown(options=drawings, description="drawing"), widgets.Button(description="clear")
        super().__init__([self.canvas, widgets.VBox([menu, button])])

        def choose(change):
            self.value = menu.value or self.value

        def clear(button):
            menu.index, self.value = None, (black,)

        self.observe(self.paint, "value")
        choose(None)
        menu.observe(choose, "value")
        button.on_click(clear)
        self.canvas.on_client_ready(self.paint)
        self.canvas.on_mouse_down(lambda x, y: self.points.append((x, y)))
        self.canvas.on_mouse_move(self.go_on)
        self.canvas.on_mouse_up(self.finish)
        self.canvas.on_mouse_out(self.finish)

    def paint(self, change=None):
        image = to_uint8(stroke_drawing(self.value, self.side)).permute(1, 2, 0)
        self.canvas.put_image_data(image.expand(-1, -1, 3).numpy())
        self.canvas.stroke_style, self.canvas.line_cap = "white", "round"
        self.canvas.line_width = self.width * self.side

    def go_on(self, x, y):
        if self.points and (x, y) != self.points[-1]:
            self.canvas.stroke_line(*self.points[-1], x, y)
            self.points.append((x, y))

    def finish(self, x, y):
        if len(self.points) > 1:
            points = tuple((x / self.side, y / self.side) for x, y in self.points)
            self.value = *self.value, (points, self.width, self.white)
        self.points = []


def sdedit_explorer(pipe, steps: int, w: float = 2.0):
    """A drawing of a few strokes, or your own, noised and denoised with a caption (SDEdit, Meng et al. 2021)."""
    prompts, channels, size = captions(pipe.preset), pipe.preset.channels, pipe.preset.resolution
    drawings = {name: tuple((tuple(points), width, colour) for points, width, colour in strokes)
                for name, strokes in DRAWINGS.items() if len(strokes[0][2]) == channels}

    def draw(drawing, prompt=prompts[9], strength=0.7):
        start = stroke_drawing(drawing, size)[None]
        image = pipe([prompt], w=w, steps=steps, scheduler="ddim", start=SDEditInit(start, strength)).images.cpu()
        return image_grids({prompt: (torch.cat([start, image])[None], (), ["drawing", f"strength {strength:g}"])},
                           height=2, width=3)

    return Explorer(draw, drawing=Sketchpad(drawings, channels), prompt=prompts, strength=(0.1, 0.9, 0.1))


def attention_explorer(pipe, steps: int, w: float = 2.0):
    """Where one token of a caption has the pixels' attention at one step, and its share of it at every step."""
    prompts = captions(pipe.preset)
    encoder, length = load_text_encoder(pipe.preset.text_encoder), pipe.preset.max_length
    tokens = encoder.tokens(prompts[5], length)
    places = [(name if name in encoder.tokens(prompts[1], length) else "the class", place)
              for place, name in enumerate(tokens)]

    @functools.cache
    def record(prompt):
        recorder = AttentionMaps(make_guider("cfg", w))
        trace, _ = traced(pipe, [prompt], steps=steps, seeds=[1], guider=recorder)
        estimates = torch.cat([x_0 for _, x_0 in trace])
        return to_unit(estimates, pipe.preset.pixel_range).cpu(), recorder.maps()[:, 0].cpu()

    def draw(prompt=prompts[5], token=dict(places)["the class"], step=steps // 4):
        x_0, maps = record(prompt)                                      # [steps, c, h, w], [steps, tokens, side, side]
        figure, ((picture, attention, shares),) = new_figure(1, 3, 2.0)
        image_grid(picture, x_0[step][None, None], title=rf"$\hat x_0$ after step {step + 1}")
        attention.imshow(maps[step, token], cmap="magma", vmin=0, vmax=float(maps[:, token].max()))
        attention.set(title="attention", xticks=(), yticks=())
        shares.plot(range(1, steps + 1), maps[:, token].mean((1, 2)), **line(1, marker=""))
        shares.axvline(step + 1, color=GREY)
        shares.set(title="mean over the pixels", xlabel="step", ylim=(0, 1))
        return figure

    return Explorer(draw, prompt=prompts, token=places, step=(0, steps - 1))


class TrainingView:
    """A training's loss, speed, time left and latest images, updated in place: of a training of `steps` steps of
    `batch_size` images, of which some may be done."""

    def __init__(self, steps: int, batch_size: int, done: int = 0):
        self.steps, self.batch_size, self.done = steps, batch_size, done
        self.began, self.shown = time.monotonic(), None

    def update(self, losses: list[float], images: torch.Tensor) -> None:
        """Show the losses of all steps so far, and images [rows, columns, c, h, w] in [0, 1]."""
        speed = (len(losses) - self.done) / (time.monotonic() - self.began)                      # steps/s
        picture = _progress(losses, self.steps, speed, self.batch_size, images)
        self.shown = self.shown or display(picture, display_id=True)
        self.shown.update(picture)


def run_so_far(folder) -> Picture:
    """The loss, the speed, the time left and the latest images of the training in a run folder, from its files: also
    while another process trains it."""
    run = Run(folder)
    rows, config = run.metrics(), run.config()
    preset, last = presets.from_dict(config["preset"]), rows[-1]
    steps = preset.max_steps or preset.epochs * -(-config["training_images"] // preset.batch_size)
    grids = sorted((run.folder / "samples").glob("*.png"))
    images = read_image(str(grids[-1]), ImageReadMode.RGB) / 255 if grids else torch.ones(3, 8, 8)      # [3, h, w]
    return _progress([row["loss"] for row in rows], steps, last["step"] / last["seconds"], preset.batch_size,
                     images[None, None])


def _progress(losses, steps, speed, batch_size, images) -> Picture:
    done, (at, means) = len(losses), smoothed(losses)
    figure, ((curve, grid),) = new_figure(1, 2, 2.2, width_ratios=(2, 3))
    curve.plot(range(1, done + 1), losses, color=line(1)["color"], alpha=0.25, linewidth=0.6)
    curve.plot(at, means, **line(1, marker=""))
    curve.set(yscale="log", xlabel="step", ylabel="loss", title=f"loss, mean of {at[0]} steps: {means[-1]:.3f}")
    left = timedelta(seconds=round(max(0, steps - done) / speed))
    image_grid(grid, images, title=f"step {done:,} of {steps:,}: {speed * batch_size:.0f} images/s, {left} left")
    return Picture(data=inline_image(figure))

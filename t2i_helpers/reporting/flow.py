"""Figures and tables of notebook 7: flow matching, its paths and solvers, and the diffusion transformer."""

import dataclasses
import math

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..data import captions
from ..diffusion import make_scheduler
from ..diffusion.noise import NoisyBatch, noise_level, predicted
from ..diffusion.sampling import with_timesteps
from ..evaluation.metrics import mean_estimate
from ..models import build_unet, encoder_dim, load_pipeline
from ..paths import CHECKPOINTS
from ..randomness import generator
from ..training.ablation import train_missing, training_preset
from .drawing import bars, image_grids, line, metric_curves, new_figure
from .exhibits import exhibit
from .explorers import Mixture
from .pictures import traced
from .study import QUALITY, rows_of, strips
from .tables import metric_table, scale

PAIR = {"flow-dit": "flow", "v-dit": "v-prediction"}           # one network, two objectives
PASSES = (1, 2, 4, 8, 16, 32)
SOLVERS = {("flow-dit", "euler"): "flow, Euler", ("flow-dit", "heun"): "flow, Heun",
           ("v-dit", "ddim"): "v-prediction, DDIM"}
LATENT = {"latent-unet": "U-Net", "latent-dit": "DiT"}


def network(name: str, size: str):
    """The pipeline of the training `name`, at `full` trained first if it is missing; otherwise the one that ships."""
    return load_pipeline(train_missing(name, "full") if size == "full" else CHECKPOINTS / name)


def deviation(trace, end, scheduler) -> torch.Tensor:
    """How far each path [n] is from its chord: the mean over steps of |dx / dtau - (x_1 - x_0)|^2, with tau from 0, the
    image, to 1, the noise, relative to the mean |x_1 - x_0|^2 of all paths. 0 is a straight line at constant speed.

    trace   (x_t, x^_0) [n, ...] of every step of `scheduler`, whose timesteps are set; end [n, ...], where paths end.
    dx / dtau is u of a flow, and pi / 2 v of the cosine schedule, whose x_t moves along a quarter of an ellipse if the
    image and the noise are given.
    """
    chord, total = trace[0][0] - end, 0
    for (x_t, x_0), t in zip(trace, scheduler.timesteps, strict=True):
        noisy = NoisyBatch(x_t, noise_level(scheduler, t), predicted(scheduler))
        eps = (x_t - noisy.signal * x_0) / noisy.noise
        velocity = eps - x_0 if noisy.predicts == "flow" else math.pi / 2 * (noisy.signal * eps - noisy.noise * x_0)
        total = total + (velocity - chord).square().flatten(1).sum(1)
    return total / len(trace) / chord.square().flatten(1).sum(1).mean()


@exhibit("flow_plane", "pdf")
def plane_paths(flow, preset, points: int = 60, steps: int = 100):
    """Paths of pairs of image and noise, and of samples with the exact prediction, in the plane."""
    figure, (axes,) = new_figure(1, 3, 2.4)
    share, rng = torch.linspace(0, 1, 50)[:, None, None], generator("plane")
    x_0 = Mixture.means.repeat(2, 1) + Mixture.width * torch.randn(12, 2, generator=rng)
    eps, angle = torch.randn(12, 2, generator=rng), share * math.pi / 2
    drawings = {
        "flow": (make_scheduler(flow), (1 - share) * x_0 + share * eps),
        "cosine schedule": (make_scheduler(dataclasses.replace(preset, prediction="epsilon"), "ddim"),
                            angle.cos() * x_0 + angle.sin() * eps)}
    deviations = {}
    for place, (name, (scheduler, pairs)) in enumerate(drawings.items()):
        style = line(place, marker="", linestyle="-", linewidth=0.7)
        axes[0].plot(*pairs.unbind(-1), **style)
        paths, trace = Mixture(scheduler).sample(points, steps)
        axes[1 + place].plot(*paths.unbind(-1), **style)
        end = paths[-1][..., None, None]
        deviations[name] = mean_estimate(deviation(trace, end, with_timesteps(scheduler, steps, "cpu")))
        axes[1 + place].set_title(f"{name}: {deviations[name]['value']:.2f}")
    axes[0].set_title("pairs")
    for axis in axes:
        axis.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal")
    return figure, {"note": f"{points} samples of six Gaussians, {steps} steps", "deviation": deviations, "n": points}


@exhibit("flow_steps", "png")
def step_strips(pipes: dict, counts=(1, 2, 4, 8, 16)):
    """The same ten noise images drawn in more and more steps, by each of `pipes`, at w = 3."""
    prompts = captions(next(iter(pipes.values())).preset)
    return image_grids({PAIR[name]: (torch.stack([pipe(prompts, w=3.0, steps=k, seeds=range(10)).images
                                                  for k in counts]), [f"{k} steps" for k in counts], range(10))
                        for name, pipe in pipes.items()}, height=6, width=4.5), {"note": "w = 3"}


@exhibit("flow_paths", "pdf")
def straightness(pipes: dict, steps: int = 32, n: int = 100):
    """How far the paths of digits are from straight, by the network's objective; n digits without guidance."""
    figure, ((axis,),) = new_figure(1, 1, 2.0, width=4)
    deviations = {}
    for name, pipe in pipes.items():
        prompts = [captions(pipe.preset)[i % 10] for i in range(n)]
        trace, images = traced(pipe, prompts, w=1.0, steps=steps, seeds=range(n), batch_size=n)
        scheduler = with_timesteps(make_scheduler(pipe.preset), steps, pipe.device)
        deviations[name] = mean_estimate(deviation(trace, pipe.encode(images), scheduler))
    values = [*deviations.values()]
    axis.barh([*PAIR.values()], [each["value"] for each in values], 0.5, xerr=bars(values), color=line(1)["color"])
    axis.set(xlabel="distance from a straight path, relative to its length")
    return figure, {"note": f"n = {n}, {steps} steps, w = 1", "n": n, "deviation": deviations}


@exhibit("flow_solvers", "pdf")
def solver_curves(size: str = "demo"):
    """Accuracy and Frechet distance against the passes of the network, by objective and solver, without guidance."""
    rows = rows_of("flow", size, lambda row: row["w"] == 1 and row["steps"] in PASSES)
    lines = {label: [row for row in rows if (row["checkpoint"], row["scheduler"]) == solver]
             for solver, label in SOLVERS.items()}
    figure, (left, _) = metric_curves(lines, "forward_passes", QUALITY, 2.4, xlabel="passes an image", xscale="log",
                                      xticks=PASSES, xticklabels=PASSES)
    left.set(yscale="log", ylim=(8, None))
    left.legend()                   # its upper right is empty
    return figure


@exhibit("flow_scales", "pdf")
def scale_curves(size: str = "demo"):
    """Accuracy and Frechet distance of the flow by guidance scale."""
    rows = rows_of("flow", size, lambda row: row["checkpoint"] == "flow-dit" and row["steps"] == 10)
    figure, (left, _) = metric_curves({"flow": sorted(rows, key=lambda row: row["w"])}, "w", QUALITY, 2.4, xlabel="w")
    left.set_ylim(0)
    left.legend()
    return figure


def guided(names: dict, size: str) -> list[dict]:
    """The row of the study at w = 2 of each of the networks {name: label}, with its label."""
    rows = rows_of("flow", size, lambda row: row["w"] == 2 and row["checkpoint"] in names)
    by_name = {row["checkpoint"]: row for row in rows}
    return [by_name[name] | {"network": label} for name, label in names.items()]


@exhibit("flow_pictures", "png")
def pictures(names: dict, size: str = "demo"):
    """Ten digits at w = 2 by each of the networks {name: label}."""
    return image_grids({"": (strips(guided(names, size), size), [*names.values()], range(10))}, height=3.5)


def cost_table(rows: list[dict], columns: dict, size: str, note: str):
    """`metric_table` of rows of the study, beside the parameters and the MFLOP of a pass of each row's network, and the
    TFLOP of its training, three passes an image."""
    parameters, mflop = {}, {}
    for row in rows:
        name = row["checkpoint"]
        preset = training_preset(name.partition("/")[0], size)
        if name not in parameters:
            width = encoder_dim(preset.text_encoder)
            unet = build_unet(preset, width)
            with FlopCounterMode(display=False) as counter:
                unet(torch.zeros(1, *preset.unet_shape), 1, torch.zeros(1, preset.max_length, width))
            parameters[name], mflop[name] = sum(p.numel() for p in unet.parameters()), counter.get_total_flops() / 1e6
        effort = 3 * mflop[name] * row["training_steps"] * preset.batch_size / 1e6
        row |= {"parameters": parameters[name], "mflop": f"{mflop[name]:.0f}", "tflop": f"{effort:.1f}"}
    columns = {"network": "network", "parameters": "parameters", "MFLOP a pass": "mflop", **columns}
    return *metric_table(rows, columns), {"note": note, "parameters": parameters, "mflop": mflop}


@exhibit("{}", "tex")
def comparison(table: str, names: dict, size: str = "demo"):
    """Parameters, arithmetic, accuracy and distance of the networks {name: label} at w = 2; real images last."""
    columns = {"steps": "training_steps", "TFLOP of training": "tflop", "accuracy (%)": "accuracy",
               "Fréchet": "frechet"}
    return cost_table(guided(names, size), columns, size, "training as three passes an image, counted by torch; w = 2")


def latents(size: str) -> list[dict]:
    """The rows of the study of paintings' latents, each with the label of its network."""
    return [row | {"network": LATENT[row["checkpoint"]]} for row in rows_of("latent", size)]


@exhibit("flow_latents", "tex")
def latent_comparison(size: str = "demo"):
    """A U-Net and a transformer of equal cost on latents of paintings, without and with guidance; real images last."""
    columns = {"w": scale, "style accuracy (%)": "accuracy", "genre accuracy (%)": "genre_accuracy",
               "kernel distance": "kernel", "saturation (%)": "saturation"}
    return cost_table(latents(size), columns, size, "prompts: captions of held-out paintings")


@exhibit("flow_paintings", "png")
def latent_pictures(size: str = "demo"):
    """The first ten images of each row of `latent_comparison`, as thumbnails: a column has one caption and one seed."""
    rows = latents(size)
    labels = [f"{row['network']}, w = {row['w']:g}" for row in rows]
    return image_grids({"": (strips(rows, size), labels)}, height=2.8)

"""Looking inside: when an image is decided, what its pixels attend to, and what becomes of it in other hands midway."""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from matplotlib import colormaps

from ..data import DRAWINGS, captions, stroke_drawing, to_unit
from ..diffusion import AttentionMaps, PromptSwitch, PromptToPrompt, SDEditInit, make_guider
from ..evaluation import recognition
from ..evaluation.classifiers import classifier_hash
from ..models import WEIGHTS, load_text_encoder
from ..provenance import input_hashes, write_json
from .drawing import footnote, image_grid, new_figure, plot_with_ci
from .export import exhibit
from .pictures import names, training_note, with_footnote

SCALES = {"mnist": (1.0, 2.0), "cifar10": (1.0, 5.0)}
SAMPLES = 100
SHADES = {1.0: "#009E73", 2.0: "#0072B2", 5.0: "#D55E00"}           # of w: Okabe & Ito
TAUS = (0, 0.2, 0.3, 0.4, 0.5, 0.6, 1)
STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0)
SKETCHES = {                        # drawings, each with the number of the caption that it is painted over with
    "mnist": (("seven", 9), ("three", 8)),
    "cifar10": (("ship", 8), ("horse", 7)),
}


def recognition_file(pipe) -> Path:
    return pipe.folder / "recognition.json"


def recognised(pipe) -> list[dict]:
    """`recognition` of SAMPLES images at each of SCALES: what recognition.json beside `pipe`'s weights says, or, where
    there is none of these weights by the classifier that ships, what is measured now, in minutes."""
    dataset, file = pipe.preset.dataset, recognition_file(pipe)
    try:
        rows = json.loads(file.read_text())["rows"]
        fits = ([row["w"] for row in rows] == list(SCALES[dataset])
                and all(row["checkpoint"]["weights_sha256_16"] == pipe.weights_sha256_16
                        and row["classifier_sha256_16"] == classifier_hash(dataset) for row in rows))
    except (OSError, ValueError, KeyError, TypeError):
        fits = False
    if not fits:
        rows = [recognition(pipe, w, SAMPLES) for w in SCALES[dataset]]
        write_json(file, {"rows": rows})
    return rows


@exhibit("inside_recognition", "pdf")
def recognition_curves(pipes):
    """The share of images in which the classifier sees what was asked for, with 95 % bands, against the share of the
    steps that are done, and under it the quartiles of where an image is recognised for good.
    """
    found = {name: recognised(pipe) for name, pipe in pipes.items()}
    figure, axes = new_figure(2, len(found), 4.2, height_ratios=(3, 1), sharex=True, sharey="row")
    for (curves, ranges), (name, rows) in zip(axes.T, found.items()):
        shown = [(row, kind, dashes, label) for row, lines in zip(rows, (("-", ":"), ("--", "-.")))
                 for kind, dashes, label in zip(("x_0", "x_t"), lines, (r"$\hat{x}_0$", "$x_t$"))]
        for place, (row, kind, dashes, label) in enumerate(shown):
            style = {"color": SHADES[row["w"]], "linestyle": dashes}
            plot_with_ci(curves, row["progress"], row["accuracy"][kind], 0.12,
                         label=f"{label}, w = {row['w']:g}", **style)
            if quartiles := row["recognised_for_good"][kind]["quartiles"]:
                ranges.plot(quartiles[::2], [-place] * 2, linewidth=2, **style)
                ranges.plot(quartiles[1], -place, marker="o", markersize=4, **style)
        for axis in (curves, ranges):
            axis.axvspan(0.5, 0.7, color="0.5", alpha=0.15, linewidth=0, label="50–70 % of the steps")
        curves.set(title=name, ylim=(0, 1.02), xlim=(-0.02, 1.02))
        curves.legend(fontsize=6.5)
        ranges.set(xlabel="share of the steps that are done", yticks=[])
        ranges.margins(y=0.25)
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylabel("recognised\nfor good")
    told = next(iter(found.values()))[0]
    footnote(figure, f"{training_note(pipes)}; {told['scheduler'].upper()}, {told['steps']} steps, n = {told['n']} at "
                     "each w; judged by our own classifiers; bands 95 %; bars: quartiles of the images recognised at "
                     "the end")
    return figure, {"recognition": found} | input_hashes(
        *(file for pipe in pipes.values() for file in (recognition_file(pipe), pipe.folder / WEIGHTS)))


@exhibit("inside_attention", "png")
def attention_over_steps(pipe, steps: int, which: int = 5, w: float = 2.0, columns: int = 10):
    """Where the pixels of one image look in its caption: for every token (rows), from step to step (columns). Beside a
    token, the mean share of the attention that it has."""
    preset, prompt = pipe.preset, captions(pipe.preset)[which]
    tokens = load_text_encoder(preset.text_encoder).tokens(prompt, preset.max_length)
    recorder, trace = AttentionMaps(make_guider("cfg", w)), []
    pipe([prompt], steps=steps, guider=recorder, callback=lambda step, x_t, x_0: trace.append(x_0[0]))
    shown = torch.linspace(0, len(trace) - 1, min(columns, len(trace))).long()
    maps = recorder.maps()[shown, 0].cpu()                                        # [columns, tokens, side, side]
    clean = to_unit(torch.stack(trace)[shown], preset.pixel_range).cpu()          # [columns, c, h, w]
    shares = maps.mean((0, 2, 3))
    pictures = _coloured(F.interpolate(maps, clean.shape[-2:]) / maps.amax((0, 2, 3)).view(-1, 1, 1))
    images = torch.cat([clean.expand(-1, 3, -1, -1)[None], pictures.transpose(0, 1)])   # [1 + tokens, columns, 3, ..]
    labels = [r"$\hat{x}_0$", *(f"{token}  {share:.0%}" for token, share in zip(tokens, shares))]
    figure, axes = new_figure(1, 1, 0.4 + 0.62 * len(images))
    image_grid(axes[0, 0], images, labels, [f"step {i + 1}" for i in shown.tolist()],
               f"“{prompt}”, w = {w:g} (every token on a scale of its own)")
    return with_footnote(figure, {preset.variant: pipe}, steps, drawn=1, w=[w], shares=dict(enumerate(shares.tolist())))


def _coloured(values):
    """[.., h, w] in [0, 1] as colours [.., 3, h, w]."""
    return torch.tensor(colormaps["magma"](values.numpy())[..., :3]).movedim(-1, -3).float()


@exhibit("inside_prompt_swap", "png")
def prompt_swap(pipe, steps: int, pairs=((3, 8), (7, 1)), w: float = 2.0, taus=TAUS):
    """What is decided when: one caption for the first share tau of the steps and another one after it (swap), or the
    other one throughout with the first one's attention up to tau (Prompt-to-Prompt). One noise a pair."""
    prompts, labels, rows = captions(pipe.preset), names(pipe.preset), []
    guider, count = make_guider("cfg", w), len(taus)
    for place, (first, then) in enumerate(pairs):
        seed = pipe.preset.seed + place
        swap = PromptSwitch(guider, pipe.embed([prompts[first]])[0], taus)
        rows.append(pipe([prompts[then]] * count, steps=steps, seeds=[seed] * count, guider=swap).images)
        drawn = pipe([prompts[first]] + [prompts[then]] * count, steps=steps, seeds=[seed] * (count + 1),
                     guider=PromptToPrompt(guider, taus))
        rows.append(drawn.images[1:])
    row_labels = [f"{labels[a]} → {labels[b]}\n{way}" for a, b in pairs for way in ("swap", "P2P")]
    figure, axes = new_figure(1, 1, 0.6 + 0.9 * len(rows))
    image_grid(axes[0, 0], torch.stack(rows), row_labels, [f"τ = {tau:g}" for tau in taus], f"w = {w:g}")
    return with_footnote(figure, {pipe.preset.variant: pipe}, steps, drawn=len(pairs), w=[w], pairs=pairs, taus=taus)


@exhibit("inside_strokes", "png")
def painted_strokes(pipes, steps: int, w: float = 2.0, strengths=STRENGTHS):
    """SKETCHES painted over (SDEdit): the drawing at the left, and what comes of it from little noise to all."""
    sketches = {name: SKETCHES[pipe.preset.dataset] for name, pipe in pipes.items()}
    rows = [len(found) for found in sketches.values()]
    figure, axes = new_figure(len(pipes), 1, 0.6 + 0.95 * sum(rows), height_ratios=rows)
    for axis, (name, pipe) in zip(axes[:, 0], pipes.items()):
        drawn, asked = zip(*sketches[name])
        size = pipe.preset.resolution
        start = torch.stack([stroke_drawing(DRAWINGS[drawing], size) for drawing in drawn]).to(pipe.device)
        prompts = [captions(pipe.preset)[which] for which in asked]
        columns = [pipe(prompts, w=w, steps=steps, start=SDEditInit(start, strength)).images for strength in strengths]
        labels = [names(pipe.preset)[which] for which in asked]
        above = ["drawing", *(f"s = {s:g}" for s in strengths)]
        image_grid(axis, torch.stack([start, *columns], 1), labels, above, f"{name}, w = {w:g}")
    return with_footnote(figure, pipes, steps, drawn=max(rows), w=[w], drawings=sketches, strengths=strengths)


def all_figures(digits, photographs, steps: int):
    """The four figures, one after the other, of a pipeline of MNIST and one of CIFAR-10."""
    both = {"MNIST": digits, "CIFAR-10": photographs}
    yield recognition_curves(both)
    yield attention_over_steps(digits, steps)
    yield prompt_swap(digits, steps)
    yield painted_strokes(both, steps)

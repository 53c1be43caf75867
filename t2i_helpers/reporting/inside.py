"""Inside a sampling: when an image is recognised, what its pixels attend to, and the effect of changes midway."""

import torch
import torch.nn.functional as F
from matplotlib import colormaps

from ..data import DRAWINGS, captions, stroke_drawing, to_unit
from ..diffusion import AttentionMaps, PromptSwitch, PromptToPrompt, SDEditInit, make_guider
from ..models import load_text_encoder
from .checkpoints import load_or_measure_recognition
from .drawing import image_grids, new_figure, plot_with_ci
from .exhibits import exhibit
from .pictures import names, vary

SHADES = {1.0: "#009E73", 2.0: "#0072B2", 5.0: "#D55E00"}           # of w: Okabe & Ito
TAUS = (0, 0.2, 0.3, 0.4, 0.5, 0.6, 1)
STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0)
SKETCHES = {                        # drawings, each with the number of the caption that replaces it
    "mnist": (("seven", 9), ("three", 8)),
    "cifar10": (("ship", 8), ("horse", 7)),
}


@exhibit("inside_recognition", "pdf")
def recognition_curves(pipes):
    """The accuracy of the classifier, with 95 % bands, against the share of the steps, for each {title: pipeline}.

    Under it the quartiles of the step from which on an image is always recognised.
    """
    recognised = {name: load_or_measure_recognition(pipe) for name, pipe in pipes.items()}
    figure, axes = new_figure(2, len(recognised), 3.9, height_ratios=(3, 1), sharex=True, sharey="row")
    for (curves, ranges), (name, rows) in zip(axes.T, recognised.items()):
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
        ranges.set(xlabel="share of the steps", yticks=[])
        ranges.margins(y=0.25)
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylabel("first stable\nstep")
    row = rows[0]
    note = (f"{row['scheduler'].upper()}, {row['steps']} steps, n = {row['n']} at each w; judged by our own "
            "classifiers; bands 95 %; bars: quartiles over the images that are recognised at the end")
    return figure, {"note": note, "recognition": recognised}


@exhibit("inside_attention", "png")
def attention_over_steps(pipe, steps: int, which: int = 5, w: float = 2.0, columns: int = 10):
    """The attention of the pixels of one image to each token of its caption (rows), from step to step (columns), with
    the token's mean share of the attention."""
    preset, prompt = pipe.preset, captions(pipe.preset)[which]
    tokens = load_text_encoder(preset.text_encoder).tokens(prompt, preset.max_length)
    recorder, trace = AttentionMaps(make_guider("cfg", w)), []
    pipe([prompt], steps=steps, guider=recorder, callback=lambda step, x_t, x_0: trace.append(x_0[0]))
    shown = torch.linspace(0, len(trace) - 1, min(columns, len(trace))).long()
    maps = recorder.maps()[shown, 0].cpu()                                        # [columns, tokens, side, side]
    clean = to_unit(torch.stack(trace)[shown], preset.pixel_range).cpu()          # [columns, c, h, w]
    shares = maps.mean((0, 2, 3))
    scaled = F.interpolate(maps, clean.shape[-2:]) / maps.amax((0, 2, 3)).view(-1, 1, 1)
    coloured = torch.tensor(colormaps["magma"](scaled.numpy())[..., :3]).movedim(-1, -3).float()
    images = torch.cat([clean.expand(-1, 3, -1, -1)[None], coloured.transpose(0, 1)])   # [1 + tokens, columns, 3, ..]
    labels = [r"$\hat{x}_0$", *(f"{token}  {share:.0%}" for token, share in zip(tokens, shares))]
    title = f"“{prompt}”, w = {w:g} (a colour scale for each token)"
    return image_grids({title: (images, labels, [f"step {i + 1}" for i in shown.tolist()])}), {
        "w": w, "shares": dict(enumerate(shares.tolist()))}


@exhibit("inside_prompt_swap", "png")
def prompt_swap(pipe, steps: int, pairs=((3, 8), (7, 1)), w: float = 2.0, taus=TAUS):
    """Two ways to change the caption at the share tau of the steps, each pair from one noise image: another caption
    after tau (swap), or the new one throughout with the attention of the old one up to tau (Prompt-to-Prompt)."""
    prompts, labels, rows = captions(pipe.preset), names(pipe.preset), []
    guider = make_guider("cfg", w)
    for seed, (first, then) in enumerate(pairs, pipe.preset.seed):
        old, new, seeds = [prompts[first]], [prompts[then]] * len(taus), [seed] * len(taus)
        swap, attend = PromptSwitch(guider, pipe.embed(old)[0], taus), PromptToPrompt(guider, taus)
        rows += [pipe(new, steps=steps, seeds=seeds, guider=swap).images,
                 pipe(old + new, steps=steps, seeds=[seed, *seeds], guider=attend).images[1:]]
    row_labels = [f"{labels[a]} → {labels[b]}\n{way}" for a, b in pairs for way in ("swap", "P2P")]
    return image_grids({f"w = {w:g}": (torch.stack(rows), row_labels, [f"τ = {tau:g}" for tau in taus])}), {
        "w": w, "pairs": pairs, "taus": taus}


@exhibit("inside_strokes", "png")
def painted_strokes(pipes, steps: int, w: float = 2.0, strengths=STRENGTHS):
    """SDEdit of SKETCHES for each {title: pipeline}: the drawing at the left, and results from little noise to all."""
    panels = {}
    for name, pipe in pipes.items():
        drawings, labels = zip(*SKETCHES[pipe.preset.dataset])
        start = torch.stack([stroke_drawing(DRAWINGS[each], pipe.preset.resolution) for each in drawings])
        start = start.to(pipe.device)
        images = vary(pipe, [captions(pipe.preset)[label] for label in labels], "start",
                      [SDEditInit(start, strength) for strength in strengths], w=w, steps=steps)
        panels[f"{name}, w = {w:g}"] = (torch.cat([start[:, None], images], 1), [names(pipe.preset)[k] for k in labels],
                                        ["drawing", *(f"s = {s:g}" for s in strengths)])
    return image_grids(panels), {"drawings": SKETCHES, "strengths": strengths}

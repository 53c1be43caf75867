"""Pictures of guidance that notebook 04 draws live, by rules, losses and samplers, and the inside of a sampling."""

import itertools
import textwrap

import torch
import torch.nn.functional as F
from matplotlib import colormaps

from ..data import DRAWINGS, captions, class_names, stroke_drawing, to_unit
from ..diffusion import LossGuidance, make_guider, make_scheduler
from ..diffusion.editing import AttentionMaps, PromptSwitch, PromptToPrompt, SDEditInit
from ..diffusion.noise import noise_level, sigma
from ..diffusion.schedulers import SPACINGS
from ..evaluation.classifiers import weights_file
from ..evaluation.experiments import IMAGE_TEXT, STRENGTHS, guiding_losses
from ..models import load_text_encoder
from ..paths import WEIGHTS, checkpoint_dir
from ..provenance import note_use
from .checkpoints import measured
from .drawing import COLOURS, PALETTE, image_grid, image_grids, line, new_figure, plot_with_ci
from .exhibits import exhibit
from .pictures import denoising, traced, vary
from .study import IMAGE_TEXT_NOTE

SHORT = {"airplane": "plane", "automobile": "car"}            # over a small picture
# rules with a large w where they take one, else with a scale like that of their papers
SHOWN = [("cfg", 1), ("cfg", 2), ("cfg", 5), ("rescale", 5), ("interval sigma_min=0.2 sigma_max=5", 5),
         ("threshold", 5), ("apg", 5), ("cfg-zero", 5), ("tcfg", 5), ("mag", 5), ("fdg", 5), ("cfg++", 0.5),
         ("auto", 1.5), ("pag", 2), ("slg", 2), ("seg", 2)]
SHADES = dict(zip((5.0, 2.0, 1.0), PALETTE))                        # of w
SKETCHES = {                        # drawings, each with the number of the caption that replaces it
    "mnist": (("seven", 9), ("three", 8)),
    "cifar10": (("ship", 8), ("horse", 7)),
}
denoising_strip = exhibit("denoising_strip", "png", w=2.0, schedulers=("ddpm", "ddim", "dpm++"))(denoising)


NULL, COND = "n + s (c - n)", "c + s (c - n)"              # from the null prediction n, or the conditional one c
CONVENTIONS = [         # where guidance is written, how, at scale s, and the w of n + w (c - n) for the same image
    ("this package, the thesis", NULL, "s"),
    ("Ho & Salimans 2022 (arXiv:2207.12598)", "(1 + s) c - s n", "s + 1"),
    ("reports that start from c", COND, "s + 1"),
    ("GLIDE (Nichol et al. 2021, arXiv:2112.10741)", NULL, "s"),
    ("Imagen (Saharia et al. 2022, arXiv:2205.11487)", "s c + (1 - s) n", "s"),
    ("diffusers, guidance_scale of Stable Diffusion", f"{NULL}, c up to s = 1", "max(s, 1)"),
    ("diffusers.guiders, ClassifierFreeGuidance", NULL, "s"),
    ("diffusers.guiders, use_original_formulation=True", COND, "s + 1"),
    ("limited interval (Kynkäänniemi et al. 2024, arXiv:2404.07724)", f"{NULL} inside, c outside", "s"),
    ("autoguidance (Karras et al. 2024, arXiv:2406.02507)", f"{NULL}, n a weaker network's", "s"),
]
TO_W = {"s": lambda s: s, "s + 1": lambda s: s + 1, "max(s, 1)": lambda s: max(s, 1)}


@exhibit("guidance_conventions", "tex")
def convention_table():
    """What s = 0 and s = 1 mean in each of CONVENTIONS, and the w of this package that draws the same."""
    rows = []
    for where, written, w in CONVENTIONS:
        meanings = {0: "with the caption, by the weaker" if "weaker" in written else "without the caption",
                    1: "with the caption"}
        at_0_and_1 = (meanings.get(at, f"guided, w = {at}") for at in map(TO_W[w], (0, 1)))
        rows.append([where, written, *at_0_and_1, f"w = {w}"])
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
    figure, _ = new_figure(1, 1, 3.5)
    figure.clear()
    axes = figure.subplot_mosaic([["line"] * 3, [0, 1, 2]], height_ratios=(1.2, 2.4))
    _vectors(axes["line"], scales)
    drawn = []
    for place, (guider, shift, title, letter) in enumerate(panels):
        guiders = [make_guider(guider, w + shift) for w in scales]
        drawn.append(vary(pipe, prompts, "guider", guiders, steps=steps))         # [digits, scales, c, h, w]
        labels = [f"${letter}$={w + shift:g}" for w in scales]
        image_grid(axes[place], drawn[-1], [class_names(pipe.preset)[digit] for digit in digits], labels, title)
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


@exhibit("study_rules", "png")
def rule_strips(pipe, steps: int, rules=SHOWN, classes=(0, 1, 3, 5, 7, 8)):
    """Some classes (columns) by each (rule, w) of `rules` (rows), one noise image a column; drawn live."""
    prompts = [captions(pipe.preset)[which] for which in classes]
    guiders = [pipe.make_guider(rule, w) for rule, w in rules]
    images = vary(pipe, prompts, "guider", guiders, steps=steps, scheduler="dpm++").transpose(0, 1)
    if "auto" in dict(rules):
        note_use("file", checkpoint_dir(pipe.preset.dataset, "weak", pipe.preset.size) / WEIGHTS)
    labels, words = [f"{rule}, w = {w:g}" for rule, w in rules], class_names(pipe.preset)
    return image_grids({"": (images, [textwrap.fill(label, 22) for label in labels],
                             [SHORT.get(words[which], words[which]) for which in classes])}, width=3.9), {
        "prompts": prompts, "rules": labels}


@exhibit("study_negative", "png")
def negative_prompts(pipe, steps: int, caption: str = "A handwritten digit 4", w: float = 3.0):
    """One caption from ten noise images, away from the empty caption and from two others (rows); drawn live."""
    negatives = [None, "A handwritten digit 9", "A handwritten digit 1"]
    images = vary(pipe, [caption] * 10, "negative", negatives, w=w, steps=steps, scheduler="dpm++")
    labels = [f"away from {(negative or '∅').split()[-1]}" for negative in negatives]
    return image_grids({f"“{caption}”, w = {w:g}": (images.transpose(0, 1), labels)}), {
        "prompts": [caption], "negatives": negatives}


@exhibit("loss_guidance", "png")
def loss_strips(pipe, steps: int, classes=(7, 8)):
    """One image of each of `classes` (rows) guided by each loss at each of STRENGTHS (columns); drawn live at w = 1."""
    prompts = [captions(pipe.preset)[label] for label in classes]
    note_use("file", weights_file(pipe.preset.dataset), IMAGE_TEXT)
    losses = guiding_losses(pipe, classes)
    images = [vary(pipe, prompts, "loss", [LossGuidance(loss, s) if s else None for s in STRENGTHS],
                            w=1.0, steps=steps, scheduler="ddim") for loss in losses.values()]
    labels = [f"{name}, {class_names(pipe.preset)[label]}" for name in losses for label in classes]
    return image_grids({"": (torch.cat(images), labels, [f"s = {s:g}" for s in STRENGTHS])}, height=5.4), {
        "note": f"w = 1; the colour is green; {IMAGE_TEXT_NOTE}", "strengths": list(STRENGTHS)}


@exhibit("sigma_schedules", "pdf")
def sigma_schedules(preset, steps: int, schedulers=("ddpm", "dpm++", "lms")):
    """The noise level sigma = sqrt((1 - abar) / abar) at each step, by scheduler and timestep spacing."""
    figure, (axes,) = new_figure(1, len(schedulers), 2.4, sharey=True)
    levels = {}
    for axis, name in zip(axes, schedulers):
        usual = make_scheduler(preset, name).config.timestep_spacing
        for place, spacing in enumerate(SPACINGS):
            sigmas = noise_levels(make_scheduler(preset, f"{name} spacing={spacing}"), steps)
            levels[f"{name} spacing={spacing}"] = sigmas
            axis.plot(range(1, steps + 1), sigmas, label=spacing + " (used)" * (spacing == usual),
                      **line(place, markersize=2.5, linewidth=1))
        axis.set(yscale="log", title=name, xlabel="step", xticks=range(1, steps + 1, max(1, steps // 5)))
        axis.legend()
    axes[0].set_ylabel(r"$\sigma$ that the step starts from")
    schedule = {"squaredcos_cap_v2": "cosine"}.get(preset.beta_schedule, preset.beta_schedule)
    note = (f"{steps} of {preset.train_timesteps:,} timesteps of the {schedule} schedule; (used): the spacing of this "
            "report where it names none")
    return figure, {"note": note, "steps": steps, "sigmas": levels}


def noise_levels(scheduler, steps: int) -> list[float]:
    """sigma at each of the `steps` timesteps of `scheduler`, from the largest down."""
    scheduler.set_timesteps(steps)
    timesteps = scheduler.timesteps.unique().flip(0)                              # Heun repeats its timesteps
    return [float(sigma(noise_level(scheduler, t))) for t in timesteps if t >= 0]


@exhibit("inside_recognition", "pdf")
def recognition_curves(pipes):
    """The accuracy of the classifier, with 95 % bands, against the share of the steps, for each {title: pipeline}.

    Under it the quartiles of the step from which on an image is always recognised.
    """
    recognised = {name: measured(pipe, "recognition")["rows"] for name, pipe in pipes.items()}
    figure, axes = new_figure(2, len(recognised), 3.9, height_ratios=(3, 1), sharex=True, sharey="row")
    for (curves, ranges), (name, rows) in zip(axes.T, recognised.items()):
        for place, (row, kind) in enumerate(itertools.product(rows, ("x_0", "x_t"))):
            style = {"color": SHADES[row["w"]], "linestyle": ("-", ":", "--", "-.")[place]}
            label = {"x_0": r"$\hat{x}_0$", "x_t": "$x_t$"}[kind]
            plot_with_ci(curves, row["progress"], row["accuracy"][kind], 0.12, label=f"{label}, w = {row['w']:g}",
                         **style)
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
    recorder = AttentionMaps(make_guider("cfg", w))
    trace, _ = traced(pipe, [prompt], steps=steps, guider=recorder)
    shown = torch.linspace(0, len(trace) - 1, min(columns, len(trace))).long()
    maps = recorder.maps()[shown, 0].cpu()                                        # [columns, tokens, side, side]
    clean = to_unit(torch.cat([trace[i][1] for i in shown]), preset.pixel_range).cpu()        # [columns, c, h, w]
    shares = maps.mean((0, 2, 3))
    scaled = F.interpolate(maps, clean.shape[-2:]) / maps.amax((0, 2, 3)).view(-1, 1, 1)
    coloured = torch.tensor(colormaps["magma"](scaled.numpy())[..., :3]).movedim(-1, -3).float()
    images = torch.cat([clean.expand(-1, 3, -1, -1)[None], coloured.transpose(0, 1)])   # [1 + tokens, columns, 3, ..]
    labels = [r"$\hat{x}_0$", *(f"{token}  {share:.0%}" for token, share in zip(tokens, shares))]
    title = f"“{prompt}”, w = {w:g} (a colour scale for each token)"
    return image_grids({title: (images, labels, [f"step {i + 1}" for i in shown.tolist()])}), {
        "w": w, "shares": dict(enumerate(shares.tolist()))}


@exhibit("inside_prompt_swap", "png")
def prompt_swap(pipe, steps: int, pairs=((3, 8), (7, 1)), w: float = 2.0, taus=(0, 0.2, 0.3, 0.4, 0.5, 0.6, 1)):
    """Two ways to change the caption at the share tau of the steps, each pair from one noise image: another caption
    after tau (swap), or the new one throughout with the attention of the old one up to tau (Prompt-to-Prompt)."""
    prompts, labels, rows = captions(pipe.preset), class_names(pipe.preset), []
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
def painted_strokes(pipes, steps: int, w: float = 2.0, strengths=(0.2, 0.4, 0.6, 0.8, 1.0)):
    """SDEdit of SKETCHES for each {title: pipeline}: the drawing at the left, and results from little noise to all."""
    panels = {}
    for name, pipe in pipes.items():
        drawings, labels = zip(*SKETCHES[pipe.preset.dataset])
        start = torch.stack([stroke_drawing(DRAWINGS[each], pipe.preset.resolution) for each in drawings])
        start = start.to(pipe.device)
        images = vary(pipe, [captions(pipe.preset)[label] for label in labels], "start",
                      [SDEditInit(start, strength) for strength in strengths], w=w, steps=steps)
        panels[f"{name}, w = {w:g}"] = (
            torch.cat([start[:, None], images], 1), [class_names(pipe.preset)[label] for label in labels],
            ["drawing", *(f"s = {s:g}" for s in strengths)])
    return image_grids(panels), {"drawings": SKETCHES, "strengths": strengths}

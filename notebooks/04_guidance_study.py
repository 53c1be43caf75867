# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4 · Guidance, looked at from all sides
#
# Notebooks 1 to 3 used one rule with one number in it, $w$. This one asks what that rule is, which others there are,
# what each costs and buys, and what else decides how an image comes out: the solver, the averaging of weights, the text
# encoder. Each section answers one question and can be read alone.
#
# **You need** notebook 1, and 2 for what the numbers are worth. **You will learn** to read any paper's guidance scale,
# to choose a rule for a purpose, and to doubt a Fréchet distance.
#
# On paper: [the report's chapter on the study](../report/main.pdf#nameddest=sec:study), and
# [what was reproduced and what corrected](../report/main.pdf#nameddest=sec:reproduced).
#
# | size | for | what it runs |
# |---|---|---|
# | `demo` (default) | a laptop | pictures drawn live by the small checkpoints that ship; the study's stored measurements |
# | `full` | a big GPU | the same with the whole study measured again first: `t2i evaluate study` |
# | `smoke` | CI | the same cells with fewer steps, without meaning |
#
# The stored study is of **small networks**, drawn on two CPU cores, judged by our own classifiers, whose features stand
# in for Inception's, with text by a packaged encoder that stands in for CLIP. What ranks first here need not rank first
# on a network a thousand times as large. What carries over is how to find out.

# %%
import os

import torch

from t2i_helpers.data import captions
from t2i_helpers.evaluation.study import run_study
from t2i_helpers.models import load_pipeline
from t2i_helpers.reporting import networks, rules, study
from t2i_helpers.reporting.export import export
from t2i_helpers.reporting.tables import export_table

SIZE = os.environ.get("T2I_SIZE", "demo")
steps = {"smoke": 2, "demo": 10, "full": 50}[SIZE]
digits, objects = load_pipeline("mnist"), load_pipeline("cifar10")
if SIZE == "full":
    run_study(size=SIZE)

# %% [markdown]
# ## 4.1 What does $w$ mean?
#
# Guidance walks along the line from the prediction without the caption to the one with it, and beyond:
#
# $$\tilde\epsilon = \epsilon_\varnothing + w\,(\epsilon_c - \epsilon_\varnothing)
# \qquad\text{or, as the first paper wrote,}\qquad
# \tilde\epsilon = (1+w')\,\epsilon_c - w'\,\epsilon_\varnothing .$$
#
# The line is the same; its zero is not. $w=0$ forgets the caption, $w'=0$ only stops exaggerating it.
#
# > **Before you run the cell:** the middle panel uses the first paper's form with the same numerals. Which of its columns
# > must look like which column on the left?

# %%
from t2i_helpers.reporting import conventions

export(conventions.conventions(digits, steps), SIZE)

# %% [markdown]
# The same *number* means different images; $w = 1 + w'$ means the same image, to the last pixel, and a test holds that.
# Read a paper's formula before you copy its scale:

# %%
export_table(conventions.convention_table(), SIZE)

# %% [markdown]
# ## 4.2 Away from what?
#
# $\epsilon_\varnothing$ is only one thing to walk away from. Put another caption in its place, a **negative prompt**, and
# guidance avoids what that says. Below, ten noises become a 4: away from ∅, away from a 9, away from a 1.
#
# > **Think first:** at $w=1$ a negative prompt does nothing at all. Why?

# %%
export(rules.negative_prompts(digits, steps), SIZE)

# %% [markdown]
# Some of the 4s that must not look like a 9 open their top (and some break); those that must not look like a 1 grow
# thicker and wider. Nothing was trained for that. The formula is the one above with $\epsilon_{\text{negative}}$ in place of $\epsilon_\varnothing$, and at $w=1$ it
# is $\epsilon_c$ alone, whatever is subtracted.
#
# ## 4.3 One interface, many rules
#
# Since 2022 many papers have fixed what a large $w$ does to images: colours burn out, variety shrinks, and early steps
# overshoot. Each fix is a *rule*: a function of one step that combines the network's predictions `step.cond` and
# `step.null` into one. All of them are in `t2i_helpers/diffusion/rules.py`, each with its formula.

# %%
import inspect

from t2i_helpers.diffusion import GUIDERS

for name, rule in GUIDERS.items():
    print(f"{name:13}", " ".join(inspect.getdoc(rule).split("\n\n")[0].split()))

# %% [markdown]
# Six objects, fourteen rules, one noise a column, plain guidance at $w$ = 1, 2 and 5 on top. $w$ is 5 where a rule takes
# any number, and lower where its own scale is; the last three go on top of plain guidance at $w=2$.
#
# > **Look for:** rows that burn out, rows that lose the object, a row that can hardly be told from plain $w=1$. Which
# > rule would you choose by eye?

# %%
export(rules.rule_strips(objects, steps), SIZE)

# %% [markdown]
# Some of the rules in `diffusers` 0.42 do not do what their papers say: its smoothed-energy guidance never blurs
# anything, its magnitude-aware guidance crashes on images, its perturbed attention takes the wrong prediction for
# $\epsilon_\varnothing$ at $w=1$, and its frequency-decoupled guidance returns 32 pixels for 28. Ours are the smallest
# mends, and for each there is a test that fails on the original.
#
# ## 4.4 Which rule when?
#
# Eyes are easily led, so every rule was measured: accuracy (is it what the caption says?), Fréchet and kernel distance
# (does the set look real?), diversity (how far are two images of one class apart?), saturation (how many pixel values lie
# at an end of their range?), and the price in forward passes. The grey cloud is everything; what is named, no other point
# beats in both directions (but look at the bars).

# %%
export(rules.pareto(), SIZE)

# %%
export_table(rules.when_table(), SIZE)

# %%
export_table(rules.rules_table("rules-mnist"), SIZE)

# %%
export_table(rules.rules_table("rules-cifar10"), SIZE)

# %% [markdown]
# What can be read from this, and what cannot:
#
# - **A larger $w$ buys obedience with variety.** On photographs accuracy climbs with every step of $w$ while diversity
#   falls and pixels burn out. No rule escapes that exchange; they trade at different rates.
# - **Burnt-out colours can be avoided for nothing.** On photographs rescaling and thresholding at $w=5$ are as accurate as
#   plain guidance, with the saturation of real images or less; and APG at $w=5$ is as accurate as plain guidance at
#   $w=3$, with half its burnt-out values.
# - **An interval saves passes.** Guidance in the middle noise levels only costs a quarter less, and keeps more variety at
#   the same $w$.
# - **Some rules are a smaller $w$ in disguise.** Tangential and magnitude-aware guidance at $w=5$ land at plain guidance
#   at $w=3$, in accuracy and in diversity. Compare rules at equal accuracy, never at equal $w$.
# - **A rule has a home.** Thresholding assumes that most values lie inside the range. In a digit nearly all lie at its end,
#   and dividing them by the largest turns black into grey, step after step: on MNIST it ruins the digits. Rescaling
#   greys them, too, if less.
# - **A weak guide must be weak in the same way.** On digits autoguidance by a small network that was stopped early cannot
#   be told from plain guidance; on photographs that guide is too different, and $w=1.5$ already burns colours out.
# - **Perturbed attention needs attention.** Its papers impair the middle of a U-Net of hundreds of pixels; the middle of
#   these small ones sees 4×4 pixels and hardly matters, so PAG, SLG and SEG are plain guidance at
#   $w=2$ here, for half as many passes again.
# - **Fréchet distances cannot rank rules at this $n$.** Their intervals overlap nearly everywhere. Accuracy, diversity
#   and saturation can tell rules apart with a few hundred images; a Fréchet distance needs thousands (4.7).
#
# ## 4.5 Anything with a gradient can guide
#
# Guidance by caption needs a network that was trained with captions. A *loss* needs nothing: before each step, push the
# image down the gradient of any number you can compute from the guess $\hat x_0$,
#
# $$x_t \leftarrow x_t - s\,u\,P\,\nabla_{x_t} L\big(\hat x_0(x_t)\big).$$
#
# ($P$ is the number of values in the image and $u$ a unit of each loss's own, so that $s=0.2$ shows and $s=1$ is more than
# enough.) Three losses: the distance to a colour; a classifier's $-\log p$; and $1-\cos$ between image and caption in
# the joint space of an image-text model. CLIP's weights are not here, so the project trained a small image encoder
# against the packaged sentence encoder, with CLIP's contrastive loss. How good is that stand-in? Its accuracy on real
# test images, by the nearest of ten captions:

# %%
import json

from t2i_helpers.paths import CHECKPOINTS

found = json.loads((CHECKPOINTS / "image-text" / "evaluation.json").read_text())
for dataset, told in found["zero_shot"].items():
    for kind in ("taught", "held_out"):
        for wording, accuracy in told[kind].items():
            print(f"{dataset:8} {kind:8} {wording:34} {accuracy['value']:.1%}")

# %%
from t2i_helpers.reporting import losses

export(losses.loss_strips(objects, 2 * steps), SIZE)

# %% [markdown]
# Every loss moves the image its way. Whether that is what *you* wanted is another matter. Measured at the strengths of a
# report that found 0.8 best for CLIP:

# %%
export(losses.loss_curves(), SIZE)

# %% [markdown]
# The left panel is what was optimised: two losses fall at once, the colour slowly. The right one is what somebody else
# sees. Images pushed towards their caption's embedding are far more often recognised by a classifier that had no part in
# it; pushing harder than 0.2 wins nothing that sixty images could show. The classifier's own loss wins on its own scale, which says little: a network can be
# pleased by changes that nobody sees. And a colour has nothing to do with what is drawn.
#
# An image-text model can also sit at the end of the line, as a critic: draw fifteen, keep the three that it finds least
# "blurry", or the three that are nearest to their caption. Another network, the classifier, says whether the choice was
# worth it.

# %%
export_table(losses.best_of_table(), SIZE)

# %% [markdown]
# A critic grants the wish it was asked for. The three least blurry are not more often right; the three nearest to the
# caption are. (Thirty chosen images leave wide intervals. And to this critic, which learnt blur from blurred photographs,
# hardly anything that a diffusion model draws is blurry: "good" and "clear" share the rest half and half, because it was
# taught them as one.)
#
# ## 4.6 How many steps, by which solver?
#
# The network only says what the noise is. How to walk from noise to image with that is the sampler's business: DDPM adds
# fresh noise at every step, DDIM does not ($\eta=0$) or does in part ($0<\eta\le1$), and the others use several
# predictions to take longer steps. Below, one noise image by three of them, $x_t$ over the guess $\hat x_0$.

# %%
from t2i_helpers.reporting import samplers

export(samplers.denoising_strip(digits, 2 * steps), SIZE)

# %% [markdown]
# DDIM and DPM-Solver++ follow the same path from the same noise, so they end in the same 4; DDPM's own noise leads it to
# another one. What each pays and gets, measured on the small network of section 4.7 at $w=2$:
#
# > **Before you look:** a report found that DDPM needs about 1,000 steps for what DDIM does in 40. Which difference do
# > you expect at 20?

# %%
export(samplers.quality_against_passes(), SIZE)

# %% [markdown]
# On digits everything that starts at pure noise is good within ten evaluations, stochastic or not, and what differs lies
# inside the intervals: a thousand steps are a matter of habit. DDIM with $\eta=1$ is DDPM, to the digit. What fails is
# LMS, Euler and Heun with few steps, and the next figure says why.
#
# Where do the few steps lie? "Leading" timesteps start below $T$, where pure noise is too noisy for the timestep that
# the network is told; "trailing" ones start at $T$. LMS, Euler and Heun step in $\sigma$, which the cosine schedule drops
# from 20,000 to 6 between the first two trailing steps: too far for a straight line, so they start lower.

# %%
export(samplers.sigma_schedules(digits.preset, steps), SIZE)

# %%
export_table(samplers.spacing_table(), SIZE)

# %% [markdown]
# ## 4.7 Average the weights; then count your images
#
# A network's weights jitter to the end of training. Their moving average is smoother,
# $\bar\theta \leftarrow \beta\,\bar\theta + (1-\beta)\,\theta$, and costs nothing but memory. A paper reports that guidance
# and averaging together bring FID from 1,332 to 1,089, with six generated images, no $\beta$ and no ablation. Here is the
# ablation: one training, its weights as they are and averaged in four ways while it ran.
#
# > **Before you look:** the training had 1,000 steps. What is an average with $\beta = 0.9999$ mostly made of?

# %%
export(networks.averages_figure(), SIZE)

# %% [markdown]
# Averaging helps: without guidance the averaged weights draw clearly nearer to real digits than the raw ones do. Guidance
# hides most of that difference, so a comparison at one $w$ can find anything. And the decay can be chosen fatally wrong:
# after 1,000 steps with $\beta=0.999$ more than a third of the average is still the random network of the start, and with
# 0.9999 nine tenths, which draws nothing but noise (and noise is as diverse as real digits: never read that measure
# alone). A decay that rises as $(1+n)/(10+n)$, which diffusers does unasked, forgets the start and
# need not be chosen at all. (A paper that gives no $\beta$ has not said what it did.)
#
# And six images? The Fréchet distance of six *real* images to thousands of other real ones says what such a number is
# worth:

# %%
export(networks.frechet_against_n(size=SIZE), SIZE)

# %% [markdown]
# Six *real* photographs score over two hundred, and it should be 0: below as many images as there are features, the distance
# measures little but $n$, and draws of six differ among themselves. It still falls at a thousand. Six images cannot say
# whether 1,089 is better than 1,332. (The study compares $n$ drawings with $n$ real images, which adds the bias of both.)
#
# ## 4.8 What does language buy?
#
# The caption reaches the network as vectors. Must they come from a language model? The same small network was trained
# behind a sentence encoder (MiniLM, of the BERT family), behind a table that gives every *word* a random vector, and
# behind one-hot classes. All three learn the ten captions. Then ask for the same digits in words that no training caption
# had.
#
# > **Before you look:** for which of these wordings can random word vectors work at all?

# %%
export(networks.encoders_figure(), SIZE)

# %% [markdown]
# All three encoders draw the ten captions. New words around a known 7 are no test either: "7" is enough for random
# vectors. But "seven" stood in no caption. To random words it is new noise, and they fall near chance; the sentence
# encoder learnt elsewhere that seven and 7 mean the same, and the network draws it without ever having been shown the
# word. One-hot classes cannot even be asked. That is what language buys: not better digits, but more ways to ask.
#
# ## 4.9 When is it decided?
#
# At every step the network guesses the final image, $\hat x_0$. When does the classifier recognise what was asked for,
# in the guess and in the noisy image itself? A student's report says that a picture is recognisable at 50 to 70 % of
# the steps (the grey band).

# %%
from t2i_helpers.reporting import inside

export(inside.recognition_curves({"MNIST": digits, "CIFAR-10": objects}), SIZE)

# %% [markdown]
# On digits no curve lies in the grey band: the guess $\hat x_0$ is readable long before it, with guidance in most cases
# from the very first step, and the noisy image $x_t$ long after it. Photographs are decided later: half way for the guess
# with guidance. (The classifier never saw noise, so for $x_t$ an eye may be earlier than it is; the report meant clothes,
# 100 steps and an eye.)
#
# What do pixels look at meanwhile? In cross-attention each pixel spreads its attention over the caption's tokens:

# %%
export(inside.attention_over_steps(digits, 2 * steps), SIZE)

# %% [markdown]
# The word that matters, "5", draws attention along the strokes, most of it early. So early steps decide. If that is
# true, swapping the caption late must change nothing, and swapping it early everything. Two ways to swap: another caption
# from step $\tau$ on; or Prompt-to-Prompt (Hertz et al. 2022), the new caption throughout, but looking where the old one
# looked until $\tau$.
#
# > **Predict:** at which $\tau$ does the 3 stay a 3?

# %%
export(inside.prompt_swap(digits, 2 * steps), SIZE)

# %% [markdown]
# Swapped at 0.4, a 3 still becomes a perfect 8; from 0.6 on it stays a 3: readable, as in the figure above, is not yet
# decided. With the old caption's attention throughout ($\tau=1$), the 1 is drawn as the 7 that it replaces, but the 8
# stays an 8: attention says where a word acts, not what it means. (One noise a pair is an illustration, no statistic.)
#
# And if the layout is decided in the early steps, one can skip them and draw the layout by hand: SDEdit (Meng et al.
# 2021) takes a drawing, buries it in as much noise as the last share $s$ of the steps removes, and lets the network
# dig out something else.

# %%
export(inside.painted_strokes({"MNIST": digits, "CIFAR-10": objects}, 2 * steps), SIZE)

# %% [markdown]
# Little noise leaves the drawing as it is; much noise leaves nothing of it; in between lies what one wants.
#
# ## 4.10 Exercises
#
# **1. A rule of your own.** Guidance need not be constant. Write a guider whose scale falls linearly from $w$ to 1 over
# the steps, and compare it with plain guidance at $w=5$ on the ten objects. (A guider is a function of a `step`, which
# knows its `index` from 0 and the number of `steps`.)
#
# <details><summary>Solution</summary>
#
# ```python
# from t2i_helpers.reporting.drawing import image_grid, new_figure
#
# def falling(step):
#     w = 1 + 4 * (1 - step.index / step.steps)
#     return step.null + w * (step.cond - step.null)
#
# figure, axes = new_figure(2, 1, 1.8)
# for axis, (label, guider) in zip(axes[:, 0], {"w = 5": objects.make_guider("cfg", 5), "falling": falling}.items()):
#     drawn = objects(captions(objects.preset), guider=guider, steps=steps, scheduler="dpm++")
#     image_grid(axis, drawn.images[None], [label])
# display(figure)
# ```
#
# Where the image is decided early, the late steps need no push, and colours burn out less.
# </details>
#
# **2. Interval by hand.** Which steps need guidance at all? Draw the ten digits at $w=5$ with guidance only where
# $\sigma > 5$, only where $0.5 < \sigma \le 5$, only below. Which third can be left out, at what saving?
#
# <details><summary>Solution</summary>
#
# ```python
# figure, axes = new_figure(3, 1, 2.6)
# for axis, levels in zip(axes[:, 0], ("sigma_min=5", "sigma_min=0.5 sigma_max=5", "sigma_max=0.5")):
#     guider = digits.make_guider(f"interval {levels}", 5.0)
#     drawn = digits(captions(digits.preset), guider=guider, steps=steps, scheduler="dpm++")
#     image_grid(axis, drawn.images[None], [f"{levels}, {drawn.forward_passes} passes"])
# display(figure)
# ```
#
# With few steps nearly all of them lie in the middle, where shape is decided; below $\sigma=0.5$ guidance mostly
# thickens what is there.
# </details>
#
# **3. Is it significant?** Take the two most accurate rules on CIFAR-10 from the table. Do their intervals overlap? How
# many images would tell them apart?
#
# <details><summary>Solution</summary>
#
# ```python
# from t2i_helpers.evaluation import wilson_interval
#
# rows = sorted(study.rows_of("rules-cifar10"), key=lambda row: -row["accuracy"]["value"])
# first, second = rows[0]["accuracy"]["value"], next(
#     row["accuracy"]["value"] for row in rows if row["accuracy"]["value"] < rows[0]["accuracy"]["value"])
# n = next((n for n in range(100, 10**6, 100)
#           if wilson_interval(first * n, n)[0] > wilson_interval(second * n, n)[1]), None)
# print(f"{first:.1%} and {second:.1%}: apart from n = {n:,}")
# ```
#
# A ranking is only as good as its $n$. Most of the table's neighbours are not told apart by what was drawn.
# </details>

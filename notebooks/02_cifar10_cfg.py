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
# # 2 · Photographs from text, and what the numbers are worth
#
# The thesis takes the recipe of notebook 1 to CIFAR-10 (section 3.3): ten classes of 32×32 colour photographs, captions
# like "A photo of a cat", and for the first time *numbers*. Its Table 1 says that FID is best, 56.28, at $w=2$, and
# that accuracy is best, 16.50 %, at $w=10$; it reads a trade-off between quality and adherence from that.
#
# There is such a trade-off. But numbers without a floor and without intervals could not carry that reading, and finding
# out why is the best lesson of this chapter.
#
# **You need** notebook 1. **You will learn** what FID, kernel distance, precision, recall and accuracy measure, how far
# each can be trusted at a given number of images, and why no such number should ever stand alone.
#
# On paper: [the report's chapter on the photographs](../report/main.pdf#nameddest=sec:cifar10), and
# [what was reproduced and what corrected](../report/main.pdf#nameddest=sec:reproduced).
#
# | size | for | what it runs |
# |---|---|---|
# | `demo` (default) | a laptop | pictures from the small checkpoints that ship; their stored evaluations |
# | `full` | a big GPU, with the Hugging Face hub | trains both variants for 50 epochs with CLIP, and evaluates them |
# | `smoke` | CI | the same cells in seconds, without meaning; it trains nothing |

# %%
import os

import torch

from t2i_helpers import presets
from t2i_helpers.reporting import cifar10
from t2i_helpers.reporting.export import export

SIZE = os.environ.get("T2I_SIZE", "demo")
thesis, improved = (presets.get("cifar10", variant, SIZE) for variant in ("thesis", "improved"))
for field, value in vars(thesis).items():
    if value != getattr(improved, field):
        print(f"{field:20} thesis {value!s:14} improved {getattr(improved, field)}")

# %% [markdown]
# | what `improved` changes here | why |
# |---|---|
# | `horizontal_flips` | a mirrored horse is a horse: twice the images for nothing |
# | `min_snr_gamma` 5 | without it, nearly clean images, where there is nothing left to learn, rule the gradient (Hang et al. 2023) |
# | `learning_rate`, cosine decay | large steps first, small ones at the end, where the average over weights settles |
# | `max_length` 16 | the longest caption needs 7 tokens; at 77, ten times as many padding tokens as words are attended to |
#
# and, as in notebook 1, $v$-prediction, averaged weights, clipping, warm-up and trailing timesteps.
#
# ## 2.1 The data
#
# CIFAR-10 comes from the hub or from a mirror of it. No Python package carries it, so on a machine with neither there
# are only drawn shapes, in the same format. They let the code run, and say who they are.

# %%
import dataclasses

from t2i_helpers.data import load_images
from t2i_helpers.errors import SourceUnavailable

try:
    dataset = load_images(improved)
    shown = export(cifar10.dataset_samples(dataset, improved), SIZE)
except SourceUnavailable as unavailable:
    print(unavailable)
    stand_in = dataclasses.replace(improved, data_source="procedural")
    dataset = load_images(stand_in)
    shown = cifar10.dataset_samples(dataset, stand_in).figure
shown

# %% [markdown]
# ## 2.2 The U-Net, counted
#
# The thesis says "~45 million" trainable parameters, in its text and in two tables. Its configuration is written out,
# so we can build it. (On the `meta` device a network has shapes and no numbers, which costs nothing.)
#
# > **Before you run the cell:** the widest level has 512 channels. How many weights does *one* 3×3 convolution from 512
# > to 512 channels have?

# %%
from t2i_helpers.models import build_unet

for size, text_dim in (("full", 512), ("demo", 384)):             # CLIP's and MiniLM's width
    with torch.device("meta"):
        unet = build_unet(presets.get("cifar10", "thesis", size), text_dim)
    print(f"{size}: {sum(p.numel() for p in unet.parameters()):,} parameters in {unet.config.block_out_channels}")

# %% [markdown]
# Nearly twice what is printed. The second line is the network whose checkpoints ship: four levels too, but narrower,
# one layer a block instead of two, and attention only where there are 8×8 pixels or fewer, so that a laptop can draw
# with it.
#
# ## 2.3 The models
#
# At `full` size the next cell trains both variants for the thesis's 50 epochs (interrupt it and run it again: it goes
# on). Otherwise it loads what ships. Those were trained on all 50,000 images, but only for what a CPU core does in two
# hours; the line under every figure says how many steps. Expect colours, backgrounds and rough shapes, not
# photographs.

# %%
from t2i_helpers.models import load_pipeline
from t2i_helpers.paths import RUNS
from t2i_helpers.training import train

if SIZE == "full":
    pipes = {p.variant: load_pipeline(train(p, RUNS / f"cifar10-{p.variant}-full").folder) for p in (thesis, improved)}
else:
    pipes = {p.variant: load_pipeline("cifar10", p.variant) for p in (thesis, improved)}
steps = improved.sample_steps
export(cifar10.guidance_sweep(pipes, steps), SIZE)

# %% [markdown]
# Every row starts from one noise image; from left to right only $w$ grows.
#
# Both networks saw the same number of images, so what differs is the recipe, at this small effort. An
# $\epsilon$-prediction learns the colour of the whole picture last (notebook 1, 1.5): at the noisiest step the image is
# what is left when the predicted noise has been taken away, and a small error there tints everything. Long training
# mends that, as the thesis's own figures show.
#
# > **Look at one row:** at $w=0$ the caption is not even read. What does the model draw there, and how does
# > it drift towards the class? What happens to colours at $w=10$?
#
# Figure 8 of the thesis shows four images of every class at $w=10$:

# %%
export(cifar10.class_grid(pipes, steps), SIZE)

# %% [markdown]
# ## 2.4 Adherence: does the image show what was asked for?
#
# Someone must look at the images. The thesis asked torchvision's ResNet-18, trained on ImageNet, with a new ten-way
# head that was **never trained on CIFAR-10**: its ten outputs are random mixtures of good features. On average over
# such heads one answer in ten is right, on photographs as on anything else, and a single head may do somewhat better or
# worse by luck. The 9 to 17 % that Table 1 prints are such answers.
#
# Our judge is a small residual network that learnt CIFAR-10's training images, and says so with its accuracy on 10,000
# images it never saw:

# %%
import json

from t2i_helpers.evaluation.classifiers import classifier_folder

judge = json.loads((classifier_folder("cifar10") / "provenance.json").read_text())
print(f"right on {judge['test_accuracy']:.2%} of {judge['test_images']:,} real test images")

# %% [markdown]
# Its opinion on generated images is a proportion, and a proportion of $n$ images has an interval. Here is the one the
# thesis left out, for its own numbers at its own $n$:

# %%
from t2i_helpers.evaluation import wilson_interval

for w, accuracy in presets.PRINTED["cifar10"]["accuracy"].items():
    low, high = wilson_interval(accuracy * 1000, 1000)
    print(f"w = {w:2}   printed {accuracy:.1%}   95 % interval {low:.1%} to {high:.1%}")

# %% [markdown]
# The intervals of $w=2$, 5 and 10 overlap widely. That the highest value stands at $w=10$ may be luck.
#
# Let us measure a few images ourselves. `evaluate` draws them, keeps them (a second run draws nothing), and puts beside
# every metric what real images score at the same $n$. With few images the intervals are wide, and it warns about the
# rest:

# %%
from t2i_helpers.evaluation import evaluate

few = 4 if SIZE == "smoke" else 60
(row,) = evaluate(pipes["improved"], [2.0], few, steps=steps)["rows"]
print(f"accuracy {row['accuracy']['value']:.0%}, 95 % interval", [f"{end:.0%}" for end in row["accuracy"]["interval"]])

# %% [markdown]
# ## 2.5 Quality: why 56.28 meant little
#
# The **Fréchet distance** takes a network's features of two image sets, fits a Gaussian to each and measures how far
# the two are apart (Heusel et al. 2017):
#
# $$d^2 = \lVert\mu_a-\mu_b\rVert^2 + \operatorname{tr}\!\left(\Sigma_a+\Sigma_b-2\,(\Sigma_a\Sigma_b)^{1/2}\right)$$
#
# With the 2,048 features of Inception-v3 it is called **FID**. Two things are easily forgotten.
#
# **It is biased.** A covariance estimated from few images is off in every direction, and every such error *adds* to the
# distance. Below $n=d$ images the covariance is not even invertible. So take real images against *other real images*:
# the true distance is zero. What is measured?
#
# > **Predict the curve** before you run the cell. What would you need to know to use one point of it?

# %%
export(cifar10.real_against_real(size=SIZE), SIZE)

# %% [markdown]
# At the left the distance of the real world to itself is large, and it falls about like $1/n$. That is the **floor** at
# each $n$: a perfect generator scores it, and nothing below it means anything. The second curve follows the distances
# of $n$, $n/2$, $n/3$ and $n/4$ images along $1/n$ to infinity (Chong & Forsyth 2020). Once $n$ is several times the
# number of features it has lost most of the bias; with fewer images it is wrong too, because the bias is no line in
# $1/n$ there.
#
# The thesis compared 1,000 images with 1,000 images in 2,048 dimensions, which is to the left of its own dotted line.
# Its floor has not been measured here, for Inception's weights are not part of this project; public reports and
# simulations of real CIFAR-10 against real CIFAR-10 at that size lie roughly between 44 and 58. Table 1's best
# value is 56.28. Until its floor stands beside it, that number says nothing about how good the images are. Where the
# weights can be had, `t2i evaluate cifar10 --also inception --samples 1000` measures both.
#
# What may be read from such a table are *differences* at one $n$: 77 against 56 is more than a bias that both share.
#
# **It is an opinion.** Another network has other features and other numbers. Below, the features are our own
# classifier's, which stand in for Inception's and are named wherever they appear. Such distances can be compared with
# each other at the same $n$, never with a published FID.
#
# ## 2.6 Table 1, with everything it needs
#
# All numbers come from stored evaluations of the same images, with 95 % intervals (Wilson's for proportions, a
# jackknife for distances).

# %%
from t2i_helpers.reporting.evaluations import load_or_evaluate
from t2i_helpers.reporting.tables import comparison_table, export_table, guidance_table, metrics_table

evaluations = {variant: load_or_evaluate(pipe) for variant, pipe in pipes.items()}
export_table(guidance_table("table01_cifar10", evaluations), SIZE)

# %%
export(cifar10.metrics_against_w(evaluations), SIZE)

# %% [markdown]
# > **Questions.** Where does each curve lie against its grey band? Which neighbouring points could swap places if we
# > drew other seeds? Where would the crosses of the thesis have to lie if its judge could see?
#
# Plotted against each other, the two panels give the thesis's Figure 10. The horizontal axis is reversed, as in the
# thesis: right is better.

# %%
export(cifar10.tradeoff(evaluations), SIZE)

# %% [markdown]
# **This is the trade-off, and it is real.** Guidance moves images towards what makes a caption likely. A
# little of it makes them belong to a class, and both measures gain. More of it removes the *variety* of the class, and
# only adherence gains. **Recall** shows that: it asks how much of the real variety lies among the generated images.
# **Precision** asks the reverse, how many generated images lie among the real ones, and it is easily pleased: dull images
# sit in the middle of the features, where they have real neighbours on all sides, so a model can score above real images
# themselves. Look it up below, for `improved` and for real images, and do not read it as quality.
#
# One more thing that no number here tells: a classifier that is right on guided images as often as on photographs does
# not make them photographs. Guidance drifts towards what *classifiers* find typical. Go back to Figure 8 and count how
# many of its birds, cats and dogs *you* would have recognised.

# %%
export_table(metrics_table("cifar10_thesis_metrics", "thesis", evaluations["thesis"]), SIZE)
export_table(metrics_table("cifar10_improved_metrics", "improved", evaluations["improved"]), SIZE)

# %% [markdown]
# ## 2.7 What is mistaken for what
#
# Figure 11: rows are what was asked for, columns what the classifier saw. At $w=0$ every row must look alike: the
# caption was not read.

# %%
export(cifar10.confusion_matrices(evaluations), SIZE)

# %% [markdown]
# The thesis claims that vehicles are easier than animals and that cat and dog are the common confusion. With its judge
# neither could be seen. Here both can be counted (the means of four and of six classes; a few images more or less are
# chance):

# %%
names = [caption.split()[-1] for caption in dataset.captions]
for found in evaluations["improved"]["rows"]:
    confusion = torch.tensor(found["confusion"])
    wrong = confusion - torch.diag(confusion.diag())
    asked, seen = divmod(int(wrong.argmax()), len(names))
    vehicles, animals = confusion.diag()[[0, 1, 8, 9]].sum() / 4, confusion.diag()[2:8].sum() / 6
    print(f"w = {found['w']:2g}: right of {found['n'] // 10} a class, vehicles {vehicles:.0f}, animals {animals:.0f}; "
          f"most frequent mistake: asked for {names[asked]}, seen {names[seen]}, {int(wrong.max())} times")

# %% [markdown]
# ## 2.8 Table 2: MNIST against CIFAR-10
#
# The thesis's comparison, from presets and runs. For each measure it lists the best $w$ and every other whose interval
# overlaps the best one's. (All scales were drawn from the same seeds, so a test of paired differences would be
# sharper.)

# %%
mnist_evaluations = {variant: load_or_evaluate(load_pipeline("mnist", variant)) for variant in pipes}
export_table(comparison_table("table02_comparison", {"mnist": mnist_evaluations, "cifar10": evaluations}), SIZE)

# %% [markdown]
# ## 2.9 Exercises
#
# **1. How many images does a claim need?** Two guidance scales have true accuracies of 15 % and 16.5 %, as Table 1
# suggests for $w=5$ and $w=10$. From which $n$ on do their Wilson intervals no longer overlap?
#
# <details><summary>Solution</summary>
#
# ```python
# for n in (1_000, 2_000, 5_000, 9_000, 9_100):
#     (_, low), (high, _) = wilson_interval(0.15 * n, n), wilson_interval(0.165 * n, n)
#     print(f"n = {n:6,}: {'apart' if low < high else 'overlap'}")
# ```
#
# Nine times as many images as the thesis drew, and that is for two scales only. (Intervals that do not overlap are a
# stricter test than necessary: one for the difference needs about half as many.)
# </details>
#
# **2. Cheat on precision.** Give the metric the same few real images again and again, as a model would that has
# memorised them. What happens to precision, to recall, to the Fréchet distance?
#
# <details><summary>Solution</summary>
#
# ```python
# from t2i_helpers.evaluation.features import real_features
# from t2i_helpers.evaluation.metrics import frechet_distance, precision, recall
#
# real = real_features("mnist").features            # digits: some of them need no hub
# a, b = real[torch.randperm(len(real))][:500].chunk(2)
# memorised = b[:10].repeat(25, 1) + 0.01 * torch.randn_like(b)
# for name, features in (("real", b), ("memorised", memorised)):
#     print(f"{name:10} precision {precision(features, a):.2f}  recall {recall(features, a):.2f}  "
#           f"Fréchet {frechet_distance(features, a):.1f}")
# ```
#
# Precision cannot tell ten images from 250; recall and the Fréchet distance can. This is why a quality measure
# alone would always choose a large $w$.
# </details>
#
# **3. A better solver for the same price.** `improved` draws with DDPM. Evaluate five times as many images as above at
# $w=2$ with `scheduler="ddpm"` and with `scheduler="dpm++"`, in as many steps. Do their intervals overlap?
#
# <details><summary>Solution</summary>
#
# ```python
# for scheduler in ("ddpm", "dpm++"):
#     (row,) = evaluate(pipes["improved"], [2.0], 5 * few, steps=steps, scheduler=scheduler)["rows"]
#     low, high = row["accuracy"]["interval"]
#     print(f"{scheduler:6} accuracy {row['accuracy']['value']:.0%} ({low:.0%} to {high:.0%})")
# ```
#
# Read the intervals, not the values. If they overlap, draw more images before you believe either.
# </details>

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
# # 2 · Photographs from text, and how far to trust the numbers
#
# <!-- [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPO/blob/main/notebooks/02_cifar10_cfg.ipynb) [![Open in Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/OWNER/REPO/main?labpath=notebooks/02_cifar10_cfg.ipynb) -->
#
# The thesis applies the recipe of notebook 1 to CIFAR-10 (section 3.3): ten classes of 32×32 colour photographs with
# captions like "A photo of a cat", and for the first time *numbers*. Its Table 1 reports the best FID, 56.28, at $w=2$
# and the best accuracy, 16.50 %, at $w=10$. The thesis concludes that quality and adherence are in a trade-off.
#
# There is such a trade-off. But numbers without a real-image baseline and without intervals do not show it. This notebook
# explains why.
#
# **Goals.** After this notebook you can
#
# 1. say what FID, kernel distance, precision, recall and accuracy measure, and compute two of them yourself;
# 2. judge how far to trust each at a given number of images;
# 3. refuse a number without a real-image baseline and an interval, with reasons.
#
# **You need** notebook 1. No GPU.
#
# **Time:** 60 minutes to read and try; 3 minutes to run on two CPU cores. On an A100: not measured.
#
# In the report: [the chapter on the photographs](../report/main.pdf#nameddest=sec:cifar10), and
# [the reproduced and corrected results](../report/main.pdf#nameddest=sec:reproduced). A
# [glossary](README.md#symbols) lists the symbols; sizes and settings are at the end (2.10).

# %% jupyter={"source_hidden": true} tags=["start-up"]
# On Colab: install the project, and go to its notebooks. Elsewhere: nothing.
import os
import subprocess
import sys

if "google.colab" in sys.modules and not os.path.exists("../t2i_helpers"):
    from google.colab import output

    output.enable_custom_widget_manager()                                       # for the square of notebook 4
    if not os.path.exists("t2i"):
        subprocess.run(["git", "clone", "--depth=1", "https://github.com/OWNER/REPO", "t2i"], check=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--editable", "t2i"], check=True)
    os.chdir("t2i/notebooks")
    sys.path.insert(0, os.path.abspath(".."))

# %%
import os

import torch

from t2i_helpers import presets
from t2i_helpers.reporting import cifar10, explorers
from t2i_helpers.reporting.exercises import check
from t2i_helpers.reporting.exhibits import shower

SIZE = os.environ.get("T2I_SIZE", "demo")
show = shower(SIZE)                             # displays a figure and writes its file
thesis, improved = (presets.get("cifar10", variant, SIZE) for variant in ("thesis", "improved"))

# %% [markdown]
# ## 2.1 The data
#
# CIFAR-10 comes from the hub or from a mirror of it. No Python package contains it, so a machine with neither uses drawn
# shapes in the same format, and the printed line says so.

# %%
from t2i_helpers.reporting.pictures import images_or_shapes

dataset, photographs = images_or_shapes(improved)               # without photographs: drawn shapes, and None
samples = cifar10.dataset_samples(dataset, improved)
show(samples) if photographs else samples

# %% [markdown]
# ## 2.2 The U-Net, counted
#
# The thesis states "~45 million" trainable parameters, in its text and in two tables. It also gives the full
# configuration, so we can build the network. (On the `meta` device a network has shapes but no weights and needs no
# memory.)
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
# One such convolution has 512 · 512 · 9 = 2.4 million weights, and the network has dozens. 88 million is nearly twice the
# printed number. The second line is the network of the checkpoints in this repository. It also
# has four levels, but it is narrower, has one layer per block instead of two, and attention only at 8×8 pixels and below,
# so that it runs on a laptop.
#
# ## 2.3 The models
#
# At `full` size the next cell trains both variants for the thesis's 50 epochs (if you interrupt it, run it again to
# resume). Otherwise it loads the checkpoints of this repository. They saw all 50,000 images, but only for two hours on a
# CPU core; the line under every figure gives the number of steps. Expect colours, backgrounds and rough shapes, not
# photographs. Every row starts from one noise image; only $w$ grows from left to right. The last column shows real
# photographs.
#
# > **Look at one row:** at $w=0$ the caption is not even used. What does the model draw there, and how does the image
# > change towards the class? What happens to colours at $w=10$?

# %%
from t2i_helpers.reporting.checkpoints import measured, pipelines

pipes = pipelines("cifar10", SIZE)
steps = improved.sample_steps
show(cifar10.guidance_sweep(pipes, steps, dataset=photographs))

# %% [markdown]
# At $w=0$ it draws *some* photograph: colours and a layout without a class. With $w$ the shape of the class appears in the
# same layout, and at $w=10$ colours saturate.
#
# At this size both networks saw the same number of images, so the recipe and its settings make the difference. An
# $\epsilon$-prediction learns the colour of the whole picture last (notebook 1, 1.5): at the noisiest step the image is the
# remainder after the predicted noise is subtracted, and a small error there tints the whole image. In the figures of the
# thesis, which trained for longer, this fault is gone.
#
# Figure 8 of the thesis shows four images of every class at $w=10$:

# %%
show(cifar10.class_grid(pipes, steps, dataset=photographs))

# %% [markdown]
# ## 2.4 Adherence: does the image match its caption?
#
# A classifier measures whether images match their captions. The thesis used torchvision's ResNet-18, trained on ImageNet,
# with a new ten-way head that was **never trained on CIFAR-10**. The ten outputs are random mixtures of good features. On
# average such a head is right for one image in ten, for photographs and for any other images; a single head may be
# somewhat better or worse by chance. The 9 to 17 % in Table 1 are in this range.
#
# Our classifier is a small residual network that was trained on CIFAR-10's training images. This is its accuracy on
# 10,000 test images:

# %%
import json

from t2i_helpers.evaluation.classifiers import classifier_folder

judge = json.loads((classifier_folder("cifar10") / "provenance.json").read_text())
print(f"right on {judge['test_accuracy']:.2%} of {judge['test_images']:,} real test images")

# %% [markdown]
# Its accuracy on generated images is a proportion $\hat p$ of $n$ images, and a proportion has an interval. The true $p$ is
# plausible if $\hat p$ is within $z$ standard deviations of it, $|\hat p-p|\le z\sqrt{p(1-p)/n}$, with $z=1.96$ for 95 %.
# **Wilson's interval** (1927) solves this quadratic inequality for $p$. Unlike $\hat p\pm z\sqrt{\hat p(1-\hat p)/n}$ it
# does not shrink to a point at 0 or 1.

# %% tags=["teaching-wilson"]
def wilson(successes, n, z=1.96):
    p = successes / n
    centre = p + z**2 / (2 * n)
    half = z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    return (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)


# %% [markdown]
# > **Question:** the thesis gives no intervals. How wide are they for its accuracies, with $n=1000$ images each?

# %%
from t2i_helpers.evaluation import wilson_interval
from t2i_helpers.reporting.derived import PRINTED

print("ours", wilson(150, 1000), "the package's", wilson_interval(150, 1000))
for row in PRINTED["cifar10"]["table1"]:
    low, high = wilson_interval(row["accuracy"] * 1000, 1000)
    print(f"w = {row['w']:2}   printed {row['accuracy']:.1%}   95 % interval {low:.1%} to {high:.1%}")

# %% [markdown]
# The intervals of $w=2$, 5 and 10 overlap widely, so chance may have put the highest value at $w=10$.
#
# Let us measure a few images ourselves. `evaluate` draws them, stores them (a second run draws nothing), and computes the
# same metrics of real images at the same $n$. With few images the intervals are wide, and `evaluate` warns about metrics
# that need more images:

# %%
from t2i_helpers.evaluation import evaluate

few = 4 if SIZE == "smoke" else 60
(row,) = evaluate(pipes["improved"], [2.0], few, steps=steps)["rows"]
print(f"accuracy {row['accuracy']['value']:.0%}, 95 % interval", [f"{end:.0%}" for end in row["accuracy"]["interval"]])

# %% [markdown]
# ## 2.5 Quality: an FID of 56.28 without a baseline
#
# The **Fréchet distance** takes a network's features of two image sets, fits a Gaussian to each set, and measures the
# distance between the two Gaussians (Heusel et al. 2017):
#
# $$d^2 = \lVert\mu_a-\mu_b\rVert^2 + \operatorname{tr}\!\left(\Sigma_a+\Sigma_b-2\,(\Sigma_a\Sigma_b)^{1/2}\right)$$
#
# The trace of the matrix root is the sum of the square roots of the eigenvalues of $\Sigma_a\Sigma_b$, so the whole metric
# is five lines:

# %% tags=["teaching-frechet"]
def frechet(a, b):
    """Of features a [n, d] and b [m, d], float64."""
    means = (a.mean(0) - b.mean(0)).square().sum()
    cov_a, cov_b = a.T.cov(), b.T.cov()                                         # [d, d]
    root = torch.linalg.eigvals(cov_a @ cov_b).real.clamp(min=0).sqrt().sum()   # tr (cov_a cov_b)^(1/2)
    return float(means + cov_a.trace() + cov_b.trace() - 2 * root)


# %%
from t2i_helpers.evaluation import frechet_distance

rng = torch.Generator().manual_seed(0)
a, b = torch.randn(2, 200, 16, generator=rng, dtype=torch.float64)
print(f"two draws of 200 from the same Gaussian: {frechet(a, b):.3f}, the package's {frechet_distance(a, b):.3f}")

# %% [markdown]
# With the 2,048 features of Inception-v3 it is called **FID**. It has two properties that are easy to forget.
#
# **It is biased.** A covariance estimated from few images has errors in every direction, and each error *adds* to the
# distance. Below $n=d$ images the covariance is singular. That is why the two draws above are not at distance 0. Change
# the number of features and the true difference of the means:
#
# > **Try:** with 64 features, how many images do you need to notice a true distance of 1? And with 4 features?

# %% alt="The Fréchet distance of two samples of the same Gaussian falls towards its true value 0 as n grows from 10 to 2,000"
explorers.frechet_explorer()

# %% [markdown]
# The bias grows with the number of features and falls about like $1/n$. With 4 features a hundred images are enough; with
# 64 the distance of a hundred images is mostly bias.
#
# The next cell compares real photographs with *other real photographs*, for which the true distance is zero, too.
#
# > **Predict the curve** before you run the cell. What would you need to know to use one point of it?

# %%
show(lambda: cifar10.real_against_real(size=SIZE), otherwise="cifar10_floor")

# %% [markdown]
# For few images the distance between two sets of real images is large, and it falls about like $1/n$. This is the
# **real-image baseline** at each $n$: a perfect generator reaches it, and a lower distance has no meaning. The second curve
# extrapolates the distances of $n$, $n/2$, $n/3$ and $n/4$ images along $1/n$ to infinity (Chong & Forsyth 2020). It
# removes most of the bias when $n$ is several times the number of features. With fewer images it is also wrong, because
# there the bias is not linear in $1/n$.
#
# The thesis compared 1,000 images with 1,000 images in 2,048 dimensions, so its $n$ is smaller than its number of
# features. We did not measure its baseline, because Inception's weights are not part of this project. The explorer shows a
# like case: with 64 features and $n=50$, two samples of *one* distribution are far apart. The best value of Table 1 is
# 56.28. Without its baseline this number says nothing about the quality of the images. If you have the weights, measure
# both with `t2i evaluate cifar10 --also inception --samples 1000`.
#
# *Differences* at one $n$ do have a meaning: the difference between 77 and 56 is larger than a bias that both share.
#
# **It depends on the network.** Another network has other features and gives other numbers. Below we use the features of
# our own classifier, which stand in for Inception's. You can compare such distances with each other at the same $n$, but
# not with a published FID.
#
# ## 2.6 Table 1 with intervals and a baseline
#
# All numbers come from stored evaluations of the same images, with 95 % intervals (Wilson's for proportions, a
# jackknife for distances).

# %%
from t2i_helpers.reporting.tables import comparison_table, guidance_table, metrics_table

evaluations = {variant: measured(pipe, "evaluation") for variant, pipe in pipes.items()}
show(guidance_table("table01_cifar10", evaluations))

# %% [markdown]
# > **Questions.** Where does each curve of the next figure lie relative to its grey band? Which neighbouring points could
# > change their order with other seeds? Where would the crosses of the thesis lie if its classifier had been trained?

# %%
show(cifar10.metrics_against_w(evaluations))

# %% [markdown]
# Distances lie above the grey band of real images everywhere, by far at small $n$ as at large $w$. Neighbours whose
# intervals overlap could change places. Nobody can tell where the crosses would lie: an untrained head says nothing about
# the images.
#
# The two metrics against each other give Figure 10 of the thesis. As in the thesis, the horizontal axis is reversed, so
# right is better.

# %%
show(cifar10.tradeoff(evaluations))

# %% [markdown]
# **This is the trade-off, and it is real.** Guidance moves images towards features that make a caption likely. A little
# guidance gives images of the right class, and both metrics improve. More guidance reduces the *variety* of the class, and
# only adherence improves. **Recall** shows this: it is the share of real images that lie among the generated ones.
# **Precision** is the reverse, the share of generated images that lie among the real ones. Bland images score high in
# precision, because they are in the middle of the features with real neighbours on all sides. A model can even exceed real
# images. Compare `improved` with real images below, and do not read precision as quality.
#
# These numbers have one more limit. Even if a classifier is right as often on guided images as on photographs, the images
# need not look like photographs. Guidance moves images towards what *classifiers* find typical. Go back to the grid at
# $w=10$ (2.3) and count how many of its birds, cats and dogs *you* would have recognised.

# %%
show(metrics_table("cifar10_thesis_metrics", "thesis", evaluations["thesis"]))
show(metrics_table("cifar10_improved_metrics", "improved", evaluations["improved"]))

# %% [markdown]
# ## 2.7 Confusions
#
# Rows are the class in the caption and columns the classifier's answer (Figure 11 of the thesis).
#
# > **Question:** at $w=0$ all rows must look alike. Why?

# %%
show(cifar10.confusion_matrices(evaluations))

# %% [markdown]
# At $w=0$ the caption is not used, so rows differ by chance only.
#
# The thesis claims that vehicles are easier than animals and that cat and dog are the most common confusion. Its
# classifier could show neither. The next cell counts both (means over four and six classes; differences of a few images
# may be chance):

# %%
names = [caption.split()[-1] for caption in dataset.captions]
for row in evaluations["improved"]["rows"]:
    confusion = torch.tensor(row["confusion"])
    wrong = confusion - torch.diag(confusion.diag())
    label, predicted = divmod(int(wrong.argmax()), len(names))
    vehicles, animals = confusion.diag()[[0, 1, 8, 9]].sum() / 4, confusion.diag()[2:8].sum() / 6
    print(f"w = {row['w']:2g}: right of {row['n'] // 10} per class, vehicles {vehicles:.0f}, animals {animals:.0f}; "
          f"most frequent error: {names[predicted]} for {names[label]}, {int(wrong.max())} times")

# %% [markdown]
# ## 2.8 Table 2: MNIST against CIFAR-10
#
# This is the comparison of the thesis, computed from presets and checkpoints of the same size. For each metric it lists
# the best $w$ and every other $w$ whose interval overlaps that of the best. (All scales use the same seeds, so a test of
# paired differences would be more sensitive.)

# %%
mnist_evaluations = {variant: measured(pipe, "evaluation") for variant, pipe in pipelines("mnist", SIZE).items()}
show(comparison_table("table02_comparison", {"mnist": mnist_evaluations, "cifar10": evaluations}))

# %% [markdown]
# ## 2.9 Exercises
#
# Replace `None` with your answer and run the cell. Solutions are in
# [solutions/02_cifar10_cfg.py](solutions/02_cifar10_cfg.py).
#
# **2.1 How many images does a claim need?** Two guidance scales have true accuracies of 15 % and 16.5 %, as Table 1
# suggests for $w=5$ and $w=10$. From which multiple of 100 images on do their Wilson intervals no longer overlap?

# %%
n = None
check("2.1", n)

# %% [markdown]
# **2.2 Cheat on quality.** Repeat ten real images many times, like a model that has memorised them. Which of `precision`,
# `recall` and `frechet_distance` does not notice?

# %%
from t2i_helpers.evaluation.features import real_features

real = real_features("mnist").features                  # digits: some of them need no hub
a, b = real[torch.randperm(len(real), generator=rng)][:500].chunk(2)
memorised = b[:10].repeat(25, 1) + 0.01 * torch.randn_like(b)
fooled = None                                           # the name of the metric
check("2.2", fooled)

# %% [markdown]
# **2.3 A better solver for the same price.** `improved` draws with DDPM. Evaluate five times as many images as above at
# $w=2$ with `scheduler="ddpm"` and with `scheduler="dpm++"`, in as many steps. Do their intervals overlap?

# %%
# (row,) = evaluate(pipes["improved"], [2.0], 5 * few, steps=steps, scheduler="ddpm")["rows"]
answer = None                                           # ([interval of ddpm, interval of dpm++], True or False)
check("2.3", answer)

# %% [markdown]
# ## 2.10 Settings and sizes
#
# Set the environment variable `T2I_SIZE` before you start Jupyter to choose a size.
#
# | size | for | what it runs |
# |---|---|---|
# | `demo` (default) | a laptop | pictures from the small checkpoints of this repository; their stored evaluations |
# | `full` | a big GPU, with the Hugging Face hub | trains both variants for 50 epochs with CLIP, and evaluates them |
# | `smoke` | CI | the same cells in seconds, without training; the results have no meaning |
#
# `thesis` and `improved` differ in these settings:

# %%
for field, value in vars(thesis).items():
    if value != getattr(improved, field):
        print(f"{field:20} thesis {value!s:14} improved {getattr(improved, field)}")

# %% [markdown]
# | what `improved` changes here | why |
# |---|---|
# | `horizontal_flips` | a mirrored horse is a horse, which doubles the number of images |
# | `min_snr_gamma` 5 | otherwise nearly clean images, which have little left to learn, dominate the gradient (Hang et al. 2023) |
# | `learning_rate`, cosine decay | large steps first, small steps at the end, where the average of the weights settles |
# | `max_length` 16 | the longest caption needs 7 tokens; at 77, attention covers ten times as many padding tokens as words |
#
# As in notebook 1, `improved` also uses $v$-prediction, averaged weights, clipping, warm-up and trailing timesteps.
#
# **References.** Domnenco (2026), the thesis · Chong & Forsyth (2020), arXiv:1911.07023 · Hang et al. (2023),
# arXiv:2303.09556 · Heusel et al. (2017), arXiv:1706.08500 · Kynkäänniemi et al. (2019), arXiv:1904.06991 · Wilson (1927),
# Journal of the American Statistical Association 22(158).

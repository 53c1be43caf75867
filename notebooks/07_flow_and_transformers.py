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
# # 7 · Flow matching and transformers
#
# <!-- [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPO/blob/main/notebooks/07_flow_and_transformers.ipynb) [![Open in Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/OWNER/REPO/main?labpath=notebooks/07_flow_and_transformers.ipynb) -->
#
# Stable Diffusion 3 and Meta's Movie Gen differ from the models of notebooks 1 to 4 in two ways: they move along *straight*
# paths between noise and image (**flow matching**), and a **transformer** takes the place of the U-Net. This notebook
# builds both from short cells and compares them with what we had, at equal cost. It follows a lecture on text-to-image
# models, whose algorithms 5, 7 and 8 are the cells of sections 7.2 and 7.3.
#
# **Goals.** After this notebook you can
#
# 1. write the training step and the sampling loop of flow matching with guidance, and convert $u$ into $v$, $\epsilon$ and
#    $\hat x_0$;
# 2. say what "straight paths" means, measure it, and tell when it saves steps;
# 3. build a diffusion transformer, and judge a comparison of two networks by its budget.
#
# **You need** notebook 1, and notebook 2 for the metrics. No GPU.
#
# **Time:** 60 minutes to read and try; about a minute to run on two CPU cores. On an A100: not measured.
#
# The networks are small and were trained for minutes on one CPU core, so their digits are rough. All comparisons are at
# equal budgets and hold for these budgets only.
#
# In the report: [the chapter on flows](../report/main.pdf#nameddest=sec:flow). A [glossary](README.md#symbols) lists the
# symbols; sizes are at the end (7.11).

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
from t2i_helpers.data import captions
from t2i_helpers.evaluation.study import run_study
from t2i_helpers.reporting import flow
from t2i_helpers.reporting.exercises import check
from t2i_helpers.reporting.exhibits import shower
from t2i_helpers.training.ablation import training_preset

SIZE = os.environ.get("T2I_SIZE", "demo")
show = shower(SIZE)                             # displays a figure and writes its file
preset, cosine = training_preset("flow-dit", SIZE), presets.get("mnist", "improved", SIZE)
study_size = "full" if SIZE == "full" else "demo"
if SIZE == "full":
    run_study(["flow", "latent"], size="full")          # measures only the missing cells

# %% [markdown]
# ## 7.1 Straight and curved
#
# Between an image $x_0$ and noise $\epsilon$ there are many paths. The diffusion models of notebook 1 take
# $x_t=\sqrt{\bar\alpha_t}\,x_0+\sqrt{1-\bar\alpha_t}\,\epsilon$; because the squares of the two factors sum to 1, this is a
# quarter of an ellipse. Flow matching (Lipman et al. 2022; Liu et al. 2022) takes the straight line
#
# $$x_s=(1-s)\,x_0+s\,\epsilon,\qquad u=\frac{dx_s}{ds}=\epsilon-x_0,\qquad s\in(0,1].$$
#
# (The lecture's time $t=1-s$ runs from noise to image; its factors are $\alpha_t=t$ and $\beta_t=1-t$, the *CondOT* path. We
# use the direction of `diffusers`.) The figure shows both for pairs, and then the paths of *samples* of six Gaussians, drawn
# with the exact prediction and without a network.
#
# > **Before you run the cell:** the paths of pairs are straight. Are those of samples?

# %%
show(flow.plane_paths(preset, cosine))

# %% [markdown]
# No. Where the lines of many pairs cross, the velocity is the *mean* over the pairs that pass through a point. At $s=1$ this
# mean points to the middle of the data, so every sample first moves inward, and then out to the Gaussian that wins.
#
# The number above a panel is the mean squared distance between the velocity and the chord from noise to image, relative to
# the chord (0 is straight). By this measure the flow's samples are *further* from straight here than those of the cosine
# schedule, which keeps the scale of $x_t$ on the way. Look also at the ends: the same noise gives the same point in both
# panels. With $s$ the share of the noise, $x_s$ is $x_t$ divided by the sum of its two factors, so both are one set of paths,
# drawn in two scales and travelled at two speeds. Straight lines between pairs are a choice of coordinates. Whether it saves
# steps is a question for measurements (7.4).
#
# ## 7.2 Training: algorithm 5
#
# The network learns $u$ by regression. With probability $p$ the caption is dropped, for guidance. Compare with notebook 1
# (1.5): only the path and what is predicted differ.
#
# > **Question:** at $s=1$ the input is pure noise. What is the best prediction of $u=\epsilon-x_0$ there?

# %% tags=["teaching-flow-training"]
def training_step(unet, optimizer, x_0, labels, table, p, rng, T=1000):
    """Algorithm 5: classifier-free guidance training, for a flow. x_0 [n, c, h, w]; table [classes + 1, length, dim]."""
    s = (torch.randint(T, (len(x_0),), generator=rng) + 1) / T                # a random time in (0, 1]
    noise = torch.randn(x_0.shape, generator=rng)
    dropped = torch.rand(len(x_0), generator=rng) < p                         # drop the caption with probability p
    rows = labels.masked_fill(dropped, len(table) - 1)                        # the table's last row is the empty caption
    share = s.view(-1, 1, 1, 1)
    x_s = (1 - share) * x_0 + share * noise                                   # on the straight line
    u = noise - x_0                                                           # its velocity
    loss = (unet(x_s, T * s, table[rows]).sample - u).square().mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


# %% [markdown]
# The input is $\epsilon$ itself and says nothing of $x_0$, so the best answer is $\epsilon-\mathrm{mean}(x_0\mid c)$. The
# first step of every sampling moves towards the mean image of the caption.
#
# Nothing else changes. $u$ is one more linear prediction beside $\epsilon$ and $v$, and each gives the others:
#
# $$\hat x_0=x_s-s\,u,\qquad \hat\epsilon=x_s+(1-s)\,u .$$
#
# In the package this is `Preset.prediction = "flow"`; guidance rules, clipping and the sampler use these two lines and do
# not know which prediction they see. (Stable Diffusion 3 also draws $s$ more often from the middle; we draw it uniformly.)
#
# ## 7.3 Sampling: algorithms 7 and 8
#
# A sample follows the velocity from $s=1$ to $s=0$. Euler's method takes steps of $1/k$.

# %% tags=["teaching-flow-sampling"]
@torch.no_grad()
def simulate(velocity, x, steps):
    """dx = u ds from s = 1, where x is noise, to s = 0, by Euler's method."""
    for i in range(steps, 0, -1):
        x = x - velocity(x, torch.tensor(i / steps)) / steps
    return x


def guided_sampling(unet, c, x, steps, T=1000):
    """Algorithm 7: the velocity with the caption c [n, length, dim]."""
    return simulate(lambda x, s: unet(x, T * s, c).sample, x, steps)


def cfg_sampling(unet, c, null, w, x, steps, T=1000):
    """Algorithm 8: (1 - w) u(x | empty) + w u(x | c), with w > 1."""
    def velocity(x, s):
        return (1 - w) * unet(x, T * s, null.expand_as(c)).sample + w * unet(x, T * s, c).sample

    return simulate(velocity, x, steps)


# %% [markdown]
# Tests hold these cells equal to the package's loss and sampler. The next cell uses them with a transformer that ships with
# the repository, and shows the digits at $w=1$ (algorithm 7) and $w=3$ (algorithm 8).
#
# > **Question:** how many passes of the network does one image take at $w=1$, and at $w=3$?

# %% alt="The ten digits drawn by the transformer, at w = 1 and at w = 3 from the same noise"
from t2i_helpers.data import to_unit
from t2i_helpers.reporting.drawing import image_grids

pipe = flow.network("flow-dit", SIZE)
c, null = pipe.embed(captions(preset))
x = torch.randn(10, *preset.unet_shape, generator=torch.Generator().manual_seed(1)).to(c.device)
steps = {"smoke": 2, "demo": 20, "full": 20}[SIZE]
drawn = torch.stack([guided_sampling(pipe.unet, c, x, steps), cfg_sampling(pipe.unet, c, null, 3.0, x, steps)])
image_grids({"": (to_unit(drawn, preset.pixel_range), ["w = 1", "w = 3"], range(10))}, height=1.6, width=4)

# %% [markdown]
# As many as there are steps at $w=1$, and twice as many at $w=3$.
#
# ## 7.4 Do straight paths need fewer steps?
#
# If all paths were straight, one step of Euler would be enough. The figure draws ten digits from the same noise in 1 to 16
# steps, by two transformers that differ in their objective alone: same data, order of images, number of parameters and
# training steps. ($w=3$: without guidance these small networks draw few digits that one can read.)
#
# > **Predict:** which of them looks better at 2 steps? At 16?

# %%
pair = {name: flow.network(name, SIZE) for name in flow.PAIR}
counts = (1, 2) if SIZE == "smoke" else (1, 2, 4, 8, 16)
show(flow.step_strips(pair, counts))

# %% [markdown]
# One step draws the mean digit of the caption, as 7.2 said. Beyond that the two rows of a digit are hard to tell apart: the
# same noise even gives the same digit with either objective.
#
# The stored study counts: the same two networks, without guidance. **Heun's** method also asks for the velocity at the end
# of a step and moves along the mean of both. It is of second order: halving the step divides the error by four. But $k$ of
# its steps cost $2k-1$ passes (the last is Euler's), so we compare passes, not steps.
#
# > **Question:** what would the curve of a flow with exactly straight paths look like?

# %%
show(flow.solver_curves(study_size))

# %% [markdown]
# Flat. No curve is: one pass is far from real digits, although the flow is nearer than $v$. From two passes on the intervals
# of the two objectives overlap at every number of passes, and from four on none of the curves changes beyond its intervals.
# Heun's method with three passes is better than Euler's with two and not distinguishable from Euler's with four.
#
# So straight paths save no steps against DDIM here. The reason is that DDIM does not step along the tangent of a curve: it
# keeps $\hat x_0$ and $\hat\epsilon$ and moves along *their* arc, which is exact for a pair, just as Euler's step is exact for a
# pair of a flow. Both make the same approximation, that the estimates stay the same during a step.
#
# **How straight?** The same measure as in 7.1, for a hundred digits of each network:

# %%
show(flow.straightness(pair, *((4, 10) if SIZE == "smoke" else ())))

# %% [markdown]
# Here flow paths are nearly straight, and those of $v$ close to a quarter of an ellipse, for which the measure is
# $\pi^2/8-1\approx0.23$. This is the opposite of 7.1. In the plane the lines of pairs cross everywhere; among 784 pixels they
# hardly do, and from early on a noisy image says which digit it leads to. Straight paths are real, then, and they allow the
# simplest solver. But a solver that knows the arc does as well on curved ones.
#
# ## 7.5 The same network, two objectives
#
# > **Question:** both networks saw the same images equally often. Would you expect one objective to give better digits with
# > many steps?

# %%
show(flow.comparison("flow_objectives", flow.PAIR, study_size))

# %% [markdown]
# Neither metric separates the two. $u$, $v$ and $\epsilon$ are the same estimate in other words; training with them differs
# only in how the noise levels are drawn and weighted. Esser et al. (2024) find flows ahead after long trainings of large
# models, above all when $s$ is drawn near the middle more often; at our budget we see no difference.
#
# ## 7.6 Patches
#
# A transformer sees a sequence of vectors. The image is cut into $p\times p$ patches; each becomes a vector of $p^2c$
# numbers, then a token by a linear layer, plus its position as sines and cosines of its row and column. Our digits of 28×28
# give 49 tokens at $p=4$.

# %% tags=["teaching-patches"]
def patchify(x, p):
    """[n, c, h, w] -> [n, L, p p c] with L = (h / p) (w / p)."""
    n, c, h, w = x.shape
    x = x.view(n, c, h // p, p, w // p, p)                                    # [n, c, row, y, column, x]
    return x.permute(0, 2, 4, 3, 5, 1).reshape(n, (h // p) * (w // p), p * p * c)


def unpatchify(tokens, p, side):
    """The inverse: [n, (side / p)^2, p p c] -> [n, c, side, side]."""
    x = tokens.view(len(tokens), side // p, side // p, p, p, -1)              # [n, row, column, y, x, c]
    return x.permute(0, 5, 1, 3, 2, 4).reshape(len(tokens), -1, side, side)


# %% [markdown]
# ## 7.7 How does the caption get in?
#
# DiT (Peebles & Xie 2023) compares ways to tell each block the time and the condition:
#
# * **in-context:** as further tokens of the sequence; nothing else changes;
# * **cross-attention:** an additional attention in each block, from the image's tokens to those of the caption;
# * **adaLN-Zero:** a linear layer turns the mean of the caption's tokens plus the time into a shift, a scale and a gate for
#   each half of the block. The layer starts at zero.
#
# > **Question:** what does a block with adaLN-Zero compute before training?

# %% tags=["teaching-adaln"]
def adaln_zero(x, summary, block):
    """A block: x [n, tokens, dim], summary [n, dim] of time and caption; block holds its layers."""
    shift1, scale1, gate1, shift2, scale2, gate2 = block.modulation(summary)[:, None].chunk(6, dim=2)
    x = x + gate1 * block.attn1(block.norm1(x) * (1 + scale1) + shift1)       # attention between the image's tokens
    return x + gate2 * block.mlp(block.norm2(x) * (1 + scale2) + shift2)      # each token for itself


# %% [markdown]
# Nothing: both gates are 0, so that the block is the identity, and the gradient can open the gates where they help. Three
# transformers of equal width and depth, after equally many steps:

# %%
ways = {"flow-dit-half": "DiT, adaLN-Zero", "flow-dit-cross": "DiT, cross-attention",
        "flow-dit-context": "DiT, in-context"}
show(flow.comparison("flow_conditioning", ways, study_size))

# %% [markdown]
# By the distance, adaLN-Zero is ahead of in-context conditioning, beyond the intervals; cross-attention lies between them and
# can be told apart from neither. The accuracies, all still low, do not separate the three. Peebles & Xie report the same
# order of the first and the last for labels of ImageNet. Cross-attention matters where a caption says more than one word;
# our captions differ in a single one, and their mean is enough.
#
# ## 7.8 DiT or U-Net?
#
# The answer depends on what is equal. The U-Net and the transformer below have equally many parameters, within 5 %. But a
# pass of the U-Net takes almost four times as much arithmetic, because its convolutions use each weight at hundreds of
# pixels, and the transformer uses it at 49 tokens. So we train the transformer twice: for as many *steps* as the U-Net, and
# for as much *arithmetic*.
#
# > **Predict** the order of the three by accuracy.

# %%
networks = {"flow-unet": "U-Net", "flow-dit-short": "DiT, equal steps", "flow-dit": "DiT, equal arithmetic"}
show(flow.comparison("flow_networks", networks, study_size))

# %%
show(flow.pictures(networks, study_size))

# %% [markdown]
# At equal steps the U-Net is far ahead; the transformer hardly follows the caption yet. A convolution knows from the start
# that neighbouring pixels belong together, whereas attention must learn it: many digits are still broken at the edges of
# patches. At equal arithmetic the transformer catches up. The two accuracies cannot be told apart, but the U-Net's digits are
# still nearer to real ones, beyond the intervals. So for a budget of minutes on digits the U-Net is the better choice. The
# transformers of the literature win with far larger budgets, where what the U-Net knows from the start matters less; this
# experiment says nothing about those.
#
# ### On latents of paintings
#
# The flows of the literature work on the latents of an autoencoder, as notebook 6 does. Paintings of 128×128 pixels are 4×16×16
# latents there, or 64 tokens of patches of 2×2. On so small a grid a U-Net can be as cheap as a transformer: the two below
# have equally many parameters *and* take equally much arithmetic a pass, within 2 %, and both saw the same 28,143 paintings
# eight times, in the same order and with the same noise.
#
# > **Predict:** the U-Net's advantage above came from convolutions, which see neighbouring pixels. Is it as large for latents?

# %%
show(flow.latent_pictures(study_size))

# %%
show(flow.latent_comparison(study_size))

# %% [markdown]
# Here the order is reversed. At $w=4$ the style of the transformer's paintings is right more often, and they are nearer to real
# paintings; the intervals of the genre overlap. At $w=1$ all measures point the same way, but their intervals overlap. Guidance
# also makes the transformer's pictures harsher: more of their pixels are black or white than in real paintings.
#
# Both networks compute attention on a grid of 8×8, the U-Net at two of its three resolutions and the transformer everywhere.
# Whether this is the reason was not measured, and each network was trained once. But the comparison shows that "U-Net or
# transformer" has no answer without the data and the budget.
#
# ## 7.9 Guidance and averaging, once more
#
# Both carry over. The lecture names scales of 2 to 5 for Stable Diffusion 3. The classifier counts how many digits match
# their caption; the distance says how near they are to real digits as a set.
#
# > **Question:** notebook 2 found that the two metrics choose different scales. Do they here?

# %%
show(flow.scale_curves(study_size))

# %% [markdown]
# Accuracy rises up to $w=3$; between 3 and 5 its intervals overlap. The distance falls from $w=1$ to $w=2$, and from there on
# its intervals overlap, so here no metric asks for a small scale: this network was trained for so short a time that guidance
# mainly repairs digits. In the range that the lecture names, 2 to 5, the distance is at its best, and accuracy asks for the
# upper part of it.
#
# And the moving average of the weights (notebook 1), on and off.
#
# > **Predict:** does it help after so short a training?

# %%
averages = {"flow-dit": "with average", "flow-dit/raw": "without average"}
show(flow.comparison("flow_averages", averages, study_size))

# %% [markdown]
# No difference that the intervals would support. After 1,600 steps the average reaches back over about a tenth of the training,
# in which the network still improves; it can lag behind. Notebook 4 (4.7) has a longer training.
#
# ## 7.10 Exercises
#
# Replace `...` or `None` with your answer and run the cell. Solutions are in
# [solutions/07_flow_and_transformers.py](solutions/07_flow_and_transformers.py).
#
# **7.1 One in another.** Write $\hat v$, the prediction of notebook 1 for a path with factors $\cos\varphi$ and
# $\sin\varphi$, as a function of $\hat x_0$ and $\hat\epsilon$; then $\hat x_0$ and $\hat\epsilon$ as functions of $x_s$,
# $u$ and $s$. Give the latter two.

# %%
def clean_and_noise(x_s, u, s):
    """(x_0, eps)"""
    ...


check("7.1", clean_and_noise)

# %% [markdown]
# **7.2 The sequence of Stable Diffusion 3.** Its autoencoder turns 8×8 pixels into one latent, and its transformer cuts the
# latents into patches of 2×2. How many tokens has an image of 1024×1024? By which factor does the cost of attention between
# all pairs of tokens grow from 512×512 to 1024×1024?

# %%
tokens, factor = None, None
check("7.2", (tokens, factor))

# %% [markdown]
# ## 7.11 Sizes
#
# | size | for | what it runs |
# |---|---|---|
# | `demo` (default) | a laptop | pictures by the small networks of this repository; the stored study |
# | `full` | a machine with the hub | trains the seven networks that are missing, and measures the study with them |
# | `smoke` | CI | the same cells with fewer steps; the pictures have no meaning |
#
# **References.** Esser et al. (2024), *Scaling rectified flow transformers* (Stable Diffusion 3), arXiv:2403.03206 · Ho &
# Salimans (2022), arXiv:2207.12598 · Lipman et al. (2022), arXiv:2210.02747 · Liu et al. (2022), arXiv:2209.03003 ·
# Murrugarra-Llerena, *Conditional Generative Models*, lecture of CS 2770 · Peebles & Xie (2023), arXiv:2212.09748 · Polyak
# et al. (2024), *Movie Gen*, arXiv:2410.13720.

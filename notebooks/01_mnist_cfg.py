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
# # 1 · Handwritten digits from text, with classifier-free guidance
#
# <!-- [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPO/blob/main/notebooks/01_mnist_cfg.ipynb) [![Open in Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/OWNER/REPO/main?labpath=notebooks/01_mnist_cfg.ipynb) -->
#
# ![Thirty handwritten digits, three of each class, drawn by the network of this notebook](../figures/hero.png)
#
# A neural network that was only trained to *remove noise* drew these digits from captions such as "A handwritten digit
# 5". In this notebook you write such a model yourself: noising, the training step, the sampling loop and guidance are
# short cells of PyTorch. You train a small network, see where it fails, and then study two networks that were trained
# for longer. One of them, `thesis`, follows section 3.2 of the thesis (Domnenco 2026) with its errors; the other,
# `improved`, fixes all known errors.
#
# **Goals.** After this notebook you can
#
# 1. derive how noise is added and removed, and write the training step and the sampling loop from memory;
# 2. explain what the guidance scale $w$ does, from $p(x)\,p(c\mid x)^w$ to the picture;
# 3. tell which of the thesis's observations on guided digits hold, and what causes them.
#
# **You need** Python, PyTorch, and some experience with training neural networks. No GPU.
#
# **Time:** 90 minutes to read and try; 5 minutes to run on two CPU cores, two of which are your own training. On an
# A100: not measured.
#
# In the report: [the chapter on the digits](../report/main.pdf#nameddest=sec:mnist), and
# [the reproduced and corrected results](../report/main.pdf#nameddest=sec:reproduced). A
# [glossary](README.md#symbols) lists the symbols, and the sizes at which this notebook runs are at its end (1.15).

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
from t2i_helpers.reporting import animations, explorers, mnist
from t2i_helpers.reporting.exercises import check
from t2i_helpers.reporting.exhibits import shower

SIZE = os.environ.get("T2I_SIZE", "demo")
show = shower(SIZE)                             # displays a figure and writes its file
thesis, improved = (presets.get("mnist", variant, SIZE) for variant in ("thesis", "improved"))

# %% [markdown]
# ## 1.1 The data
#
# The printed line names the source of the digits. At `demo` size they are 5,000 real MNIST digits from a Python package,
# 500 of which are held out for testing; at `full` all 60,000 come from the hub.
#
# > **Question:** the model will never see a label, only a caption. How many different captions does this dataset need?

# %%
from t2i_helpers.data import captions, load_images

dataset = load_images(thesis)
show(mnist.dataset_samples(dataset, thesis))

# %%
print(captions(thesis))
print(dataset.images.shape, dataset.images.dtype)

# %% [markdown]
# Ten captions, one for each class. Images stay `uint8` in memory; only the training step converts a batch to floats.
#
# ## 1.2 Forward: adding noise
#
# Noise is added in $T=1000$ small steps, a Markov chain. Step $t$ shrinks the image a little and adds a little noise, so
# that the variance stays 1 (Ho et al. 2020, eq. 2):
#
# $$q(x_t\mid x_{t-1}):\qquad x_t = \sqrt{1-\beta_t}\;x_{t-1} + \sqrt{\beta_t}\;\epsilon_t,\qquad \epsilon_t\sim\mathcal N(0,I).$$
#
# Nobody runs this chain in training, because it has a **closed form**. Two steps give
# $\sqrt{(1-\beta_2)(1-\beta_1)}\,x_0$ plus two independent Gaussians of variance $(1-\beta_2)\,\beta_1$ and $\beta_2$. Their
# sum is one Gaussian of variance $(1-\beta_2)\beta_1+\beta_2 = 1-(1-\beta_2)(1-\beta_1)$. By induction, with
# $\bar\alpha_t=\prod_{s\le t}(1-\beta_s)$,
#
# $$q(x_t\mid x_0):\qquad x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\;\epsilon,\qquad \epsilon\sim\mathcal N(0,I).$$
#
# $\bar\alpha_t$ is the remaining share of the signal's variance. Both forms as code:

# %% tags=["teaching-noising"]
def noise_step(x, beta, rng):
    """x_{t-1} to x_t: one step of the chain."""
    return (1 - beta).sqrt() * x + beta.sqrt() * torch.randn(x.shape, generator=rng)


def add_noise(x_0, noise, abar):
    """x_0 to x_t in one equation."""
    return abar.sqrt() * x_0 + (1 - abar).sqrt() * noise


# %% [markdown]
# > **Before you run the cell:** 20,000 pixels of value 0.8 take 300 steps of the chain. What are their mean and their
# > standard deviation? (You only need $\bar\alpha_{300}$.)

# %%
from t2i_helpers.diffusion import make_scheduler

scheduler = make_scheduler(improved, "ddpm")
betas, alphas_cumprod = scheduler.betas, scheduler.alphas_cumprod
rng = torch.Generator().manual_seed(0)
x = torch.full((20_000,), 0.8)
for beta in betas[:301]:
    x = noise_step(x, beta, rng)
closed = add_noise(torch.full((20_000,), 0.8), torch.randn(20_000, generator=rng), alphas_cumprod[300])
library = scheduler.add_noise(torch.full((20_000,), 0.8), torch.randn(20_000, generator=rng), torch.tensor(300))
for name, x_t in {"301 steps": x, "one equation": closed, "the library": library}.items():
    print(f"{name:13} mean {x_t.mean():.3f}  standard deviation {x_t.std():.3f}")
print(f"{'predicted':13} mean {0.8 * alphas_cumprod[300].sqrt():.3f}  standard deviation "
      f"{(1 - alphas_cumprod[300]).sqrt():.3f}")

# %% [markdown]
# All agree up to the chance of 20,000 draws. From here on we use the library's `add_noise`; a test holds it equal to
# ours. (The library counts from 0, so $t=300$ is after 301 steps.)
#
# > **Before you run the cell:** at which $t$ would *you* no longer recognise the digit? Where do the two curves, the
# > weights of the image and of the noise, cross?

# %%
show(mnist.forward_noising(dataset, improved))

# %% [markdown]
# They cross just before $t=500$. After this point the image contains more noise than digit. In the pictures you can still
# read the digit at $t=500$, and hardly at 700.
#
# The explorer shows other schedules and pixel ranges. (In a live notebook a control that you move redraws the picture.)
#
# > **Try:** at $t=300$, switch the pixels from [−1, 1] to [0, 1], as in the thesis. Why is the digit harder to see?

# %% alt="A noisy digit at t = 300, the weights of image and noise against t, and the logarithm of their squared ratio"
explorers.schedule_explorer(dataset, improved)

# %% [markdown]
# In [0, 1] the digit has half the contrast, but the noise is as strong as before. The "linear" schedule has destroyed most
# of the image by the middle of the chain; the cosine schedule ("squaredcos", Nichol & Dhariwal 2021) spends more steps
# where the digit is decided.
#
# ## 1.3 Text: from caption to numbers
#
# A frozen text encoder turns a caption into one vector per token. The dataset has ten captions, and guidance needs the
# **empty caption** ∅ as well. All eleven are encoded once into a *caption table*, so training never runs the encoder. At
# `full` size the encoder is CLIP (512 numbers per token). Without the hub it is MiniLM, a small BERT from a Python package
# (384 numbers). It is a stand-in for CLIP, and every figure below names it.

# %%
from t2i_helpers.models import caption_table

table = caption_table(thesis.text_encoder, captions(thesis), thesis.max_length)
print("caption table [captions + 1, tokens, width]:", tuple(table.shape))

# %% [markdown]
# The thesis truncates every text to 8 tokens. This is enough for a digit, but a longer caption silently loses its last
# words (in the thesis author's code this happened to the WikiArt captions, see notebook 3).
#
# > **Question:** what should an encoder do with a caption that does not fit?

# %%
from t2i_helpers.errors import PromptTooLong
from t2i_helpers.models import load_text_encoder

try:
    too_long = ["A painting in the style of Mannerism Late Renaissance"]
    load_text_encoder(thesis.text_encoder).encode(too_long, max_length=8)
except PromptTooLong as error:
    print(error)

# %% [markdown]
# Ours refuses it, with the remedy in the message.
#
# ## 1.4 The U-Net
#
# The network receives the noisy image, the timestep and the caption's tokens, and predicts the **noise** (or an
# equivalent quantity, see 1.5). It halves the image three times and doubles it again. In the five blocks with `CrossAttn`
# in their name, every pixel attends to the caption's tokens. The thesis states 3,140,385 parameters in its text and
# "~25M" in its Table 4. Let us count them.
#
# > **Question:** 28 is halved to 14 and to 7. What happens to 7 on the way down, and on the way up?

# %%
from t2i_helpers.models import build_unet
from t2i_helpers.models.unet import trace_shapes

print(f"{sum(p.numel() for p in build_unet(thesis, text_dim=512).parameters()):,} parameters with CLIP's 512-wide text")
for block, shape in trace_shapes(build_unet(thesis)):
    print(f"{block:38}{shape}")

# %% [markdown]
# The text of the thesis is right, its table is not. 7 becomes 4 on the way down (a padded convolution with stride 2), and
# on the way up the block interpolates to the size of the skip connection, 7.
#
# ## 1.5 What the network learns
#
# **Why a mean squared error on $\epsilon$?** The likelihood of a diffusion model is bounded by a sum over $t$ of divergences
# between two Gaussians of equal variance: the true $q(x_{t-1}\mid x_t,x_0)$ and the model's $p_\theta(x_{t-1}\mid x_t)$.
# Such a divergence is proportional to the squared distance of their means, and both means depend only on $x_t$ and on $x_0$
# or its estimate (1.6). With $\hat x_0=(x_t-\sqrt{1-\bar\alpha_t}\,\epsilon_\theta)/\sqrt{\bar\alpha_t}$ each term becomes
#
# $$\lambda_t\,\lVert\epsilon-\epsilon_\theta(x_t,t,c)\rVert^2 .$$
#
# Ho et al. (2020, eq. 14) set $\lambda_t=1$, which gives the noisier images more weight than the bound does, and draws
# better.
#
# **What is the best answer?** A mean squared error is smallest for the conditional mean,
# $\epsilon^*(x_t)=\mathbb E[\epsilon\mid x_t]$. For a fixed $x_0$ the density of $x_t$ is Gaussian, so
#
# $$\nabla_{x_t}\log q(x_t\mid x_0) = -\frac{x_t-\sqrt{\bar\alpha_t}\,x_0}{1-\bar\alpha_t} =
# -\frac{\epsilon}{\sqrt{1-\bar\alpha_t}}.$$
#
# The mean over all $x_0$ that may lie behind $x_t$ gives the **score** of the noisy images (Vincent 2011):
#
# $$\nabla_{x}\log p_t(x) = -\,\epsilon^*(x)\,/\,\sqrt{1-\bar\alpha_t}.$$
#
# So a network that predicts the noise knows in which direction images become more probable.
#
# **Why $v$?** The thesis predicts $\epsilon$. At high noise levels this is easy but not useful: $\hat x_0$ is the small
# remainder divided by $\sqrt{\bar\alpha_t}$, which multiplies every error by 34 at $t=980$. The brightness of the whole
# picture suffers first. `improved` predicts $v=\sqrt{\bar\alpha_t}\,\epsilon-\sqrt{1-\bar\alpha_t}\,x_0$ (Salimans & Ho
# 2022). Together with $x_t=\sqrt{\bar\alpha_t}\,x_0+\sqrt{1-\bar\alpha_t}\,\epsilon$ it is a rotation of $(x_0,\epsilon)$,
# and rotating back needs no division:
#
# $$\hat x_0=\sqrt{\bar\alpha_t}\,x_t-\sqrt{1-\bar\alpha_t}\,v,\qquad \hat\epsilon=\sqrt{1-\bar\alpha_t}\,x_t+\sqrt{\bar\alpha_t}\,v .$$
#
# ### One training step
#
# The next cell is a complete training step. The package's loop adds warm-up, clipping, checkpoints and GPUs; its loss and
# gradient are the same, and a test compares them.
#
# > **Question:** `caption_dropout` replaces some captions by ∅. The thesis sets it to 0 for MNIST. What does its network
# > know about ∅?

# %% tags=["teaching-step"]
def training_step(unet, optimizer, alphas_cumprod, images, labels, table, preset, rng):
    low, high = preset.pixel_range
    x_0 = images.float() / 255 * (high - low) + low                       # [n, c, h, w], uint8 -> pixel range
    noise = torch.randn(x_0.shape, generator=rng)                         # eps ~ N(0, 1)
    t = torch.randint(preset.train_timesteps, (len(x_0),), generator=rng)
    abar = alphas_cumprod[t].view(-1, 1, 1, 1)                            # [n] -> [n, 1, 1, 1]
    x_t = abar.sqrt() * x_0 + (1 - abar).sqrt() * noise                   # section 1.2
    dropped = torch.rand(len(x_0), generator=rng) < preset.caption_dropout
    rows = labels.masked_fill(dropped, len(table) - 1)                    # the table's last row is the empty caption
    v = abar.sqrt() * noise - (1 - abar).sqrt() * x_0
    target = v if preset.prediction == "v_prediction" else noise
    loss = (unet(x_t, t, table[rows]).sample - target).square().mean()    # [n, c, h, w] -> one number
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


# %% [markdown]
# Nothing: it has never seen ∅, and answers with whatever its weights happen to give. We come back to this in 1.11.
#
# ### A moving average of the weights
#
# The weights fluctuate from step to step, and the images with them. An exponential moving average (EMA),
# $\bar\theta\leftarrow\beta_n\,\bar\theta+(1-\beta_n)\,\theta$, is smoother and only costs memory. We *train* $\theta$ and
# *draw* with $\bar\theta$. With a constant $\beta$ the random first weights would be part of the average for long, so
# $\beta_n=\min(\beta,\,(1+n)/(10+n))$ grows with the number $n$ of steps.

# %% tags=["teaching-average"]
@torch.no_grad()
def average_step(averaged, unet, n, decay):
    """The average after step n = 0, 1, ...; the first one copies the weights."""
    beta = min(decay, (1 + n) / (10 + n)) if n else 0.0
    for theta_bar, theta in zip(averaged.parameters(), unet.parameters()):
        theta_bar.lerp_(theta, 1 - beta)                                  # beta * theta_bar + (1 - beta) * theta


# %% [markdown]
# The package uses `diffusers.training_utils.EMAModel`, and a test holds both equal.
#
# ## 1.6 Backward: from noise to a digit
#
# **One step back.** Given $x_0$, the step back from $t$ to an earlier timestep $s$ is known. By Bayes' rule,
# $q(x_s\mid x_t,x_0)\propto q(x_t\mid x_s)\,q(x_s\mid x_0)$. Both factors are Gaussians in $x_s$: with
# $\alpha=\bar\alpha_t/\bar\alpha_s$, the first has $x_t$ around $\sqrt\alpha\,x_s$ with variance $1-\alpha$, the second has
# $x_s$ around $\sqrt{\bar\alpha_s}\,x_0$ with variance $1-\bar\alpha_s$. Precisions add up, and means are weighted with
# them:
#
# $$\sigma^2=\Big(\frac{\alpha}{1-\alpha}+\frac1{1-\bar\alpha_s}\Big)^{-1}=\frac{(1-\bar\alpha_s)(1-\alpha)}{1-\bar\alpha_t},\qquad
# \mu=\frac{\sqrt{\bar\alpha_s}\,(1-\alpha)\,x_0+\sqrt\alpha\,(1-\bar\alpha_s)\,x_t}{1-\bar\alpha_t}.$$
#
# We do not know $x_0$, but the network gives the estimate $\hat x_0$. This is **DDPM** (Ho et al. 2020, eq. 7): go to
# $\mu$, add noise of variance $\sigma^2$, repeat. **DDIM** (Song et al. 2021) adds no noise. It keeps the noise that the
# network sees and only reduces it: $x_s=\sqrt{\bar\alpha_s}\,\hat x_0+\sqrt{1-\bar\alpha_s}\,\hat\epsilon$.
#
# **Guidance.** We want images that are not only probable but also fit the caption *clearly*: a density
# $p(x)\,p(c\mid x)^w$, in which $w>1$ sharpens the caption's part. Its score needs no classifier, because Bayes' rule gives
# $p(c\mid x)\propto p(x\mid c)/p(x)$:
#
# $$\nabla\log p(x)+w\,\nabla\log p(c\mid x)=\nabla\log p(x)+w\,\big(\nabla\log p(x\mid c)-\nabla\log p(x)\big).$$
#
# Every score is a prediction of noise up to the factor $-1/\sqrt{1-\bar\alpha_t}$ (1.5), with the caption or with ∅. This
# is **classifier-free guidance** (Ho & Salimans 2022):
#
# $$\tilde\epsilon=\epsilon_\varnothing+w\,(\epsilon_c-\epsilon_\varnothing).$$
#
# The same rule on $v$ gives the same result, because $v$ and $\epsilon$ differ by terms that do not depend on $c$. $w=0$
# ignores the caption, $w=1$ follows it, and $w>1$ extrapolates. (Papers often write
# $(1+w')\,\epsilon_c-w'\,\epsilon_\varnothing$; then $w=1+w'$.)
#
# The animation shows the rule without a network: points in a plane that belong to three classes of two spots each, with
# the exact scores. The caption is the class at the top.
#
# > **Predict:** where do the points end at $w=3$: in the middle of the two spots, or away from the other classes?

# %%
show(animations.points_in_a_plane(improved))

# %% [markdown]
# Away from the other classes: guidance draws the points to where the class is *certain*, at the outer edge of its spots,
# and they lie closer together than the class's own points at $w=1$. Both effects come back in the pictures: bolder
# strokes, and less variety.
#
# > **Question:** how often does the next cell call the network for one step? And how often would it have to for $w=1$?

# %% tags=["teaching-sampling"]
@torch.no_grad()
def draw(unet, alphas_cumprod, timesteps, c, null, w, rngs, ddpm=False):
    """[n, c, h, w] in [-1, 1] for captions c [n, tokens, width]; image i takes its noise from rngs[i]."""
    shape = (unet.config.in_channels, unet.config.sample_size, unet.config.sample_size)

    def noise():
        return torch.stack([torch.randn(shape, generator=rng) for rng in rngs])

    x = noise()                                                               # pure noise
    for t, s in zip(timesteps, [*timesteps[1:], None]):                       # from t to s < t, and at last to x_0
        a, b = alphas_cumprod[t], alphas_cumprod[s] if s is not None else torch.tensor(1.0)
        v_c, v_null = unet(torch.cat([x, x]), t, torch.cat([c, null.expand_as(c)])).sample.chunk(2)
        v = v_null + w * (v_c - v_null)                                       # guidance
        x_0 = (a.sqrt() * x - (1 - a).sqrt() * v).clamp(-1, 1)                # the estimate of the digit
        if ddpm:                                                              # q(x_s | x_t, x_0)
            mean = (b.sqrt() * (1 - a / b) * x_0 + (a / b).sqrt() * (1 - b) * x) / (1 - a)
            x = mean + ((1 - b) * (1 - a / b) / (1 - a)).sqrt() * noise()
        else:                                                                 # DDIM: keep the noise that is left
            x = b.sqrt() * x_0 + (1 - b).sqrt() * (x - a.sqrt() * x_0) / (1 - a).sqrt()
    return x


# %% [markdown]
# Once, but with twice as many images: with the caption and with ∅. At $w=1$ the half with ∅ is multiplied by 0, so a
# sampler can leave it out; the package's does. It also knows other solvers and other rules of guidance (notebook 4). For
# DDPM and DDIM a test holds it equal to this cell.
#
# ## 1.7 Your own digits
#
# Now train. On a CPU, two minutes are little, so this network is small, and it sees each digit as 14×14 pixels of four
# channels: every 2×2 square of pixels becomes one pixel with four numbers. (Vision transformers cut images into such
# *patches* for the same reason.) This loses nothing, noise stays noise, and every step costs about a quarter.

# %%
import copy
import dataclasses

import torch.nn.functional as F

small = dataclasses.replace(
    improved, resolution=14, channels=4, block_channels=(32, 64), down_blocks=(presets.DOWN, presets.CROSS),
    layers_per_block=1, cross_attention_dim=64, attention_head_dim=4)
torch.manual_seed(0)
unet = build_unet(small)
averaged = copy.deepcopy(unet)
patches = F.pixel_unshuffle(dataset.images, 2)                                  # [n, 1, 28, 28] -> [n, 4, 14, 14]
print(f"{tuple(patches.shape)}, {sum(p.numel() for p in unet.parameters()):,} parameters")

# %% [markdown]
# > **Before you run the cell:** a network that always answers 0 has a loss near 1. How far does the loss fall in the
# > first 50 steps, and what has the network learnt by then? When do the first digits appear?
#
# Every 100 steps the cell draws from the same noise. (600 steps of 32 images take two minutes at 160 images/s, which we
# measured with one thread on an AMD EPYC core. If you interrupt the cell, run it again to continue.)

# %%
from t2i_helpers.data import to_unit

TRAINING_STEPS = {"smoke": 4, "demo": 600, "full": 600}[SIZE]
timesteps = list(range(999, 0, -100 if SIZE == "smoke" else -50))               # of drawing: 20 steps, the first at 999
optimizer = torch.optim.AdamW(unet.parameters(), lr=2e-3)
rng = torch.Generator().manual_seed(0)
losses = []


def digits(w, ddpm=False, rows=1):
    rngs = [torch.Generator().manual_seed(seed) for seed in range(10 * rows)]
    x = draw(averaged, alphas_cumprod, timesteps, table[:10].repeat(rows, 1, 1), table[-1:], w, rngs, ddpm)
    return to_unit(F.pixel_shuffle(x, 2), (-1, 1)).unflatten(0, (rows, 10))     # [rows, 10, 1, 28, 28]


# %% alt="The loss against the steps, falling steeply and then slowly, and two rows of ten digits drawn by the averaged network"
view = explorers.TrainingView(TRAINING_STEPS, 32, done=len(losses))
while len(losses) < TRAINING_STEPS:
    chosen = torch.randint(len(dataset), (32,), generator=rng)
    images, labels = patches[chosen], dataset.labels[chosen]
    losses.append(training_step(unet, optimizer, alphas_cumprod, images, labels, table, small, rng))
    average_step(averaged, unet, len(losses) - 1, 0.995)
    if len(losses) % 100 == 0 or len(losses) == TRAINING_STEPS:
        view.update(losses, digits(w=2.0, rows=2))

# %% [markdown]
# Within seconds the loss is far below 1: the network separates noise from the black background, which most pixels belong
# to. It learns strokes in the first few hundred steps, and the shapes of the digits on the long flat part of the curve,
# where the loss hardly tells. Therefore look at pictures, not only at the loss.
#
# Now draw with your network: without guidance, with $w=2$, and with $w=5$, three rows each from the same noise.
#
# > **Count** in each block the digits that you would read as the one above them.

# %% alt="Three blocks of ten digits in three rows, drawn by your network at w = 1, 2 and 5 from the same noise"
from t2i_helpers.reporting.drawing import image_grids

panels = {f"w = {w}": (digits(w, rows=3), (), range(10)) for w in (1, 2, 5)}
image_grids(panels, height=4.8, width=4)

# %% [markdown]
# Zeros and ones are mostly right, and guidance makes more of the others right. But your network fails in part: some digits
# are broken, some are another digit, and a few have dots between the patches. Guidance cannot repair a network that does not
# know a digit; at $w=5$ it makes wrong strokes bolder. Only training helps.
#
# Your loop and the package's sampler draw the same digits:

# %%
from t2i_helpers.diffusion import make_guider, sample
from t2i_helpers.randomness import generator

for name in ("ddim", "ddpm"):
    ours = draw(averaged, alphas_cumprod, timesteps, table[:10], table[-1:], 2.0,
                [generator("sample", seed) for seed in range(10)], ddpm=name == "ddpm")
    theirs = sample(averaged, make_scheduler(small, name), make_guider("cfg", w=2.0), table[:10], table[-1:],
                    seeds=range(10), steps=len(timesteps)).images
    print(f"{name}: largest difference {(ours - theirs).abs().max():.0e}")

# %% [markdown]
# From here on we call the package's sampler.
#
# ## 1.8 The same, trained for longer
#
# The repository has two networks of 3.3 million parameters that saw 96,000 digits, five times as many as yours:
# `thesis` and `improved`. At `full` size the next cell trains both instead, for the thesis's twenty epochs (if you interrupt it, run
# it again to resume).
#
# > **Question:** whose loss will be lower, and does that network draw better?

# %%
from t2i_helpers.reporting.checkpoints import measured, pipelines

pipes = pipelines("mnist", SIZE)
steps = improved.sample_steps
show(mnist.loss_curves(pipes))

# %% [markdown]
# The heights say nothing, because the variants predict different quantities and use different pixel ranges. Both curves
# drop steeply and then level off, as does Figure 6 of the thesis.
#
# These are three samples of `improved` for each digit at $w=2$:

# %%
show(mnist.hero({"improved": pipes["improved"]}, steps))

# %% [markdown]
# And this is how one of each is drawn at $w=2$. Above is the image, which starts as noise; below is the network's estimate
# of the finished digit.

# %%
show(animations.denoising(pipes["improved"], steps))

# %% [markdown]
# The next figure shows $x_t$ above $\hat x_0$ for both networks. The pixels of `thesis` are in [0, 1], so half of its noise
# is darker than black and invisible.
#
# DDPM adds a little noise after every step except the last, so both the start and the path are random. With few steps the
# "leading" timesteps of the thesis start late: at $t=950$ for 20 steps, and at 980 for the thesis's 50.
#
# > **Look:** at which step can you read the digit in $\hat x_0$? Does it change after that?

# %%
show(mnist.denoising(pipes, steps))

# %% [markdown]
# In $\hat x_0$ the digit is there after a few steps, long before it is visible in $x_t$. After that only details change.
# Move through the steps, and watch where the caption matters: $|\epsilon_c-\epsilon_\varnothing|$ is the direction of
# guidance.
#
# > **Try:** at which step is a classifier sure of the digit? Where is $|\epsilon_c-\epsilon_\varnothing|$ largest?

# %% alt="One step of a sampling: the noisy digit, the estimate of the clean one, the difference that the caption makes, the classifier's probabilities, and the mean difference at each step"
explorers.denoising_explorer(pipes["improved"], steps)

# %% [markdown]
# With guidance the classifier is often sure after a quarter of the steps. The difference is largest at about this time,
# along the strokes that distinguish the digit from others. In the first steps everything is noise, so the caption changes
# little.
#
# ## 1.9 Without guidance
#
# At $w=1$ the network only uses the prediction with the caption.
#
# > **Count:** how many of these would you read as the digit above them?

# %%
show(mnist.unguided_digits(pipes, steps))

# %% [markdown]
# Nearly all of `improved`, and fewer than half of `thesis`. The empty and grey squares come from an $\epsilon$-prediction that has not yet learnt
# the brightness (1.5); the 50 steps of the thesis do not fix them. Note that at `demo` and `smoke` size both checkpoints saw
# 96,000 digits (one and a half epochs on one or two CPU cores), whereas the thesis trained for twenty epochs. This run
# compares both recipes after the same short training; use the `full` run to compare with the figures of the thesis.
#
# ## 1.10 With guidance
#
# Each image starts from the same noise as above, so guidance causes every difference.
#
# > **Predict:** which digits change, and how do strokes look at $w=5$?

# %%
show(mnist.guided_digits(pipes, steps))

# %% [markdown]
# `improved` was right before, so only its strokes become bolder. Some digits of `thesis` become readable: guidance
# strengthens what little the caption has drawn. Find a $w$ that breaks a digit, then a seed at which $w=1$ is wrong and a
# larger $w$ is right:

# %% alt="The digit 5 drawn from one noise image at w = 0, 1 and 3"
explorers.guidance_explorer(pipes["improved"])

# %% [markdown]
# ## 1.11 The empty caption
#
# Figure 5 of the thesis uses the caption ∅ with $w=5$.
#
# > **Question:** what is $\epsilon_c-\epsilon_\varnothing$ then, and what does $w$ do?

# %%
show(mnist.empty_prompts(pipes, steps))

# %% [markdown]
# The difference is zero and $w$ has no effect. The figure shows what each model draws for ∅. `improved` saw ∅ in a tenth of
# its training steps. It draws various digits and some strokes that are not digits, because no caption selects one digit.
# `thesis` never saw ∅ in training. (Its grey and black squares have another cause: the brightness of 1.5.)
#
# ## 1.12 The sweep
#
# Rows show digits and columns show $w$; each row starts from one noise image (Figure 7 of the thesis).
#
# > **Before you look at the columns 10 and 20:** what should happen to a stroke when a difference is amplified tenfold?

# %%
show(mnist.guidance_sweep(pipes, steps))

# %% [markdown]
# The same as an animation, one image a digit (DPM-Solver++, 10 steps):

# %%
show(animations.sweep(pipes, min(steps, 10)))

# %% [markdown]
# Strokes become thick and saturated, and some digits lose their shape. The sampler clips every $\hat x_0$ to [−1, 1], so
# nothing grows beyond that.
#
# ## 1.13 The thesis's observation and its causes
#
# Section 3.2.7 of the thesis finds that guided digits look *slightly noisier*, and suggests four causes:
#
# 1. **"Training-inference mismatch".** Without caption dropout $\epsilon_\varnothing$ was never trained. The network
#    extrapolates it, and guidance pushes away from this extrapolation.
# 2. **"Noise amplification".** This holds for any extrapolation: an error $\delta$ in the difference enters as $w\,\delta$.
# 3. **"Sub-optimal guidance scale".** This is possible, and the second table below measures it.
# 4. **"Iterative error accumulation".** Clipping bounds the errors and turns them into saturated strokes at large $w$. For
#    `thesis`, whose pixels are in [0, 1], the interval [−1, 1] is twice its range.
#
# > **Question:** *are* they noisier? How would you measure noise in a picture of a digit?
#
# We measured a hundred pairs of digits from the same seeds. The first estimate counts everything that is not a slope as
# noise, including the edges of strokes. The second one uses windows of background:

# %%
from t2i_helpers.reporting.tables import guidance_table, metrics_table

show(mnist.noise_table(SIZE))

# %% [markdown]
# By the first estimate guided digits are noisier for both variants. But the background of `thesis` shows no detectable
# increase; its strokes become bolder. The background of `improved` does get noisier, by about one grey level of 256.
#
# `improved` changes several settings at once, so these pictures cannot attribute the improvement to one of them. The next
# figure can: it shows a smaller network, trained by the recipe `thesis` with exactly one change, from three seeds each
# (1,000 steps of 32 digits). A tick is one seed.
#
# > **Predict:** which of the five changes helps most without guidance? Which helps most at $w=5$?

# %%
from t2i_helpers.reporting import study

show(study.changes_figure(SIZE))

# %% [markdown]
# Only $v$-prediction helps. It does at both scales, and by more than the seeds differ. Pixels in [−1, 1] *alone* make
# the recipe worse: a network that predicts noise divides its error by $\sqrt{\bar\alpha_t}$ when it estimates $\hat
# x_0$, and at the noisiest steps that error now decides the whole background. (This is an explanation that fits; the
# figure does not isolate it.) The moving average lags behind a training of only 1,000 steps. Caption dropout changes
# nothing that three seeds could show, and trailing timesteps cost some accuracy at $w=5$. Whether these changes help
# together with $v$-prediction, or in a longer training, the figure does not say.
#
# The next table shows the accuracy of a classifier of real digits, and a distance between the drawn and the real digits
# in the classifier's features (smaller is better; notebook 2 explains how much to trust it). `t2i evaluate mnist`
# measured it, and the cell reads the results from the checkpoint folders. The last row is for real digits.
#
# > **Read the `thesis` columns from top to bottom.** Guidance *helps*, although it pushes away from an ∅ that was never
# > trained. Does this contradict cause 1?

# %%
evaluations = {variant: measured(pipe, "evaluation") for variant, pipe in pipes.items()}
for variant, evaluation in evaluations.items():                                # all metrics, for the report
    show(metrics_table(f"mnist_{variant}_metrics", variant, evaluation))
show(guidance_table("mnist_guidance", evaluations))

# %% [markdown]
# No. The difference $\epsilon_c-\epsilon_\varnothing$ still points from some other input to this caption, so a larger $w$
# strengthens the caption, and much of the wrong brightness is common to both predictions and cancels. The cost of the
# untrained ∅ shows beside `improved`, which only needs $w=2$ to be right nearly always. Note the intervals: with this
# number of images (see the line under the table) the distances are rough, and large ones are roughest.
#
# ## 1.14 Exercises
#
# Replace `None` (or the `...` of a function) with your answer and run the cell. `check` says whether it is right, or gives
# a hint. Solutions are in [solutions/01_mnist_cfg.py](solutions/01_mnist_cfg.py).
#
# **1.1** At which timestep does an image contain as much noise as signal, $\bar\alpha_t=\tfrac12$?

# %%
t = None
check("1.1", t)

# %% [markdown]
# **1.2** Write $\hat x_0$ as a function of $x_t$, $v$ and $\bar\alpha_t$. Show on paper that the noise cancels.

# %%
def x_0_of(x_t, v, abar):
    ...


check("1.2", x_0_of)

# %% [markdown]
# **1.3 Fewer steps.** DDPM adds fresh noise at every step and needs many of them. Draw the ten digits in 10 steps with
# `scheduler="ddpm"` and with `scheduler="dpm++"`, a second-order solver of the same problem. Which is sharper? How many
# network calls does an image need in either case (`drawn.forward_passes`)?

# %%
# drawn = pipes["improved"](captions(improved), w=2.0, steps=10, scheduler="ddpm")
# image_grids({"ddpm": (drawn.images[None],)}, height=1.5)
passes = None
check("1.3", passes)

# %% [markdown]
# **1.4 Away from the caption.** Which factors do $\epsilon_\varnothing$ and $\epsilon_c$ have at $w=-1$? Predict what this
# draws for "A handwritten digit 1", then draw it.

# %%
of_empty_and_caption = None                             # such as (0.5, 0.5)
check("1.4", of_empty_and_caption)

# %% [markdown]
# **1.5 Between two captions.** The U-Net accepts any vectors, not only embeddings of captions. Mix the embeddings of 3 and
# 8 in five proportions and sample from one noise image. Is there a digit between two digits?

# %%
(three, eight), null = pipes["improved"].embed(["A handwritten digit 3", "A handwritten digit 8"])
mixed = None                                            # [5, tokens, width], from three to eight
check("1.5", mixed)

# %% [markdown]
# **1.6 Your own images.** Put images into a folder with one sub-folder for each class, such as `leaves/oak/1.jpg` and
# `leaves/maple/1.jpg`; the names of the sub-folders become the captions. `t2i train own` trains on them in a terminal.
# While it does, and whenever you open this notebook again, `run_so_far` shows where the training is. The next cell does
# nothing until you name a folder.

# %%
my_folder = ""                                          # such as "leaves"
if my_folder:
    print(f"in a terminal: t2i train own --data {my_folder} --out runs/mine")
    # explorers.run_so_far("runs/mine")
    # from t2i_helpers.models import load_pipeline
    # mine = load_pipeline("runs/mine")
    # image_grids({"mine": (mine(mine.captions, w=2.0).images[None],)}, height=2)

# %% [markdown]
# ## 1.15 Settings and sizes
#
# Set the environment variable `T2I_SIZE` before you start Jupyter to choose a size.
#
# | size | for | what it runs |
# |---|---|---|
# | `demo` (default) | a laptop | your training of two minutes; pictures from the checkpoints of this repository |
# | `full` | a big GPU, with the Hugging Face hub | both trainings of 20 epochs with CLIP, pictures from those |
# | `smoke` | CI | all cells in seconds; the results have no meaning |
#
# `thesis` and `improved` differ in these settings:

# %%
for field, value in vars(thesis).items():
    if value != getattr(improved, field):
        print(f"{field:18} thesis {value!s:14} improved {getattr(improved, field)}")

# %% [markdown]
# | what `improved` changes | why |
# |---|---|
# | `pixel_range` [−1, 1] | the schedule and the sampler's clipping assume this range; in [0, 1] a digit has half the contrast against the noise |
# | `prediction` v | stays accurate at high noise levels (1.5) |
# | `caption_dropout` 10 % | trains the empty caption ∅, which guidance subtracts (1.6) |
# | `ema_decay` | samples from an average of the weights of the last few hundred steps, which is less noisy than any of them |
# | `gradient_clip`, `warmup_steps` | limit the effect of a single batch, above all of the first ones |
# | `timestep_spacing` trailing | sampling starts at $t=999$, where the image is pure noise in training, not at 950 or 980 |
# | `bf16` | faster on processors that support it; no effect on others |
#
# **References.** Domnenco (2026), the thesis · Ho et al. (2020), arXiv:2006.11239 · Ho & Salimans (2022), arXiv:2207.12598 ·
# Nichol & Dhariwal (2021), arXiv:2102.09672 · Salimans & Ho (2022), arXiv:2202.00512 · Song et al. (2021),
# arXiv:2010.02502 · Vincent (2011), Neural Computation 23(7).

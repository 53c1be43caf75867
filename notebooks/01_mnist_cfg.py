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
# A neural network that has only ever learnt to *remove noise* can draw a digit that you name. This notebook builds
# that, piece by piece, on MNIST (section 3.2 of the thesis), and then looks hard at the thesis's own result: its model
# was guided away from a caption it had never been trained on. We keep that version, call it `thesis`, and put an
# `improved` one beside it in every picture.
#
# **You need** to have seen a neural network being trained. **You will learn** what noising and denoising are as
# formulas, how a caption gets into a U-Net, what one training step does, and what the guidance scale $w$ buys and costs.
#
# On paper: [the report's chapter on the digits](../report/main.pdf#nameddest=sec:mnist), and
# [what was reproduced and what corrected](../report/main.pdf#nameddest=sec:reproduced).
#
# | size | for | what it runs |
# |---|---|---|
# | `demo` (default) | a laptop | a short live training; pictures from the checkpoints that ship with the project |
# | `full` | a big GPU, with the Hugging Face hub | both trainings of 20 epochs with CLIP, pictures from those |
# | `smoke` | CI | everything, in seconds, without meaning |
#
# Choose with the environment variable `T2I_SIZE` before you start Jupyter.

# %%
import os

import torch

from t2i_helpers import presets
from t2i_helpers.reporting import mnist
from t2i_helpers.reporting.export import export

SIZE = os.environ.get("T2I_SIZE", "demo")
thesis, improved = (presets.get("mnist", variant, SIZE) for variant in ("thesis", "improved"))
for field, value in vars(thesis).items():
    if value != getattr(improved, field):
        print(f"{field:18} thesis {value!s:14} improved {getattr(improved, field)}")

# %% [markdown]
# And this is the machine that it runs on, beside the thesis's:

# %%
from t2i_helpers.reporting.setup import setup_table, trained_table
from t2i_helpers.reporting.tables import export_table, guidance_table, metrics_table

export_table(setup_table(), SIZE)

# %% [markdown]
# The checkpoints that ship were trained on such machines, for one or two hours each:

# %%
export_table(trained_table(), SIZE)

# %% [markdown]
# | what `improved` changes | why |
# |---|---|
# | `pixel_range` [−1, 1] | the schedule and the sampler's clipping are made for that range; in [0, 1] a digit has half the contrast against the noise |
# | `prediction` v | stays accurate where almost all is noise (1.5) |
# | `caption_dropout` 10 % | teaches the empty caption ∅, which guidance subtracts (1.8) |
# | `ema_decay` | samples from an average of the last few hundred steps' weights, which is less noisy than any of them |
# | `gradient_clip`, `warmup_steps` | no single batch can throw the network off, least of all the first ones |
# | `timestep_spacing` trailing | sampling starts at $t=999$, where training's noise is pure, not at 950 or 980 |
# | `bf16` | faster on processors that compute in it; no effect on others |

# %% [markdown]
# ## 1.1 The data
#
# Images stay `uint8` in memory; only the training step turns a batch into floats, in one place. The line that is
# printed says where the digits came from. It is never a silent choice: at `demo` size they are 5,000 real MNIST digits
# that a Python package carries (500 held out for testing), at `full` all 60,000 from the hub.

# %%
from t2i_helpers.data import captions, load_images

dataset = load_images(thesis)
print(dataset.images.shape, dataset.images.dtype, "e.g.", repr(dataset.captions[dataset.labels[0]]))
export(mnist.dataset_samples(dataset, thesis), SIZE)

# %% [markdown]
# ## 1.2 Forward: adding noise
#
# One equation takes an image $x_0$ to any noise level $t$ in a single jump:
#
# $$x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\;\epsilon,\qquad \epsilon\sim\mathcal N(0, I),\qquad t = 0,\dots,999$$
#
# $\bar\alpha_t$ is the share of the signal's variance that is left. The two square roots are the curves below; their
# squares always sum to one.
#
# > **Before you run the cell:** at which $t$ would *you* no longer recognise the digit? Where do the two curves cross?

# %%
export(mnist.forward_noising(dataset, improved), SIZE)

# %% [markdown]
# They cross just before $t=500$: from there on, more of the picture is noise than digit.
#
# ## 1.3 Text: from caption to numbers
#
# A frozen text encoder turns a caption into one vector a token. The dataset has ten captions, plus the **empty
# caption** ∅ that guidance will need, so all of them are encoded once into a *caption table* and training never runs
# the encoder at all. At `full` size the encoder is CLIP (512 numbers a token). Without the hub it is MiniLM, a small
# BERT that a Python package carries (384 numbers): a stand-in, and every figure below says so.

# %%
from t2i_helpers.models import caption_table

table = caption_table(thesis.text_encoder, captions(thesis), thesis.max_length)
print("caption table [captions + 1, tokens, width]:", tuple(table.shape))

# %% [markdown]
# The thesis cuts every text at 8 tokens. That is enough for a digit, but a longer caption would lose its last words
# without a sign (it happened to the WikiArt captions in the thesis author's code). Here it is an error that names them:

# %%
from t2i_helpers.errors import PromptTooLong
from t2i_helpers.models import load_text_encoder

try:
    too_long = ["A painting in the style of Mannerism Late Renaissance"]
    load_text_encoder(thesis.text_encoder).encode(too_long, max_length=8)
except PromptTooLong as error:
    print(error)

# %% [markdown]
# ## 1.4 The U-Net
#
# The network sees the noisy image, the timestep and the caption's tokens, and predicts the **noise** (or, as we shall
# see, something as good). It halves the image three times and doubles it again; in the five blocks with `CrossAttn` in
# their name, every pixel looks at the caption's tokens. The thesis states 3,140,385 parameters in its text and "~25M" in
# its Table 4. Let us count.
#
# > **Question:** 28 is halved to 14 and to 7. What happens to 7 on the way down, and on the way up?

# %%
from t2i_helpers.models import build_unet
from t2i_helpers.models.unet import trace_shapes

torch.manual_seed(0)
unet = build_unet(thesis)
print(f"{sum(p.numel() for p in build_unet(thesis, text_dim=512).parameters()):,} parameters with CLIP's 512-wide text")
for block, shape in trace_shapes(unet):
    print(f"{block:38}{shape}")

# %% [markdown]
# ## 1.5 One training step, written out
#
# This is all of it. The package's own loop adds warm-up, clipping, averaging, checkpoints and GPUs; its loss and gradient
# are the same, and a test holds them equal.
#
# The thesis predicts the noise $\epsilon$. When almost everything is noise, that is easy and nearly useless: the clean
# image it implies is the small rest divided by $\sqrt{\bar\alpha_t}$, which at $t=980$ multiplies every error by 34,
# and the first thing to go wrong is the brightness of the whole picture. `improved` predicts
# $v = \sqrt{\bar\alpha_t}\,\epsilon - \sqrt{1-\bar\alpha_t}\,x_0$ (Salimans & Ho 2022) instead: the noise where there is
# little of it, the (negative) image where there is much. Nothing is divided by a small number.
#
# > **Question:** `caption_dropout` replaces some captions by ∅. The thesis sets it to 0 for MNIST. What does the
# > network then know about ∅ when sampling subtracts it?

# %% tags=["teaching-step"]
def training_step(unet, optimizer, alphas_cumprod, images, labels, table, preset, rng):
    low, high = preset.pixel_range
    x_0 = images.float() / 255 * (high - low) + low                       # [n, 1, 28, 28], uint8 -> pixel range
    noise = torch.randn(x_0.shape, generator=rng)                         # eps ~ N(0, 1)
    t = torch.randint(preset.train_timesteps, (len(x_0),), generator=rng)
    abar = alphas_cumprod[t].view(-1, 1, 1, 1)                            # [n] -> [n, 1, 1, 1]
    x_t = abar.sqrt() * x_0 + (1 - abar).sqrt() * noise                   # section 1.2
    dropped = torch.rand(len(x_0), generator=rng) < preset.caption_dropout
    rows = labels.masked_fill(dropped, len(table) - 1)                    # the table's last row is the empty caption
    v = abar.sqrt() * noise - (1 - abar).sqrt() * x_0
    target = v if preset.prediction == "v_prediction" else noise
    loss = (unet(x_t, t, table[rows]).sample - target).square().mean()    # [n, 1, 28, 28] -> one number
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


# %%
from t2i_helpers.diffusion import make_scheduler

alphas_cumprod = make_scheduler(improved, "ddpm").alphas_cumprod
optimizer = torch.optim.AdamW(unet.parameters(), lr=improved.learning_rate)
rng = torch.Generator().manual_seed(0)
for step in range({"smoke": 2, "demo": 16, "full": 100}[SIZE]):
    chosen = torch.randint(len(dataset), (32,), generator=rng)
    images, labels = dataset.images[chosen], dataset.labels[chosen]
    loss = training_step(unet, optimizer, alphas_cumprod, images, labels, table, improved, rng)
    if step % 5 == 0:
        print(f"step {step:3}  loss {loss:.3f}")

# %% [markdown]
# A network that always answers 0 has a loss near 1, and within seconds this one is far below. That is the easy part: to
# know noise from blackness. Shape and stroke come from the long flat rest of the curve.
#
# At `full` size the next cell trains both variants (interrupt it and run it again: it goes on where it stopped). At
# the other sizes it loads the checkpoints that ship with the project.

# %%
from t2i_helpers.models import load_pipeline
from t2i_helpers.paths import RUNS
from t2i_helpers.training import train

if SIZE == "full":
    pipes = {p.variant: load_pipeline(train(p, RUNS / f"mnist-{p.variant}-full").folder) for p in (thesis, improved)}
else:
    pipes = {p.variant: load_pipeline("mnist", p.variant) for p in (thesis, improved)}
export(mnist.loss_curves(pipes), SIZE)

# %% [markdown]
# Do not compare the heights: the variants predict different things, behind pixels of different ranges. What the two
# curves share is the shape, a cliff and then a plateau, and that is what the thesis's Figure 6 shows too.
#
# ## 1.6 Backward: from noise to a digit
#
# The sampler starts from pure noise. At every step the network's prediction implies a clean image,
#
# $$\hat x_0 = \frac{x_t - \sqrt{1-\bar\alpha_t}\,\epsilon_\theta}{\sqrt{\bar\alpha_t}}
# \quad\text{or}\quad \hat x_0 = \sqrt{\bar\alpha_t}\,x_t - \sqrt{1-\bar\alpha_t}\,v_\theta,$$
#
# and the scheduler takes a small step towards it. Below, $x_t$ is on top and $\hat x_0$, the network's guess so far,
# under it. The pixels of `thesis` live in [0, 1], so half of its noise is darker than black and cannot be seen.
#
# DDPM also adds a little fresh noise after every step but the last, so the path is random, not only its start. With
# few steps the thesis's "leading" timesteps start late: at $t=950$ for 20 steps, at 980 for its own 50.
#
# > **Look:** at which step does $\hat x_0$ *decide* which digit it will be? Does anything later change its mind?

# %%
steps = improved.sample_steps
export(mnist.denoising(pipes, steps), SIZE)

# %% [markdown]
# ## 1.7 Without guidance
#
# With the caption as the only help ($w=1$):
#
# > **Count:** how many of these would you read as the digit above them?
#
# Be fair to the thesis here. At `demo` and `smoke` size both checkpoints saw 96,000 digits, one and a half epochs on one
# or two CPU cores; the thesis trained for twenty. The empty and grey squares are an $\epsilon$-prediction that has not learnt the
# brightness yet (1.5), and drawing them with the thesis's 50 steps does not mend that. The `full` run is the comparison
# with the thesis's own figures; this one shows what the same small effort buys with each recipe.

# %%
export(mnist.unguided_digits(pipes, steps), SIZE)

# %% [markdown]
# ## 1.8 With guidance
#
# Ask the network twice, once with the caption and once with ∅, and exaggerate the difference:
#
# $$\tilde\epsilon = \epsilon_\varnothing + w\,(\epsilon_c - \epsilon_\varnothing)$$
#
# (the same rule on $v$ gives the same result, because $\epsilon=\sqrt{\bar\alpha_t}\,v+\sqrt{1-\bar\alpha_t}\,x_t$).
# $w=0$ ignores the caption, $w=1$ is the picture above, $w>1$ extrapolates. (Papers often write
# $(1+w')\,\epsilon_c - w'\,\epsilon_\varnothing$; then $w = 1 + w'$.) The noise that each image starts from is the same
# as above, so every difference is guidance.

# %%
export(mnist.guided_digits(pipes, steps), SIZE)

# %% [markdown]
# ## 1.9 The empty caption
#
# The thesis's Figure 5 asks for ∅ *with* $w=5$. But then $\epsilon_c=\epsilon_\varnothing$, the difference is zero and
# $w$ has no effect at all: this is simply what each model believes about ∅. `improved` saw ∅ in a tenth of its
# training and draws digits of any kind, mixed with strokes that are no digit: there is no caption to settle which one.
# `thesis` never saw it, so this is what a network does with an input it was never trained on. (Its grey and black
# squares are no part of that: they are the untrained brightness of 1.7.)

# %%
export(mnist.empty_prompts(pipes, steps), SIZE)

# %% [markdown]
# ## 1.10 The sweep
#
# Digits in rows, $w$ in columns, one noise image a row (the thesis's Figure 7).
#
# > **Before you look at the columns 10 and 20:** what should happen to a stroke when a difference is exaggerated tenfold?

# %%
export(mnist.guidance_sweep(pipes, steps), SIZE)

# %% [markdown]
# ## 1.11 What the thesis saw, and why
#
# Section 3.2.7 of the thesis finds that guided digits look *slightly noisier*, and offers four reasons:
#
# 1. **"Training-inference mismatch".** This can be named exactly. Without caption dropout $\epsilon_\varnothing$ was never
#    trained: it is whatever the network extrapolates to, and guidance pushes away from that.
# 2. **"Noise amplification".** True of any extrapolation: an error $\delta$ in the difference enters as $w\,\delta$.
# 3. **"Sub-optimal guidance scale".** Possible, and it can be measured: the table below does.
# 4. **"Iterative error accumulation".** The sampler clips every $\hat x_0$ to [−1, 1], which keeps errors from growing
#    without bound and turns them into saturated strokes at large $w$. For `thesis`, whose pixels are in [0, 1], that is
#    twice its range.
#
# *Are* they noisier? Measured on a hundred pairs of digits from the same seeds. One estimate takes everything that is no
# slope for noise, and so counts the edges of strokes, too; the other looks at windows of background:

# %%
export_table(mnist.noise_table(), SIZE)

# %% [markdown]
# The estimate says yes, twice. But the background of `thesis` gains no noise that could be detected: its strokes
# grow bolder. That of `improved` does gain some, about one grey level of 256.
#
# `improved` changes several things at once, so these pictures alone cannot say which one helps. To isolate the first
# reason, train the thesis's variant with that one line mended, `dataclasses.replace(thesis, caption_dropout=0.1)`.
#
# The table counts how often a classifier of real digits reads the digit that was asked for, and measures with the same
# classifier's features how far the images are, as a set, from real digits (smaller is better; notebook 02 says what
# that distance is worth). It was measured by `t2i evaluate mnist` and is read from the checkpoints' folders. The last
# row is what real digits score.
#
# > **Read the `thesis` columns from top to bottom.** Guidance *helps* it, although it pushes away from an ∅ that was never
# > trained. Is that a contradiction of reason 1?
#
# No: the difference $\epsilon_c-\epsilon_\varnothing$ still points from "some input" to "this caption", so a larger $w$
# makes the caption count for more, and much of the wrong brightness is common to both and stays. What the untrained ∅
# costs is seen beside `improved`, which needs only $w=2$ to be right nearly always. Mind the intervals, too: with as few
# images as stand under the table, distances are rough, and far ones are roughest.

# %%
from t2i_helpers.reporting.evaluations import load_or_evaluate

evaluations = {variant: load_or_evaluate(pipe) for variant, pipe in pipes.items()}
for variant, found in evaluations.items():                                # all that was measured, for the report
    export_table(metrics_table(f"mnist_{variant}_metrics", variant, found), SIZE)
export_table(guidance_table("mnist_guidance", evaluations), SIZE)

# %% [markdown]
# And this is what `improved` draws at $w=2$, three times each, the picture on the project's front page:

# %%
export(mnist.hero(pipes, steps), SIZE)

# %% [markdown]
# ## 1.12 Play
#
# In a live notebook the sliders draw a new digit (on the web and in print they stand still).
# Find a $w$ that breaks a digit, then a seed at which $w=1$ is wrong and $w=2$ is right.

# %%
from t2i_helpers.reporting.explore import guidance_explorer

guidance_explorer(pipes["improved"], steps)

# %% [markdown]
# ## 1.13 Exercises
#
# **1. Fewer steps.** DDPM adds fresh noise at every step and needs many of them. Draw the ten digits in 10 steps with
# `scheduler="ddpm"` and with `scheduler="dpm++"`, a second-order solver of the same problem. Which is sharper, and why
# does the number of network calls not differ?
#
# <details><summary>Solution</summary>
#
# ```python
# from t2i_helpers.reporting.drawing import image_grid, new_figure
#
# for scheduler in ("ddpm", "dpm++"):
#     drawn = pipes["improved"](captions(improved), w=2.0, steps=10, scheduler=scheduler)
#     figure, axes = new_figure(1, 1, 1.0)
#     image_grid(axes[0, 0], drawn.images[None], title=f"{scheduler}, {drawn.forward_passes} network calls an image")
#     display(figure)
# ```
#
# Both call the network twice a step, once for
# the caption and once for ∅. DPM-Solver++ reuses its previous $\hat x_0$ to estimate how it bends, which costs no call.
# </details>
#
# **2. Away from the caption.** What does $w=-1$ draw for "A handwritten digit 1"? Predict it from the formula first.
#
# <details><summary>Solution</summary>
#
# ```python
# drawn = pipes["improved"](["A handwritten digit 1"] * 10, w=-1.0, steps=steps)
# figure, axes = new_figure(1, 1, 1.0)
# image_grid(axes[0, 0], drawn.images[None], title="w = -1: everything but a one")
# display(figure)
# ```
#
# $\tilde\epsilon = 2\epsilon_\varnothing - \epsilon_c$: the digits in general, pushed *away* from ones. A negative prompt
# pushes away too, but by taking ∅'s place in the formula.
# </details>
#
# **3. Between two captions.** The U-Net takes any vectors, not only those of captions. Mix the embeddings of 3 and 8 in
# five proportions and sample from one noise image. Is there a digit between digits?
#
# <details><summary>Solution</summary>
#
# ```python
# from t2i_helpers.data import to_unit
# from t2i_helpers.diffusion import make_guider, sample
#
# pipe = pipes["improved"]
# (three, eight), null = pipe.embed(["A handwritten digit 3", "A handwritten digit 8"])
# mixed = torch.stack([torch.lerp(three, eight, share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)])
# solver = make_scheduler(improved, "dpm++")
# drawn = sample(pipe.unet, solver, make_guider("cfg", w=2.0), mixed, null, seeds=[1] * 5, steps=steps)
# figure, axes = new_figure(1, 1, 1.4)
# image_grid(axes[0, 0], to_unit(drawn.images[None], improved.pixel_range), title="from 3 to 8")
# display(figure)
# ```
#
# Mostly no: the network was trained on eleven points of the embedding space, and in between it snaps to one of them or
# draws a stroke that could be either.
# </details>

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
# A neural network that was only trained to *remove noise* can draw a digit from its caption. This notebook builds such
# a model step by step on MNIST (section 3.2 of the thesis). It then examines the thesis's own result: guidance pushed
# its model away from a caption that the model was never trained on. We keep that version under the name `thesis` and
# show an `improved` version beside it in every picture.
#
# **You need** some experience with training neural networks. **You will learn** the formulas of noising and denoising,
# how a caption enters a U-Net, what one training step does, and the benefits and costs of the guidance scale $w$.
#
# **Time:** 60 minutes to read, 3 minutes to run at `demo` on two cores.
#
# In the report: [the chapter on the digits](../report/main.pdf#nameddest=sec:mnist), and
# [the reproduced and corrected results](../report/main.pdf#nameddest=sec:reproduced).
#
# | size | for | what it runs |
# |---|---|---|
# | `demo` (default) | a laptop | a short live training; pictures from the checkpoints of this repository |
# | `full` | a big GPU, with the Hugging Face hub | both trainings of 20 epochs with CLIP, pictures from those |
# | `smoke` | CI | all cells in seconds; the results have no meaning |
#
# Set the environment variable `T2I_SIZE` before you start Jupyter to choose a size.

# %%
import os

import torch

from t2i_helpers import presets
from t2i_helpers.reporting import mnist
from t2i_helpers.reporting.exhibits import export

SIZE = os.environ.get("T2I_SIZE", "demo")
thesis, improved = (presets.get("mnist", variant, SIZE) for variant in ("thesis", "improved"))
for field, value in vars(thesis).items():
    if value != getattr(improved, field):
        print(f"{field:18} thesis {value!s:14} improved {getattr(improved, field)}")

# %% [markdown]
# | what `improved` changes | why |
# |---|---|
# | `pixel_range` [−1, 1] | the schedule and the sampler's clipping assume this range; in [0, 1] a digit has half the contrast against the noise |
# | `prediction` v | stays accurate at high noise levels (1.5) |
# | `caption_dropout` 10 % | trains the empty caption ∅, which guidance subtracts (1.8) |
# | `ema_decay` | samples from an average of the weights of the last few hundred steps, which is less noisy than any of them |
# | `gradient_clip`, `warmup_steps` | limit the effect of a single batch, above all of the first ones |
# | `timestep_spacing` trailing | sampling starts at $t=999$, where the image is pure noise in training, not at 950 or 980 |
# | `bf16` | faster on processors that support it; no effect on others |

# %% [markdown]
# ## 1.1 The data
#
# Images stay `uint8` in memory; only the training step converts a batch to floats. The printed line names the source of
# the digits. At `demo` size they are 5,000 real MNIST digits from a Python package (500 of them held out for testing), at
# `full` all 60,000 from the hub.

# %%
from t2i_helpers.data import captions, load_images

dataset = load_images(thesis)
print(dataset.images.shape, dataset.images.dtype, "e.g.", repr(dataset.captions[dataset.labels[0]]))
export(mnist.dataset_samples(dataset, thesis), SIZE)

# %% [markdown]
# ## 1.2 Forward: adding noise
#
# One equation takes an image $x_0$ to any noise level $t$ in a single step:
#
# $$x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\;\epsilon,\qquad \epsilon\sim\mathcal N(0, I),\qquad t = 0,\dots,999$$
#
# $\bar\alpha_t$ is the remaining share of the signal's variance. The curves below show the two square roots; their
# squares always sum to one.
#
# > **Before you run the cell:** at which $t$ would *you* no longer recognise the digit? Where do the two curves cross?

# %%
export(mnist.forward_noising(dataset, improved), SIZE)

# %% [markdown]
# They cross just before $t=500$. After this point the image contains more noise than digit.
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
# words (in the thesis author's code this happened to the WikiArt captions). Our encoder raises an error instead:

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
# The network receives the noisy image, the timestep and the caption's tokens, and predicts the **noise** (or an
# equivalent quantity, see 1.5). It halves the image three times and doubles it again. In the five blocks with `CrossAttn`
# in their name, every pixel attends to the caption's tokens. The thesis states 3,140,385 parameters in its text and
# "~25M" in its Table 4. Let us count them.
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
# The next cell is a complete training step. The package's loop adds warm-up, clipping, averaging, checkpoints and GPUs.
# Its loss and gradient are the same, and a test compares them.
#
# The thesis predicts the noise $\epsilon$. At high noise levels this is easy but not useful: the predicted clean image is
# the small remainder divided by $\sqrt{\bar\alpha_t}$, which multiplies every error by 34 at $t=980$. The brightness of the
# whole picture suffers first. `improved` predicts
# $v = \sqrt{\bar\alpha_t}\,\epsilon - \sqrt{1-\bar\alpha_t}\,x_0$ (Salimans & Ho 2022) instead. This is the noise at low
# noise levels and the (negative) image at high ones, so no error is divided by a small number.
#
# > **Question:** `caption_dropout` replaces some captions by ∅. The thesis sets it to 0 for MNIST. What does the
# > network know about ∅ when sampling subtracts it?

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
# A network that always predicts 0 has a loss near 1, and this network falls far below it within seconds. It has then
# learnt to separate noise from the black background. It learns the shapes of the digits during the long flat part of the
# curve.
#
# At `full` size the next cell trains both variants (if you interrupt it, run it again to resume). At the other sizes it
# loads the checkpoints of this repository.

# %%
from t2i_helpers.reporting.checkpoints import load_or_evaluate, pipelines

pipes = pipelines("mnist", SIZE)
export(mnist.loss_curves(pipes), SIZE)

# %% [markdown]
# The heights of the curves are not comparable, because the variants predict different quantities and use different pixel
# ranges. Both curves drop steeply and then level off, as does Figure 6 of the thesis.
#
# ## 1.6 Backward: from noise to a digit
#
# The sampler starts from pure noise. At every step the network's prediction gives an estimate of the clean image,
#
# $$\hat x_0 = \frac{x_t - \sqrt{1-\bar\alpha_t}\,\epsilon_\theta}{\sqrt{\bar\alpha_t}}
# \quad\text{or}\quad \hat x_0 = \sqrt{\bar\alpha_t}\,x_t - \sqrt{1-\bar\alpha_t}\,v_\theta,$$
#
# and the scheduler takes a small step towards it. The figure shows $x_t$ above $\hat x_0$. The pixels of `thesis` are in
# [0, 1], so half of its noise is darker than black and invisible.
#
# DDPM also adds a little noise after every step except the last, so both the start and the path are random. With few
# steps the "leading" timesteps of the thesis start late: at $t=950$ for 20 steps, and at 980 for the thesis's 50.
#
# > **Look:** at which step can you read the digit in $\hat x_0$? Does it change after that?

# %%
steps = improved.sample_steps
export(mnist.denoising(pipes, steps), SIZE)

# %% [markdown]
# ## 1.7 Without guidance
#
# At $w=1$ the network only uses the prediction with the caption:
#
# > **Count:** how many of these would you read as the digit above them?
#
# Note that at `demo` and `smoke` size both checkpoints saw 96,000 digits (one and a half epochs on one or two CPU cores),
# whereas the thesis trained for twenty epochs. The empty and grey squares come from an $\epsilon$-prediction that has not
# yet learnt the brightness (1.5); the 50 steps of the thesis do not fix them. Use the `full` run to compare with the
# figures of the thesis. This run compares both recipes after the same short training.

# %%
export(mnist.unguided_digits(pipes, steps), SIZE)

# %% [markdown]
# ## 1.8 With guidance
#
# Evaluate the network twice, once with the caption and once with ∅, and amplify the difference:
#
# $$\tilde\epsilon = \epsilon_\varnothing + w\,(\epsilon_c - \epsilon_\varnothing)$$
#
# (the same rule on $v$ gives the same result, because $\epsilon=\sqrt{\bar\alpha_t}\,v+\sqrt{1-\bar\alpha_t}\,x_t$).
# $w=0$ ignores the caption, $w=1$ is the picture above, and $w>1$ extrapolates. (Papers often write
# $(1+w')\,\epsilon_c - w'\,\epsilon_\varnothing$; then $w = 1 + w'$.) Each image starts from the same noise as above, so
# guidance causes every difference.

# %%
export(mnist.guided_digits(pipes, steps), SIZE)

# %% [markdown]
# ## 1.9 The empty caption
#
# Figure 5 of the thesis uses the caption ∅ with $w=5$. But then $\epsilon_c=\epsilon_\varnothing$, so the difference is
# zero and $w$ has no effect. The figure shows what each model draws for ∅. `improved` saw ∅ in a tenth of its training
# steps. It draws various digits and some strokes that are not digits, because no caption selects one digit. `thesis`
# never saw ∅ in training. (Its grey and black squares have another cause: the brightness of 1.7.)

# %%
export(mnist.empty_prompts(pipes, steps), SIZE)

# %% [markdown]
# ## 1.10 The sweep
#
# Rows show digits and columns show $w$; each row starts from one noise image (Figure 7 of the thesis).
#
# > **Before you look at the columns 10 and 20:** what should happen to a stroke when a difference is amplified tenfold?

# %%
export(mnist.guidance_sweep(pipes, steps), SIZE)

# %% [markdown]
# ## 1.11 The thesis's observation and its causes
#
# Section 3.2.7 of the thesis finds that guided digits look *slightly noisier*, and suggests four causes:
#
# 1. **"Training-inference mismatch".** Without caption dropout $\epsilon_\varnothing$ was never trained. The network
#    extrapolates it, and guidance pushes away from this extrapolation.
# 2. **"Noise amplification".** This holds for any extrapolation: an error $\delta$ in the difference enters as $w\,\delta$.
# 3. **"Sub-optimal guidance scale".** This is possible, and the second table below measures it.
# 4. **"Iterative error accumulation".** The sampler clips every $\hat x_0$ to [−1, 1]. This bounds the errors and turns
#    them into saturated strokes at large $w$. For `thesis`, whose pixels are in [0, 1], the interval is twice its range.
#
# *Are* they noisier? We measured a hundred pairs of digits from the same seeds. The first estimate counts everything that
# is not a slope as noise, including the edges of strokes. The second one uses windows of background:

# %%
from t2i_helpers.reporting.tables import guidance_table, metrics_table

export(mnist.noise_table(SIZE), SIZE)

# %% [markdown]
# By the first estimate guided digits are noisier for both variants. But the background of `thesis` shows no detectable
# increase; its strokes become bolder. The background of `improved` does get noisier, by about one grey level of 256.
#
# `improved` changes several settings at once, so these pictures cannot attribute the improvement to one of them. To
# isolate the first cause, train `thesis` with this one setting fixed: `dataclasses.replace(thesis, caption_dropout=0.1)`.
#
# The next table shows the accuracy of a classifier of real digits, and a distance between the drawn and the real digits
# in the classifier's features (smaller is better; notebook 02 explains how much to trust it). `t2i evaluate mnist`
# measured it, and the cell reads the results from the checkpoint folders. The last row is for real digits.
#
# > **Read the `thesis` columns from top to bottom.** Guidance *helps*, although it pushes away from an ∅ that was never
# > trained. Does this contradict cause 1?
#
# No. The difference $\epsilon_c-\epsilon_\varnothing$ still points from some other input to this caption, so a larger $w$
# strengthens the caption, and much of the wrong brightness is common to both predictions and cancels. The cost of the
# untrained ∅ shows beside `improved`, which only needs $w=2$ to be right nearly always. Note the intervals: with this
# number of images (see the line under the table) the distances are rough, and large ones are roughest.

# %%
evaluations = {variant: load_or_evaluate(pipe) for variant, pipe in pipes.items()}
for variant, evaluation in evaluations.items():                                # all metrics, for the report
    export(metrics_table(f"mnist_{variant}_metrics", variant, evaluation), SIZE)
export(guidance_table("mnist_guidance", evaluations), SIZE)

# %% [markdown]
# These are three samples of `improved` for each digit at $w=2$, as on the project's front page:

# %%
export(mnist.hero({"improved": pipes["improved"]}, steps), SIZE)

# %% [markdown]
# ## 1.12 Play
#
# In a live notebook the sliders draw a new digit (a static view shows none). Find a $w$ that breaks a digit, then a seed
# at which $w=1$ is wrong and $w=2$ is right.

# %%
mnist.guidance_explorer(pipes["improved"], steps)

# %% [markdown]
# ## 1.13 Exercises
#
# **1. Fewer steps.** DDPM adds fresh noise at every step and needs many of them. Draw the ten digits in 10 steps with
# `scheduler="ddpm"` and with `scheduler="dpm++"`, a second-order solver of the same problem. Which is sharper, and why
# is the number of network calls the same?
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
# Both call the network twice per step, once for the caption and once for ∅. DPM-Solver++ reuses its previous $\hat x_0$
# to estimate the curvature of the path, which costs no extra call.
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
# $\tilde\epsilon = 2\epsilon_\varnothing - \epsilon_c$ draws digits in general, pushed *away* from ones. A negative prompt
# also pushes away, but it replaces ∅ in the formula.
# </details>
#
# **3. Between two captions.** The U-Net accepts any vectors, not only embeddings of captions. Mix the embeddings of 3 and
# 8 in five proportions and sample from one noise image. Is there a digit between two digits?
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
# Mostly not. The network was trained on eleven points of the embedding space. Between them it draws one of the trained
# digits or a stroke that could be either.
# </details>

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
# # 6 · Latent diffusion: inside Stable Diffusion
#
# <!-- [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPO/blob/main/notebooks/06_latent_diffusion.ipynb) [![Open in Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/OWNER/REPO/main?labpath=notebooks/06_latent_diffusion.ipynb) -->
#
# Stable Diffusion (Rombach et al. 2022) is four parts: a text encoder, a U-Net, a scheduler and an autoencoder. Our model of
# paintings has the same four, a hundred times smaller, so that every part and every setting can be tried on a laptop. This
# notebook follows the second part of a course report (González Muela & Koutsoftas, *Text-to-Image Generation using CLIP
# and Diffusion Models*, SSY340; below: **the report**) and a lecture (Murrugarra-Llerena, *Conditional Generative Models*,
# CS 2770). The report tries settings of Stable Diffusion 1.4 and judges single images by eye. We repeat its experiments
# with counts and intervals.
#
# **Goals.** After this notebook you can
#
# 1. write the loop that turns a prompt into an image, from the four parts;
# 2. say what each setting does: steps, seed, guidance scale, length of the noise schedule;
# 3. steer a latent model with a text that it was not trained on, and test whether that worked.
#
# **You need** notebooks 1 and 3 (guidance; the autoencoder). No GPU.
#
# **Time:** 45 minutes to read and try; 3 minutes to run on two CPU cores. On an A100: not measured.
#
# In the report of this project: [the chapter on latent diffusion](../report/main.pdf#nameddest=sec:latent). A
# [glossary](README.md#symbols) lists the symbols; sizes are at the end (6.11).

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
from t2i_helpers.errors import BadValue, SourceUnavailable
from t2i_helpers.models import load_text_encoder
from t2i_helpers.models.stable_diffusion import load_stable_diffusion
from t2i_helpers.randomness import generator
from t2i_helpers.reporting import checkpoints, explorers, latent
from t2i_helpers.reporting.exercises import check
from t2i_helpers.reporting.exhibits import shower

SIZE = os.environ.get("T2I_SIZE", "demo")
show = shower(SIZE)                             # displays a figure and writes its file
improved = presets.get("wikiart", "improved", SIZE)
paintings = checkpoints.pipeline("wikiart", "improved", SIZE)

pipe, w, few, steps, tries = paintings, 4.0, improved.sample_steps, 20, range(6)
encoder = load_text_encoder(improved.text_encoder)
prompts = ["A landscape in the style of Impressionism", "A portrait in the style of Baroque",
           "A landscape in the style of Ukiyo e"]
if SIZE == "smoke":
    prompts, steps, tries = prompts[:1], 4, range(2)
novel = ["A landscape in the style of Cubism", "A cat on the moon in the style of Baroque"]

if SIZE == "full":                              # the same cells with Stable Diffusion 1.4, where it can be loaded
    try:
        pipe = load_stable_diffusion()
        encoder, w, few, steps = pipe.encoder, 7.5, 50, 50
        prompts = ["A beautiful sunset above sea and mountains", "A beautiful picture of a sport car in Tokyo",
                   "a cat on the moon"]
        novel = ["A spaceship docking at a crystal space station orbiting a giant blue planet.",
                 "A dancer made of smoke and light, performing on a stage of shattered glass.",
                 "Cleopatra exploring an ancient library filled with glowing hieroglyphs.",
                 "A floating library in the sky soaring through the clouds."]
    except SourceUnavailable as error:
        print(f"{error}; the pictures below are by the model of paintings")
seeds = list(range(len(prompts)))

# %% [markdown]
# ## 6.1 The four parts
#
# This is the whole of Stable Diffusion. The prompt becomes vectors $c$. Noise $z_T$ in the latent space becomes a latent
# $z_0$: at each step the U-Net predicts the noise with $c$ and without it, guidance combines both predictions, and the
# scheduler moves $z$ one step. The decoder of the autoencoder turns $z_0$ into pixels.

# %% tags=["teaching-parts"]
@torch.no_grad()
def draw(prompt, tokenizer, text_encoder, unet, scheduler, decode, w, steps, z, length):
    """An image of `prompt`, [1, 3, 8 h, 8 w] in [0, 1], from noise `z` [1, 4, h, w]."""
    tokens = tokenizer([prompt, ""], padding="max_length", max_length=length, return_tensors="pt")
    if text_encoder.config.model_type == "clip_text_model":
        del tokens["attention_mask"]                                        # Stable Diffusion uses none
    c = text_encoder(**tokens).last_hidden_state.to(z)                      # [2, length, dim]: the prompt, and nothing
    scheduler.set_timesteps(steps)
    z = z * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        z_t = scheduler.scale_model_input(torch.cat([z, z]), t)
        with_prompt, without = unet(z_t, t, c).sample.chunk(2)
        z = scheduler.step(without + w * (with_prompt - without), t, z).prev_sample
    return decode(z)


# %%
scheduler, length = pipe.make_scheduler("ddim"), pipe.preset.max_length
noise = [torch.randn(1, *pipe.preset.unet_shape, generator=generator("sample", seed)).to(pipe.device) for seed in seeds]
drawn = torch.cat([draw(prompt, encoder.tokenizer, encoder.model, pipe.unet, scheduler, pipe.decode, w, steps, z, length)
                   for prompt, z in zip(prompts, noise)])
called = pipe(prompts, w=w, steps=steps, scheduler="ddim", seeds=seeds).images
print(f"largest difference of a pixel: {(drawn - called).abs().max():.1e}")
show(latent.columns("parts", prompts, {"the cell above": lambda: drawn, "the pipeline": lambda: pipe(
    prompts, w=w, steps=steps, scheduler="ddim", seeds=seeds).images}, f"w = {w:g}"))

# %% [markdown]
# The pipeline of this project runs the same loop, for many images at once and with any scheduler and guidance rule.
# (It also bounds the estimate of $z_0$ at four standard deviations, which matters at large $w$.)
#
# ## 6.2 From words to vectors
#
# > **Question:** which of the numbers that the U-Net receives depend on the word order of the prompt?

# %%
tokens = encoder.tokens(prompts[0], length)
c, null = pipe.embed(prompts[:1])
print(*tokens)
print(f"{len(tokens)} tokens, padding included; the U-Net receives {tuple(c.shape[1:])} numbers for a prompt")

# %% [markdown]
# All of them: each token's vector depends on all tokens that the encoder lets it see. Stable Diffusion 1.4 pads to 77 tokens
# with 768 numbers each, and has cross-attention at three resolutions, so that every latent pixel asks the tokens what
# concerns it (notebook 4 shows these maps).
#
# ## 6.3 From pixels to latents
#
# The report says that Stable Diffusion's autoencoder compresses 48 times. With a factor $f$ between the sides of image and
# latent, and $k$ channels, a latent has $3 f^2/k$ times fewer numbers than its image:

# %%
def compression(f, k):
    return 3 * f**2 / k


for name, (pixels, latents) in {"Stable Diffusion": (512, 64), "ours": (128, 16)}.items():
    print(f"{name}: {3 * pixels**2:,} numbers to {4 * latents**2:,}, factor {compression(pixels // latents, 4):.0f}")

# %% [markdown]
# 48 is right, and ours has the same factor. It counts numbers, not bytes: pixels take one byte each, latents at least two.
#
# **Exercise 6.1.** Rombach et al. compare autoencoders. Their "LDM-4" has $f = 4$ and $k = 3$. What is its factor?

# %%
factor = None
check("6.1", factor)

# %% [markdown]
# The report draws an image, encodes it, shows the four channels, and decodes them again:

# %%
z = pipe.encode(called)
channels = {f"channel {i + 1}": (lambda channel=channel: channel) for i, channel in enumerate(latent.as_grey(z))}
show(latent.columns("channels", prompts, {"drawn": lambda: called, **channels, "decoded": lambda: pipe.decode(z)}))

# %% [markdown]
# > **Question:** the report finds that the decoded image "closely matches" the drawn one. Is an image that a decoder has
# > drawn a fair test of an autoencoder?
#
# No: the decoder can draw it, so details that no latent can express are not in it. Held-out photographs or paintings are a
# fair test. The next cell prints what is left of real paintings after the round trip: the error, how often a linear
# probe still finds the style, and the kernel distance from other real paintings.

# %%
measured = checkpoints.measured(paintings, "latent")


def shown(metric, scale=1):
    low, high = metric["interval"]
    return f"{scale * metric['value']:.3g} [{scale * low:.3g}, {scale * high:.3g}]"


trip = measured["reconstruction"]
print(f"n = {trip['n']}, PSNR {shown(trip['psnr_db'])} dB")
print(f"style {shown(trip['accuracy'], 100)} %, before {shown(trip['accuracy']['real'], 100)} %")
print(f"kernel distance {shown(trip['kernel'])}, before {shown(trip['kernel']['real'])}")

# %% [markdown]
# A latent model cannot draw better than its decoder: this distance is a floor for all that follows.
#
# > **Try:** move `step`. When is the layout decided, and when the details? Do the channels look like brightness and colour?

# %% alt="One step of a sampling of latents: the noisy latent and the estimate of the clean one, both decoded, and the four channels of the estimate"
explorers.latent_explorer(pipe, few, prompts)

# %% [markdown]
# ## 6.4 The same noise, in latents and in pixels
#
# > **Predict:** Gaussian noise of half the standard deviation of the signal, $\sigma = 0.5$, is added to pixels, and to
# > latents. Which image can you still recognise?

# %%
from t2i_helpers.evaluation.latent import SETTINGS, add_noise

noisy = {"none": lambda: called}
for sigma in SETTINGS["noise"][:3]:
    noisy[f"latents\nσ = {sigma:g}"] = lambda sigma=sigma: pipe.decode(add_noise(z, sigma))
    noisy[f"pixels\nσ = {sigma:g}"] = lambda sigma=sigma: add_noise(called, sigma).clamp(0, 1)
show(latent.columns("same_noise", prompts, noisy))

# %% [markdown]
# And counted on real paintings: the error of the pixels, and the kernel distance from paintings without noise.

# %%
for row in measured["noise"]:
    print(f"σ = {row['sigma']:<4g}", *(f"{space}: PSNR {shown(row[space]['psnr_db'])} dB, kernel distance "
                                       f"{shown(row[space]['kernel'])};" for space in ("latents", "pixels")))

# %% [markdown]
# Noise in pixels is grain, which our eyes average away. Noise in latents is decoded to other strokes and colours, and takes
# the images further from paintings. So a latent model must remove noise more exactly than a model of pixels.
#
# ## 6.5 The scheduler: steps, and the length of the schedule
#
# The report uses `LMSDiscreteScheduler` and "variations in timesteps, ranging from 50 to 1500". It finds beige and grey
# patches at 50, a first blurry image at 700, the best one at 1,000, and distorted ones at 1,500. But Stable Diffusion
# commonly draws good images in 50 steps. Two settings are called timesteps:
#
# * `set_timesteps(n)`: the number of **steps** at which the U-Net is called, here 50 of the 1,000 of training. A solver
#   follows the same path from noise to image with larger or smaller steps.
# * `num_train_timesteps=T`: how long the **schedule** is. The network was trained with $T = 1000$: it takes $t = 700$ to
#   mean a certain amount of noise.

# %%
show(latent.sigmas(improved))

# %% [markdown]
# Left: LMS follows one curve, whatever the number of steps. Right: with Stable Diffusion's betas a schedule of 50 timesteps
# ends at a $\sigma$ far below that of training. Sampling would start from noise that the network takes for a nearly
# finished image. With 1,500 it starts from more noise than the network has ever seen.
#
# > **Predict:** what do 5 steps give, and 100? And a schedule of 50 timesteps, or 1,500?

# %%
counts = (2, few) if SIZE == "smoke" else (5, 10, few, 50, 100)
show(latent.columns("steps", prompts, {f"{n} steps": lambda n=n: pipe(
    prompts, w=w, steps=n, scheduler=pipe.preset.scheduler, seeds=seeds).images for n in sorted({*counts})},
    f"w = {w:g}"))

# %%
from t2i_helpers.evaluation.latent import with_schedule

show(latent.columns("schedule", prompts, {f"T = {count}": lambda count=count: with_schedule(pipe, count)(
    prompts, w=w, steps=few, scheduler=pipe.preset.scheduler, seeds=seeds).images for count in SETTINGS["schedule"]},
    f"w = {w:g}"))

# %% [markdown]
# The first two columns of the next figure count this. The others belong to sections 6.7 and 6.8.

# %%
show(latent.curves(paintings))

# %% [markdown]
# A short schedule gives patches, as in the report, and the number of steps hardly matters beyond the first few. The report
# does not show its code. Its observations fit the length of the schedule, and not the number of steps; this is our
# reading, not a proof. (Our cosine schedule ends in pure noise for every $T$, so our model is wrong about $t$ only, and
# $T = 1500$ does not harm it. With Stable Diffusion's betas the noise itself would be too large.)
#
# > **Question:** can you ask for 1,500 steps?

# %%
try:
    pipe(prompts[:1], steps=1500)
except BadValue as refusal:
    print(refusal)

# %% [markdown]
# Training knew 1,000 noise levels, and a step needs two different ones. Diffusers' LMS accepts 1,500 and asks the network for
# $t = 0.67$, which it was never trained on.
#
# ## 6.6 Seeds
#
# "When the noise seed is fixed, the model consistently generates the same image": here bit by bit, and whatever else is
# in the batch, because each image has a generator of its own.

# %%
alone = pipe(prompts[:1], w=w, steps=few, seeds=[7]).images
beside = pipe(prompts[:1] * 3, w=w, steps=few, seeds=[7, 8, 9]).images[:1]
print(f"the same image alone and in a batch: largest difference {(alone - beside).abs().max():.1e}")

show(latent.columns("seeds", prompts, {f"seed {seed}": lambda seed=seed: pipe(
    prompts, w=w, steps=few, seeds=[seed] * len(prompts)).images for seed in tries}, f"w = {w:g}"))

# %% [markdown]
# (The rest of the difference is rounding: a processor adds in another order for another batch size.)
#
# > **Question:** how different are images of one caption? How different are real paintings of one style, and what does
# > guidance do to it?
#
# We measure diversity as the mean distance of two images of one style, in the judge's features. For images of one seed and one
# caption it is 0.

# %%
evaluation = checkpoints.measured(paintings, "evaluation")
for row in evaluation["rows"]:
    print(f"w = {row['w']:g}: {shown(row['efficientnet']['diversity'])}, n = {row['n']}")
print(f"real paintings: {shown(row['efficientnet']['diversity']['real'])}")

# %% [markdown]
# ## 6.7 Guidance from 1 to 20
#
# The report tries $w$ from 1 to 20 and finds the images "more coherent, vibrant, and aligned with the prompt" up to 16, and
# distorted at 20. It also says that a larger $w$ takes longer.
#
# > **Question:** where will the style be found most often, and where will the images be nearest to real paintings? Do the
# > intervals under the figure separate neighbouring scales?

# %%
show(latent.columns("guidance", prompts, {f"w = {scale}": lambda scale=scale: pipe(
    prompts, w=scale, steps=few, seeds=seeds).images for scale in (1, 2, 4, 7, 12, 20)[-len(tries):]}))

# %%
for row in [*evaluation["rows"], *measured["guidance"]]:
    kernel = row["kernel"] if "kernel" in row else row["efficientnet"]["kernel"]
    print(f"w = {row['w']:<4g} n = {row['n']}: style {shown(row['accuracy'], 100)} %, kernel distance {shown(kernel)}")

# %% [markdown]
# (The second column of the curves in 6.5 shows the same lines.) The accuracies at $w = 7$ to 20 overlap, so this count names no
# best scale among them; that at $w = 7$ is above that at $w = 1$. The kernel distances at $w = 7$ to 20 overlap, too. Every $w$
# other than 0 and 1 costs two passes a step, and the time does not depend on it.
#
# ## 6.8 Guidance by another text
#
# A model only knows captions like those of its training. *CLIP guidance* (Nichol et al. 2022, section 2.4) can steer it with
# any text: decode the current estimate of $z_0$, compare it with the text in a common space of images and texts, and
# move $z_t$ down the gradient of $1-\cos$. The gradient goes through the comparison, the decoder and the U-Net.

# %% tags=["teaching-text-loss"]
def text_loss(z_0, decode, embed_images, text):
    """1 - cos between the images that `z_0` [n, 4, h, w] stands for and the texts, unit vectors [n, d]."""
    small = torch.nn.functional.interpolate(decode(z_0), (32, 32), mode="area")
    return 1 - (embed_images(small) * text).sum(1)                                                         # [n]


# %% [markdown]
# Our model of images and texts stands in for CLIP. It was trained on photographs of ten objects. No caption of a painting names
# them, so the U-Net cannot have learnt to draw them on request:
#
# > **Before you look:** can the gradient of another network draw what the U-Net has never seen?

# %%
from t2i_helpers.diffusion import LossGuidance
from t2i_helpers.evaluation.latent import decoded_similarity
from t2i_helpers.models import load_image_text

texts = ["A photo of a ship", "A photo of a horse", "A photo of a truck"][:len(prompts)]
loss = decoded_similarity(pipe, load_image_text(pipe.device), texts)
show(latent.columns("strengths", [f"{prompt} + {text}" for prompt, text in zip(prompts, texts)], {
    f"s = {strength:g}": lambda strength=strength: pipe(
        prompts, w=1.0, steps=few, seeds=seeds, loss=LossGuidance(loss, strength) if strength else None).images
    for strength in SETTINGS["strengths"][-len(tries):]}, "w = 1"))

# %% [markdown]
# > **Question:** the similarity must rise with the strength, since it is what the gradient follows. Which judge would you
# > trust instead?
#
# One that the guidance does not see. A classifier of photographs, another network with other training, says how often it
# finds the object. The probes for style and the kernel distance say what this costs.

# %%
for row in measured["strengths"]:
    print(f"s = {row['strength']:<4g} n = {row['n']}: similarity {shown(row['similarity'])}, "
          f"object {shown(row['object_accuracy'], 100)} %, kernel distance {shown(row['kernel'])}")
print(f"real paintings: object {shown(row['object_accuracy']['real'], 100)} %")

# %% [markdown]
# The classifier agrees with the guidance: it finds the object far more often at $s = 0.8$ than without. From there to
# $s = 3$ both level off, and the kernel distance does not rise, so we see no best strength beyond which images break. The
# report finds 0.8 best on one prompt, and distorted images between 0.8 and 1. Strengths of different implementations
# are in different units; only the shapes can be compared.
#
# ## 6.9 BERT or CLIP?
#
# The report replaces CLIP's embeddings in Stable Diffusion by those of BERT, sees no meaningful image at any scale, and
# concludes that BERT lacks "visual understanding". But the U-Net was trained on CLIP's vectors. To see what this alone does,
# we replace our text encoder by one that says exactly the same in other coordinates: each vector is multiplied by a fixed
# rotation. All lengths, angles and distances stay the same.
#
# > **Predict:** does the model draw what the captions say?

# %%
from t2i_helpers.evaluation.latent import with_rotated_text

show(latent.columns("rotated_text", prompts, {name: lambda each=each: each(
    prompts, w=w, steps=few, seeds=seeds).images for name, each in {
        "as trained": pipe, "rotated": with_rotated_text(pipe)}.items()}, f"w = {w:g}"))

as_trained = next(row for row in measured["schedule"] if row["train_timesteps"] == pipe.preset.train_timesteps)
for name, row in {"as trained": as_trained, "rotated": measured["embedding"][0]}.items():
    print(f"{name}: n = {row['n']}, style {shown(row['accuracy'], 100)} %, genre {shown(row['genre_accuracy'], 100)} %")

# %% [markdown]
# No information is lost, yet the judge finds the style of the caption about as often as by chance, one in sixteen, and
# clearly less often than with the network's own encoder. So a failure after an exchange says nothing about the encoder.
# The fair test is to train the U-Net with each encoder. Notebook 4 did this on digits, where MiniLM, a small relative of
# BERT that never saw an image, stands beside random word vectors and one-hot vectors (CLIP's and BERT's own weights are
# on the hub only; `t2i evaluate study` adds them where they are):

# %%
from t2i_helpers.reporting.study import rows_of

for row in rows_of("encoders", SIZE, lambda row: row["cell"]["wording"] == "caption"):
    print(f"{row['cell']['checkpoint'].removeprefix('ablation-')}: n = {row['n']}, accuracy {shown(row['accuracy'], 100)} %")

# %% [markdown]
# A U-Net that is trained with it follows a text encoder without any visual training. This contradicts the report's
# explanation for captions of ten classes. It does not show that BERT is as good as CLIP for free prompts: there, an
# encoder must place new sentences near known ones, for which CLIP's training on images may well help.
#
# **Exercise 6.2.** Repair the exchange without training: write `undo(c, rotation)` so that the U-Net receives its own vectors
# again. (This is what a trained linear layer between encoder and U-Net can learn.)

# %%
undo = None
check("6.2", undo)

# %% [markdown]
# ## 6.10 New prompts
#
# The report draws scenes that nobody has painted, such as "a floating library in the sky". A model can combine what it has
# learnt separately. Ours has learnt styles and genres, and ten pairs of them were kept out of its training (notebook 3).
#
# > **Question:** which words of the prompts below the table can it not know?

# %%
from t2i_helpers.reporting.wikiart import composition_table

composition_table(paintings)

# %%
show(latent.columns("novel", novel, {f"seed {seed}": lambda seed=seed: pipe(
    novel, w=w, steps=few, seeds=[seed] * len(novel)).images for seed in tries}, f"w = {w:g}"))

# %% [markdown]
# An unseen pair of known words is one thing, unknown words are another: no painting of the training set is captioned with a cat
# or a moon, so our model can only follow the rest of the second prompt. Stable Diffusion's captions name both.
#
# ## 6.11 Sizes and solutions
#
# Set the environment variable `T2I_SIZE` before you start Jupyter to choose a size.
#
# | size | for | what it runs |
# |---|---|---|
# | `demo` (default) | a laptop | the latent model of this repository; counts that are stored beside its weights |
# | `full` | a big GPU, with the Hugging Face hub | pictures by `CompVis/stable-diffusion-v1-4`, with our sampler; counts of your own latent model of paintings |
# | `smoke` | CI | the same cells in seconds, with three steps |
#
# Solutions of the exercises are in [solutions/06_latent_diffusion.py](solutions/06_latent_diffusion.py).
#
# **References.** González Muela & Koutsoftas, course report of SSY340 · Murrugarra-Llerena, lecture of CS 2770 · Rombach et al.
# (2022), arXiv:2112.10752 · Nichol et al. (2022), arXiv:2112.10741 · Radford et al. (2021), arXiv:2103.00020.

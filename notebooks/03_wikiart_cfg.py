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
# # 3 · Paintings from text: 32 GB through a laptop, and into latent space
#
# The last experiment of the thesis is WikiArt (section 3.4): 81,444 paintings in 27 styles, at 128×128, with captions
# like "A painting in the style of Ukiyo e". The thesis describes a loader and a network, and stops before the first
# result. Its abstract says that the model "operates in latent space", but its networks see pixels.
#
# **You need** notebook 1, and notebook 2 for the metrics. **You will learn** why random access reads every file a
# thousand times, how to mix images well in bounded memory, how eight tokens make 27 captions the same, what an
# autoencoder keeps of a painting, why diffusion on its latents is so much cheaper, and how to measure whether a model
# composes or memorises.
#
# **Time:** 60 minutes to read, 5 minutes to run at `demo` on two cores.
#
# On paper: [the report's chapter on the paintings](../report/main.pdf#nameddest=sec:wikiart), and
# [what was reproduced and what corrected](../report/main.pdf#nameddest=sec:reproduced).
#
# | size | for | what it runs |
# |---|---|---|
# | `demo` (default) | a laptop | the checkpoints that ship: `thesis` on pixels of 64×64, `improved` on latents of 128×128 |
# | `full` | a big GPU, with the Hugging Face hub | trains the thesis's 348-million-parameter network, and a latent one |
# | `smoke` | CI | the same cells in seconds, on drawn shapes; it trains nothing |
#
# The paintings come from the hub or from a folder that `T2I_MIRROR` names. Without either, the models still draw, and
# cells that need real paintings show the committed figures.

# %%
import dataclasses
import os

import torch

from t2i_helpers import presets
from t2i_helpers.reporting import wikiart
from t2i_helpers.reporting.export import committed, export

SIZE = os.environ.get("T2I_SIZE", "demo")
thesis, improved = (presets.get("wikiart", variant, SIZE) for variant in ("thesis", "improved"))

# %% [markdown]
# ## 3.1 The data
#
# The first call decodes every picture once and keeps the pixels. Every 20th painting is held out: no network here
# trains on it.

# %%
from t2i_helpers.data import load_images
from t2i_helpers.errors import SourceUnavailable

try:
    dataset, held_out = load_images(improved), load_images(improved, "test")
except SourceUnavailable as error:
    print(error)
    dataset = held_out = None

export(wikiart.dataset_samples(dataset, improved), SIZE) if dataset else committed("wikiart_dataset")

# %% [markdown]
# These are five styles whose works are in the public domain. The whole of WikiArt is very unbalanced:

# %%
export(wikiart.imbalance(), SIZE)

# %% [markdown]
# > **Question:** a model that has seen 13,060 Impressionists and 98 Action paintings gets the empty caption. What will
# > it draw? And what does guidance towards "Action painting" push away from?
#
# **Exercise 1.** A batch holds 16 paintings drawn at random. How likely is it to hold no Action painting at all, and how
# many batches of an epoch hold one?
#
# <details><summary>Solution</summary>
#
# ```python
# from t2i_helpers.data.wikiart_files import PAINTINGS
#
# share = PAINTINGS[1] / sum(PAINTINGS)
# print(f"none: {(1 - share) ** 16:.1%} of the batches; at most {PAINTINGS[1]} of {sum(PAINTINGS) // 16:,} hold one")
# ```
#
# 98 %: such a style is learnt from one image in some fifty steps. Drawing rare styles more often would help them, and
# change what "unconditional" means.
# </details>
#
# ## 3.2 The loading problem
#
# A Parquet file is made for reading columns of numbers from front to back. Let us look into one:

# %%
import pyarrow.parquet as pq

from t2i_helpers.data import find_paintings
from t2i_helpers.data.wikiart_files import find_art_files

files_of = improved if dataset else dataclasses.replace(improved, data_source="procedural")     # drawn shapes instead
source = find_paintings(files_of).files
files = find_art_files(source)
if "://" not in files[0].path:
    metadata = pq.ParquetFile(files[0].path).metadata
    pictures = metadata.row_group(0).column(0)
    print(f"{len(files)} files; the first has {metadata.num_rows:,} rows in {metadata.num_row_groups} row groups; its "
          f"first group holds {pictures.total_compressed_size / 1e6:.1f} MB of pictures, encoded as "
          f"{', '.join(pictures.encodings)}")

# %% [markdown]
# The files on the hub have one row group each, and in it one *dictionary* of all pictures: reading a single row
# decompresses 430 MB. (A reduced copy may have smaller groups, as printed above.) A `DataLoader` with `shuffle=True`
# asks for single rows in random order: a batch of sixteen reads sixteen files from end to end. The thesis measured 10
# to 15 seconds.
#
# Its solution (its Figure 12): read the files one after the other, in an order shuffled every epoch, and shuffle
# *inside* each file. This reads as fast as possible. But look at where the images of a batch come from, in **traces of
# the real loaders**. Each dot is an image: its batch on the horizontal axis, its file on the vertical axis.

# %%
from t2i_helpers.data import painting_store

store = painting_store(files_of)                                                    # more on this below
shown = wikiart.loading(wikiart.read_traces(source, store), dataset or load_images(files_of), files_of)
export(shown, SIZE) if dataset else shown.figure

# %% [markdown]
# With one file at a time, a batch comes from one file. If the files are ordered, by style or by artist, the network
# unlearns in the next hundred steps what it learnt in the last.
#
# **Our stream** reads the files in the same order, once. It decodes every picture at once to the 128×128 pixels that
# training needs, 49 KB in place of 400, and keeps 20,480 of *those*, a quarter of all, in a scratch file. Batches are
# drawn from these at random. **Our store** decodes everything once into one file of 4 GB. From there any order costs
# the same, so the shuffle is perfect.
#
# `t2i bench loader` measures what this costs, on files as large as WikiArt's. The thesis's Table 3 stands beside it.
# *Style entropy* says how evenly a batch of 16 spreads over the styles: 0 bits are one style, 3.10 is what a perfect
# shuffle gives with WikiArt's imbalance:

# %%
from t2i_helpers.reporting.tables import export_table

export_table(wikiart.stored_loader_table(), SIZE)

# %% [markdown]
# > **Read across:** what does the thesis's loader save in time over random access, and what does it lose in mixing?
# > Its memory is printed as "~400 MB". What does it take?
#
# **Exercise 2.** Halve the stream's reservoir. How much mixing is lost, and how much scratch space saved? (The order
# can be had without reading a single picture.)
#
# <details><summary>Solution</summary>
#
# ```python
# from t2i_helpers.evaluation.bench import files_at_full_size, mixing, our_stream_order
#
# for reservoir in (20_480, 10_240, 5_120):
#     found = mixing(our_stream_order(files_at_full_size(), reservoir))
#     print(f"{reservoir:6,}: {found['style_entropy_bits']:.2f} bits, {reservoir * 128 * 128 * 3 / 1e6:.0f} MB")
# ```
#
# Entropy is lost slowly at first: what counts is how many of the 72 files the reservoir spans.
# </details>
#
# ## 3.3 Both solutions at work
#
# The stream is an `IterableDataset`: a `DataLoader` deals its rows to as many workers as there are, and every row comes
# exactly once. An epoch that was stopped goes on with the rows not yet seen:

# %%
from itertools import islice

from torch.utils.data import DataLoader

from t2i_helpers.data import WikiArtStream

stream = WikiArtStream(source, size=32, seed=0, epoch=0)
seen = []
for images, styles, row_ids in islice(DataLoader(stream, batch_size=16, num_workers=2), 5):
    stream.mark_seen(row_ids)
    seen += row_ids.tolist()

later = WikiArtStream(source, size=32, seed=0)
later.load_state_dict(stream.state_dict())
rest = [row_id for _, _, row_id in later]
print(f"{len(seen)} rows, then {len(rest)} rows: {len(set(seen + rest))} different ones")

# %% [markdown]
# With the store, an order is a function of (seed, epoch), so to resume is to count. No picture is decoded any more:

# %%
import time

from t2i_helpers.data import from_uint8

began = time.perf_counter()
batches = [from_uint8(images, (-1, 1)) for images, styles, row_ids in store.batches(16, seed=0, epoch=3, start=2)]
print(f"{len(batches)} batches, {1000 * (time.perf_counter() - began) / len(batches):.2f} ms each")

# %% [markdown]
# **Exercise 3.** Two GPUs train together. Give each its share of an epoch with `rank` and `world_size`, and check that
# the shares are equally large and disjoint. With how many GPUs are rows left out?
#
# <details><summary>Solution</summary>
#
# ```python
# for world_size in (2, 5, 7):
#     shares = [[row for *_, rows in store.batches(16, rank=rank, world_size=world_size) for row in rows.tolist()]
#               for rank in range(world_size)]
#     print(world_size, [len(share) for share in shares], "left out:", len(store) - len(set(sum(shares, []))))
# ```
#
# Processes that train together wait for each other at every step, so they must have equally many. Where the rows do not divide by their number, as by 7, what is left
# after the division waits for another epoch, in which others are left out.
# </details>
#
# ## 3.4 Eight tokens
#
# The thesis's text pads captions to 77 tokens; the code it was run with cuts them at **eight**. Count along:
# "a painting in the style of ⟨style⟩". The first token marks the beginning, the last the end.

# %%
from t2i_helpers.data import captions
from t2i_helpers.errors import PromptTooLong
from t2i_helpers.models import load_text_encoder

encoder = load_text_encoder(improved.text_encoder)
cut = [tuple(encoder.tokenizer(caption, max_length=8, truncation=True).input_ids) for caption in captions(improved)]
print(f"{len(captions(improved))} captions, {len(set(cut))} token sequence: {encoder.tokenizer.decode(cut[0])!r}")

try:
    encoder.encode(captions(improved), max_length=8)
except PromptTooLong as refusal:
    print("our encoder:", refusal)

# %% [markdown]
# (With CLIP's own tokenizer it is the same: one sequence for all 27.) A network trained like that is told the same for every
# painting. It learns to draw *a* painting; guidance has nothing to amplify. Nothing crashes, the loss falls, and the
# pictures look like art, which is what makes this fault so instructive.
#
# **Exercise 4.** How many tokens do the 27 captions really need? What is the shortest caption that would still have told
# the styles apart in eight?
#
# <details><summary>Solution</summary>
#
# ```python
# print(max(len(encoder.tokenizer(caption).input_ids) for caption in captions(improved)))
# names = [caption.removeprefix("A painting in the style of ") for caption in captions(improved)]
# print(max(len(encoder.tokenizer(name).input_ids) for name in names))
# ```
#
# The style alone fits. The words before it are the same in all captions and carry nothing.
# </details>
#
# ## 3.5 The U-Net, counted
#
# > **Before you run the cell:** the thesis says "~150 million" parameters, with (128, 256, 512, 512, 1024) channels and
# > attention at three of five levels. After notebook 2, what is your guess?

# %%
from t2i_helpers.models import build_unet

configured = {"thesis, full": presets.get("wikiart", "thesis", "full"), "thesis, demo": presets.get("wikiart", "thesis"),
              "improved, demo": presets.get("wikiart", "improved")}
for name, preset in configured.items():
    with torch.device("meta"):
        unet = build_unet(preset, text_dim=512)
    channels, height, width = preset.unet_shape
    print(f"{name:15} {sum(p.numel() for p in unet.parameters()):>12,} parameters, sees {channels}×{height}×{width}")

# %% [markdown]
# A forward pass of the thesis's network costs 514 GFLOP per image; training costs three times that. An A100 needs days
# for its 100 epochs, and a laptop needs years. At `demo` size, `thesis` therefore learns 64×64 pixels with a small network.
#
# ## 3.6 From pixels to latents
#
# Most of these numbers are spent on detail that any painting has: brush texture, canvas, grain. *Latent diffusion*
# (Rombach et al. 2022, the idea behind Stable Diffusion) gives this detail to an **autoencoder** that is trained once,
# and lets the diffusion model decide only what is painted where. The encoder maps 3×128×128 numbers to 4×16×16:

# %%
from t2i_helpers.models import load_autoencoder

autoencoder = load_autoencoder("own")
print(f"{sum(p.numel() for p in autoencoder.network.parameters()):,} parameters, "
      f"{3 * 128 * 128:,} numbers to {4 * 16 * 16:,}: {3 * 128 * 128 // (4 * 16 * 16)} times fewer")

# %% [markdown]
# It is trained from scratch on random 64×64 crops of the training paintings (`python -m
# t2i_helpers.training.autoencoder`). It is convolutional, so it then works at any size. Its loss has three parts, and
# this is all of it:

# %%
import inspect

from t2i_helpers.training.autoencoder import autoencoder_loss

print(inspect.getsource(autoencoder_loss))

# %% [markdown]
# * the **mean absolute error** keeps colours and shapes, but is content with blur;
# * the **perceptual term** compares feature maps of a network trained on ImageNet (EfficientNet-Lite1), which notice
#   missing texture;
# * **noise on bounded latents** makes near latents mean similar images. Without it the encoder could hide anything in
#   the last decimals, and a diffusion model, whose latents are never exact, would decode to artefacts.
#
# Look at what it keeps. The four channels are images themselves, of 16×16 pixels. TAESD, a tiny autoencoder for Stable
# Diffusion's own latents, stands beside ours where the hub or a mirror has it:

# %%
from t2i_helpers.models import load_pipeline
from t2i_helpers.paths import RUNS
from t2i_helpers.training import train

if SIZE == "full":
    pipes = {p.variant: load_pipeline(train(p, RUNS / f"wikiart-{p.variant}-full").folder) for p in (thesis, improved)}
else:
    pipes = {p.variant: load_pipeline("wikiart", p.variant) for p in (thesis, improved)}
latent, steps = pipes["improved"], improved.sample_steps

if dataset:
    examples = wikiart.examples(held_out)
    shown = export(wikiart.latent_space(examples, wikiart.autoencoders(latent), held_out.source), SIZE)
else:
    shown = committed("latent_space")
shown

# %% [markdown]
# > **Look closely:** which details are gone? Faces and fine lines suffer most: one latent pixel describes 8×8 pixels
# > with four numbers.
#
# A diffusion model adds noise to latents that have mean 0 and variance 1 in each channel:
# $z = (\mathrm{encode}(x) - \mu)/s$, with $\mu$ and $s$ of the training set. What does such a noise mean in pixels?

# %%
if dataset:
    shown = export(wikiart.noisy_latents(examples, latent.latent_space, held_out.source), SIZE)
else:
    shown = committed("latent_noise")
shown

# %% [markdown]
# Noise in latents is not grain: it becomes blotches and wrong colours, and at $\sigma = 1$ the composition is gone.
# Nothing else changes. The training step of notebook 1 works on latents as it is; here it is once more, on one batch,
# with $v$-prediction (Salimans & Ho 2022): $v = \sqrt{\bar\alpha_t}\,\epsilon - \sqrt{1-\bar\alpha_t}\,z_0$.

# %%
from t2i_helpers.diffusion import make_scheduler

batch = (dataset or load_images(files_of)).images[:8]
z_0 = latent.latent_space.encode(batch / 255)                                       # [8, 4, 16, 16]
c, null = latent.embed(latent.captions[:8])                                         # [8, length, dim]
abar = make_scheduler(improved, "ddpm").alphas_cumprod.to(z_0)                              # [1000]

t = torch.randint(len(abar), (len(z_0),), device=z_0.device)
eps = torch.randn_like(z_0)
signal, noise = abar[t].sqrt().view(-1, 1, 1, 1), (1 - abar[t]).sqrt().view(-1, 1, 1, 1)
z_t = signal * z_0 + noise * eps
v = signal * eps - noise * z_0
with torch.no_grad():
    predicted = latent.unet(z_t, t, c).sample
print(f"loss {(predicted - v).square().mean():.3f}; guessing 0 would give {v.square().mean():.3f}")

# %% [markdown]
# **Exercise 5.** Repeat the cell's last lines for fixed t = 100, 500 and 900. Where does the network know most, and why
# is the loss near $t = 0$ not small, as it was for predicted noise?
#
# <details><summary>Solution</summary>
#
# ```python
# for t in (100, 500, 900):
#     z_t = abar[t].sqrt() * z_0 + (1 - abar[t]).sqrt() * eps
#     v = abar[t].sqrt() * eps - (1 - abar[t]).sqrt() * z_0
#     with torch.no_grad():
#         print(t, (latent.unet(z_t, t, c).sample - v).square().mean().item())
# ```
#
# Near $t = 0$, $v$ is the noise itself, which hardly shows in $z_t$; near $t = 1000$ it is minus the image, of which
# nothing shows. In between both can be read.
# </details>
#
# ## 3.7 Pixels against latents
#
# Both networks trained for the same processor time on the same paintings: `thesis` at 64×64 pixels, `improved` on
# latents of 128×128. Every style they know, once each:

# %%
export(wikiart.style_grid(pipes, steps), SIZE)

# %% [markdown]
# Guidance works on latents as on pixels, $\tilde v = v_\varnothing + w\,(v_c - v_\varnothing)$. The course report that
# this project also follows shows a scale of 1 to 20 for Stable Diffusion. Here is ours:

# %%
export(wikiart.guidance_sweep({"improved": latent}, steps), SIZE)

# %% [markdown]
# > **Where does it break?** Up to about 4 the pictures gain contrast and clarity. Beyond that, dark ones turn black and
# > bright ones white: the latents leave the range in which the decoder was trained.
#
# ### Judges that we did not train
#
# A classifier of our own would share the blind spots of our models. EfficientNet-Lite0 was trained on ImageNet by
# others, and no training in this project uses it. Two kinds of numbers come from its 1,280 features: distances from
# held-out paintings, and a *linear probe* that names styles. The probe is right about less than half of real paintings
# (last column), so read accuracies relative to that:

# %%
from t2i_helpers.reporting.evaluations import load_or_evaluate, load_or_measure_composition
from t2i_helpers.reporting.tables import guidance_table, metrics_table

evaluations = {variant: load_or_evaluate(pipe) for variant, pipe in pipes.items()}
tables = [export_table(metrics_table(f"wikiart_{variant}_metrics", variant, found), SIZE)
          for variant, found in evaluations.items()]
export_table(guidance_table("wikiart_guidance", evaluations), SIZE)
tables[1]

# %% [markdown]
# Why the kernel distance? The Fréchet distance compares covariances of 1,280 features. With a thousand images these are
# singular, and two sets of *real* paintings are already far apart, as the last column says. The unbiased kernel distance
# of two sets of real paintings is zero on average, whatever $n$.
#
# **Exercise 6.** The table's accuracy at $w = 4$ may exceed that of real paintings. Does this mean that the model paints
# better Baroque than Baroque painters did?
#
# <details><summary>Solution</summary>
#
# No. Guidance moves samples towards what distinguishes a style, so they are *more typical* than real paintings, and less
# varied: compare the recall.
# </details>
#
# ## 3.8 Does it compose?
#
# Most captions in training name a genre: "A landscape in the style of Impressionism". Ten pairs, such as a landscape in
# the style of Baroque, were left out of the training entirely. If the model had only learnt a list of captions, it could
# not draw them. Each column below starts from one noise image; the framed pairs were never seen:

# %%
export(wikiart.composition_grid(latent, steps), SIZE)

# %%
export_table(wikiart.composition_table(load_or_measure_composition(latent)), SIZE)

# %% [markdown]
# **Exercise 7.** Ask for something that has no caption: "A portrait of a cat in the style of Cubism". What does the
# model make of it, and why?
#
# <details><summary>Solution</summary>
#
# ```python
# from t2i_helpers.reporting.drawing import image_grid, new_figure
#
# prompts = ["A portrait of a cat in the style of Cubism"] * 6
# figure, axes = new_figure(1, 1, 1.4)
# image_grid(axes[0, 0], latent(prompts, w=4.0, steps=steps).images[None])
# display(figure)
# ```
#
# A Cubist portrait, at best. No caption of the training set contains "cat", so its embedding changes little that the
# network has learnt to read. Stable Diffusion read millions of different captions.
# </details>
#
# ## 3.9 Did it memorise?
#
# A model that copies its training set would score well above. Some samples, and the training paintings nearest to them
# (the hundred nearest as 16×16 thumbnails, ranked by the judge's features):

# %%
export(wikiart.neighbours(latent, dataset, steps), SIZE) if dataset else committed("wikiart_neighbours")

# %% [markdown]
# The neighbours share the palette, and none is the same picture. (This looks at five samples; it would not find rare
# copies.)
#
# ## 3.10 Table 4: the three experiments
#
# The thesis's last table, each printed value beside the one that its own text and code give, and those that differ
# marked:

# %%
from t2i_helpers.reporting.tables import configuration_table

export_table(configuration_table("table04_comparison"), SIZE)

# %% [markdown]
# **Exercise 8.** The MNIST column disagrees in three rows. Which of the thesis's numbers would you believe, the table's
# or the text's, and how could you find out without asking its author?
#
# <details><summary>Solution</summary>
#
# The text's: the network that it describes has exactly the number of parameters that it states, to the digit, which
# nobody writes by accident (of batch size and learning rate that says nothing yet). A table filled by hand has no such check, which is why no number in this project is.
# </details>

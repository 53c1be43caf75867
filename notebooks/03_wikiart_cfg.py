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
# <!-- [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPO/blob/main/notebooks/03_wikiart_cfg.ipynb) [![Open in Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/OWNER/REPO/main?labpath=notebooks/03_wikiart_cfg.ipynb) -->
#
# The last experiment of the thesis is WikiArt (section 3.4): 81,444 paintings in 27 styles, at 128×128, with captions
# like "A painting in the style of Ukiyo e". The thesis describes a loader and a network, but reports no result. Its
# abstract says that the model "operates in latent space", but its networks see pixels.
#
# **Goals.** After this notebook you can
#
# 1. shuffle a data set that does not fit into memory, and measure how well it is shuffled;
# 2. explain what an autoencoder keeps and loses, and why diffusion on its latents is much cheaper;
# 3. test whether a model composes what it has learnt, or has memorised it.
#
# **You need** notebook 1, and notebook 2 for the metrics. No GPU. The paintings come from the hub or from the folder in
# `T2I_MIRROR`. Without either, the models still draw, and cells that need real paintings show the committed figures.
#
# **Time:** 75 minutes to read and try; 3 minutes to run on two CPU cores, once the paintings are decoded. On an A100: not
# measured.
#
# In the report: [the chapter on the paintings](../report/main.pdf#nameddest=sec:wikiart), and
# [the reproduced and corrected results](../report/main.pdf#nameddest=sec:reproduced). A
# [glossary](README.md#symbols) lists the symbols; sizes are at the end (3.12).

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
import dataclasses
import os

import torch

from t2i_helpers import presets
from t2i_helpers.reporting import explorers, wikiart
from t2i_helpers.reporting.exercises import check
from t2i_helpers.reporting.exhibits import committed, shower

SIZE = os.environ.get("T2I_SIZE", "demo")
show = shower(SIZE)                             # displays a figure and writes its file
thesis, improved = (presets.get("wikiart", variant, SIZE) for variant in ("thesis", "improved"))

# %% [markdown]
# ## 3.1 The data
#
# The first call decodes every painting once and stores the pixels. Every 20th painting is held out, and no network here
# trains on it.

# %%
from t2i_helpers.data import load_images
from t2i_helpers.errors import SourceUnavailable

try:
    dataset, held_out = load_images(improved), load_images(improved, "test")
except SourceUnavailable as error:
    print(error)
    dataset = held_out = None

show(wikiart.dataset_samples(dataset, improved)) if dataset else committed("wikiart_dataset")

# %% [markdown]
# These five styles are in the public domain. The classes of WikiArt are very unbalanced:

# %%
show(wikiart.imbalance())

# %% [markdown]
# > **Question:** a model that has seen 13,060 Impressionist paintings and 98 Action paintings receives the empty caption.
# > What will it draw? And what does guidance towards "Action painting" push away from?
#
# For ∅ it draws what is common, so mostly landscapes and portraits of the nineteenth century. Guidance towards "Action
# painting" pushes away from these, not from other modern styles.
#
# **Exercise 3.1.** A batch contains 16 random paintings, of which 98 of 81,444 are Action paintings. What is the probability
# that it contains none?

# %%
share = None
check("3.1", share)

# %% [markdown]
# ## 3.2 The loading problem
#
# Parquet files are designed to read columns of numbers from start to end. Let us look into one:

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
# The files on the hub have one row group each, with one *dictionary* of all pictures, so that reading a single row
# decompresses 430 MB. (A reduced copy may have smaller groups, as printed above.) A `DataLoader` with `shuffle=True`
# requests single rows in random order, so a batch of sixteen reads up to sixteen whole files. The thesis measured 10 to 15
# seconds per batch.
#
# Its solution (its Figure 12) reads the files one after the other, in a new order every epoch, and shuffles *inside* each
# file. This is the fastest way to read. But look at the files that the images of a batch come from, in **traces of the
# real loaders**. Each dot is an image: its batch on the horizontal axis, its file on the vertical axis.

# %%
from t2i_helpers.data import painting_store

store = painting_store(files_of)                                                    # explained below
shown = wikiart.loading(wikiart.read_traces(source, store), dataset or load_images(files_of), files_of)
show(shown) if dataset else shown

# %% [markdown]
# With one file at a time, each batch comes from one file. If the files are sorted by style or by artist, the network
# forgets in the next hundred steps what it learnt in the last.
#
# **A reservoir** mixes what arrives in a bad order. It holds back some images; each new image takes a random place in it,
# and the one that was there leaves. While it fills, it lets every fourth image go, so that training can begin early:

# %% tags=["teaching-reservoir"]
def shuffled(items, capacity, rng, first=1024, fill=4):
    """`items` through a reservoir of `capacity`; rng is NumPy's."""
    held = []
    for i, item in enumerate(items):
        if len(held) < capacity and (i % fill or i < first):
            held.append(item)
        else:
            place = int(rng.integers(len(held)))
            yield held[place]
            held[place] = item
    for place in rng.permutation(len(held)):                            # the end of the epoch
        yield held[place]


# %% [markdown]
# > **Question:** the numbers 0 to 9,999 arrive in order. How far from its place is a number, on average, behind a reservoir
# > of 100, and of 5,000?

# %%
import numpy as np

for capacity in (100, 5_000):
    order = np.array(list(shuffled(range(10_000), capacity, np.random.default_rng(0), first=capacity)))
    print(f"reservoir of {capacity:5,}: moved by {np.abs(order - np.arange(10_000)).mean():5,.0f} places on average")

# %% [markdown]
# By about the size of the reservoir, as long as this is much smaller than the data; a perfect shuffle moves a number by a
# third of their count. So a reservoir must be large, and thousands of JPEGs of 400 KB do not fit into memory.
#
# **Our stream** (`WikiArtStream`) reads the files in the same order as the thesis, once. It decodes each picture
# immediately to the 128×128 pixels that training needs, 49 KB instead of 400 KB, and keeps 20,480 of these decoded images,
# a quarter of all, in a scratch file. This is its reservoir; a test holds it equal to the cell above. **Our store** decodes
# everything once into one file of 4 GB. Then every order costs the same, so it shuffles perfectly.
#
# > **Try:** how small can the reservoir be before batches lose a tenth of their variety?

# %% alt="The files that the images of 40 batches come from: with a reservoir of 20,480 images, dots of many files in every batch"
explorers.reservoir_explorer()

# %% [markdown]
# *Style entropy* measures how evenly a batch of 16 covers the styles: 0 bits is a single style, and a perfect shuffle gives
# 3.10 bits with WikiArt's imbalance. About 10,000 images, an eighth of the data, are still within a tenth of it; 1,000 are
# not.
#
# `t2i bench loader` measures the cost on files as large as WikiArt's. The table includes the numbers of the thesis's Table 3.
#
# > **Compare:** how much time does the thesis's loader save over random access, and how much worse does it shuffle?
# > Its memory is printed as "~400 MB". How much does it use here?

# %%
show(wikiart.stored_loader_table())

# %% [markdown]
# Reading file by file saves nearly all of the time, and loses nearly all of the mixing. Here it uses several times the
# memory that is printed.
#
# **Exercise 3.2.** Halve the stream's reservoir to 10,240. How many bits of style entropy do its batches have? (`mixing` and
# `our_stream_order` of `t2i_helpers.data.wikiart` compute it without reading a picture.)

# %%
bits = None
check("3.2", bits)

# %% [markdown]
# ## 3.3 The stream and the store
#
# The stream is an `IterableDataset`. A `DataLoader` distributes its rows among the workers, and each row comes exactly
# once. A stopped epoch resumes with the rows that were not yet seen:

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
# The order of the store is a function of (seed, epoch), so resuming only needs the number of batches seen. The store does
# not decode pictures again:

# %%
import time

from t2i_helpers.data import from_uint8

began = time.perf_counter()
batches = [from_uint8(images, (-1, 1)) for images, styles, row_ids in store.batches(16, seed=0, epoch=3, start=2)]
print(f"{len(batches)} batches, {1000 * (time.perf_counter() - began) / len(batches):.2f} ms each")

# %% [markdown]
# **Exercise 3.3.** Seven GPUs train together. Give each its share of an epoch of the store with `rank` and `world_size`, and
# check that the shares are disjoint and of equal size. Does the epoch leave out rows?

# %%
shares = None                                           # a list of row ids for each rank
check("3.3", shares)

# %% [markdown]
# ## 3.4 Eight tokens
#
# The text of the thesis pads captions to 77 tokens; its code truncates them to **eight**. Count the tokens of "a painting
# in the style of ⟨style⟩". The first token marks the start and the last one the end.

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
# All 27 captions become one. (CLIP's tokenizer also gives one sequence for all 27.) A network trained in this way receives the same condition for every
# painting. It learns to draw *a* painting, and guidance has nothing to amplify. Nothing crashes, the loss falls, and the
# pictures look like art, so the fault is hard to notice.
#
# **Exercise 3.4.** Find a caption that distinguishes all styles within eight tokens, with `{}` in place of the style.

# %%
caption = None                                          # such as "A painting in the style of {}", which does not fit
check("3.4", caption)

# %% [markdown]
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
# Not 150 but 348 million. A forward pass of the thesis's network costs 514 GFLOP per image, and a training step three times as much. The 100 epochs
# take days on an A100 and would take years on a laptop. At `demo` size, `thesis` is therefore a small network for 64×64
# pixels.
#
# ## 3.6 From pixels to latents
#
# Most pixels describe details that all paintings share: brush texture, canvas, grain. *Latent diffusion* (Rombach et al.
# 2022, the idea behind Stable Diffusion) leaves these details to an **autoencoder** that is trained once. The diffusion
# model then only decides on content and layout. The encoder maps 3×128×128 numbers to 4×16×16:

# %%
from t2i_helpers.models import load_autoencoder

autoencoder = load_autoencoder("own")
print(f"{sum(p.numel() for p in autoencoder.network.parameters()):,} parameters, "
      f"{3 * 128 * 128:,} numbers to {4 * 16 * 16:,}: {3 * 128 * 128 // (4 * 16 * 16)} times fewer")

# %% [markdown]
# It is trained from scratch on random 64×64 crops of the training paintings (`python
# scripts/train_autoencoder.py`). It is convolutional, so it works at any size. This is its loss, which has three parts:

# %%
import inspect
import sys

from t2i_helpers.paths import ROOT

sys.path.append(str(ROOT / "scripts"))
from train_autoencoder import autoencoder_loss

print(inspect.getsource(autoencoder_loss))

# %% [markdown]
# * the **mean absolute error** preserves colours and shapes, but permits blur;
# * the **perceptual term** compares feature maps of a network trained on ImageNet (EfficientNet-Lite1), which respond to
#   missing texture;
# * **noise on bounded latents** makes close latents decode to similar images. Without it the encoder could store
#   information in the last decimals. A diffusion model, whose latents are never exact, would then decode to artefacts.
#
# The figure shows the reconstructions. The four channels are images of 16×16 pixels. If the hub or a mirror has TAESD, a
# tiny autoencoder for the latents of Stable Diffusion, it appears beside ours.
#
# > **Look closely:** which details are missing?

# %%
from t2i_helpers.reporting.checkpoints import measured, pipelines

pipes = pipelines("wikiart", SIZE)
latent, steps = pipes["improved"], improved.sample_steps
show(wikiart.latent_space(held_out, latent)) if dataset else committed("latent_space")

# %% [markdown]
# Faces and fine lines suffer most: one latent pixel describes 8×8 pixels with four numbers.
#
# A diffusion model adds noise to latents that have mean 0 and variance 1 in each channel:
# $z = (\mathrm{encode}(x) - \mu)/s$, with $\mu$ and $s$ of the training set.
#
# > **Question:** how does this noise look in pixels?

# %%
show(wikiart.noisy_latents(held_out, latent)) if dataset else committed("latent_noise")

# %% [markdown]
# Noise in latents does not look like grain. It causes blotches and wrong colours, and at $\sigma = 1$ the composition is
# lost. The rest of the method is unchanged: the training step of notebook 1 also works on latents. The next cell repeats
# it on one batch with $v$-prediction (Salimans & Ho 2022): $v = \sqrt{\bar\alpha_t}\,\epsilon - \sqrt{1-\bar\alpha_t}\,z_0$.

# %%
from t2i_helpers.diffusion import make_scheduler

batch = (dataset or load_images(files_of)).images[:8]
z_0 = latent.latent_space.encode(batch.to(latent.device) / 255)                     # [8, 4, 16, 16]
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
# **Exercise 3.5.** Repeat the last lines of the cell for t = 100, 500 and 900. At which of them is the loss smallest, and
# why is it not small near $t = 0$?

# %%
t_smallest = None
check("3.5", t_smallest)

# %% [markdown]
# ## 3.7 Pixels against latents
#
# At `demo` size both networks trained for the same processor time on the same paintings: `thesis` at 64×64 pixels,
# `improved` on latents of 128×128.
#
# > **Question:** a pixel model decides every pixel, a latent model only content and layout. Which of the two shows more
# > after the same time?
#
# This is one image of each style that they were trained on:

# %%
show(wikiart.style_grid(pipes, steps))

# %% [markdown]
# The latent model: its pictures have a layout and tell some styles apart, at four times as many pixels. The pixel model draws
# colours and blotches.
#
# Guidance works on latents as on pixels, $\tilde v = v_\varnothing + w\,(v_c - v_\varnothing)$. A course report (González Muela &
# Koutsoftas, *Text-to-Image Generation using CLIP and Diffusion Models*, SSY340), which this project also follows, shows
# scales of 1 to 20 for Stable Diffusion. These are the same scales for our model.
#
# > **Look:** where does it break?

# %%
show(wikiart.guidance_sweep({"improved": latent}, steps))

# %% [markdown]
# Up to about $w=4$ the pictures gain contrast and clarity. Beyond that, dark pictures turn black and bright ones white,
# because the latents leave the range in which the decoder was trained.
#
# ### An independent judge
#
# A classifier of our own could share the weaknesses of our models. EfficientNet-Lite0 was trained on ImageNet by others,
# and no training in this project uses it. We use its 1,280 features for distances from held-out paintings and for a
# *linear probe* that predicts styles. The last column shows the probe's accuracy on real paintings, which is far from
# 100 %. Compare accuracies with it:
#
# > **Question:** the table shows two distances. One of them is large even between two sets of real paintings. Which, and why?

# %%
from t2i_helpers.reporting.tables import guidance_table, metrics_table

evaluations = {variant: measured(pipe, "evaluation") for variant, pipe in pipes.items()}
tables = [show(metrics_table(f"wikiart_{variant}_metrics", variant, evaluation))
          for variant, evaluation in evaluations.items()]
show(guidance_table("wikiart_guidance", evaluations))
tables[1]

# %% [markdown]
# Why the kernel distance? The Fréchet distance compares covariances of 1,280 features. With fewer images than features
# these are singular, and two sets of *real* paintings already have a large distance (last column). The kernel distance is
# unbiased: between two sets of real paintings it is zero on average for every $n$.
#
# **Exercise 3.6.** The accuracy at $w = 4$ may exceed that of real paintings. Does this mean that the model paints better
# Baroque than Baroque painters did? Name the metric in the table that speaks against it.

# %%
metric = None
check("3.6", metric)

# %% [markdown]
# ## 3.8 Does it compose?
#
# Most captions in training name a genre: "A landscape in the style of Impressionism". Ten pairs, such as a landscape in
# the style of Baroque, were left out of training. A model that only memorised captions could not draw them.
#
# > **Predict:** can you tell the framed pictures, the pairs that were left out, from the others? Will linear probes for genre
# > and style?
#
# Each column starts from one noise image:

# %%
show(wikiart.composition_grid(latent, steps))

# %%
show(wikiart.composition_table(latent))

# %% [markdown]
# By eye the framed pictures do not stand out. In the table, the model draws the style of unseen pairs about as often as that
# of seen pairs, and the genre less often; but the probes also find the genre of *real* paintings of these pairs less often.
# In absolute numbers this small model hits genre and style together in few of its pictures.
#
# **Exercise 3.7.** Compose your own pictures: a genre in a style, without guidance and with it. Which genres can you tell
# apart at $w=1$, and at which $w$ does a style break? Then draw "A portrait of a cat in the style of Cubism" with
# `latent([...])`. What does the model draw, and why?

# %% alt="A landscape in the style of Impressionism, drawn from one noise image at w = 1 and w = 4"
explorers.painting_explorer(latent, steps)

# %% [markdown]
# ## 3.9 Did it memorise?
#
# A model that copies its training set would get good scores above.
#
# > **Question:** how would you find a copy among tens of thousands of paintings?
#
# The figure shows some samples with the training
# paintings nearest to them (the hundred nearest as 16×16 thumbnails, ranked by the features of the judge):

# %%
show(wikiart.neighbours(latent, dataset, steps)) if dataset else committed("wikiart_neighbours")

# %% [markdown]
# The neighbours share colours with the samples, but none is the same picture. (Five samples cannot rule out rare copies.)
#
# ## 3.10 Table 4: the three experiments
#
# This is the last table of the thesis. It shows each printed value beside the value from the text of the thesis, and marks
# values that differ:

# %%
from t2i_helpers.reporting.tables import configuration_table

show(configuration_table("table04_comparison"))

# %% [markdown]
# **Exercise 3.8.** The MNIST column disagrees in three rows. Which of the thesis's numbers of parameters would you believe,
# that of its "table" or that of its "text", and how can you find out without asking its author?

# %%
believed = None
check("3.8", believed)

# %% [markdown]
# ## 3.11 Training and machines
#
# The next table describes how the checkpoints of all three experiments were trained:

# %%
from t2i_helpers.reporting.tables import setup_table, trained_table

show(trained_table(SIZE))

# %% [markdown]
# The last table compares this machine with that of the thesis:

# %%
show(setup_table(SIZE))

# %% [markdown]
# ## 3.12 Sizes and solutions
#
# Set the environment variable `T2I_SIZE` before you start Jupyter to choose a size.
#
# | size | for | what it runs |
# |---|---|---|
# | `demo` (default) | a laptop | the checkpoints of this repository: `thesis` on pixels of 64×64, `improved` on latents of 128×128 |
# | `full` | a big GPU, with the Hugging Face hub | trains the thesis's 348-million-parameter network, and a latent one |
# | `smoke` | CI | the same cells in seconds, on drawn shapes, without training |
#
# Solutions of the exercises are in [solutions/03_wikiart_cfg.py](solutions/03_wikiart_cfg.py).
#
# **References.** Domnenco (2026), the thesis · Rombach et al. (2022), arXiv:2112.10752 · Salimans & Ho (2022),
# arXiv:2202.00512 · the data: [huggan/wikiart](https://huggingface.co/datasets/huggan/wikiart).

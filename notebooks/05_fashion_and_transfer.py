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
# # 5 · Garments from a class, and a network that learns something new
#
# <!-- [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPO/blob/main/notebooks/05_fashion_and_transfer.ipynb) [![Open in Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/OWNER/REPO/main?labpath=notebooks/05_fashion_and_transfer.ipynb) -->
#
# ![Thirty garments, three of each class, drawn by the network of this notebook](../figures/fashion_garments.png)
#
# Three other texts on diffusion are put to the test here: a **homework** on Fashion-MNIST (100 steps, a class instead
# of a caption, CLIP as a critic), the first part of a **course report** (DDPM against DDIM, fine-tuning on
# butterflies), and a **paper** on fine-tuning at a very low learning rate with guidance and averaged weights
# (arXiv:2503.05149). Each is repeated at a size that a laptop can train, and each number gets an interval.
#
# **Goals.** After this notebook you can
#
# 1. build a U-Net that knows classes, and say what its time embedding, class embedding and skip connections do;
# 2. judge claims about losses, samplers and critics by what was measured, and how often;
# 3. continue the training of a network on other images, and tell whether that helped.
#
# **You need** notebooks 1 and 2. No GPU.
#
# **Time:** 75 minutes to read and try; 3 minutes to run on two CPU cores. On an A100: not measured.
#
# In the report: [the chapter on garments and fine-tuning](../report/main.pdf#nameddest=sec:fashion). A
# [glossary](README.md#symbols) lists the symbols; sizes and settings are at the end (5.10).

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
from t2i_helpers.reporting import fashion
from t2i_helpers.reporting.exercises import check
from t2i_helpers.reporting.exhibits import shower

SIZE = os.environ.get("T2I_SIZE", "demo")
show = shower(SIZE)                             # displays a figure and writes its file
improved = presets.get("fashion", size=SIZE)

# %% [markdown]
# ## 5.1 The data
#
# Fashion-MNIST has 60,000 grey garments of ten classes, as large as MNIST's digits. It comes from the hub or a mirror; a
# machine with neither uses drawn shapes, and the printed line says so.

# %%
from t2i_helpers.reporting.pictures import images_or_shapes

dataset, garments = images_or_shapes(improved)                  # without garments: drawn shapes, and None
samples = fashion.dataset_samples(dataset, improved)
show(samples) if garments else samples

# %% [markdown]
# ## 5.2 Forward: a hundred steps
#
# The homework adds noise in $T=100$ steps. It says that at 20 % of them "the image still retains much of its
# structure", at 40–60 % "the essential structure starts to fade", and above 80–90 % the image is "almost
# indistinguishable from random noise". Whether that is true depends on $\beta_t$, which it does not print. The usual
# values, from $10^{-4}$ to 0.02, are those of 1,000 steps.
#
# > **Before you run the cell:** $\bar\alpha_T=\prod(1-\beta_t)\approx e^{-\sum\beta_t}$. How much of the image is left,
# > $\sqrt{\bar\alpha_T}$, after 100 steps with $\beta$ up to 0.02? And with $\beta$ ten times as large?

# %%
strip = fashion.forward_strip(dataset, improved)
show(strip) if garments else strip

# %% [markdown]
# With the usual $\beta$ a shadow of the garment is there even at the end: $e^{-1/2}$, 60 % of its contrast. A sampling begins
# with pure noise, which such a network has never seen. With $\beta$ ten times as large the end is noise, but the garment
# has faded at 40 % already. The homework's words fit the first at the beginning and the second at the end. Our preset has
# the larger $\beta$.
#
# ## 5.3 A U-Net that knows classes
#
# There is no text in this network. The class goes the way of the timestep: an **embedding** of it, a learned vector, is
# added to the embedding of $t$, and every residual block adds a projection of the sum to its feature maps. A **mask**
# removes the class from some of the images in training, so that guidance has an $\epsilon_\varnothing$. Here the masked
# class is one more class, the eleventh.
#
# The cell runs diffusers' U-Net by hand, so that you can see where the embedding enters, and the **skip connections**:
# what each block on the way down computes is kept, and joined to the input of its mirror on the way up.

# %% tags=["teaching-class"]
def predict_noise(unet, x_t, t, labels, mask):
    """mask: True for the images whose class the network may know, bool [n]."""
    nothing = unet.config.num_class_embeds - 1
    embedding = unet.time_embedding(unet.time_proj(t))                      # [n, 64]
    embedding = embedding + unet.class_embedding(torch.where(mask, labels, nothing))
    hidden = unet.conv_in(x_t)                                              # [n, 16, 28, 28]
    skips = [hidden]
    for block in unet.down_blocks:                                          # 28 -> 14 -> 7
        hidden, kept = block(hidden, embedding)
        skips += kept
    hidden = unet.mid_block(hidden, embedding)
    for block in unet.up_blocks:                                            # 7 -> 14 -> 28
        count = len(block.resnets)
        skips, now = skips[:-count], skips[-count:]
        hidden = block(hidden, tuple(now), embedding)
    return unet.conv_out(unet.conv_act(unet.conv_norm_out(hidden)))


# %% [markdown]
# The package has the same in two lines: it calls the class embedding that diffusers' `UNet2DModel` brings with it
# (`models/unet.py`, `ClassUNet`). Its "text encoder" gives the number of the class instead of tokens. So the training
# loop, guidance and the sampler of notebook 1 run unchanged.

# %%
from t2i_helpers.data import captions
from t2i_helpers.models import build_unet, caption_table

unet = build_unet(improved)
print(f"{sum(p.numel() for p in unet.parameters()):,} parameters")
table = caption_table(improved.text_encoder, captions(improved), 1)
print("the captions' labels, the empty one last:", table.flatten().tolist())
noise, t, mask = torch.randn(4, 1, 28, 28), torch.tensor([0, 30, 60, 99]), torch.tensor([True, False, True, False])
print("by hand:", predict_noise(unet, noise, t, torch.arange(4), mask).shape)

# %% [markdown]
# ## 5.4 What does the loss say?
#
# The homework reports a loss of "around 0.105–0.110 in later epochs", from above 1, and a "decreasing trend in
# validation loss". It takes the loss as "the primary signal". At `full` size the next cell trains the network;
# otherwise it loads the checkpoint of this repository.
#
# > **Question:** our network reaches which loss, if it predicts the same $\epsilon$? What else, apart from its quality,
# > decides the number?

# %%
from t2i_helpers.reporting.checkpoints import pipeline

pipe = pipeline("fashion", "improved", SIZE)
steps = improved.sample_steps
show(fashion.loss_curve(pipe))

# %%
show(fashion.table("variations", pipe))

# %% [markdown]
# Our validation loss is less than half of the homework's, and our garments (5.5) are not twice as good. The two numbers
# are of different tasks: where more noise is in the image, more of the noise is easy to see. The column "at usual β" asks
# the *same* network about the noise levels of the usual schedule, and its loss is nearly three times as high, above the
# homework's. So a loss says how far a training has come, and nothing about another network with another schedule, and
# little about the images.
#
# The network without skip connections has the same weights at the start and the same steps. It must carry 784 numbers of
# noise through the bottleneck and fails; its images are of no class (accuracy at chance). The homework's argument for
# skip connections, fine detail that bypasses the bottleneck, holds here very clearly.
#
# ## 5.5 Garments, and when they appear
#
# The next cells draw three garments of each class without guidance, then one of each at growing $w$, and count.
#
# > **Predict:** what share of the garments is right at $w=1$, and at $w=5$? Can it be more than of real garments?

# %%
show(fashion.garments({"improved": pipe}, steps))

# %%
show(fashion.sweep({"improved": pipe}, -(-steps // 4)))

# %%
show(fashion.table("scales", pipe))

# %% [markdown]
# At $w=1$ every second garment is what was asked for; at $w=5$ nearly all are, more than of real garments: guidance draws
# what is typical of a class, and real garments are less so. On the longer trained networks of notebooks 1 and 2 a large $w$
# costs distance. Here the distance falls as well: with ten steps of DDIM the unguided garments are so rough that anything
# that makes them clearer brings them nearer to real ones.
#
# The homework looks at the steps and recognises a garment after "50 %–70 % of the 100 steps".
#
# > **Before you run the cell:** who recognises it first, you in $x_t$, or a classifier in $\hat x_0$?

# %%
show(fashion.recognition({"Fashion-MNIST": pipe}))

# %% [markdown]
# The classifier recognises nothing in $x_t$ until the noise is nearly gone; it has only seen clean images, and your eye
# is better there. In the guess $\hat x_0$ the median garment is recognised for good at half of the steps, where the
# homework's band begins; the quartiles are at 42 % and 70 %. So its 50–70 % hold for a quarter of the garments, and it
# does vary with the image. (Digits are recognised earlier, notebook 4.)
#
# ## 5.6 All steps, or a few?
#
# The course report draws one face with DDPM in 2 minutes, and with DDIM in 40 steps in 20 seconds, "with similar
# quality".
#
# > **Question:** the seconds follow from the steps. What would you have to measure for "similar quality"?

# %%
show(fashion.table("samplers", pipe))

# %% [markdown]
# The seconds do follow from the steps. The quality is *not* similar here: DDPM in all steps is far ahead of DDIM in 40,
# in accuracy and in distance, and the intervals are apart. Even ten steps of DDPM are right more often. DDIM keeps what the
# network got wrong, while DDPM's fresh noise in every step lets later steps correct it. Our network makes more mistakes
# than the report's, which was trained on faces for long; so this is a finding about a small network. But "similar quality"
# was one face, looked at.
#
# ## 5.7 A critic
#
# The homework scores its images with CLIP against "a good", "a clear" and "a blurry" example of the class, and proposes
# to draw 15 images of each class and to keep the best three. CLIP was not trained on 28×28 pixels in grey, and its
# weights are not in this repository. Our critic stands in for it, and is a simpler one: "good" is the probability of
# the class by a *linear* classifier of the pixels, "clear" is the share of real garments of the class that are less
# sharp, "blurry" is the rest. A convolutional network, the judge, decides who is right.
#
# > **Question:** why must the judge be another network than the critic?

# %%
show(fashion.table("critic", pipe))

# %% [markdown]
# Otherwise it would confirm its own choice. Chosen by "good", more garments are right than among all, and even with 30
# images the intervals are apart. Chosen by "clear", *fewer* seem right, though the intervals overlap. The sharpest of rough images are those with noise
# left in them, and a critic that asks for sharpness alone picks these. On real garments critic and judge agree more
# often than on drawn ones (the stored file has both numbers, with intervals): a critic that is good on photographs may
# still fail on what a network draws.
#
# ## 5.8 Six images
#
# The paper on guidance and averaged weights compares a Fréchet distance of 1332.33 with one of 1088.94, from **six**
# images each. Nothing of such a number is specific to its network, so we can ask ours: how much does the distance of
# six images vary, if nothing changes but the six?

# %%
show(fashion.six_images(pipe))

# %% [markdown]
# Six *real* garments are as far from six others as the ones that the network drew, or farther. Two distances of real images differ
# by the paper's factor of 1.22 or more in over half of the pairs. And the sampler that is far ahead in 5.6 is seen to
# be ahead in about half of the draws, as if by a coin. Six images cannot carry this comparison, nor any other. (1332 is also
# many times the value of any network that draws images at all: with fewer images than features the distance is mostly
# bias, notebook 2.)
#
# ## 5.9 Learning something new
#
# ### From photographs to butterflies
#
# Fine-tuning continues a training on other images: the weights are those of a checkpoint, and everything else starts
# anew. In this package it is `train(..., start=FOLDER)`, or `t2i train --start FOLDER`. The course report fine-tunes a
# network on butterflies and shows images after 1 and after 10 epochs. It does not show what the same epochs give
# *without* the pretraining. We train a network without captions on CIFAR-10's photographs, then on 3,540 butterfly
# specimens, and the same network from random weights.
#
# > **Before you run the cell:** butterflies on a white ground are no photographs of CIFAR-10. What can a network take
# > with it?

# %%
show(fashion.butterflies(pipe))

# %%
show(fashion.transfer_loss(pipe))

# %%
show(fashion.table("transfer", pipe))

# %% [markdown]
# After ten epochs both draw pairs of wings on a plain ground; after one epoch only the network of photographs draws
# anything but noise. The loss on held-out butterflies says the same in numbers. After one epoch the network that has seen photographs is far ahead: what
# photographs teach, such as neighbouring pixels being alike, need not be learned again. After ten epochs its lead has
# nearly gone, and it was paid with 800 steps on photographs, more than the 560 of the ten epochs. Fine-tuning is worth it
# where someone else has paid, as in the course report. The kernel distance of the images, in the features of a network
# that knows photographs, falls from the first epoch to the tenth, and does not separate the two beginnings: all are still
# far from butterflies.
#
# The course report also "adjusted noise levels, gradient accumulation, learning rate, and batch size". Accumulation
# computes a batch in parts that fit into the memory, and adds up their gradients:

# %% tags=["teaching-accumulate"]
def backward_in_parts(loss, images, parts):
    """The gradient of the mean loss over all images, of which only one part is in memory at a time."""
    for part in images.chunk(parts):
        share = len(part) / len(images)
        (loss(part) * share).backward()                       # adds to the gradients that are there


# %% [markdown]
# > **Question:** which of the settings below can change the result, and which must not?

# %%
show(fashion.table("transfer-trials", pipe))

# %% [markdown]
# Batches in four parts have the same gradient, and their loss differs in the fifth digit, by rounding; they only take
# longer. Batches of 16 give four times as many steps in the same epoch, which is best here: few large steps are wasted
# on a network that still has everything to learn. A learning rate of $10^{-2}$ is worse than one of $10^{-3}$: it destroys
# part of what was to be transferred. One of $10^{-4}$ is too slow for 27 steps.
#
# ### A learning rate of one ten-millionth
#
# The paper fine-tunes at a learning rate of $10^{-7}$, with guidance (CFG) and averaged weights (EMA), and credits
# these two with the better distance. Two switches have four corners. We take the network of 300 steps from 5.4, which
# can still learn, and train it for 40 steps more at $10^{-7}$ and at $10^{-4}$; each row is drawn without ($w=1$) and
# with guidance ($w=3$).
#
# > **Before you run the cell:** AdamW moves each weight by about the learning rate in a step, whatever the gradient. How
# > far does a weight of size 0.1 move in 40 steps at $10^{-7}$? And how much of these 40 steps does an average with a
# > decay of 0.99999 contain?

# %%
show(fashion.table("fine_tuning", pipe))

# %% [markdown]
# By at most $4\cdot10^{-6}$. At $10^{-7}$ nothing happens: the images differ from those before by a tenth of a grey
# level out of 256, and accuracy and distance are the same. (The paper has more steps, but also a network that was
# finished.)
#
# At $10^{-4}$ the four corners are `raw` and `ema-0.999`, each at $w=1$ and $w=3$. Guidance makes a difference in each
# of them, and it would make the same without any training: the rows of the start show it. The training is a small gain
# that the intervals do not separate. Averaging undoes nearly all of it: in 40 steps an average with any of the decays
# stays close to where it began. (diffusers begins it with the weights after the first step, which is what has moved in
# those rows.) Averages are for the end of long trainings (notebook 4, 4.7). A better distance after such a fine-tuning
# is the work of guidance, or of chance.
#
# ### Words for style
#
# The homework proposes words for style beside the class: "slanted", "thick", "thin". Digits have such styles, and one can
# measure them. So the captions need no annotator, and the same measures tell whether the network follows its caption. A
# stroke of length $\ell$ and width $b$ has the area $A=b\ell$ and an outline of length $P\approx 2\ell$, so that $b=2A/P$.
# The slant is the slope of the line $x=a-sy$ that fits the digit's pixels best.

# %% tags=["teaching-style"]
def stroke_width(x):
    """x [n, 1, h, w] in [0, 1], in pixels: twice the area over the length of the outline, the total variation."""
    right = torch.nn.functional.pad(x, (0, 1)).diff(dim=3)                # differences to the neighbours
    down = torch.nn.functional.pad(x, (0, 0, 0, 1)).diff(dim=2)
    return 2 * x.sum((1, 2, 3)) / (right**2 + down**2).sqrt().sum((1, 2, 3))


def slant(x):
    """How many pixels the digit moves to the right for each row upwards."""
    mass = x[:, 0] / x.sum((1, 2, 3)).view(-1, 1, 1)                      # [n, h, w], with a sum of 1
    rows, columns = mass.sum(2), mass.sum(1)                              # [n, h], [n, w]
    row, column = torch.arange(rows.shape[1]), torch.arange(columns.shape[1])
    row = row - (rows * row).sum(1, keepdim=True)                         # from the centre of mass
    column = column - (columns * column).sum(1, keepdim=True)
    covariance = (mass * row[:, :, None] * column[:, None, :]).sum((1, 2))
    return -covariance / (rows * row**2).sum(1)


# %% [markdown]
# For each digit, the thinnest third of 20,000 images is called "thin", the thickest third "thick", and the third that leans
# most to the right "slanted". One network was trained on 16,000 of them with these words, in 60 captions such as "a
# thick slanted digit 5"; another on as many, with as many steps and ten captions without the words.
#
# > **Predict:** does the network with sixty captions learn more slowly? And what does guidance do to a thick stroke?

# %%
show(fashion.style_digits(pipe))

# %%
show(fashion.table("styles-networks", pipe))

# %%
show(fashion.table("styles", pipe))

# %% [markdown]
# At the end of these 800 steps no difference is visible: the intervals of the two losses overlap. A column of the picture, which
# has one seed, keeps its digit while the style changes.
#
# "As asked" is the share of digits whose measured stroke *and* slant are those of the caption, "by chance" the share of real
# digits that have them. Without guidance the styles are followed, but weakly: thin strokes are too thick, thick ones too
# thin, and slants too small. Guidance strengthens all of them. Thick digits become nearly always right, and thin ones, if
# they are upright. But thick strokes become *thicker than real ones*, while slants only reach the real ones or stay below.
# And upright digits of medium strokes, whose caption has none of the words, are right less often than before:
# their strokes grow, too. Notebook 1 saw guidance make strokes bolder without any such word.
#
# ## Exercises
#
# Replace `None` with your answer and run the cell. Solutions are in
# [solutions/05_fashion_and_transfer.py](solutions/05_fashion_and_transfer.py).
#
# **5.1 How large must β be?** $\beta_t$ rises linearly from $10^{-4}$ in 100 steps. Up to which value must it rise, to leave
# as little of the image as 1,000 steps up to 0.02, $\bar\alpha_T=4\cdot10^{-5}$? Two digits suffice.

# %%
# torch.linspace(1e-4, last, 100)
answer = None                                           # the last beta
check("5.1", answer)

# %% [markdown]
# **5.2 A slow average.** After how many steps is half of an average with a decay of 0.99999 made of weights that are newer
# than its start?

# %%
answer = None                                           # a number of steps
check("5.2", answer)

# %% [markdown]
# ## 5.10 Settings and sizes
#
# | size | for | what it runs |
# |---|---|---|
# | `demo` (default) | a laptop | pictures from the small checkpoint of this repository; the stored experiments |
# | `full` | a big GPU, with the Hugging Face hub | trains every network of this notebook and repeats all experiments |
# | `smoke` | CI | the same cells in seconds, without training; the pictures have no meaning |
#
# The butterflies are not on the hub in this form. `datasets/local/butterfly_specimens` of the folder that `T2I_MIRROR`
# names must hold Parquet files with a column `image`; without it, `full` size stops at 5.9 and says so.

# %%
for field, value in vars(improved).items():
    print(f"{field:22} {value}")

# %% [markdown]
# **References.** *Understanding Diffusion*, a homework of the course ITAI 2376 · González Muela & Koutsoftas, a project
# report of SSY340 · arXiv:2503.05149, *Development and Enhancement of Text-to-Image Diffusion Models* · Xiao et al.
# (2017), Fashion-MNIST, arXiv:1708.07747 · Song et al. (2021), DDIM, arXiv:2010.02502.

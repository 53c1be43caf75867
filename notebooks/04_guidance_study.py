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
# # 4 · A study of guidance
#
# <!-- [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPO/blob/main/notebooks/04_guidance_study.ipynb) [![Open in Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/OWNER/REPO/main?labpath=notebooks/04_guidance_study.ipynb) -->
#
# ![Points in a plane move from noise to one of three classes, at three guidance scales](../figures/plane_animation.gif)
#
# Notebooks 1 to 3 used one guidance rule with one parameter, $w$. This notebook explains this rule, compares it with
# others, and studies further choices that affect an image: the solver, the averaging of weights, and the text encoder.
# Each section answers one question and can be read alone.
#
# **Goals.** After this notebook you can
#
# 1. interpret the guidance scale of any paper, and write a guidance rule in a few lines;
# 2. choose a rule, a solver and an average of the weights for a purpose, and say what each costs;
# 3. judge whether a comparison of rules is significant.
#
# **You need** notebook 1, and notebook 2 for the metrics. No GPU.
#
# **Time:** three lessons of 40 minutes to read and try; 3 minutes to run on two CPU cores. On an A100: not measured.
#
# | lesson | sections | question |
# |---|---|---|
# | A, rules of guidance | 4.1 to 4.4 | what does $w$ do, and which rule helps when? |
# | B, other guides, solvers, averages | 4.5 to 4.7 | what else makes an image better, and how many images does it take to know? |
# | C, captions and content | 4.8 and 4.9 | what does the caption add, and when is the image decided? |
#
# In the report: [the chapter on the study](../report/main.pdf#nameddest=sec:study), and
# [the reproduced and corrected results](../report/main.pdf#nameddest=sec:reproduced). A
# [glossary](README.md#symbols) lists the symbols; sizes are at the end (4.11).
#
# The stored study uses **small networks** on two CPU cores. Our own classifiers judge the images, with features that stand
# in for Inception's, and a packaged text encoder stands in for CLIP. The ranking of rules may differ for much larger
# networks, but you can apply the same method to them.

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

from t2i_helpers.data import captions
from t2i_helpers.evaluation.study import run_study
from t2i_helpers.reporting import explorers, guidance, study
from t2i_helpers.reporting.checkpoints import pipeline
from t2i_helpers.reporting.exercises import check
from t2i_helpers.reporting.exhibits import shower

SIZE = os.environ.get("T2I_SIZE", "demo")
show = shower(SIZE)                             # displays a figure and writes its file
steps = {"smoke": 2, "demo": 10, "full": 50}[SIZE]
digits, objects = pipeline("mnist", "improved", SIZE), pipeline("cifar10", "improved", SIZE)
if SIZE == "full":
    run_study(size="full")                                          # measures only the missing cells

# %% [markdown]
# # Lesson A: rules of guidance
#
# ## 4.1 What does $w$ mean?
#
# Guidance moves along the line from the prediction without the caption to the prediction with it, and beyond:
#
# $$\tilde\epsilon = \epsilon_\varnothing + w\,(\epsilon_c - \epsilon_\varnothing)
# \qquad\text{or, as the first paper wrote,}\qquad
# \tilde\epsilon = (1+w')\,\epsilon_c - w'\,\epsilon_\varnothing .$$
#
# Both forms use the same line with different origins. $w=0$ ignores the caption, whereas $w'=0$ only turns guidance off.
#
# > **Before you run the cell:** the middle panel uses the form of the first paper with the same numbers. Which of its
# > columns must look like which column on the left?

# %%
show(guidance.conventions(digits, steps))

# %% [markdown]
# The same *number* gives different images. With $w = 1 + w'$ the images are identical, and a test verifies this. Read the
# formula of a paper before you copy its scale:

# %%
show(guidance.convention_table())

# %% [markdown]
# ## 4.2 Away from what?
#
# Guidance need not move away from $\epsilon_\varnothing$. With another caption in its place, a **negative prompt**, guidance
# moves away from that caption. Below, ten noise images become a 4: away from ∅, away from a 9, away from a 1.
#
# > **Think first:** at $w=1$ a negative prompt has no effect. Why?

# %%
show(guidance.negative_prompts(digits, steps))

# %% [markdown]
# Away from a 9, some of the 4s have an open top (and some break). Away from a 1, they become thicker and wider. This needs
# no extra training. The formula is the one above with $\epsilon_{\text{negative}}$ in place of $\epsilon_\varnothing$. At $w=1$
# it reduces to $\epsilon_c$, so the negative prompt cancels.
#
# ## 4.3 One interface, many rules
#
# A large $w$ saturates colours, reduces variety, and overshoots in early steps. Since 2022 many papers have proposed rules
# that reduce these effects. With $c$ and $n$ for the predictions with the caption and with ∅, four of them are:
#
# * **interval** (Kynkäänniemi et al. 2024): guide only where the noise level $\sigma=\sqrt{(1-\bar\alpha_t)/\bar\alpha_t}$ is
#   in the middle. At high noise guidance makes all images alike, at low noise it does nothing good;
# * **rescale** (Lin et al. 2024): a large $w$ makes predictions too large, so scale them back to the standard deviation of
#   $c$, or a share of the way;
# * **CFG-Zero\*** (Fan et al. 2025): extrapolate from $s\,n$, the multiple of $n$ that is nearest to $c$;
# * **APG** (Sadat et al. 2024): split $c-n$ into a part along $c$, which mostly adds contrast, and the rest, which adds
#   what the caption says. Keep the rest. (In terms of $\hat x_0$; its momentum is left out here.)

# %% tags=["teaching-rules"]
def cfg(c, n, w):
    return n + w * (c - n)


def interval(c, n, w, sigma, low, high):
    return cfg(c, n, w) if low < sigma <= high else c


def rescale(c, n, w, share):
    guided = cfg(c, n, w)
    factor = c.std((1, 2, 3), keepdim=True) / guided.std((1, 2, 3), keepdim=True)
    return (share * factor + 1 - share) * guided


def cfg_zero(c, n, w):
    s = (c * n).sum((1, 2, 3), keepdim=True) / n.square().sum((1, 2, 3), keepdim=True)
    return cfg(c, s * n, w)


def apg(c, n, w):                                                   # c and n as estimates of the clean image
    d = c - n
    along = (c * d).sum((1, 2, 3), keepdim=True) / c.square().sum((1, 2, 3), keepdim=True) * c
    return c + (w - 1) * (d - along)


# %% [markdown]
# In the package a rule is a function of one step, which computes the predictions `step.cond` and `step.null` when they are
# first asked for. All fifteen are in `t2i_helpers/diffusion/rules.py`, and a test holds the five above equal to it.
#
# > **Question:** which of the five needs fewer than two passes of the network in some steps?

# %%
import inspect

from t2i_helpers.diffusion import GUIDERS

for name, rule in GUIDERS.items():
    print(f"{name:13}", " ".join(inspect.getdoc(rule).split("\n\n")[0].split()))

# %% [markdown]
# The interval: outside of it, $c$ is enough.
#
# ### In the plane
#
# Here we know the score exactly, so no network can be blamed. Six Gaussians in the plane belong to three classes, two each;
# the explorer draws from one class. Left are the paths of some points, right the ends of all, over the density
# $p(x)\,p(c\mid x)^w$ from which guidance is derived (notebook 1, 1.6).
#
# > **Predict:** with an exact score, do the samples at $w=2$ follow the blue density? What changes at $w=5$, with an
# > interval, with only 5 steps?

# %% alt="Left: guided paths of points from noise to one class of two spots. Right: their ends, beyond the density p(x) p(c|x)^w"
explorers.plane_explorer(digits.preset)

# %% [markdown]
# At $w=1$ they do. At $w>1$ they go *beyond* the blue density, away from the other classes: the guided score at noise level
# $t$ is that of $p_t(x)\,p_t(c\mid x)^w$, and this is not what $p(x)\,p(c\mid x)^w$ becomes when noise is added. Early steps,
# where classes overlap, push hardest. With an interval the early push is gone, and the samples stay nearer to their class. So
# less variety and overshoot are properties of guidance itself, not faults of a network. (Rescaling and APG measure lengths
# over a whole image. A point has only two numbers, so do not judge them here.)
#
# ### On images
#
# The figure shows six objects by fourteen rules. Each column starts from one noise image, and the top rows show plain
# guidance at $w$ = 1, 2 and 5. $w$ is 5 where a rule accepts any number, and lower where the rule has its own scale. The
# last three rules add to plain guidance at $w=2$.
#
# > **Look for:** rows with saturated colours, rows that lose the object, and a row that looks like plain guidance at $w=1$.
# > Which rule would you choose by eye?

# %%
show(guidance.rule_strips(objects, steps))

# %% [markdown]
# At $w=5$ plain guidance saturates colours; rescaling and thresholding look calmer at the same $w$. The rows with perturbed
# attention hardly differ from plain guidance at $w=2$. Beyond that, opinions differ, so let us measure (4.4).
#
# Some rules in `diffusers` 0.42 differ from their papers: its smoothed-energy guidance never blurs, its magnitude-aware
# guidance crashes on images, its perturbed attention uses the wrong prediction as $\epsilon_\varnothing$ at $w=1$, and its
# frequency-decoupled guidance returns 32 pixels for 28. Our versions fix these faults, and tests show each of them in the
# original.
#
# ## 4.4 Which rule when?
#
# A comparison by eye is subjective, so we measured every rule: accuracy (does the image match the caption?), Fréchet and
# kernel distance (does the set look real?), diversity (the distance between two images of one class), saturation (the share
# of pixel values at an end of their range), and the cost in forward passes. Grey points show all rules and scales. No
# other point beats the labelled ones in both metrics (but note the error bars).
#
# > **Before you look:** which of the rules that you liked by eye will be among the labelled ones? Which metric will not be
# > able to tell the rules apart?

# %%
show(study.pareto(SIZE))

# %%
show(study.when_table(SIZE))

# %%
show(study.rules_table("rules-mnist", SIZE))

# %%
show(study.rules_table("rules-cifar10", SIZE))

# %% [markdown]
# These conclusions are for the stored study:
#
# - **A larger $w$ increases accuracy and reduces variety.** On photographs accuracy rises with every step of $w$, while
#   diversity falls and pixels saturate. All rules have this trade-off, at different rates.
# - **Some rules avoid saturated colours at no measured cost.** On photographs, rescaling and thresholding at $w=5$ are as
#   accurate as plain guidance, with the saturation of real images or less. APG at $w=5$ is as accurate as plain guidance
#   at $w=3$, with half as many saturated values.
# - **An interval saves forward passes.** Guidance only at middle noise levels costs a quarter less and keeps more variety
#   at the same $w$.
# - **Some rules have the effect of a smaller $w$.** Tangential and magnitude-aware guidance at $w=5$ match plain guidance at
#   $w=3$ in accuracy and diversity. Compare rules at equal accuracy, not at equal $w$.
# - **Some rules only suit some images.** Thresholding assumes that most values lie inside the range. Nearly all pixels of a
#   digit lie at an end of it. Division by the largest value then turns black into grey at every step, which ruins the
#   digits. Rescaling also greys them, but less.
# - **A weaker guide should have the same kind of errors.** On digits, autoguidance by a small network that was stopped early
#   is indistinguishable from plain guidance. On photographs that network differs too much, and $w=1.5$ already saturates
#   colours.
# - **Perturbed attention needs attention layers.** The papers perturb the middle of U-Nets for hundreds of pixels. The
#   middle of these small networks sees 4×4 pixels and has little effect. Here PAG, SLG and SEG equal plain guidance at
#   $w=2$, for half as many passes again.
# - **Fréchet distances cannot rank rules at this $n$.** Their intervals overlap nearly everywhere. Accuracy, diversity and
#   saturation need a few hundred images to separate rules; a Fréchet distance needs thousands (4.7).
#
# # Lesson B: other guides, solvers, averages
#
# ## 4.5 Anything with a gradient can guide
#
# Guidance by captions needs a network that was trained with captions. Guidance by a *loss* does not: before each step, move
# the image along the negative gradient of any loss of the estimate $\hat x_0$,
#
# $$x_t \leftarrow x_t - s\,u\,P\,\nabla_{x_t} L\big(\hat x_0(x_t)\big).$$
#
# ($P$ is the number of values in the image. $u$ is a unit for each loss, chosen so that $s=0.2$ has a visible effect and
# $s=1$ is more than enough.) We use three losses: the distance to a colour; a classifier's $-\log p$; and $1-\cos$ between
# image and caption in the joint space of an image-text model. CLIP's weights are not available here, so we trained a small
# image encoder with CLIP's contrastive loss against the packaged sentence encoder. This is its accuracy on real test
# images, by the nearest of ten captions:

# %%
import json

from t2i_helpers.paths import CHECKPOINTS

evaluation = json.loads((CHECKPOINTS / "image-text" / "evaluation.json").read_text())
for dataset, accuracies in evaluation["zero_shot"].items():
    for kind in ("taught", "held_out"):                             # wordings of its training, and new ones
        for wording, accuracy in accuracies[kind].items():
            print(f"{dataset:8} {kind:8} {wording:34} {accuracy['value']:.1%}")

# %%
show(guidance.loss_strips(objects, 2 * steps))

# %% [markdown]
# Every loss changes the image in its direction, but not always in the way that you intend. The next figure measures this
# at the strengths of a course report that recommends 0.8 for CLIP (González Muela & Koutsoftas).
#
# > **Question:** which loss do you expect to raise the accuracy of a classifier that had no part in it?

# %%
show(study.loss_curves(SIZE))

# %% [markdown]
# The left panel shows the optimised losses: two fall immediately, the colour loss slowly. The right panel shows the
# accuracy of a classifier. With the similarity loss, the accuracy of this classifier, which is independent of the loss,
# rises a lot. Strengths above 0.2 bring no further gain that sixty images could show. The classifier's own loss also
# improves accuracy, but this says little, because a network responds to changes that people do not see. The colour loss
# does not improve accuracy.
#
# > **Predict:** are the images that a critic finds least blurry also those that show what the caption says?
#
# An image-text model can also select images after sampling, as a critic: draw fifteen, keep the three with the lowest
# score for "blurry", or the three nearest to their caption. The classifier, another network, judges the selection.

# %%
show(study.best_of_table(SIZE))

# %% [markdown]
# Selection improves only the selected criterion. The three least blurry images are not more often right; the three nearest
# to the caption are. (With thirty selected images the intervals are wide. This critic learnt blur from blurred
# photographs, so it rates hardly any image of a diffusion model as blurry. "Good" and "clear" share the rest equally,
# because they had the same examples in training.)
#
# ## 4.6 How many steps, by which solver?
#
# The network only predicts the noise. The sampler decides how to move from noise to an image: DDPM adds noise at every step,
# DDIM adds none ($\eta=0$) or some ($0<\eta\le1$), and the others combine several predictions to take longer steps. Below,
# three samplers start from the same noise image. The rows show $x_t$ above the estimate $\hat x_0$.
#
# > **Before you look:** which of the three end in the same image?

# %%
show(guidance.denoising_strip({"improved": digits}, 2 * steps))

# %% [markdown]
# DDIM and DPM-Solver++ follow the same path from the same noise, so they end in the same 4. DDPM adds noise, which leads to
# another 4. The next figure shows quality against cost for the small network of section 4.7 at $w=2$:
#
# > **Before you look:** the course report found that DDPM needs about 1,000 steps to match DDIM with 40. Which difference
# > do you expect at 20?

# %%
show(study.quality_against_passes(SIZE))

# %% [markdown]
# On digits, all samplers that start at pure noise are good within ten evaluations, stochastic or not, and the remaining
# differences lie inside the intervals. A thousand steps are not necessary. DDIM with $\eta=1$ gives exactly the images of
# DDPM. LMS, Euler and Heun fail with few steps; the next figure shows the reason.
#
# "Leading" timesteps start below $T$, where the initial pure noise is too noisy for the timestep that the network receives.
# "Trailing" timesteps start at $T$. LMS, Euler and Heun step in $\sigma$. With the cosine schedule $\sigma$ drops by orders
# of magnitude between the first two trailing steps. This is too far for a straight line, so they use leading timesteps.

# %%
show(guidance.sigma_schedules(digits.preset, steps))

# %%
show(study.spacing_table(SIZE))

# %% [markdown]
# ## 4.7 Averaged weights, and the number of images
#
# The weights of a network fluctuate until the end of training. Their moving average,
# $\bar\theta \leftarrow \beta\,\bar\theta + (1-\beta)\,\theta$, is smoother and only costs memory. A paper (Sahu 2025) reports that
# guidance and averaging together reduce FID from 1,332 to 1,089, with six generated images, without the value of $\beta$ and without
# an ablation. This is an ablation: one training, with its last weights and four averages.
#
# > **Before you look:** the training had 1,000 steps. Which weights dominate an average with $\beta = 0.9999$?

# %%
show(study.averages_figure(SIZE))

# %% [markdown]
# Averaging helps: without guidance the images of averaged weights are clearly closer to real digits than those of the last
# weights. Guidance hides most of this difference, so the conclusion depends on $w$. A wrong decay is harmful: after 1,000
# steps with $\beta=0.999$, more than a third of the average is still the random initial network. With 0.9999 it is nine
# tenths, and the network draws only noise. (Noise is as diverse as real digits, so do not use diversity alone.) A decay that
# rises as $(1+n)/(10+n)$, the default of diffusers, forgets the initial weights and needs no choice. (A paper that does not
# give $\beta$ cannot be reproduced.)
#
# The next figure shows the Fréchet distance of $n$ *real* images to thousands of other real images.
#
# > **Predict:** how reliable are six images?

# %%
show(lambda: study.frechet_against_n(size=SIZE), otherwise="study_frechet_n")

# %% [markdown]
# Six *real* photographs have a large distance, although it should be 0. With fewer images than features, the distance
# mostly depends on $n$, and different draws of six images give different values. It still falls at a thousand images. Six
# images cannot show whether 1,089 is better than 1,332. (The study compares $n$ generated with $n$ real images, so the bias
# of both adds up.)
#
# # Lesson C: captions and content
#
# ## 4.8 What does a language model add?
#
# The network receives the caption as vectors. Must they come from a language model? We trained the same small network with
# a sentence encoder (MiniLM, of the BERT family), with a random vector for each *word*, and with one-hot classes. Then we
# used prompts with words that no training caption contains.
#
# > **Before you look:** for which of these prompts can random word vectors work?

# %%
show(study.encoders_figure(SIZE))

# %% [markdown]
# All three encoders work for the ten captions. New words around a known 7 also work: "7" is enough for random vectors. But
# no caption contains "seven". With random vectors it is an unknown vector, and accuracy falls to about chance. The sentence
# encoder has learnt that seven and 7 have the same meaning, so the network draws it although its training never contained
# the word. One-hot classes do not accept new prompts. A language model does not improve the digits, but it accepts more
# prompts.
#
# ## 4.9 When is the content decided?
#
# At every step the network estimates the final image, $\hat x_0$. A student's report (course ITAI 2376) says that a picture
# is recognisable at 50 to 70 % of the steps (the grey band).
#
# > **Predict:** when does a classifier recognise the digit or object of the caption, in the estimate and in the noisy
# > image?

# %%
show(guidance.recognition_curves({"MNIST": digits, "CIFAR-10": objects}))

# %% [markdown]
# On digits no curve rises inside the grey band. The estimate $\hat x_0$ is recognised long before it, with guidance mostly
# from the first step, and the noisy image $x_t$ long after it. Photographs are decided later: the estimate with guidance
# about half way. (The classifier was not trained on noise, so a person may recognise $x_t$ earlier. The report used clothes,
# 100 steps and human judgement.)
#
# In cross-attention each pixel distributes its attention over the tokens of the caption. The figure shows this for one
# image:

# %%
show(guidance.attention_over_steps(digits, 2 * steps))

# %% [markdown]
# > **Try:** pick a token and a step. Which tokens besides the word have much attention, and when?

# %% alt="The estimate of a 5 at one step, the attention of its pixels to the class's token, and this token's share of the attention at each step"
explorers.attention_explorer(digits, 2 * steps)

# %% [markdown]
# The relevant word, "5", has high attention along the strokes, above all in early steps. This suggests that early steps
# decide the content. Then a late change of the caption has no effect, and an early change has a large one. We compare two
# changes: another caption from step $\tau$ on; and Prompt-to-Prompt (Hertz et al. 2022), which uses the new caption
# throughout, with the attention maps of the old caption until $\tau$.
#
# > **Predict:** at which $\tau$ does the 3 stay a 3?

# %%
show(guidance.prompt_swap(digits, 2 * steps))

# %% [markdown]
# With a change at 0.4, a 3 still becomes an 8; from 0.6 on it stays a 3. So the digit can be recognisable, as in the figure
# above, before it is decided. With the attention of the old caption throughout ($\tau=1$), the 1 is drawn like the 7 that
# it replaces, but the 8 stays an 8. Attention determines where a word acts, not its meaning. (One noise image per pair is
# an illustration, not a statistic.)
#
# If early steps decide the layout, we can replace them with a drawing. SDEdit (Meng et al. 2021) adds as much noise to a
# drawing as the last share $s$ of the steps removes, and then runs these steps.
#
# > **Predict:** what is left of the drawing at $s=0.2$, and at $s=0.9$?

# %%
show(guidance.painted_strokes({"MNIST": digits, "CIFAR-10": objects}, 2 * steps))

# %% [markdown]
# With little noise the drawing hardly changes; with much noise nothing of it remains. Useful strengths lie in between:
#
# > **Try:** at which strength does the drawn seven become another digit of your choice, in the place of the drawing?
# > Then press "clear", and draw strokes of your own on the black square with the mouse.

# %% alt="Left: a seven of one thick stroke. Right: what the network draws from it with the caption of a 9 at strength 0.7"
explorers.sdedit_explorer(digits, 2 * steps)

# %% [markdown]
# At 20 steps a 2 appears at 0.6 to 0.7, a 9 at 0.7, and a 3 at 0.8: the more a digit has in common with the drawing, the less
# noise it needs. It still uses the strokes of the seven.
#
#
# ## 4.10 Exercises
#
# Replace `None` (or the `...` of a function) with your answer and run the cell. Solutions are in
# [solutions/04_guidance_study.py](solutions/04_guidance_study.py).
#
# **4.1 A rule of your own.** Guidance need not be constant. Write a guider whose scale falls linearly over the steps, from 5
# at the first towards 1 at the end, and compare it with plain guidance at $w=5$ on the ten objects. (A guider is a function
# of a `step`, which has an `index` from 0 and a number of `steps`.)

# %%
def falling(step):
    ...


check("4.1", falling)

# %% [markdown]
# **4.2 Interval by hand.** Which steps need guidance? Draw the ten digits at $w=5$ with guidance only where $\sigma > 5$,
# only where $0.5 < \sigma \le 5$, and only below. Which of the three can you leave out, and how many passes does it save?
# Give the guider of the middle interval.

# %%
middle = None                                           # such as digits.make_guider("interval sigma_min=5", 5.0)
check("4.2", middle)

# %% [markdown]
# **4.3 Is it significant?** Take the two most accurate rules on CIFAR-10 from the stored study. Do their intervals overlap?
# From which multiple of 100 images on would they not?

# %%
rows = study.rows_of("rules-cifar10")                   # each has row["accuracy"]["value"] and ["interval"]
n = None
check("4.3", n)

# %% [markdown]
# ## 4.11 Sizes
#
# Set the environment variable `T2I_SIZE` before you start Jupyter to choose a size.
#
# | size | for | what it runs |
# |---|---|---|
# | `demo` (default) | a laptop | pictures drawn live by the small checkpoints of this repository; the stored study |
# | `full` | a big GPU | trains the networks that are missing, and measures the study with them |
# | `smoke` | CI | the same cells with fewer steps; the pictures have no meaning |
#
# **References.** Domnenco (2026), the thesis · Fan et al. (2025), arXiv:2503.18886 · González Muela & Koutsoftas, *Text-to-Image
# Generation using CLIP and Diffusion Models*, project report, course SSY340 · Hertz et al. (2022), arXiv:2208.01626 · Ho &
# Salimans (2022), arXiv:2207.12598 · Kynkäänniemi et al. (2024), arXiv:2404.07724 · Lin et al. (2024), arXiv:2305.08891 · Meng
# et al. (2021), arXiv:2108.01073 · Sadat et al. (2024), arXiv:2410.02416 · Sahu (2025), arXiv:2503.05149. The docstring of each
# rule names its paper.

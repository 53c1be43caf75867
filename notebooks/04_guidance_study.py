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
# # 4 · Guidance, looked at from all sides
#
# Notebooks 1 to 3 used one rule with one number in it, $w$. This one asks what that rule is, which others there are,
# what each costs and buys, and what else decides how an image comes out: the solver, the averaging of weights, the text
# encoder. Each section answers one question and can be read alone.
#
# **You need** notebook 1, and 2 for what the numbers are worth. **You will learn** to read any paper's guidance scale,
# to choose a rule for a purpose, and to doubt a Fréchet distance.
#
# | size | for | what it runs |
# |---|---|---|
# | `demo` (default) | a laptop | pictures drawn live by the small checkpoints that ship; the study's stored measurements |
# | `full` | a big GPU | the same with the whole study measured again first: `t2i evaluate study` |
# | `smoke` | CI | the same cells with fewer steps, without meaning |
#
# The stored study is of **small networks**, drawn on two CPU cores, judged by our own classifiers, whose features stand
# in for Inception's, with text by a packaged encoder that stands in for CLIP. What ranks first here need not rank first
# on a network a thousand times as large. What carries over is how to find out.

# %%
import os

import torch

from t2i_helpers.data import captions
from t2i_helpers.evaluation.study import run_study
from t2i_helpers.models import load_pipeline
from t2i_helpers.reporting import study
from t2i_helpers.reporting.export import export
from t2i_helpers.reporting.tables import export_table

SIZE = os.environ.get("T2I_SIZE", "demo")
steps = {"smoke": 2, "demo": 10, "full": 50}[SIZE]
digits, objects = load_pipeline("mnist"), load_pipeline("cifar10")
if SIZE == "full":
    run_study()

# %% [markdown]
# ## 4.1 What does $w$ mean?
#
# Guidance walks along the line from the prediction without the caption to the one with it, and beyond:
#
# $$\tilde\epsilon = \epsilon_\varnothing + w\,(\epsilon_c - \epsilon_\varnothing)
# \qquad\text{or, as the first paper wrote,}\qquad
# \tilde\epsilon = (1+w')\,\epsilon_c - w'\,\epsilon_\varnothing .$$
#
# The line is the same; its zero is not. $w=0$ forgets the caption, $w'=0$ only stops exaggerating it.
#
# > **Before you run the cell:** which column on the left must look like which column on the right?

# %%
CONVENTIONS_FIGURE

# %% [markdown]
# The same *number* means different images; $w = 1 + w'$ means the same image, to the last pixel, and a test holds that.
# Read a paper's formula before you copy its scale:

# %%
CONVENTIONS_TABLE

# %% [markdown]
# ## 4.2 Away from what?
#
# $\epsilon_\varnothing$ is only one thing to walk away from. Put another caption in its place, a **negative prompt**, and
# guidance avoids what that says. Below, ten noises become a 4: away from ∅, away from a 9, away from a 1.
#
# > **Think first:** at $w=1$ a negative prompt does nothing at all. Why?

# %%
export(study.negative_prompts(digits, steps), SIZE)

# %% [markdown]
# A 4 that must not look like a 9 opens its top; a 4 that must not look like a 1 spreads out. Nothing was trained for
# that. The formula is the one above with $\epsilon_{\text{negative}}$ in place of $\epsilon_\varnothing$, and at $w=1$ it
# is $\epsilon_c$ alone, whatever is subtracted.
#
# ## 4.3 One interface, many rules
#
# Since 2022 many papers have mended what a large $w$ does to images: colours burn out, variety shrinks, and early steps
# overshoot. Each mend is a *guider*: an object that says which forward passes a step needs, and how their predictions
# become one. Ours have the interface of `diffusers.guiders`, so any of theirs can stand in their place.

# %%
import inspect

from t2i_helpers.diffusion import GUIDERS

for name, rule in GUIDERS.items():
    print(f"{name:13}", " ".join(inspect.getdoc(rule).split("\n\n")[0].split()))

# %% [markdown]
# Ten objects, fifteen rules, one noise a column. Rows differ in nothing but the rule; $w$ is 5 where the rule takes any
# number, and lower where the paper's own scale is.
#
# > **Look for:** rows that burn out, rows that lose the object, a row that can hardly be told from plain $w=1$. Which
# > rule would you choose by eye?

# %%
RULES = [("cfg", 1), ("cfg", 5), ("rescale", 5), ("interval sigma_min=0.2 sigma_max=5", 5), ("threshold", 5), ("apg", 5),
         ("cfg-zero", 5), ("tcfg", 5), ("mag", 5), ("fdg", 5), ("cfg++", 0.5), ("auto", 1.5), ("pag", 2), ("slg", 2),
         ("seg", 2)]
export(study.rule_strips(objects, RULES, steps), SIZE)

# %% [markdown]
# Some of the rules in `diffusers` 0.42 do not do what their papers say: its smoothed-energy guidance never blurs
# anything, its magnitude-aware guidance crashes on images, its perturbed attention takes the wrong prediction for
# $\epsilon_\varnothing$ at $w=1$, and its frequency-decoupled guidance returns 32 pixels for 28. Ours are the smallest
# mends, and for each there is a test that fails on the original.
#
# ## 4.4 Which rule when?
#
# Eyes are easily led, so every rule was measured: accuracy (is it what the caption says?), Fréchet and kernel distance
# (does the set look real?), diversity (how far are two images of one class apart?), saturation (how many pixel values
# lie at an end of their range?), and the price in forward passes. The grey cloud is everything; what is named, no
# other point beats in both directions.

# %%
export(study.pareto(), SIZE)

# %%
export_table(study.when_table(), SIZE)

# %%
export_table(study.rules_table("rules-mnist"), SIZE)

# %%
export_table(study.rules_table("rules-cifar10"), SIZE)

# %% [markdown]
# FINDINGS_RULES
#
# ## 4.5 Anything with a gradient can guide
#
# LOSSES
#
# ## 4.6 How many steps, by which solver?
#
# SAMPLERS
#
# ## 4.7 Average the weights; then count your images
#
# A network's weights jitter to the end of training. Their moving average is smoother,
# $\bar\theta \leftarrow \beta\,\bar\theta + (1-\beta)\,\theta$, and costs nothing but memory. A paper reports that guidance
# and averaging together bring FID from 1,332 to 1,089, with six generated images, one $\beta$ and no ablation. Here is the
# ablation: one training, its weights averaged in five ways while it ran.
#
# > **Before you look:** the training had 1,000 steps. What is an average with $\beta = 0.9999$ mostly made of?

# %%
export(study.averages_figure(), SIZE)

# %% [markdown]
# FINDINGS_AVERAGES
#
# And six images? The Fréchet distance of six *real* images to thousands of other real ones says what such a number is
# worth:

# %%
export(study.frechet_against_n(), SIZE)

# %% [markdown]
# FINDINGS_N
#
# ## 4.8 What does language buy?
#
# The caption reaches the network as vectors. Must they come from a language model? The same small network was trained
# behind a sentence encoder (MiniLM, of the BERT family), behind a table that gives every *word* a random vector, and
# behind one-hot classes. All three learn the ten captions. Then ask for the same digits in words that no training caption
# had.
#
# > **Before you look:** for which of these wordings can random word vectors work at all?

# %%
export(study.encoders_figure(), SIZE)

# %% [markdown]
# FINDINGS_ENCODERS
#
# ## 4.9 Looking inside
#
# INSIDE

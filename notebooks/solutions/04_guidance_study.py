# %% [markdown]
# # Solutions of notebook 4
#
# Run these cells after those of the notebook: they use its variables.
#
# **4.1** If the image is decided early, late steps need little guidance, and colours saturate less.

# %%
from t2i_helpers.reporting.drawing import image_grids


def falling(step):
    w = 1 + 4 * (1 - step.index / step.steps)
    return step.null + w * (step.cond - step.null)


check("4.1", falling)
panels = {}
for label, guider in {"w = 5": objects.make_guider("cfg", 5), "falling": falling}.items():
    drawn = objects(captions(objects.preset), guider=guider, steps=steps, scheduler="dpm++")
    panels[label] = (drawn.images[None],)
display(image_grids(panels, height=2.4))

# %% [markdown]
# **4.2** With few steps nearly all of them lie in the middle, where the shape is decided; below $\sigma=0.5$ guidance mostly
# thickens the strokes.

# %%
panels = {}
for levels in ("sigma_min=5", "sigma_min=0.5 sigma_max=5", "sigma_max=0.5"):
    drawn = digits(captions(digits.preset), guider=digits.make_guider(f"interval {levels}", 5.0), steps=steps,
                   scheduler="dpm++")
    panels[f"{levels}, {drawn.forward_passes} passes"] = (drawn.images[None],)
display(image_grids(panels, height=3.2))
middle = digits.make_guider("interval sigma_min=0.5 sigma_max=5", 5.0)
check("4.2", middle)

# %% [markdown]
# **4.3** A ranking depends on $n$. The intervals of most neighbours in the table overlap.

# %%
from t2i_helpers.evaluation import wilson_interval

second, first = sorted({row["accuracy"]["value"] for row in study.rows_of("rules-cifar10")})[-2:]
n = next(n for n in range(100, 10**6, 100)
         if wilson_interval(first * n, n)[0] > wilson_interval(second * n, n)[1])
print(f"{first:.1%} and {second:.1%}: separate from n = {n:,} on")
check("4.3", n)

# %% [markdown]
# # Solutions of notebook 1
#
# Run these cells after those of the notebook: they use its variables.
#
# **1.1** Just before the middle of the chain:

# %%
t = int((alphas_cumprod - 0.5).abs().argmin())
check("1.1", t)

# %% [markdown]
# **1.2** With $x_t=\sqrt{\bar\alpha}\,x_0+\sqrt{1-\bar\alpha}\,\epsilon$ and
# $v=\sqrt{\bar\alpha}\,\epsilon-\sqrt{1-\bar\alpha}\,x_0$, the terms in $\epsilon$ of
# $\sqrt{\bar\alpha}\,x_t-\sqrt{1-\bar\alpha}\,v$ cancel, and $(\bar\alpha+1-\bar\alpha)\,x_0=x_0$ is left.

# %%
def x_0_of(x_t, v, abar):
    return abar.sqrt() * x_t - (1 - abar).sqrt() * v


check("1.2", x_0_of)

# %% [markdown]
# **1.3** Both call the network twice per step, once for the caption and once for ∅. DPM-Solver++ reuses its previous
# $\hat x_0$ to estimate the curvature of the path, which costs no extra call. It is sharper.

# %%
panels = {}
for scheduler in ("ddpm", "dpm++"):
    drawn = pipes["improved"](captions(improved), w=2.0, steps=10, scheduler=scheduler)
    panels[f"{scheduler}, {drawn.forward_passes} network calls an image"] = (drawn.images[None],)
display(image_grids(panels, height=2.4))
passes = drawn.forward_passes
check("1.3", passes)

# %% [markdown]
# **1.4** $\tilde\epsilon=2\epsilon_\varnothing-\epsilon_c$ draws digits in general, pushed *away* from ones. A negative
# prompt also pushes away, but it replaces ∅ in the formula.

# %%
of_empty_and_caption = (2, -1)
check("1.4", of_empty_and_caption)
drawn = pipes["improved"](["A handwritten digit 1"] * 10, w=-1.0, steps=steps)
display(image_grids({"w = −1: everything but a one": (drawn.images[None],)}, height=1.4))

# %% [markdown]
# **1.5** Mostly there is no digit in between. The network was trained on eleven points of the embedding space. Between them
# it draws one of the trained digits or a stroke that could be either.

# %%
(three, eight), null = pipes["improved"].embed(["A handwritten digit 3", "A handwritten digit 8"])
mixed = torch.stack([torch.lerp(three, eight, share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)])
check("1.5", mixed)
x = sample(pipes["improved"].unet, make_scheduler(improved, "dpm++"), make_guider("cfg", w=2.0), mixed, null,
           seeds=[1] * 5, steps=steps).images
display(image_grids({"from 3 to 8": (to_unit(x[None], improved.pixel_range),)}, height=1.6, width=4))

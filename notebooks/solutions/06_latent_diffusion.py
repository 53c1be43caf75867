# %% [markdown]
# # Solutions of notebook 6
#
# Run these cells after those of the notebook: they use its variables.
#
# **6.1** A third of Stable Diffusion's: more numbers to compute, and finer details.

# %%
factor = compression(4, 3)
check("6.1", factor)

# %% [markdown]
# **6.2** The inverse of a rotation is its transpose.

# %%
def undo(c, rotation):
    return c @ rotation.T


check("6.2", undo)

# %% [markdown]
# # Solutions of notebook 7
#
# Run these cells after those of the notebook: they use its variables.
#
# **7.1** $\hat v=\cos\varphi\,\hat\epsilon-\sin\varphi\,\hat x_0$. For a flow, $x_s-s\,u=(1-s)\,x_0+s\,\epsilon-s\,\epsilon+s\,x_0=x_0$,
# and $\epsilon=x_0+u$.

# %%
def clean_and_noise(x_s, u, s):
    return x_s - s * u, x_s + (1 - s) * u


check("7.1", clean_and_noise)

# %% [markdown]
# **7.2** A token covers 16×16 pixels, so there are 64×64 tokens. Twice the side is four times the tokens, and sixteen times
# the pairs.

# %%
check("7.2", ((1024 // 16) ** 2, 4 ** 2))

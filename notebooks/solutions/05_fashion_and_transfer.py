# %% [markdown]
# # Solutions of notebook 5
#
# Run these cells after those of the notebook: they use its variables.
#
# **5.1** Ten times as large, since the sum of $\beta_t$ decides, and somewhat less because $\log(1-\beta)$ falls faster than
# $-\beta$.

# %%
def left(last):
    return (1 - torch.linspace(1e-4, last, 100).double()).prod()


answer = next(last / 1000 for last in range(20, 400) if left(last / 1000) < 4e-5)
print(f"β up to {answer}: {left(answer):.1e}")
check("5.1", answer)

# %% [markdown]
# **5.2** The share of the start is $0.99999^n$; it is one half after 69,315 steps.

# %%
import math

answer = math.log(0.5) / math.log(0.99999)
print(f"{answer:,.0f} steps")
check("5.2", answer)

# %% [markdown]
# # Solutions of notebook 2
#
# Run these cells after those of the notebook: they use its variables.
#
# **2.1** Nine times as many images as the thesis drew, for two scales only. (Separate intervals are a stricter criterion
# than necessary: a test of the difference needs about half as many images.)

# %%
def separate(n):
    (_, low), (high, _) = wilson_interval(0.15 * n, n), wilson_interval(0.165 * n, n)
    return low < high


n = next(n for n in range(100, 20_000, 100) if separate(n))
print(f"{n:,} images each")
check("2.1", n)

# %% [markdown]
# **2.2** Precision is the same for ten images as for 250; recall and the Fréchet distance are not. For this reason a quality
# metric alone would always choose a large $w$.

# %%
from t2i_helpers.evaluation.features import real_features
from t2i_helpers.evaluation.metrics import frechet_distance, precision, recall

real = real_features("mnist").features
a, b = real[torch.randperm(len(real), generator=rng)][:500].chunk(2)
memorised = b[:10].repeat(25, 1) + 0.01 * torch.randn_like(b)
for name, features in (("real", b), ("memorised", memorised)):
    print(f"{name:10} precision {precision(features, a):.2f}  recall {recall(features, a):.2f}  "
          f"Fréchet {frechet_distance(features, a):.1f}")
fooled = "precision"
check("2.2", fooled)

# %% [markdown]
# **2.3** Compare the intervals, not the values. If they overlap, draw more images before you decide.

# %%
from t2i_helpers.intervals import overlap

intervals = []
for scheduler in ("ddpm", "dpm++"):
    (row,) = evaluate(pipes["improved"], [2.0], 5 * few, steps=steps, scheduler=scheduler)["rows"]
    intervals.append(row["accuracy"]["interval"])
    print(f"{scheduler:6} accuracy {row['accuracy']['value']:.0%}", [f"{end:.0%}" for end in intervals[-1]])
answer = (intervals, overlap(*intervals))
check("2.3", answer)

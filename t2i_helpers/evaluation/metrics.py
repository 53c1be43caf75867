"""Estimates: numbers with the interval that their sample size allows, as {"value", "interval": [low, high]}, 95 %.

Distances, precision and recall depend on the network whose features they compare, and on n. Read each beside the same
metric of real against real images at the same n.
"""

import math
import warnings
from collections.abc import Callable

import torch

from ..errors import BadValue
from ..intervals import wilson_interval
from ..randomness import generator, seed_from

GROUPS = 10                     # of the jackknife
T_9 = 2.262                     # 97.5 % quantile of Student's t with GROUPS - 1 degrees of freedom


def estimate(value: float, half: float, lowest: float = -math.inf, highest: float = math.inf) -> dict:
    """value +- half, where the interval is clipped to [lowest, highest]."""
    return {"value": value, "interval": [max(value - half, lowest), min(value + half, highest)]}


def proportion(values: torch.Tensor) -> dict:
    """The mean of n values in [0, 1] with Wilson's interval, which is too wide for probabilities between 0 and 1."""
    mean = float(values.double().mean())
    return {"value": mean, "interval": [*wilson_interval(mean * len(values), len(values))]}


def mean_estimate(values: torch.Tensor) -> dict:
    """The mean of n numbers, +- 1.96 standard errors."""
    values = values.double()
    return estimate(float(values.mean()), 1.96 * float(values.std()) / math.sqrt(len(values)))


def jackknife(metric: Callable[..., float], a: torch.Tensor, b: torch.Tensor) -> dict:
    """`metric(a, b)` with the 95 % interval of a delete-a-group jackknife (Efron & Tibshirani 1993, ch. 11), which
    leaves out a random tenth of both sets at a time. The interval of a share is clipped to [0, 1].

    A bootstrap would repeat images, which makes covariances smaller and distances larger. Near a distance's floor the
    interval is too wide.
    """
    _check(a, b, at_least=2 * GROUPS)
    group_a, group_b = (torch.randperm(len(x), generator=generator("jackknife")) % GROUPS for x in (a, b))
    without = torch.tensor([metric(a[group_a != g], b[group_b != g]) for g in range(GROUPS)], dtype=torch.float64)
    half = T_9 * float(((GROUPS - 1) * (without - without.mean()).square().mean()).sqrt())
    return estimate(metric(a, b), half, *((0.0, 1.0) if metric in (precision, recall) else ()))


def frechet_distance(features_a: torch.Tensor, features_b: torch.Tensor) -> float:
    """||mu_a - mu_b||^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)) of features [n, d] and [m, d] (Heusel et al. 2017, eq. 6).
    With Inception-v3's 2,048 features it is FID. It falls with n; below d images the covariances are singular.
    Raises BadValue for fewer than two rows, widths that differ, or NaN."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    return float(_torchmetric(FrechetInceptionDistance, features_a, features_b))


def frechet_infinity(features_a: torch.Tensor, features_b: torch.Tensor) -> float:
    """The Frechet distance extrapolated to infinitely many images (Chong & Forsyth 2020, arXiv:1911.07023).

    The bias is nearly proportional to 1 / n: a line is fitted through the mean distances of n, n / 2, ... n / 4 images
    and read at 1 / n = 0. For two draws of one distribution the result tends to 0. It needs n to be several times d.
    """
    _check(features_a, features_b, at_least=8)
    n, rng = min(len(features_a), len(features_b)), generator("frechet infinity")
    a, b = (x[torch.randperm(len(x), generator=rng)[:n]] for x in (features_a, features_b))
    means = [sum(frechet_distance(a[i::k], b[i::k]) for i in range(k)) / k for k in (1, 2, 3, 4)]
    line = torch.tensor([[1.0, k / n] for k in (1, 2, 3, 4)], dtype=torch.float64)
    return float(torch.linalg.lstsq(line, torch.tensor(means, dtype=torch.float64)[:, None]).solution[0])


def kernel_distance(features_a: torch.Tensor, features_b: torch.Tensor, max_rows: int = 5000) -> float:
    """The unbiased squared MMD with kernel (x.y / d + 1)^3 (Binkowski et al. 2018); with Inception's features, KID.
    Unlike the Frechet distance its mean does not depend on n. At most `max_rows` rows of each set are compared."""
    from torchmetrics.image.kid import KernelInceptionDistance

    rows = min(len(features_a), len(features_b), max_rows)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_from("kernel distance"))
        mean, _ = _torchmetric(KernelInceptionDistance, features_a, features_b, subsets=1, subset_size=rows)
    return float(mean)


def precision(features: torch.Tensor, real: torch.Tensor) -> float:
    """The share of `features` [n, d] inside the manifold of `real` [m, d] (Kynkaanniemi et al. 2019, eq. 1): the union
    of balls around the real features that reach to their third neighbour."""
    _check(features, real, at_least=4)
    features, real = features.double(), real.double()      # cdist's squares cancel in float32 far from the origin
    radius = torch.cdist(real, real).kthvalue(4, dim=1).values                               # [m], itself is the first
    return float((torch.cdist(features, real) <= radius).any(1).double().mean())


def recall(features: torch.Tensor, real: torch.Tensor) -> float:
    """The share of `real` inside the manifold of `features`; see `precision`."""
    return precision(real, features)


def diversity(features: torch.Tensor, labels: torch.Tensor) -> dict:
    """The mean distance of two images of one class, in features [n, d]; `labels` int64 [n]. A U-statistic of order two:
    its variance is about four times that of an image's mean distance to the others of its class, over n (Hoeffding
    1948). Classes of one image are left out; BadValue where none has two."""
    classes = [features[labels == label].double() for label in labels.unique()]
    means = [torch.cdist(x, x).sum(1) / (len(x) - 1) for x in classes if len(x) > 1]             # [n of the class] each
    if not means:
        raise BadValue("no class has two images: diversity is of images of one class")
    value = float(torch.cat(means).mean())
    spread = torch.cat([distances - distances.mean() for distances in means]).square().mean().sqrt()
    return estimate(value, 1.96 * 2 * float(spread) / math.sqrt(sum(map(len, means))), lowest=0.0)


def saturation(images: torch.Tensor) -> dict:
    """The share of an image's numbers at an end of their range, in uint8 `images` [n, c, h, w]: 0 to 2 or 253 to 255.
    Guidance that drives images out of their range raises it above that of real images."""
    return mean_estimate(((images <= 2) | (images >= 253)).double().flatten(1).mean(1))


DISTANCES = {"frechet": frechet_distance, "frechet_infinity": frechet_infinity, "kernel": kernel_distance,
             "precision": precision, "recall": recall}


def compare(features: torch.Tensor, real: torch.Tensor) -> dict[str, dict]:
    """Every metric of DISTANCES of generated against real features, with its interval; no extrapolation from fewer
    than three images a feature."""
    enough = min(len(features), len(real)) >= 3 * features.shape[1]
    return {name: jackknife(metric, features, real) for name, metric in DISTANCES.items()
            if enough or metric is not frechet_infinity}


def beside(values: dict[str, dict], real: dict[str, dict]) -> dict[str, dict]:
    """The estimates of generated images, each with the same estimate of real images, if there is one, as its "real"."""
    return {name: value | ({"real": real[name]} if name in real else {}) for name, value in values.items()}


def _torchmetric(kind, a, b, **options):
    """A metric of torchmetrics whose network has been applied already."""
    _check(a, b, at_least=2)
    given = torch.nn.Identity()
    given.num_features = a.shape[1]
    with warnings.catch_warnings(action="ignore", category=UserWarning):     # KID keeps its features in memory
        metric = kind(feature=given, **options).set_dtype(torch.float64)
    metric.update(b.double(), real=True)
    metric.update(a.double(), real=False)
    return metric.compute()


def _check(a, b, at_least):
    for features in (a, b):
        if features.ndim != 2 or len(features) < at_least:
            raise BadValue(f"features {tuple(features.shape)}: at least {at_least} images are needed, one row each")
        if bad := int((~features.isfinite()).any(1).sum()):
            raise BadValue(f"{bad} of {len(features)} feature rows hold NaN or infinity: draw those images again")
    if a.shape[1] != b.shape[1]:
        raise BadValue(f"features {a.shape[1]} and {b.shape[1]} wide: compare two sets from one network")

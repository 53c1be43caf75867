"""Distances between feature sets and the intervals around numbers, against other implementations and closed forms."""

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_fid import fid_score
from scipy.spatial.distance import pdist
from support import refuses

from t2i_helpers.errors import BadValue
from t2i_helpers.evaluation import frechet_distance, metrics, wilson_interval
from t2i_helpers.evaluation.metrics import DISTANCES, jackknife, kernel_distance, precision, recall
from t2i_helpers.randomness import generator

SEEDS = st.integers(0, 10_000)


def gaussian(n, d, *key, mean=0.0, scale=1.0):
    return torch.randn(n, d, generator=generator("test metrics", *key)) * scale + mean


def mixed(n, d, *key):
    """Correlated features: independent ones under a random linear map, which depends on the key's first word alone."""
    return gaussian(n, d, *key) @ gaussian(d, d, key[0], "map") / d**0.5 + gaussian(1, d, key[0], "mean")


@given(SEEDS, st.sampled_from([(2, 50), (8, 90), (64, 500)]))
def test_the_frechet_distance_is_pytorch_fid_s_symmetric_and_zero_between_a_set_and_itself(seed, shape):
    d, n = shape
    a, b = mixed(n, d, "a", seed), mixed(70 + d, d, "b", seed)
    moments = [moment for x in (a, b) for moment in (x.double().mean(0).numpy(), np.cov(x.double(), rowvar=False))]
    theirs = fid_score.calculate_frechet_distance(*moments)
    assert frechet_distance(a, b) == pytest.approx(theirs, rel=1e-4, abs=1e-4)
    assert frechet_distance(b, a) == pytest.approx(theirs, rel=1e-4, abs=1e-4)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-3)


def test_with_fewer_images_than_features_the_frechet_distance_is_that_of_singular_covariances():
    a, b = mixed(30, 64, "a"), mixed(40, 64, "b")
    factors = [(x - x.mean(0)).double() / (len(x) - 1) ** 0.5 for x in (a, b)]              # covariance = x^T x
    root = torch.linalg.svdvals(factors[0] @ factors[1].T).sum()
    spread = sum(x.square().sum() for x in factors)
    expected = (a.double().mean(0) - b.double().mean(0)).square().sum() + spread - 2 * root
    assert frechet_distance(a, b) == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("mean, scale", [(0.1, 1.2), (0, 1)], ids=["apart", "one distribution"])
def test_the_extrapolated_distance_is_nearer_to_the_closed_form(mean, scale):
    closed = 16 * (mean**2 + (scale - 1) ** 2)
    pairs = [(gaussian(200, 16, "a", seed, mean=mean, scale=scale), gaussian(200, 16, "b", seed)) for seed in range(12)]
    at_n = np.array([frechet_distance(*pair) for pair in pairs])
    extrapolated = np.array([metrics.frechet_infinity(*pair) for pair in pairs])
    assert at_n.min() > 1.5 * closed
    assert abs(extrapolated.mean() - closed) < 0.2 * (at_n.mean() - closed)
    assert np.abs(extrapolated - closed).mean() < 0.3 * (at_n.mean() - closed)
    assert extrapolated.min() < closed < extrapolated.max()


def test_extrapolation_repeats_itself_and_leaves_the_global_random_state_alone():
    a, b = gaussian(50, 4, "a"), gaussian(90, 4, "b")
    before = torch.get_rng_state()
    results = [(metrics.frechet_infinity(a, b), kernel_distance(a, b)) for _ in range(2)]
    assert results[0] == results[1] and torch.equal(before, torch.get_rng_state())


def squared_mmd(a, b):
    """Gretton et al. 2012, eq. 3, with the kernel (x.y / d + 1)^3."""
    a, b = a.double().numpy(), b.double().numpy()
    xx, yy, xy = ((x @ y.T / a.shape[1] + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))
    within = sum((k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (xx, yy))
    return within - 2 * xy.mean()


@given(SEEDS, st.integers(1, 8), st.integers(2, 40))
def test_the_kernel_distance_is_the_unbiased_squared_mmd(seed, d, n):
    a, b = mixed(n, d, "a", seed), mixed(n, d, "b", seed)
    assert kernel_distance(a, b) == pytest.approx(squared_mmd(a, b), rel=1e-4, abs=1e-5)


def test_the_kernel_distance_compares_at_most_so_many_rows():
    a, b = gaussian(100, 4, "a", mean=1.0), gaussian(100, 4, "b")
    few = kernel_distance(a, b, max_rows=60)
    assert few != kernel_distance(a, b) and few == pytest.approx(squared_mmd(a, b), rel=0.3)


@pytest.mark.parametrize("n", [10, 40, 160])
def test_the_kernel_distance_of_one_distribution_is_zero_on_average_at_any_n(n):
    found = [kernel_distance(gaussian(n, 4, "a", n, seed), gaussian(n, 4, "b", n, seed)) for seed in range(300)]
    assert abs(np.mean(found)) < 3 * np.std(found) / 300**0.5
    assert min(found) < 0 < max(found)


def brute_precision(features, real):
    features, real = features.double().numpy(), real.double().numpy()
    radius = [sorted(np.linalg.norm(real - centre, axis=1))[3] for centre in real]
    return np.mean([any(np.linalg.norm(real - x, axis=1) <= radius) for x in features])


@given(SEEDS, st.integers(1, 6), st.integers(4, 40), st.integers(4, 60))
def test_precision_and_recall_are_the_brute_force_ones(seed, d, n, m):
    a, b = gaussian(n, d, "a", seed, mean=0.3), gaussian(m, d, "b", seed)
    assert precision(a, b) == pytest.approx(brute_precision(a, b))
    assert recall(a, b) == pytest.approx(brute_precision(b, a))
    assert precision(a + 1000, b + 1000) == pytest.approx(brute_precision(a + 1000, b + 1000))
    assert precision(a, a) == recall(a, a) == 1 and precision(a + 100, a) == recall(a + 100, a) == 0


def mean_difference(a, b):
    return float(a[:, 0].mean() - b[:, 0].mean())


def test_the_jackknife_of_a_mean_has_the_width_of_the_standard_formula():
    halves = []
    for seed in range(300):
        a, b = gaussian(400, 2, "a", seed, scale=2.0), gaussian(300, 2, "b", seed)
        found = jackknife(mean_difference, a, b)
        low, high = found["interval"]
        assert found["value"] == mean_difference(a, b) == pytest.approx((low + high) / 2)
        halves.append((high - low) / 2)
    expected = scipy.stats.t.ppf(0.975, metrics.GROUPS - 1) * (4 / 400 + 1 / 300) ** 0.5
    assert np.mean(np.square(halves)) ** 0.5 == pytest.approx(expected, rel=0.03)
    assert np.mean(np.abs(np.array(halves) / expected - 1) < 0.4) > 0.8


def test_the_jackknife_s_interval_holds_the_truth_19_times_in_20():
    held = []
    for seed in range(300):
        found = jackknife(mean_difference, gaussian(40, 1, "a", seed, mean=1.0), gaussian(60, 1, "b", seed))
        held.append(found["interval"][0] <= 1 <= found["interval"][1])
    assert 0.92 <= np.mean(held) <= 0.98


@given(SEEDS, st.floats(0, 10))
def test_a_share_s_interval_lies_within_0_to_1(seed, apart):
    a, b = gaussian(25, 2, "a", seed, mean=apart), gaussian(20, 2, "b", seed)
    for share in (precision, recall):
        found = jackknife(share, a, b)
        assert 0 <= found["interval"][0] <= found["value"] <= found["interval"][1] <= 1


@given(st.integers(1, 2000), st.floats(0, 1))
def test_wilson_s_interval_is_scipy_s(n, share):
    successes = round(share * n)
    expected = scipy.stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson_interval(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-4)
    found = metrics.proportion(torch.arange(n) < successes)
    assert (found["value"], *found["interval"]) == pytest.approx((successes / n, *wilson_interval(successes, n)))
    assert 0 <= found["interval"][0] <= found["interval"][1] <= 1


def test_a_mean_has_1_96_standard_errors_to_either_side():
    values = gaussian(200, 1, "values", mean=5.0, scale=3.0)[:, 0]
    found = metrics.mean_estimate(values)
    expected = scipy.stats.norm.interval(0.95, values.mean().item(), scipy.stats.sem(values.numpy()))
    assert found["interval"] == pytest.approx(expected, rel=1e-4) and found["value"] == pytest.approx(values.mean())


def test_all_distances_come_with_intervals():
    a, b = mixed(60, 4, "a"), mixed(50, 4, "b")
    found = metrics.compare(a, b)
    assert found.keys() == DISTANCES.keys()
    assert all(x["interval"][0] <= x["value"] <= x["interval"][1] for x in found.values())
    assert {name: x["value"] for name, x in found.items()} == {name: f(a, b) for name, f in DISTANCES.items()}


def with_value(value):
    features = gaussian(30, 4, "b")
    features[[3, 3, 17], [0, 2, 1]] = value
    return features


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize("other, words", [
    (gaussian(30, 5, "b"), ["4", "5", "wide", "one network"]), (gaussian(0, 4, "b"), ["(0, 4)", "at least"]),
    (gaussian(1, 4, "b"), ["(1, 4)", "at least"]), (torch.zeros(30, 1, 2, 2), ["(30, 1, 2, 2)", "one row each"]),
    (with_value(math.nan), ["2 of 30", "NaN"]), (with_value(math.inf), ["2 of 30", "NaN"]),
], ids=["width", "no row", "one row", "images", "NaN", "infinity"])
def test_features_that_cannot_be_compared_are_refused(name, other, words):
    for pair in ((other, gaussian(30, 4, "a")), (gaussian(30, 4, "a"), other)):
        with refuses(BadValue, *words):
            DISTANCES[name](*pair)
    with refuses(BadValue, "at least 20"):
        jackknife(DISTANCES[name], gaussian(19, 4, "a"), gaussian(30, 4, "b"))


def test_diversity_is_the_mean_distance_within_a_class():
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(60, 5)), rng.integers(0, 3, 60)
    found = metrics.diversity(torch.tensor(features), torch.tensor(labels))
    sums = [(pdist(features[labels == k]).mean(), (labels == k).sum()) for k in range(3)]
    assert found["value"] == pytest.approx(sum(mean * count for mean, count in sums) / 60)
    assert found["interval"][0] < found["value"] < found["interval"][1]
    with refuses(BadValue, "two images"):
        metrics.diversity(torch.randn(3, 2), torch.arange(3))


def test_diversity_interval_covers_the_truth():
    """The mean distance of two points of a normal distribution in one dimension is 2 / sqrt(pi)."""
    rng, hits = np.random.default_rng(1), 0
    for _ in range(200):
        found = metrics.diversity(torch.tensor(rng.normal(size=(50, 1))), torch.zeros(50, dtype=torch.long))
        hits += found["interval"][0] <= 2 / math.sqrt(math.pi) <= found["interval"][1]
    assert hits >= 180


def test_saturation_is_the_share_of_numbers_at_an_end():
    images = torch.tensor([[0, 2, 3, 252, 253, 255], [100, 101, 102, 103, 104, 105]], dtype=torch.uint8)
    found = metrics.saturation(images.view(2, 1, 2, 3))
    assert found["value"] == pytest.approx(1 / 3) and found["interval"][0] <= 1 / 3 <= found["interval"][1]

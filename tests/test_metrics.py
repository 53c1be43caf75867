"""Distances between feature sets, intervals around numbers, and how noisy pictures are, against other implementations,
closed forms and known noise."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_fid import fid_score
from scipy.signal import convolve2d
from scipy.spatial.distance import pdist
from support import refuses
from torch.testing import assert_close

from t2i_helpers.data import load_images
from t2i_helpers.errors import BadValue
from t2i_helpers.evaluation import frechet_distance, metrics, wilson_interval
from t2i_helpers.evaluation.experiments import NOISE, background_noise, guidance_noise, noise_level
from t2i_helpers.evaluation.metrics import DISTANCES, jackknife, kernel_distance, precision, recall
from t2i_helpers.presets import get
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


def test_the_jackknife_is_its_formula_with_student_s_t():
    """Its variance is 9 / 10 of the sum of squares of the ten values without a group (Efron & Tibshirani 1993)."""
    values = gaussian(10, 1, "values")[:, 0].tolist()
    without = iter(values)
    found = jackknife(lambda a, b: 0.0 if len(a) == 40 else next(without), gaussian(40, 2, "a"), gaussian(60, 2, "b"))
    half = scipy.stats.t.ppf(0.975, 9) * (9 * np.var(values)) ** 0.5
    assert found["value"] == 0 and found["interval"] == pytest.approx([-half, half], rel=1e-3)


def test_the_jackknife_s_interval_holds_the_truth_19_times_in_20():
    held = []
    for seed in range(300):
        pair = gaussian(40, 1, "a", seed, mean=1.0), gaussian(60, 1, "b", seed)
        found = jackknife(lambda a, b: float(a.mean() - b.mean()), *pair)
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


def test_noise_level_is_immerkaers():
    images = torch.rand(3, 1, 11, 8, generator=torch.Generator().manual_seed(0))
    kernel = [[1, -2, 1], [-2, 4, -2], [1, -2, 1]]
    expected = [abs(convolve2d(image[0].double(), kernel, mode="valid")).sum()
                * math.sqrt(math.pi / 2) / (6 * (8 - 2) * (11 - 2)) for image in images]
    assert_close(noise_level(images).double(), torch.tensor(expected), rtol=1e-5, atol=0)


def noise(*shape):
    return gaussian(1, math.prod(shape), "noise").view(shape)


@pytest.mark.parametrize("sigma", [0.01, 0.1, 0.3])
def test_gaussian_noise_is_measured(sigma):
    images = 0.5 + sigma * noise(4, 1, 128, 128)
    assert noise_level(images).tolist() == pytest.approx([sigma] * 4, rel=0.03)
    assert background_noise(images).tolist() == pytest.approx([0.96 * sigma] * 4, rel=0.03)


def test_slopes_are_no_noise_but_strokes_are_unless_the_background_is_asked_where_noise_is_found():
    slope = torch.linspace(0, 1, 28).expand(1, 1, 28, 28)
    assert_close(noise_level(slope), torch.zeros(1), atol=1e-6, rtol=0)
    clean = load_images(get("mnist"), "test").images[::10].float() / 255
    assert noise_level(clean).mean() > 0.03 and background_noise(clean).mean() < 0.003
    assert (background_noise(clean) == 0).double().mean() > 0.9
    assert float(background_noise(clean + 0.05 * noise(*clean.shape)).mean()) == pytest.approx(0.05, rel=0.2)


def test_guided_and_unguided_digits_are_compared_seed_by_seed():
    found = guidance_noise(n=10, steps=1)
    rows = {(row["variant"], row["w"]): row for row in found["rows"]}
    assert rows.keys() == {(variant, w) for variant in ("thesis", "improved") for w in (1.0, 5.0)}
    for apart in found["differences"]:
        for name in NOISE:
            guided, plain = (rows[apart["variant"], w][name]["value"] for w in (5.0, 1.0))
            assert apart[name]["value"] == pytest.approx(guided - plain, abs=1e-9)
            low, high = apart[name]["interval"]
            assert low < apart[name]["value"] < high
    assert found["real"]["n"] == 10 and found["real"]["background_noise"]["value"] < 0.01
    assert found["made_with"].keys() >= {"mnist-thesis", "mnist-improved"}

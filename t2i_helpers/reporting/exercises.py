"""The exercises of the notebooks: `check` says whether an answer is right, and gives a hint if it is not."""

from types import SimpleNamespace

import torch

from ..data import CLASS_NAMES
from ..diffusion import Guider
from ..intervals import overlap, wilson_interval
from .study import rows_of

X_0, EPS = torch.randn(2, 3, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def check(number: str, answer) -> None:
    """Print whether `answer` to the exercise `number` is right, or a hint. None is no answer yet."""
    is_right, hint = EXERCISES[number]
    try:
        right = answer is not None and is_right(answer)
    except Exception:           # an answer of another kind than was asked for is a wrong answer
        right = False
    state = "right" if right else "no answer yet" if answer is None else "not yet right"
    print(f"exercise {number}: {state}" + ("" if right else f". Hint: {hint}"))


def _clean(function):
    abar = torch.tensor(0.3)
    x_t, v = abar.sqrt() * X_0 + (1 - abar).sqrt() * EPS, abar.sqrt() * EPS - (1 - abar).sqrt() * X_0
    return torch.allclose(function(x_t, v, abar), X_0, atol=1e-5)


def _clean_and_noise(function):
    answer = function(0.7 * X_0 + 0.3 * EPS, EPS - X_0, 0.3)
    return all(torch.allclose(*pair, atol=1e-5) for pair in zip(answer, (X_0, EPS), strict=True))


def _separate(first, second, n):
    return not overlap(*(wilson_interval(share * n, n) for share in (first, second)))


def _styles_apart(caption):
    from ..models import load_text_encoder

    tokens = [load_text_encoder("minilm").tokenizer(caption.format(name)).input_ids for name in CLASS_NAMES["wikiart"]]
    return max(map(len, tokens)) <= 8 and len({*map(tuple, tokens)}) == len(tokens)


def _falling(guider):
    scales = [guider(SimpleNamespace(index=i, steps=10, null=0.0, cond=1.0)) for i in range(10)]
    return scales[0] == 5 and scales[-1] < 2 and all(0.2 < a - b < 0.6 for a, b in zip(scales, scales[1:]))


def _undone(undo):
    rng = torch.Generator().manual_seed(0)
    c, (rotation, _) = torch.randn(2, 3, 4, generator=rng), torch.linalg.qr(torch.randn(4, 4, generator=rng))
    return torch.allclose(undo(c @ rotation, rotation), c, atol=1e-5)


def _two_best(n):
    first, second = sorted({row["accuracy"]["value"] for row in rows_of("rules-cifar10")})[:-3:-1]
    return _separate(first, second, n) and not _separate(first, second, n - 100)


EXERCISES = {        # number: (whether an answer is right, a hint)
    "1.1": (lambda t: abs(t - 495) <= 1, "`alphas_cumprod` has ᾱ at every t: where is it nearest to 1/2?"),
    "1.2": (_clean, "replace x_t and v by their definitions: for which two factors does ε cancel?"),
    "1.3": (lambda passes: passes == 20, "how often is the network asked in one step with guidance?"),
    "1.4": (lambda pair: tuple(pair) == (2, -1), "put w = −1 into the formula and collect ε_∅ and ε_c"),
    "1.5": (lambda mixed: len(mixed) == 5 and not torch.allclose(mixed[0], mixed[4])
            and torch.allclose(mixed[2], (mixed[0] + mixed[4]) / 2, atol=1e-5), "`torch.lerp` mixes two tensors"),
    "2.1": (lambda n: _separate(0.15, 0.165, n) and not _separate(0.15, 0.165, n - 100),
            "a multiple of 100, nearer to ten thousand than to one thousand"),
    "2.2": (lambda name: name == "precision", "which metric never asks whether all real images are covered?"),
    "2.3": (lambda answer: overlap(*answer[0]) == answer[1], "give ([interval, interval], True or False)"),
    "3.1": (lambda share: abs(share - 0.9809) < 5e-4, "all sixteen paintings are something else"),
    "3.2": (lambda bits: abs(bits - 2.80) < 0.03, "`mixing(our_stream_order(…))` is a dictionary"),
    "3.3": (lambda shares: len(shares) > 1 and len({*map(len, shares)}) == 1
            and len(set(sum(shares, []))) == sum(map(len, shares)), "a list of row ids for each rank, of `batches`"),
    "3.4": (_styles_apart, "which words are the same in all captions?"),
    "3.5": (lambda t: t == 500, "where does z_t show something of both the image and the noise?"),
    "3.6": (lambda name: name == "recall", "which column falls when samples become more alike?"),
    "3.8": (lambda source: source == "text", "with which of them does the network of notebook 1 agree?"),
    "4.1": (_falling, "a step has an `index` from 0 and a number of `steps`: which share of them is done?"),
    "4.2": (lambda guider: isinstance(guider, Guider) and guider.name == "interval"
            and (guider.settings["sigma_min"], guider.settings["sigma_max"]) == (0.5, 5),
            "the settings of \"interval\" stand in `rules.py`: `sigma_min` and `sigma_max`"),
    "4.3": (_two_best, "try multiples of 100 with `wilson_interval` until the two intervals separate"),
    "5.1": (lambda last: abs(last - 0.19) < 0.006, "`(1 - betas).prod()`; a sum ten times as large is nearly right"),
    "5.2": (lambda steps: abs(steps - 69_315) < 100, "the share of the start falls by the factor 0.99999 in each step"),
    "6.1": (lambda factor: factor == 16, "`compression` takes f and k"),
    "6.2": (_undone, "which matrix is the inverse of a rotation?"),
    "7.1": (_clean_and_noise, "put x_s = (1 - s) x_0 + s eps and u = eps - x_0 into x_s - s u"),
    "7.2": (lambda answer: tuple(answer) == (4096, 16), "how many pixels has a token a side? Attention compares pairs"),
}

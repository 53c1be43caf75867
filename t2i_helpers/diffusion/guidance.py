"""A guider is a function of one step, which offers the U-Net's predictions and computes each when first asked for it.

Everywhere in this package w is the scale in  eps~ = eps_null + w (eps_cond - eps_null):  w = 0 is unconditional,
w = 1 conditional. Ho & Salimans (2022, arXiv:2207.12598) write (1 + w') eps_cond - w' eps_null, so w = 1 + w'.
"""

import contextlib
import functools
import inspect
import numbers
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from ..errors import BadValue, UnknownName
from .noise import NoisyBatch
from .rules import GUIDERS, ORDERED, RANGES
from .schedulers import check_range, parse

LARGEST_W = 1000          # far beyond the thesis's 100, and far below what overflows


@dataclass(eq=False)
class Step:
    """What a guider sees of one step. Wrappers around a guider may change `captions` and `hooks` before it predicts."""

    unet: torch.nn.Module
    noisy: NoisyBatch               # x_t, with conversions between a prediction, x^_0 and eps
    t: torch.Tensor
    captions: torch.Tensor          # [n, length, dim], embeddings
    empty: torch.Tensor             # [n, length, dim], the empty caption's
    index: int                      # from 0, or from `first` where a sampling starts midway
    first: int
    sigmas: list[float]             # noise levels of all steps, also of those before `first`
    state: dict                     # empty when a sampling starts: what a rule keeps for the next step
    hooks: list = field(default_factory=list)       # functions that hook into a U-Net for passes with the captions
    compiled: Callable | None = None                # the U-Net compiled, for passes without hooks
    noise_from: torch.Tensor | None = None          # the prediction whose noise stays in the image, for CFG++
    passes: int = 0                                 # evaluations of a U-Net so far

    steps = property(lambda self: len(self.sigmas))

    @functools.cached_property
    def x_t(self) -> torch.Tensor:
        """The noisy images in the type that the U-Net computes in, that of the captions."""
        return self.noisy.x_t.to(self.captions.dtype)

    @functools.cached_property
    def cond(self) -> torch.Tensor:
        """The prediction with the captions, [n, c, h, w]."""
        return self.predict(self.unet, self.captions, self.hooks)

    @functools.cached_property
    def null(self) -> torch.Tensor:
        """The prediction with the empty caption."""
        return self.predict(self.unet, self.empty)

    def predict(self, unet, captions, hooks=()) -> torch.Tensor:
        """Another prediction, one pass a call; each of the `hooks` is a function of `unet` that returns handles."""
        self.passes += 1
        if self.compiled and unet is self.unet and not hooks:
            return self.compiled(self.x_t, self.t, captions).sample.to(self.noisy.x_t.dtype, copy=True)
        with contextlib.ExitStack() as handles:                     # removes the hooks, also after an error
            for handle in (handle for hook in hooks for handle in hook(unet)):
                handles.enter_context(handle)
            return unet(self.x_t, self.t, captions).sample.to(self.noisy.x_t.dtype)


@dataclass(frozen=True)
class Guider:
    """The rule `name` with its scale and settings: a function of a Step that returns the guided prediction."""

    name: str
    w: float
    settings: dict = field(default_factory=dict, hash=False)
    metadata: dict = field(default_factory=dict, hash=False)        # what results record of it, such as weights' hashes

    def __call__(self, step: Step) -> torch.Tensor:
        return GUIDERS[self.name](step, self.w, **self.settings)


def make_guider(name: str, w: float, **settings) -> Guider:
    """The guider `name` (one of GUIDERS) with scale `w` and the `settings` of its rule in `rules.py`. Numbers may also
    stand in the name: "interval sigma_max=5". Any other function of a Step can take a guider's place. Raises
    UnknownName, or BadValue for a `w` beyond LARGEST_W or a setting that is unknown, missing or out of range."""
    name, written = parse("guider", name)
    settings = written | settings
    if name not in GUIDERS:
        raise UnknownName("guider", name, GUIDERS)
    if not isinstance(w, numbers.Real) or not abs(w) <= LARGEST_W:
        raise BadValue(f"w = {w}: the guidance scale must be a finite number within ±{LARGEST_W}, such as 2")
    signature = inspect.signature(GUIDERS[name])
    try:
        bound = signature.bind(None, w, **settings)
    except TypeError as error:
        known = ", ".join(list(signature.parameters)[2:]) or "none"
        given = ", ".join(settings) or "no settings"
        raise BadValue(f"guider {name!r} does not take {given}: its settings are {known}") from error
    bound.apply_defaults()
    values = bound.arguments                                        # step, w and every setting
    for setting, limits in RANGES[name].items():
        check_range(setting, values[setting], *limits)
    for low, high in ORDERED.get(name, ()):
        if not values[low] < values[high]:
            raise BadValue(f"{low} = {values[low]} and {high} = {values[high]}: {low} must be the smaller one")
    return Guider(name, w, {setting: values[setting] for setting in list(values)[2:]})

"""Guiders by name: which forward passes a step needs and how their predictions become one.

Everywhere in this package w is the scale in  eps~ = eps_null + w (eps_cond - eps_null):  w = 0 is unconditional,
w = 1 conditional. Ho & Salimans (2022, arXiv:2207.12598) write (1 + w') eps_cond - w' eps_null, so w = 1 + w'.

A guider is an object of `diffusers.guiders` or one of ours with the same interface. What is linear in the predictions
(CFG, intervals, perturbed attention) is the same for eps, v and x_0; where a paper's rule is not, it is applied to
what the paper applies it to, which `guider.noisy` converts from and to the model's prediction.
"""

import inspect

from diffusers.guiders import ClassifierFreeZeroStarGuidance
from diffusers.utils import logging

from ..errors import BadValue, UnknownName
from .perturbed import PAG, SEG, SLG
from .rules import APG, CFG, Auto, CFGPlusPlus, FrequencyDecoupled, Interval, MagnitudeAware, Tangential, Threshold
from .specs import check_range, parse

# diffusers warns at every construction that its guiders are experimental: our dependency range is pinned for that.
logging.get_logger("diffusers.guiders.guider_utils").setLevel(logging.ERROR)


def _cfg_original(w):
    """The paper's (1 + w) form: w = 0 is conditional, w = -1 unconditional. Passes as CFG."""
    return CFG(1 + w)


def _rescale(w, share=0.7):
    """CFG's prediction, a `share` (0 to 1) of it scaled to the conditional one's standard deviation, image by image
    (Lin et al. 2024, arXiv:2305.08891). Passes as CFG."""
    check_range("share", share, 0, 1)
    guider = CFG(w)
    guider.guidance_rescale = share
    return guider


def _zero_star(w):
    """CFG-Zero* (Fan et al. 2025, arXiv:2503.18886): s n + w (c - s n) with s = <c, n> / |n|^2. 2 passes; 1 at w = 1.

    Its first steps of velocity zero are for flow matching, where they leave x as it is; a prediction of zero here would
    move it, so there are none.
    """
    return ClassifierFreeZeroStarGuidance(w, zero_init_steps=0)


LARGEST_W = 1000          # far beyond the thesis's 100, and far below what overflows
GUIDERS = {
    "cfg": CFG,
    "cfg-original": _cfg_original,
    "rescale": _rescale,
    "interval": Interval,
    "threshold": Threshold,
    "cfg++": CFGPlusPlus,
    "cfg-zero": _zero_star,
    "apg": APG,
    "auto": Auto,
    "pag": PAG,
    "slg": SLG,
    "seg": SEG,
    "tcfg": Tangential,
    "mag": MagnitudeAware,
    "fdg": FrequencyDecoupled,
}


def make_guider(name: str, w: float, **parameters):
    """The guider `name` (one of GUIDERS) with scale `w` and its own `parameters`, described where it is defined.

    Numbers may also stand in the name, as on a command line: "interval sigma_max=5".
    Raises UnknownName for another name, BadValue where `w` is beyond LARGEST_W, a parameter does not exist or is out
    of its range.
    """
    name, written = parse("guider", name)
    parameters = written | parameters
    if name not in GUIDERS:
        raise UnknownName("guider", name, GUIDERS)
    if not abs(w) <= LARGEST_W:
        raise BadValue(f"w = {w}: the guidance scale must be a finite number within ±{LARGEST_W}, such as 2")
    try:
        return GUIDERS[name](w, **parameters)
    except TypeError as error:
        known = ", ".join(list(inspect.signature(GUIDERS[name]).parameters)[1:]) or "none"
        given = ", ".join(parameters) or "no settings"
        raise BadValue(f"guider {name!r} does not take {given}: its settings are {known}") from error

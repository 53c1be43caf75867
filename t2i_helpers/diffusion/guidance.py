"""Guiders: which forward passes a step needs and how their predictions become one.

Everywhere in this package w is the scale in  eps~ = eps_null + w (eps_cond - eps_null):  w = 0 is unconditional,
w = 1 conditional. Ho & Salimans (2022, arXiv:2207.12598) write (1 + w') eps_cond - w' eps_null, so w = 1 + w'.
"""


from diffusers.guiders import ClassifierFreeGuidance
from diffusers.utils import logging

from ..errors import BadValue, UnknownName

# diffusers warns at every construction that its guiders are experimental: our dependency range is pinned for that.
logging.get_logger("diffusers.guiders.guider_utils").setLevel(logging.ERROR)


class CFG(ClassifierFreeGuidance):
    """Classifier-free guidance that also skips the conditional pass at w = 0, which diffusers' guider still runs."""

    @property
    def _only_null(self) -> bool:
        return self._enabled and self.guidance_scale == 0 and super()._is_cfg_enabled()

    def _is_cfg_enabled(self) -> bool:
        return super()._is_cfg_enabled() and self.guidance_scale != 0

    def prepare_inputs(self, data):
        if self._only_null:
            return [self._prepare_batch(data, 1, "pred_cond")]     # the null embedding in the only pass there is
        return super().prepare_inputs(data)


def _cfg(w: float) -> CFG:
    return CFG(guidance_scale=w)


def _cfg_original(w: float) -> CFG:
    """The paper's (1 + w) form: w = 0 is conditional, w = -1 unconditional."""
    return CFG(guidance_scale=1 + w)


LARGEST_W = 1000          # far beyond the thesis's 100, and far below what overflows
GUIDERS = {"cfg": _cfg, "cfg-original": _cfg_original}


def make_guider(name: str, w: float, **parameters):
    """The guider `name` (one of GUIDERS) with scale `w` and its own `parameters`.

    Raises UnknownName for another name, BadValue where `w` is beyond LARGEST_W or a parameter does not exist.
    """
    if name not in GUIDERS:
        raise UnknownName("guider", name, GUIDERS)
    if not abs(w) <= LARGEST_W:
        raise BadValue(f"w = {w}: the guidance scale must be a finite number within ±{LARGEST_W}, such as 2")
    try:
        return GUIDERS[name](w, **parameters)
    except TypeError as error:
        raise BadValue(f"guider {name!r} takes no {', '.join(parameters)}: {error}") from error

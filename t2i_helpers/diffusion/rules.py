"""The guidance rules that diffusers lacks or has wrong, each with its formula, its paper and its cost.

c and n are the predictions with the caption and with the empty one; a pass is one evaluation of the U-Net in a step.
"""

import math

import torch
import torch.nn.functional as F
from diffusers.guiders import (
    AdaptiveProjectedGuidance,
    ClassifierFreeGuidance,
    MagnitudeAwareGuidance,
    TangentialClassifierFreeGuidance,
)
from diffusers.guiders.adaptive_projected_guidance import MomentumBuffer
from diffusers.guiders.guider_utils import GuiderOutput
from torchvision.transforms.functional import gaussian_blur

from ..errors import BadValue
from .noise import NoisyBatch
from .specs import check_range


class CFG(ClassifierFreeGuidance):
    """Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598): n + w (c - n). 2 passes; 1 at w = 0 and w = 1.

    diffusers' guider runs both at w = 0, too.
    """

    noisy: NoisyBatch          # of the step in hand; the sampler sets it

    def __init__(self, w):
        super().__init__(w)

    def _is_active(self) -> bool:
        """Whether this step does anything but draw the conditional prediction."""
        return super()._is_cfg_enabled()

    def _is_cfg_enabled(self) -> bool:
        return self._is_active() and self.guidance_scale != 0

    def prepare_inputs(self, data):
        if self._is_active() and self.guidance_scale == 0:
            return [self._prepare_batch(data, 1, "pred_cond")]     # the null embedding in the only pass there is
        return super().prepare_inputs(data)


class Interval(CFG):
    """Guidance in an interval (Kynkäänniemi et al. 2024, arXiv:2404.07724): n + w (c - n) where
    sigma_min < sigma <= sigma_max, c elsewhere. 2 passes inside, 1 outside.

    sigma = sqrt((1 - abar) / abar). `start` and `stop` bound it by the share of the steps done, 0 to 1, as well.
    """

    def __init__(self, w, sigma_min=0.0, sigma_max=math.inf, start=0.0, stop=1.0):
        if not 0 <= sigma_min < sigma_max:
            raise BadValue(f"no noise level is above sigma_min = {sigma_min} and not above sigma_max = {sigma_max}")
        if not 0 <= start < stop <= 1:
            raise BadValue(f"no step is between start = {start} and stop = {stop}: give shares of the steps, 0 to 1")
        super().__init__(w)
        self._start, self._stop = start, stop
        self.sigma_min, self.sigma_max = sigma_min, sigma_max

    def check_steps(self, sigmas: list[float]) -> None:
        """Raise BadValue where none of the steps, whose noise levels are `sigmas`, is in the interval."""
        first, end = (int(share * len(sigmas)) for share in (self._start, self._stop))
        if not any(self.sigma_min < sigma <= self.sigma_max for sigma in sigmas[first:end]):
            raise BadValue(f"none of the {len(sigmas)} steps, at sigma = {sigmas[0]:.3g} to {sigmas[-1]:.3g}, is in "
                           "the guidance interval: widen it, or take more steps")

    def _is_active(self) -> bool:
        return super()._is_active() and self.sigma_min < self.noisy.sigma <= self.sigma_max


class Threshold(CFG):
    """Dynamic thresholding (Saharia et al. 2022, arXiv:2205.11487): CFG, then x^_0 <- clamp(x^_0, -s, s) / s, where s
    is the `percentile` (0 to 1) of an image's |x^_0|, at least 1. Passes as CFG.

    At percentile 0 it is clamping to [-1, 1], which the sampler does anyway.
    """

    def __init__(self, w, percentile=0.995):
        check_range("percentile", percentile, 0, 1)
        super().__init__(w)
        self.percentile = percentile

    def forward(self, pred_cond, pred_uncond=None):
        out = super().forward(pred_cond, pred_uncond)
        x_0 = self.noisy.x_0(out.pred)
        s = x_0.abs().flatten(1).quantile(self.percentile, dim=1).clamp(min=1).view(-1, 1, 1, 1)       # [n, 1, 1, 1]
        bounded = x_0.clamp(-s, s) / s
        out.pred = torch.where(bounded == x_0, out.pred, self.noisy.prediction(bounded))
        return out


class CFGPlusPlus(CFG):
    """CFG++ (Chung et al. 2024, arXiv:2406.08070): x^_0 from n + w (c - n) with w in [0, 1], but the noise that the
    step leaves in the image from n. 2 passes; 1 at w = 0.
    """

    def __init__(self, w):
        check_range("w", w, 0, 1)
        super().__init__(w)

    def _is_active(self) -> bool:
        return True             # w = 1 needs n, too

    def forward(self, pred_cond, pred_uncond=None):
        self._null = pred_cond if pred_uncond is None else pred_uncond
        return super().forward(pred_cond, pred_uncond)

    def renoise(self, x_0, bound):
        """(x_t, prediction): `x_0` under the noise that n sees, whose own x^_0 is clipped to +-`bound`, too. A
        scheduler that steps from these leaves n's noise in the image."""
        noisy = self.noisy
        _, null = noisy.clipped(self._null, bound)
        x_t = noisy.signal * x_0 + noisy.noise * noisy.eps(null)
        return x_t, NoisyBatch(x_t, noisy.abar, noisy.predicts_v).prediction(x_0)


class APG(AdaptiveProjectedGuidance):
    """Adaptive projected guidance (Sadat et al. 2024, arXiv:2410.02416), in x^_0: c + (w - 1) (d_orthogonal + eta
    d_parallel), where d = c - n + momentum d_before, no longer than `radius`, is split along c. 2 passes; 1 at w = 1.

    diffusers' guider splits what the network predicts, not x^_0, starts from n in place of c, and forgets an earlier
    sampling's momentum only where the first step is drawn.
    """

    def __init__(self, w, eta=0.0, momentum=-0.5, radius=math.inf):
        check_range("eta", eta, 0, 1)
        check_range("momentum", momentum, -1, 1)
        check_range("radius", radius, 1e-6, math.inf)
        super().__init__(w - 1, momentum, radius, eta=eta, use_original_formulation=True)

    def prepare_inputs(self, data):
        batches = super().prepare_inputs(data)
        if self._step != getattr(self, "_last_step", math.inf) + 1:         # a new sampling, perhaps from midway
            self.momentum_buffer = MomentumBuffer(self.adaptive_projected_guidance_momentum)
        self._last_step = self._step
        return batches

    def forward(self, pred_cond, pred_uncond=None):
        if pred_uncond is None:
            return super().forward(pred_cond)
        noisy = self.noisy.double()
        x_0 = super().forward(noisy.x_0(pred_cond.double()), noisy.x_0(pred_uncond.double())).pred
        pred = noisy.prediction(x_0).to(pred_cond.dtype)
        return GuiderOutput(pred=pred, pred_cond=pred_cond, pred_uncond=pred_uncond)


class Tangential(TangentialClassifierFreeGuidance):
    """Tangential damping (Kwon et al. 2025, arXiv:2503.18137): n' + w (c - n') with n' the part of n along the first
    right singular vector of (c, n). 2 passes; 1 at w = 1.

    diffusers' guider raises when it is asked which pass it is in.
    """

    def __init__(self, w):
        super().__init__(w)

    @property
    def is_conditional(self) -> bool:
        return self._count_prepared == 1


class MagnitudeAware(MagnitudeAwareGuidance):
    """Magnitude-aware guidance (MAMBO-G, 2025, arXiv:2508.03442): n + w' (c - n) with
    w' = 1 + (w - 1) exp(-alpha |c - n| / |n|) for each image. 2 passes; 1 at w = 1.

    diffusers' guider crashes on images: `torch.norm` takes no three dimensions.
    """

    def __init__(self, w, alpha=8.0):
        check_range("alpha", alpha, 0, math.inf)
        super().__init__(w, alpha)

    def forward(self, pred_cond, pred_uncond=None):
        if pred_uncond is None:
            return super().forward(pred_cond)
        difference = pred_cond - pred_uncond
        ratio = _norm(difference) / _norm(pred_uncond)                                                 # [n, 1, 1, 1]
        w = 1 + (self.guidance_scale - 1) * torch.exp(-self.alpha * ratio)
        return GuiderOutput(pred=pred_uncond + w * difference, pred_cond=pred_cond, pred_uncond=pred_uncond)


class FrequencyDecoupled(CFG):
    """Frequency-decoupled guidance (Sadat et al. 2025, arXiv:2506.19713) with two levels: w for the fine details of
    c - n, and 1 + `low` (w - 1) for what a Laplacian pyramid leaves of it at half the size. Passes as CFG; at w = 0
    it is n.

    diffusers' guider needs kornia, whose pyramids pad sides to powers of two, so that 28 pixels come back as 32, and
    where a level is not guided it puts another level's prediction in its place, or fails.
    """

    def __init__(self, w, low=0.5):
        check_range("low", low, 0, 1)
        super().__init__(w)
        self.low = low

    def forward(self, pred_cond, pred_uncond=None):
        out = super().forward(pred_cond, pred_uncond)
        if pred_uncond is not None:
            coarse = _coarse(pred_cond - pred_uncond)
            out.pred = out.pred - (1 - self.low) * (self.guidance_scale - 1) * coarse
        return out


def _coarse(images):
    """`images` [n, c, h, w] blurred, halved and doubled again: the lower level of a Laplacian pyramid at full size."""
    halved = F.interpolate(gaussian_blur(images, 5, 1.0), scale_factor=0.5, mode="bilinear")     # [n, c, h/2, w/2]
    return gaussian_blur(F.interpolate(halved, size=images.shape[-2:], mode="bilinear"), 5, 1.0)


class Auto(CFG):
    """Autoguidance (Karras et al. 2024, arXiv:2406.02507): p + w (c - p) with p a weaker network's prediction with the
    caption: one trained less, or smaller, on the same data. 2 passes; 1 at w = 0 (the weak one's) and w = 1.
    """

    def __init__(self, w, weak):
        super().__init__(w)
        self.weak = weak

    def prepare_inputs(self, data):
        passes = ["pred_cond", "pred_uncond"][:self.num_conditions]
        return [self._prepare_batch(data, 0, name) for name in passes]

    def prepare_models(self, denoiser):
        super().prepare_models(denoiser)
        only_weak = self._is_active() and self.guidance_scale == 0
        if self._count_prepared == 2 or only_weak:
            _check_same_shape(denoiser, self.weak)
            denoiser.forward = self.weak.forward            # hides the class's, until it is deleted again

    def cleanup_models(self, denoiser):
        vars(denoiser).pop("forward", None)


def _check_same_shape(denoiser, weak):
    def shape(unet):
        config = unet.config
        return {"channels": config.in_channels, "pixels a side": config.sample_size,
                "width of text": config.encoder_hid_dim or config.cross_attention_dim}

    for name, ours in shape(denoiser).items():
        theirs = shape(weak)[name]
        if ours != theirs:
            raise BadValue(f"the weaker network has {name} = {theirs} and the guided one {ours}: name a checkpoint "
                           "of the same dataset, size and text encoder")


def _norm(images):
    return torch.linalg.vector_norm(images, dim=(1, 2, 3), keepdim=True)

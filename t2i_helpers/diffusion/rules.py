"""Fifteen guidance rules, each a function of one step with its formula, its paper and its cost.

c and n are the predictions with the caption and with the empty one, `step.cond` and `step.null`; a pass is one
evaluation of the U-Net. What is linear in them is the same for eps, v and x_0; where a paper's rule is not, it is
applied to what the paper applies it to. tests/test_rules.py shows what is wrong in the guiders of diffusers.
"""

import math

import torch
import torch.nn.functional as F
from torchvision.transforms.functional import gaussian_blur

from ..errors import BadValue
from .noise import NoisyBatch

GUIDERS = {}        # name: rule
RANGES = {}         # name: {setting: (lowest, highest)}
ORDERED = {"interval": (("sigma_min", "sigma_max"), ("start", "stop"))}         # the first must be below the second


def rule(name, **ranges):
    """Register a rule under `name`, with the range of each of its numbers."""
    def register(function):
        GUIDERS[name], RANGES[name] = function, ranges
        return function
    return register


@rule("cfg")
def cfg(step, w):
    """Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598): n + w (c - n). 2 passes; 1 at w = 0 and 1."""
    if w == 0:
        return step.null
    if w == 1:
        return step.cond
    return step.null + w * (step.cond - step.null)


@rule("cfg-original")
def cfg_original(step, w):
    """The paper's form (1 + w) c - w n: w = 0 is conditional, w = -1 unconditional. Passes as CFG."""
    return cfg(step, 1 + w)


@rule("rescale", share=(0, 1))
def rescale(step, w, *, share=0.7):
    """CFG, a `share` of it scaled to the standard deviation of c, image by image (Lin et al. 2024, arXiv:2305.08891).
    Passes as CFG."""
    guided = cfg(step, w)
    if w in (0, 1):
        return guided
    scaled = guided * step.cond.std((1, 2, 3), keepdim=True) / guided.std((1, 2, 3), keepdim=True)
    return share * scaled + (1 - share) * guided


@rule("interval", sigma_min=(0, math.inf), sigma_max=(0, math.inf), start=(0, 1), stop=(0, 1))
def interval(step, w, *, sigma_min=0.0, sigma_max=math.inf, start=0.0, stop=1.0):
    """Guidance in an interval (Kynkäänniemi et al. 2024, arXiv:2404.07724): n + w (c - n) where
    sigma_min < sigma <= sigma_max, c elsewhere, with sigma = sqrt((1 - abar) / abar). `start` and `stop` also bound it
    by the share of the steps done, 0 to 1. 2 passes inside, 1 outside. Raises BadValue if no step that runs is inside.
    """
    def inside(index):
        return (int(start * step.steps) <= index < int(stop * step.steps)
                and sigma_min < step.sigmas[index] <= sigma_max)

    if step.index == step.first and not any(map(inside, range(step.first, step.steps))):
        raise BadValue(f"none of the {step.steps - step.first} steps, at sigma = {step.sigmas[step.index]:.3g} to "
                       f"{step.sigmas[-1]:.3g}, is in the guidance interval: widen it, or take more steps")
    return cfg(step, w if inside(step.index) else 1)


@rule("threshold", percentile=(0, 1))
def threshold(step, w, *, percentile=0.995):
    """Dynamic thresholding (Saharia et al. 2022, arXiv:2205.11487): CFG, then x^_0 <- clamp(x^_0, -s, s) / s, where s
    is the `percentile` of an image's |x^_0|, at least 1. Passes as CFG. At 0 it clamps as the sampler does."""
    guided = cfg(step, w)
    x_0 = step.noisy.x_0(guided)
    s = x_0.abs().flatten(1).quantile(percentile, dim=1).clamp(min=1).view(-1, 1, 1, 1)                # [n, 1, 1, 1]
    bounded = x_0.clamp(-s, s) / s
    return torch.where(bounded == x_0, guided, step.noisy.prediction(bounded))


@rule("cfg++", w=(0, 1))
def cfg_plus_plus(step, w):
    """CFG++ (Chung et al. 2024, arXiv:2406.08070): x^_0 from n + w (c - n) with w in [0, 1], but the noise that the
    step leaves in the image from n. 2 passes; 1 at w = 0."""
    step.noise_from = step.null
    return cfg(step, w)


@rule("cfg-zero")
def cfg_zero(step, w):
    """CFG-Zero* (Fan et al. 2025, arXiv:2503.18886): s n + w (c - s n) with s = <c, n> / |n|^2, but without
    its first steps of velocity zero, which leave x as it is in flow matching alone. 2 passes; 1 at w = 1."""
    if w == 1:
        return step.cond
    n = step.null * _dot(step.cond, step.null) / _dot(step.null, step.null)
    return n + w * (step.cond - n)


@rule("apg", eta=(0, 1), momentum=(-1, 1), radius=(1e-6, math.inf))
def apg(step, w, *, eta=0.0, momentum=-0.5, radius=math.inf):
    """Adaptive projected guidance (Sadat et al. 2024, arXiv:2410.02416), in x^_0: c + (w - 1) (d_orthogonal + eta
    d_parallel), with d = c - n + momentum d_before, no longer than `radius`, split along c. 2 passes; 1 at w = 1."""
    if w == 1:
        return step.cond
    noisy = NoisyBatch(step.noisy.x_t.double(), step.noisy.level.double(), step.noisy.predicts)
    c, n = (noisy.x_0(prediction.double()) for prediction in (step.cond, step.null))
    d = c - n + momentum * step.state.get("apg", 0)
    step.state["apg"] = d.detach()
    if radius < math.inf:
        d = d * (radius / _norm(d)).clamp(max=1)
    along = c / _norm(c).clamp(min=1e-12)
    parallel = _dot(d, along) * along
    return noisy.prediction(c + (w - 1) * (d - parallel + eta * parallel)).to(step.cond.dtype)


@rule("auto")
def auto(step, w, *, weak):
    """Autoguidance (Karras et al. 2024, arXiv:2406.02507): p + w (c - p) with p the prediction with the caption by
    `weak`, a U-Net trained less, or smaller, on the same data. 2 passes; 1 at w = 0 and w = 1."""
    _check_same_shape(step.unet, weak)
    if w == 1:
        return step.cond
    p = step.predict(weak, step.captions, step.hooks)
    return p if w == 0 else p + w * (step.cond - p)


@rule("pag", scale=(0, 1000))
def pag(step, w, *, scale=2.0):
    """Perturbed-attention guidance (Ahn et al. 2024, arXiv:2403.17377): n + w (c - n) + scale (c - p), where in p every
    pixel of the middle block attends to itself alone. 3 passes; 2 at w = 1."""
    return _perturbed(step, w, scale, lambda block: block.attn1.register_forward_hook(
        lambda attention, args, output: attention.to_out[0](attention.to_v(args[0]))))


@rule("slg", scale=(0, 1000))
def slg(step, w, *, scale=2.0):
    """Skip-layer guidance (Hyung et al. 2024, arXiv:2411.18664, for transformers): n + w (c - n) + scale (c - p), where
    p skips the attention of the middle block. 3 passes; 2 at w = 1."""
    return _perturbed(step, w, scale, lambda block: block.register_forward_hook(lambda block, args, output: args[0]))


@rule("seg", scale=(0, 1000), blur=(0.1, math.inf))
def seg(step, w, *, scale=2.0, blur=math.inf):
    """Smoothed-energy guidance (Hong 2024, arXiv:2408.00760): n + w (c - n) + scale (c - p), where in p the queries of
    the middle block's attention are blurred by a Gaussian of standard deviation `blur` in its pixels; at infinity all
    are their mean. 3 passes; 2 at w = 1."""
    def blurred(to_q, args, queries):                                                           # [n, pixels, dim]
        if blur == math.inf:
            return queries.mean(dim=1, keepdim=True).expand_as(queries)
        side = math.isqrt(queries.shape[1])
        images = queries.transpose(1, 2).unflatten(2, (side, side))                     # [n, dim, side, side]
        kernel = min(2 * math.ceil(3 * blur) + 1, 2 * side - 1)                         # reflection pads no further
        return gaussian_blur(images, [kernel, kernel], [blur, blur]).flatten(2).transpose(1, 2)

    return _perturbed(step, w, scale, lambda block: block.attn1.to_q.register_forward_hook(blurred))


@rule("tcfg")
def tcfg(step, w):
    """Tangential damping (Kwon et al. 2025, arXiv:2503.18137): n' + w (c - n') with n' the part of n along the first
    right singular vector of (c, n). 2 passes; 1 at w = 1."""
    if w == 1:
        return step.cond
    pair = torch.stack([step.cond, step.null], 1).flatten(2)                                            # [n, 2, chw]
    first = torch.linalg.svd(pair, full_matrices=False).Vh[:, :1]                                       # [n, 1, chw]
    n = (pair[:, 1:] @ first.mT @ first).view_as(step.null)
    return n + w * (step.cond - n)


@rule("mag", alpha=(0, math.inf))
def mag(step, w, *, alpha=8.0):
    """Magnitude-aware guidance (MAMBO-G, 2025, arXiv:2508.03442): n + w' (c - n) with
    w' = 1 + (w - 1) exp(-alpha |c - n| / |n|) for each image. 2 passes; 1 at w = 1."""
    if w == 1:
        return step.cond
    difference = step.cond - step.null
    return step.null + (1 + (w - 1) * torch.exp(-alpha * _norm(difference) / _norm(step.null))) * difference


@rule("fdg", low=(0, 1))
def fdg(step, w, *, low=0.5):
    """Frequency-decoupled guidance (Sadat et al. 2025, arXiv:2506.19713) with two levels: w for the details of c - n,
    and 1 + `low` (w - 1) for what a Laplacian pyramid leaves of it at half the size. Passes as CFG; n at w = 0."""
    guided = cfg(step, w)
    if w in (0, 1):
        return guided
    difference = step.cond - step.null                                                                  # [n, c, h, w]
    halved = F.interpolate(gaussian_blur(difference, 5, 1.0), scale_factor=0.5, mode="bilinear")   # [n, c, h/2, w/2]
    coarse = gaussian_blur(F.interpolate(halved, size=difference.shape[-2:], mode="bilinear"), 5, 1.0)
    return guided - (1 - low) * (w - 1) * coarse


def _perturbed(step, w, scale, impair):
    """CFG + scale (c - p), with p drawn while `impair` is hooked into each transformer block of the U-Net's middle."""
    def hook(unet):
        attentions = getattr(getattr(unet, "mid_block", None), "attentions", None)
        if not attentions or not hasattr(attentions[0], "transformer_blocks"):
            raise BadValue("this network has no attention in its middle to impair: choose another guider, such as cfg")
        return [impair(block) for block in attentions[0].transformer_blocks]

    guided = cfg(step, w)
    if scale == 0:
        return guided
    return guided + scale * (step.cond - step.predict(step.unet, step.captions, [*step.hooks, hook]))


def _check_same_shape(unet, weak):
    ours, theirs = ((config.in_channels, config.sample_size,
                     getattr(config, "encoder_hid_dim", None) or config.cross_attention_dim)
                    for config in (unet.config, weak.config))
    if ours != theirs:
        raise BadValue(f"the weaker network has (channels, pixels a side, width of text) = {theirs} and the guided one "
                       f"{ours}: name a checkpoint of the same dataset, size and text encoder")


def _dot(a, b):
    return (a * b).sum((1, 2, 3), keepdim=True)                                                         # [n, 1, 1, 1]


def _norm(images):
    return torch.linalg.vector_norm(images, dim=(1, 2, 3), keepdim=True)

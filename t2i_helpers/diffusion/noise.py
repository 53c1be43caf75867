"""What a U-Net's prediction says about the images behind the noise: eps, v and x^_0 in one another."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class NoisyBatch:
    """x_t = sqrt(abar) x_0 + sqrt(1 - abar) eps, and of it either eps is predicted or
    v = sqrt(abar) eps - sqrt(1 - abar) x_0 (Salimans & Ho 2022, arXiv:2202.00512)."""

    x_t: torch.Tensor           # [n, c, h, w]
    abar: torch.Tensor          # [], the share of signal in the variance, 0 to 1
    predicts_v: bool            # else eps

    signal = property(lambda self: self.abar.sqrt())
    noise = property(lambda self: (1 - self.abar).sqrt())

    def x_0(self, prediction: torch.Tensor) -> torch.Tensor:
        """x^_0, the clean images that `prediction` implies."""
        if self.predicts_v:
            return self.signal * self.x_t - self.noise * prediction
        return (self.x_t - self.noise * prediction) / self.signal

    def eps(self, prediction: torch.Tensor) -> torch.Tensor:
        """eps^, the noise that `prediction` implies."""
        return self.signal * prediction + self.noise * self.x_t if self.predicts_v else prediction

    def prediction(self, x_0: torch.Tensor) -> torch.Tensor:
        """The prediction that implies the clean images `x_0`."""
        return (self.signal * self.x_t - x_0 if self.predicts_v else self.x_t - self.signal * x_0) / self.noise

    def clipped(self, prediction: torch.Tensor, bound: float | None) -> tuple[torch.Tensor, torch.Tensor]:
        """(x^_0 within +-`bound`, the prediction that implies it); unchanged where `bound` is None."""
        x_0 = self.x_0(prediction)
        within = x_0 if bound is None else x_0.clamp(-bound, bound)
        return within, torch.where(within == x_0, prediction, self.prediction(within))


def sigma(abar):
    """The noise level of Karras et al. (2022), sqrt((1 - abar) / abar): of noise to an image of scale 1."""
    return ((1 - abar) / abar) ** 0.5


def alpha_bar(scheduler, t) -> torch.Tensor:
    """abar_t, the share of signal left at `t`; between whole timesteps interpolated in sigma as schedulers do."""
    t, table = float(t), scheduler.alphas_cumprod.double().cpu()
    low = int(t)
    if low == t:
        return table[low].float()
    return (1 / (1 + torch.lerp(*sigma(table[low:low + 2]), t - low) ** 2)).float()

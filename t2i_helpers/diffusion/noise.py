"""What a network's prediction says about the images behind the noise: eps, v, u and x^_0 in one another."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class NoisyBatch:
    """x_t = signal x_0 + noise eps, and what of it is predicted:

    "epsilon"        eps                                with signal = sqrt(abar) and noise = sqrt(1 - abar)
    "v_prediction"   v = signal eps - noise x_0         the same (Salimans & Ho 2022, arXiv:2202.00512)
    "flow"           u = eps - x_0 = dx_s / ds          with signal = 1 - s and noise = s (Lipman et al. 2022,
                     arXiv:2210.02747, optimal-transport path; Liu et al. 2022, arXiv:2209.03003)
    """

    x_t: torch.Tensor           # [n, c, h, w]
    level: torch.Tensor         # []: abar, the share of signal in the variance, 0 to 1; of a flow s, 1 to 0
    predicts: str               # "epsilon", "v_prediction" or "flow"

    @property
    def signal(self) -> torch.Tensor:
        return 1 - self.level if self.predicts == "flow" else self.level.sqrt()

    @property
    def noise(self) -> torch.Tensor:
        return self.level if self.predicts == "flow" else (1 - self.level).sqrt()

    def x_0(self, prediction: torch.Tensor) -> torch.Tensor:
        """x^_0, the clean images that `prediction` implies."""
        if self.predicts == "flow":
            return self.x_t - self.noise * prediction
        if self.predicts == "v_prediction":
            return self.signal * self.x_t - self.noise * prediction
        return (self.x_t - self.noise * prediction) / self.signal

    def eps(self, prediction: torch.Tensor) -> torch.Tensor:
        """eps^, the noise that `prediction` implies."""
        if self.predicts == "flow":
            return self.x_t + self.signal * prediction
        return self.signal * prediction + self.noise * self.x_t if self.predicts == "v_prediction" else prediction

    def prediction(self, x_0: torch.Tensor) -> torch.Tensor:
        """The prediction that implies the clean images `x_0`."""
        if self.predicts == "flow":
            return (self.x_t - x_0) / self.noise
        scaled = self.signal * self.x_t - x_0 if self.predicts == "v_prediction" else self.x_t - self.signal * x_0
        return scaled / self.noise

    def clipped(self, prediction: torch.Tensor, bound: float | None) -> tuple[torch.Tensor, torch.Tensor]:
        """(x^_0 within +-`bound`, the prediction that implies it); unchanged where `bound` is None."""
        x_0 = self.x_0(prediction)
        within = x_0 if bound is None else x_0.clamp(-bound, bound)
        return within, torch.where(within == x_0, prediction, self.prediction(within))


def sigma(level, predicts: str = "epsilon"):
    """The noise level of Karras et al. (2022), of noise to an image of scale 1: sqrt((1 - abar) / abar), or of a flow
    s / (1 - s)."""
    return level / (1 - level) if predicts == "flow" else ((1 - level) / level) ** 0.5


def predicted(scheduler) -> str:
    """What the network of `scheduler` predicts; diffusers' flow-matching schedulers do not name it."""
    return scheduler.config.get("prediction_type", "flow")


def noise_level(scheduler, t) -> torch.Tensor:
    """The level of a NoisyBatch at `t`: of a flow s = t / T, else abar_t, the share of signal left; between whole
    timesteps interpolated in sigma as schedulers do."""
    if predicted(scheduler) == "flow":
        return torch.as_tensor(t, dtype=torch.float32).cpu() / scheduler.config.num_train_timesteps
    t, table = float(t), scheduler.alphas_cumprod.double().cpu()
    low = int(t)
    if low == t:
        return table[low].float()
    return (1 / (1 + torch.lerp(*sigma(table[low:low + 2]), t - low) ** 2)).float()

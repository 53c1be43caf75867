"""The mathematics of guided sampling, over any U-Net: it sees tensors, never datasets or files."""

from .attention import AttentionMaps
from .editing import PromptSwitch, PromptToPrompt, SDEditInit
from .guidance import GUIDERS, make_guider
from .losses import Loss, LossGuidance, classifier_loss, colour_loss, similarity_loss
from .rules import Auto
from .sampling import Samples, sample
from .schedulers import SCHEDULERS, make_scheduler

__all__ = [
    "GUIDERS", "SCHEDULERS", "AttentionMaps", "Auto", "Loss", "LossGuidance", "PromptToPrompt", "Samples", "SDEditInit",
    "PromptSwitch", "classifier_loss", "colour_loss", "make_guider", "make_scheduler", "sample", "similarity_loss",
]

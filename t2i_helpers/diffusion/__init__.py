"""The mathematics of guided sampling, over any U-Net: it sees tensors, never datasets or files.

To be read in this order: noise, schedulers, rules, guidance, losses, editing, sampling.
"""

from .editing import AttentionMaps, PromptSwitch, PromptToPrompt, SDEditInit
from .guidance import GUIDERS, Guider, Step, make_guider
from .losses import Loss, LossGuidance, classifier_loss, colour_loss, similarity_loss
from .sampling import Samples, sample
from .schedulers import SCHEDULERS, make_scheduler

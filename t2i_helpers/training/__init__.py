"""One training loop, and the run folders it writes and resumes from."""

from .loop import train, training_loss
from .run import Run, describe_checkpoint

__all__ = ["Run", "describe_checkpoint", "train", "training_loss"]

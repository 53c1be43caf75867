"""One training loop and its run folders."""

from .loop import train, training_loss
from .run import Run, describe_checkpoint

__all__ = ["Run", "describe_checkpoint", "train", "training_loss"]

"""One training loop and its run folders."""

from .loop import train, training_loss
from .run import Run, describe_checkpoint

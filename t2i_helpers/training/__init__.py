"""One training loop, and the run folders it writes and resumes from."""

from .loop import train, training_loss
from .run import Run

__all__ = ["Run", "train", "training_loss"]

"""One training loop, and the run folders it writes and resumes from."""

from .loop import train, training_loss
from .run import Run, read_metrics

__all__ = ["Run", "read_metrics", "train", "training_loss"]

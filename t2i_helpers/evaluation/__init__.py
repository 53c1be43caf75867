"""What a picture is worth: classifiers that read generated images, metrics, benchmarks. Nothing is trained on them."""

from .classifiers import load_classifier, read
from .critic import best_of, critic, critic_scores
from .evaluate import evaluate
from .metrics import frechet_distance, wilson_interval
from .recognition import recognition
from .samples import SampleStore, draw_samples

__all__ = [
    "SampleStore", "best_of", "critic", "critic_scores", "draw_samples", "evaluate", "frechet_distance",
    "load_classifier", "read", "recognition", "wilson_interval",
]

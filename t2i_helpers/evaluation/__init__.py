"""What a picture is worth: classifiers that read generated images, metrics, benchmarks. Nothing is trained on them."""

from .classifiers import load_classifier, read
from .metrics import wilson_interval
from .prompt_accuracy import evaluate_prompts

__all__ = ["evaluate_prompts", "load_classifier", "read", "wilson_interval"]

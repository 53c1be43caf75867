"""What a picture is worth: classifiers that read generated images, metrics, benchmarks. Nothing is trained on them."""

from .classifiers import DigitClassifier, load_classifier, predict
from .metrics import wilson_interval
from .prompt_accuracy import evaluate_prompts

__all__ = ["DigitClassifier", "evaluate_prompts", "load_classifier", "predict", "wilson_interval"]

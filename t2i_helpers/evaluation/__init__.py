"""What a picture is worth: classifiers that read generated images, and benchmarks. Reads models, trains no U-Net."""

from .classifiers import DigitClassifier, load_classifier, prompt_accuracy

__all__ = ["DigitClassifier", "load_classifier", "prompt_accuracy"]

"""Judges of generated images, metrics with intervals, the sample store, the guidance study."""

from .classifiers import load_classifier, predict
from .evaluate import evaluate
from .experiments import recognition
from .metrics import frechet_distance, wilson_interval
from .samples import SampleStore, draw_samples

"""The calibrated intent classifier; pure numpy, SciPy and scikit-learn, no database."""

from apps.routing.classifier.comparison import compare_classifiers
from apps.routing.classifier.model import IntentClassifier, Prediction
from apps.routing.classifier.storage import BrokenModel, from_bytes, to_bytes
from apps.routing.classifier.training import Examples, TrainingReport, train_classifier

__all__ = [
    "BrokenModel",
    "Examples",
    "IntentClassifier",
    "Prediction",
    "TrainingReport",
    "compare_classifiers",
    "from_bytes",
    "to_bytes",
    "train_classifier",
]

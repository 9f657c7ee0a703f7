"""From scores to honest probabilities, and how honest they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
LOG_TEMPERATURE_BOUNDS = (-5.0, 2.0)


def softmax(scores: Scores, temperature: float) -> Scores:
    """Probabilities by row."""
    shifted = (scores - scores.max(axis=1, keepdims=True)) / temperature
    exponentials = np.exp(shifted)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def fit_temperature(scores: Scores, labels: NDArray[np.int64]) -> float:
    """Find the temperature with the least log loss on held-out scores (Guo et al. 2017)."""
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(labels))

    def log_loss(log_temperature: float) -> float:
        right = softmax(scores, float(np.exp(log_temperature)))[rows, labels]
        return float(-np.log(np.maximum(right, 1e-12)).mean())

    best = minimize_scalar(log_loss, bounds=LOG_TEMPERATURE_BOUNDS, method="bounded")
    return float(np.exp(best.x))


def expected_calibration_error(confidence: Scores, is_correct: NDArray[np.bool_], bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equally wide bins, weighted by their size."""
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(confidence[inside].mean() - is_correct[inside].mean()) * inside.mean()
        for inside in (bin_of == number for number in range(bins))
        if inside.any()
    ]
    return float(sum(gaps))

"""Learns a classifier from examples, and measures it on examples that it did not learn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from apps.routing.classifier.calibration import expected_calibration_error, fit_temperature, softmax
from apps.routing.classifier.features import WordingFeatures
from apps.routing.classifier.model import IntentClassifier, LinearScorer, Scores

if TYPE_CHECKING:
    from sklearn.svm import LinearSVC

EMBEDDING_WEIGHT = 2.0
REGULARISATION = 0.5
IN_SCOPE_REJECTION = 0.02
FOLDS_FEW_EXAMPLES = 5
FOLDS_MANY_EXAMPLES = 3
MANY_EXAMPLES = 2_000
SEED = 20


@dataclass(frozen=True)
class Examples:
    """Parallel columns; `embeddings` has one unit vector a text."""

    texts: Sequence[str]
    intents: Sequence[str]
    embeddings: NDArray[np.float32]

    def take(self, rows: NDArray[np.int64]) -> Examples:
        """Select rows, in the order given."""
        return Examples([self.texts[i] for i in rows], [self.intents[i] for i in rows], self.embeddings[rows])

    def by_intent(self) -> Examples:
        """Sort by intent, otherwise as they were."""
        return self.take(np.argsort(self.intents, kind="stable"))


@dataclass(frozen=True)
class TrainingReport:
    """Measured on examples held out of training; `by_intent`: recognised, and of how many."""

    examples: int
    accuracy: float
    calibration_error: float
    in_scope_rejection: float
    by_intent: dict[str, tuple[int, int]]


def train_classifier(
    examples: Examples,
    *,
    held_out: Examples | None = None,
    in_scope_rejection: float = IN_SCOPE_REJECTION,
    fingerprint: str = "",
) -> tuple[IntentClassifier, TrainingReport]:
    """Fit on `examples`, calibrate on `held_out` or else by cross-validation.

    The scope threshold is where `in_scope_rejection` of the held-out examples would be turned away.
    Needs two intents or more, with two examples or more each.
    """
    examples = examples.by_intent()
    intents, labels = label_examples(examples)
    scorer = fit_scorer(examples, labels)
    if held_out is None:
        scores, truth = _cross_validate(examples, labels), labels
    else:
        scores = scorer.score_in_batches(held_out.texts, held_out.embeddings)
        truth = _labels(held_out, intents)
    temperature = fit_temperature(scores.intents, truth)
    threshold = float(np.quantile(scores.scope, in_scope_rejection))
    classifier = IntentClassifier(intents, scorer, temperature, threshold, tuple(examples.texts), fingerprint)
    return classifier, _report(intents, len(labels), scores, truth, temperature, threshold)


def label_examples(examples: Examples) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the intents by name, and each example's number among them."""
    intents = tuple(sorted(set(examples.intents)))
    return intents, _labels(examples, intents)


def _labels(examples: Examples, intents: tuple[str, ...]) -> NDArray[np.int64]:
    number = {intent: i for i, intent in enumerate(intents)}
    return np.array([number[intent] for intent in examples.intents], dtype=np.int64)


def fit_scorer(examples: Examples, labels: NDArray[np.int64]) -> LinearScorer:
    """Learn from examples that are sorted by intent; `labels` numbers their intents from 0."""
    import scipy.sparse as sp
    from sklearn.svm import LinearSVC

    wording = WordingFeatures.fit(examples.texts)
    lexical = wording.transform(examples.texts)
    meaning = sp.csr_matrix(EMBEDDING_WEIGHT * examples.embeddings)
    svm = LinearSVC(C=REGULARISATION, random_state=SEED)
    svm.fit(sp.hstack([lexical, meaning], format="csr"), labels)
    weights, bias = _one_column_an_intent(svm)
    return LinearScorer(
        wording=wording,
        wording_weights=np.ascontiguousarray(weights[: lexical.shape[1]]),
        embedding_weights=np.ascontiguousarray(EMBEDDING_WEIGHT * weights[lexical.shape[1] :]),
        bias=bias,
        example_embeddings=np.ascontiguousarray(examples.embeddings, dtype=np.float32),
        first_example=np.searchsorted(labels, np.arange(labels.max() + 1)).astype(np.int64),
    )


def _one_column_an_intent(svm: LinearSVC) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    weights, bias = svm.coef_.T.astype(np.float32), svm.intercept_.astype(np.float32)
    if weights.shape[1] > 1:
        return weights, bias
    return np.hstack([-weights, weights]), np.concatenate([-bias, bias])  # two intents share one plane


def split_folds(labels: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the rows to learn from and those held out; each row is held out once, always with the same."""
    from sklearn.model_selection import StratifiedKFold

    wanted = FOLDS_MANY_EXAMPLES if len(labels) > MANY_EXAMPLES else FOLDS_FEW_EXAMPLES
    folds = min(wanted, int(np.bincount(labels).min()))
    yield from StratifiedKFold(folds, shuffle=True, random_state=SEED).split(labels, labels)


def _cross_validate(examples: Examples, labels: NDArray[np.int64]) -> Scores:
    rows = np.empty(len(labels), dtype=np.int64)
    parts: list[Scores] = []
    done = 0
    for kept, held_out in split_folds(labels):
        scorer = fit_scorer(examples.take(kept), labels[kept])
        asked = examples.take(held_out)
        parts.append(scorer.score_in_batches(asked.texts, asked.embeddings))
        rows[done : done + len(held_out)] = held_out
        done += len(held_out)
    back = np.argsort(rows)
    return Scores(
        intents=np.concatenate([part.intents for part in parts])[back],
        scope=np.concatenate([part.scope for part in parts])[back],
        nearest=np.concatenate([part.nearest for part in parts])[back],
        similarity=np.concatenate([part.similarity for part in parts])[back],
    )


def _report(
    intents: tuple[str, ...],
    examples: int,
    scores: Scores,
    truth: NDArray[np.int64],
    temperature: float,
    threshold: float,
) -> TrainingReport:
    probabilities = softmax(scores.intents, temperature)
    is_correct = probabilities.argmax(axis=1) == truth
    return TrainingReport(
        examples=examples,
        accuracy=float(is_correct.mean()),
        calibration_error=expected_calibration_error(probabilities.max(axis=1), is_correct),
        in_scope_rejection=float((scores.scope < threshold).mean()),
        by_intent={
            name: (int(is_correct[truth == i].sum()), int((truth == i).sum()))
            for i, name in enumerate(intents)
        },
    )

"""Two classifiers on the same held-out examples: what the one that routes loses or gains by the other.

No model is asked what it has learnt. For each fold of the examples, each side is taught again what it was
taught, but for the texts of that fold, and then answers these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.routing.classifier.calibration import expected_calibration_error, softmax
from apps.routing.classifier.model import IntentClassifier
from apps.routing.classifier.training import Examples, fit_scorer, label_examples, split_folds
from apps.routing.contracts import ChangedAnswer, Comparison, IntentCompared, Judged
from apps.routing.wording import same_wording

MAX_CHANGES, MAX_CHARS = 300, 300
Folds = Sequence[NDArray[np.int64]]
Report = Callable[[float], None]


@dataclass(frozen=True)
class Answers:
    """What a model said about each example, and how sure it was."""

    intents: NDArray[np.object_]
    confidence: NDArray[np.float64]


def compare_classifiers(
    before: IntentClassifier,
    after: IntentClassifier,
    examples: Examples,
    *,
    against: str,
    unsure_below: float,
    report: Report = lambda share: None,
) -> Comparison:
    """Compare on `examples`, whose intents are taken as right; `report` hears the share that is done.

    Where `after` has learnt just these examples, its figures are those of its own training.
    """
    examples = examples.by_intent()
    folds = [held_out for _, held_out in split_folds(label_examples(examples)[1])]
    old = answer_held_out(before, examples, folds, lambda share: report(share / 2))
    new = answer_held_out(after, examples, folds, lambda share: report((1 + share) / 2))
    truth = np.array(examples.intents, dtype=object)
    was_right, is_right = old.intents == truth, new.intents == truth
    differs = old.intents != new.intents
    better, worse = int((is_right & ~was_right).sum()), int((was_right & ~is_right).sum())
    return Comparison(
        against=against,
        examples=len(truth),
        before=_judge(old, was_right, unsure_below),
        after=_judge(new, is_right, unsure_below),
        intents=tuple(_by_intent(truth, was_right, is_right)),
        better=better,
        worse=worse,
        other=int(differs.sum()) - better - worse,
        chance=_sign_test(better, worse),
        changes=tuple(_changes(examples, old, new, differs)),
    )


def answer_held_out(
    classifier: IntentClassifier, examples: Examples, folds: Folds, report: Report
) -> Answers:
    """Answer each example by a model that was taught what `classifier` was, without the example's fold."""
    taught = _taught(classifier)
    wordings = np.array([same_wording(text) for text in taught.texts], dtype=object)
    intents = np.empty(len(examples.texts), dtype=object)
    confidence = np.zeros(len(examples.texts))
    for number, rows in enumerate(folds, 1):
        asked = examples.take(rows)
        hidden = {same_wording(text) for text in asked.texts}
        kept = taught.take(np.flatnonzero([wording not in hidden for wording in wordings]))
        intents[rows], confidence[rows] = _answer(kept, asked, classifier.temperature)
        report(number / len(folds))
    return Answers(intents, confidence)


def _answer(
    taught: Examples, asked: Examples, temperature: float
) -> tuple[NDArray[np.object_], NDArray[np.float32]]:
    names, labels = label_examples(taught)
    if len(names) < 2:  # nothing to learn apart: it knows no more than this one intent, if any
        return np.full(len(asked.texts), "".join(names), dtype=object), np.ones(len(asked.texts), np.float32)
    scores = fit_scorer(taught, labels).score_in_batches(asked.texts, asked.embeddings)
    probabilities = softmax(scores.intents, temperature)
    return np.array(names, dtype=object)[probabilities.argmax(axis=1)], probabilities.max(axis=1)


def _taught(classifier: IntentClassifier) -> Examples:
    """Return what a classifier has learnt; it carries its examples."""
    texts, intents = zip(*classifier.taught(), strict=True)
    return Examples(texts, intents, classifier.scorer.example_embeddings)


def _judge(answers: Answers, is_right: NDArray[np.bool_], unsure_below: float) -> Judged:
    return Judged(
        accuracy=round(float(is_right.mean()), 4),
        calibration_error=round(
            expected_calibration_error(answers.confidence.astype(np.float32), is_right), 4
        ),
        unsure=round(float((answers.confidence < unsure_below).mean()), 4),
    )


def _by_intent(
    truth: NDArray[np.object_], was_right: NDArray[np.bool_], is_right: NDArray[np.bool_]
) -> list[IntentCompared]:
    return [
        IntentCompared(
            intent=name,
            examples=int((truth == name).sum()),
            before=int(was_right[truth == name].sum()),
            after=int(is_right[truth == name].sum()),
        )
        for name in sorted(set(truth))
    ]


def _changes(
    examples: Examples, old: Answers, new: Answers, differs: NDArray[np.bool_]
) -> list[ChangedAnswer]:
    """Return the changed answers, the worse ones first and of each kind the surest."""
    changes = [
        ChangedAnswer(
            text=examples.texts[i][:MAX_CHARS],
            intent=(right := examples.intents[i]),
            before=old.intents[i],
            before_confidence=round(float(old.confidence[i]), 4),
            after=new.intents[i],
            after_confidence=round(float(new.confidence[i]), 4),
            verdict={old.intents[i]: "worse", new.intents[i]: "better"}.get(right, "other"),
        )
        for i in np.flatnonzero(differs).tolist()
    ]
    order = {"worse": 0, "better": 1, "other": 2}
    return sorted(changes, key=lambda c: (order[c.verdict], -c.after_confidence))[:MAX_CHANGES]


def _sign_test(better: int, worse: int) -> float:
    from scipy.stats import binomtest

    if better == worse:
        return 1.0
    return round(float(binomtest(better, better + worse).pvalue), 4)

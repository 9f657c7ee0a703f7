"""What leaves routing: decisions and what they were made with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

ESCALATION_CONFIDENCE = 0.7  # below it a person decides


class Tier(StrEnum):
    """Who handles a message, cheapest first."""

    RULES = "rules"
    EXTRACTIVE = "extractive"
    SMALL = "small"
    LARGE = "large"


@dataclass(frozen=True)
class RouteDecision:
    """A route and its receipt.

    `confidence` is the probability that the intent is right, capped at 0.5 where a machine's answer
    would be wrong whatever the intent (a person is asked for, nothing known fits).
    `alternatives` are the other intents with their probabilities, likeliest first.
    `model` names the chat model of the tier, "extractive", or "" where no model is needed.
    """

    intent: str
    confidence: float
    tier: Tier
    model: str
    escalate: bool
    alternatives: tuple[tuple[str, float], ...]
    reasons: tuple[str, ...]
    latency_ms: float
    model_version: str
    in_scope: bool

    def as_dict(self) -> dict[str, Any]:
        """Return plain, JSON-able values."""
        alternatives = [{"intent": intent, "confidence": p} for intent, p in self.alternatives]
        return {
            **asdict(self),
            "tier": self.tier.value,
            "alternatives": alternatives,
            "reasons": list(self.reasons),
        }


@dataclass(frozen=True)
class RouterModelView:
    """A trained model; accuracy and calibration error were measured on held-out examples."""

    id: UUID
    version: int
    is_active: bool
    intents: tuple[str, ...]
    examples: int
    accuracy: float
    calibration_error: float
    created_at: dt.datetime
    by_intent: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelFigures:
    """How a model does on examples held out of its training.

    `by_intent` maps each intent to how many of its examples were recognised, and of how many.
    """

    examples: int
    accuracy: float
    calibration_error: float
    by_intent: Mapping[str, tuple[int, int]]


class Origin(StrEnum):
    """Where an example came from."""

    SHIPPED = "shipped"
    WRITTEN = "written"
    FEEDBACK = "feedback"

    @property
    def label(self) -> str:
        """What people read."""
        return {"shipped": "Shipped", "written": "Written", "feedback": "Correction"}[self.value]


@dataclass(frozen=True)
class ExampleView:
    id: UUID
    intent: str
    text: str
    origin: Origin


@dataclass(frozen=True)
class IntentView:
    name: str
    description: str
    examples: int


@dataclass(frozen=True)
class Changes:
    """How the examples of now differ from those that a model has learnt."""

    added: int = 0
    removed: int = 0
    moved: int = 0
    corrections: int = 0

    @property
    def total(self) -> int:
        """How many texts differ; `corrections` are among the added and the moved."""
        return self.added + self.removed + self.moved


class TrainingStatus(StrEnum):
    QUEUED = "queued"
    TRAINING = "training"
    READY = "ready"
    FAILED = "failed"
    USED = "used"
    DISCARDED = "discarded"


@dataclass(frozen=True)
class Judged:
    """A model's figures on the held-out examples; `unsure` is the share that a person would get."""

    accuracy: float
    calibration_error: float
    unsure: float


@dataclass(frozen=True)
class IntentCompared:
    """How many of an intent's held-out examples each of the two recognises."""

    intent: str
    examples: int
    before: int
    after: int

    @property
    def gain(self) -> int:
        """How many more the candidate recognises."""
        return self.after - self.before


@dataclass(frozen=True)
class ChangedAnswer:
    """A held-out example that the two models answer differently; `verdict`: better, worse or other."""

    text: str
    intent: str
    before: str
    before_confidence: float
    after: str
    after_confidence: float
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """Two models on the same examples, neither of which has learnt from those it is asked.

    `chance` is the probability of a difference as large where both were equally good (sign test).
    `changes` holds some of the changed answers; better, worse and other count them all.
    """

    against: str
    examples: int
    before: Judged
    after: Judged
    intents: tuple[IntentCompared, ...]
    better: int
    worse: int
    other: int
    chance: float
    changes: tuple[ChangedAnswer, ...]

    @property
    def changed(self) -> int:
        """How many answers change."""
        return self.better + self.worse + self.other

    def as_dict(self) -> dict[str, Any]:
        """Return plain, JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Comparison:
        """Restore from what `as_dict` gave."""
        return cls(
            **{
                **kept,
                "before": Judged(**kept["before"]),
                "after": Judged(**kept["after"]),
                "intents": tuple(IntentCompared(**row) for row in kept["intents"]),
                "changes": tuple(ChangedAnswer(**row) for row in kept["changes"]),
            }
        )


@dataclass(frozen=True)
class CandidateView:
    """A training in the background; `comparison` comes with the status ready, `version` with used."""

    id: UUID
    status: TrainingStatus
    progress_percent: int
    error: str
    requested_by: str
    created_at: dt.datetime
    comparison: Comparison | None
    version: int | None

    @property
    def is_working(self) -> bool:
        """Whether a worker has yet to finish it."""
        return self.status in (TrainingStatus.QUEUED, TrainingStatus.TRAINING)


@dataclass(frozen=True)
class FeedbackView:
    """A correction as it was kept; `is_new` is False when the same correction was known."""

    intent: str
    text: str
    is_new: bool

"""What leaves routing: decisions and what they were made with."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID


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


@dataclass(frozen=True)
class IntentView:
    name: str
    description: str
    examples: int


@dataclass(frozen=True)
class FeedbackView:
    """A correction as it was kept; `is_new` is False when the same correction was known."""

    intent: str
    text: str
    is_new: bool

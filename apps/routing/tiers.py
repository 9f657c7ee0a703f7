"""Which handler is the cheapest that will do."""

from __future__ import annotations

from dataclasses import dataclass

from apps.routing.contracts import Tier

ANSWERED_BY_RULES = {
    "order_status": "The order's own data answer this; no model is needed.",
    "smalltalk": "Small talk needs no model.",
}
LONG_WORDS = 60
MANY_QUESTIONS = 3


@dataclass(frozen=True)
class ChatModels:
    """Names of the chat models at hand; empty without a model server."""

    small: str = ""
    large: str = ""


@dataclass(frozen=True)
class TierChoice:
    tier: Tier
    model: str
    reason: str


def choose_tier(*, text: str, intent: str, escalate: bool, models: ChatModels) -> TierChoice:
    """Choose the cheapest handler that will do, and say why."""
    if escalate:
        return TierChoice(Tier.RULES, "", "A person answers, so no model is spent on it.")
    if intent in ANSWERED_BY_RULES:
        return TierChoice(Tier.RULES, "", ANSWERED_BY_RULES[intent])
    if not models.small:
        return TierChoice(
            Tier.EXTRACTIVE, "extractive", "No language model is set up: the answer quotes the knowledge."
        )
    words, questions = len(text.split()), text.count("?")
    if models.large and (words > LONG_WORDS or questions >= MANY_QUESTIONS):
        return TierChoice(
            Tier.LARGE, models.large, f"{words} words with {questions} questions: the large model."
        )
    return TierChoice(Tier.SMALL, models.small, "A short, single question: the small model does.")

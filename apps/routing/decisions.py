"""From a text to a decision with its reasons; pure, given a classifier and an embedder."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.routing.classifier import IntentClassifier, Prediction
from apps.routing.contracts import ESCALATION_CONFIDENCE, RouteDecision
from apps.routing.early_exit import find_early_exit
from apps.routing.tiers import ChatModels, choose_tier

Embed = Callable[[str], NDArray[np.float32]]
CAPPED_CONFIDENCE = 0.5
FOLLOW_UP_WORDS = 4
CLEARLY_ALIKE = 0.6
COMPLAINT = "complaint"
SMALLTALK = "smalltalk"
QUOTED_MAIL = re.compile(r"^\s*>.*$|^\s*On .{5,120} wrote:\s*$|^-- ?$[\s\S]*", re.MULTILINE)


@dataclass(frozen=True)
class Message:
    """`history` holds the customer's messages before this one, oldest first."""

    text: str
    channel: str = "api"
    history: Sequence[str] = ()


def decide_route(
    message: Message, *, classifier: IntentClassifier, version: str, embed: Embed, models: ChatModels
) -> RouteDecision:
    """Decide; `latency_ms` is left 0 for the caller, who holds the clock."""
    text = _own_words(message)
    prediction, notes = _classify(text, message.history, classifier, embed)
    intent, probability = next(iter(prediction.probabilities.items()))
    exit_reason = find_early_exit(text, message.history)
    confidence, reasons = _judge(intent, probability, prediction, exit_reason)
    escalate = bool(exit_reason) or intent == COMPLAINT or confidence < ESCALATION_CONFIDENCE
    tier = choose_tier(text=text, intent=intent, escalate=escalate, models=models)
    return RouteDecision(
        intent=intent,
        confidence=round(confidence, 4),
        tier=tier.tier,
        model=tier.model,
        escalate=escalate,
        alternatives=tuple((name, round(p, 4)) for name, p in list(prediction.probabilities.items())[1:4]),
        reasons=(*reasons, *notes, tier.reason),
        latency_ms=0.0,
        model_version=version,
        in_scope=prediction.in_scope,
    )


def _own_words(message: Message) -> str:
    if message.channel != "email":
        return message.text
    return QUOTED_MAIL.sub("", message.text).strip() or message.text


def _classify(
    text: str, history: Sequence[str], classifier: IntentClassifier, embed: Embed
) -> tuple[Prediction, list[str]]:
    alone = classifier.predict(text, embed(text))
    best = next(iter(alone.probabilities.values()))
    is_unclear = alone.in_scope and best < ESCALATION_CONFIDENCE and len(text.split()) <= FOLLOW_UP_WORDS
    if not history or not is_unclear:
        return alone, []
    in_context = f"{history[-1]} {text}"
    together = classifier.predict(in_context, embed(in_context))
    intent, probability = next(iter(together.probabilities.items()))
    # A greeting before must not turn whatever follows into small talk.
    if not together.in_scope or intent == SMALLTALK or probability <= best:
        return alone, []
    return together, ["Read together with the customer's message before, as it is short and unclear alone."]


def _judge(
    intent: str, probability: float, prediction: Prediction, exit_reason: str | None
) -> tuple[float, list[str]]:
    name = intent.replace("_", " ")
    reasons = [exit_reason] if exit_reason else []
    if not prediction.in_scope:
        reasons.append(
            f"It is unlike every message that this router was taught; its best guess would be {name}."
        )
        return min(probability, CAPPED_CONFIDENCE), reasons
    likeness = f', as in "{prediction.nearest_example}"' if _is_telling(prediction) else ""
    reasons.append(f"Reads like {name} ({probability:.0%}){likeness}.")
    if intent == COMPLAINT:
        reasons.append("Complaints go to a person.")
    elif exit_reason:
        return min(probability, CAPPED_CONFIDENCE), reasons
    elif probability < ESCALATION_CONFIDENCE:
        reasons.append(f"Below {ESCALATION_CONFIDENCE:.0%} a person decides.")
    return probability, reasons


def _is_telling(prediction: Prediction) -> bool:
    return prediction.nearest_similarity >= CLEARLY_ALIKE

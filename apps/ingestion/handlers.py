"""Learn from events which questions the knowledge could not answer."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import Q

from apps.events.contracts import Envelope
from apps.ingestion.models import Question

QUESTION_CHARS = 2000
HALVES = (frozenset({"text"}), frozenset({"is_unanswered"}), frozenset({"text", "is_unanswered"}))
NO_QUESTIONS = {"smalltalk", "sales_lead"}  # intents that ask nothing of the knowledge


def on_conversation_events(envelopes: Sequence[Envelope]) -> None:
    """Put questions and their outcomes together, in whichever order they come, in one transaction."""
    found: dict[UUID, dict[str, Any]] = {}
    for envelope in envelopes:
        if envelope.run_id is not None:
            first = {"asked_at": envelope.occurred_at, "conversation_id": envelope.conversation_id}
            found.setdefault(envelope.run_id, first).update(_half(envelope))
    answered = [
        run_id for run_id, its in found.items() if its.get("text") and its.get("is_unanswered") is False
    ]
    for run_id in answered:  # both halves are here, and nothing is to be learned
        del found[run_id]
    for halves in HALVES:
        rows = [Question(run_id=run_id, **its) for run_id, its in found.items() if halves == _names(its)]
        _store(rows, sorted(halves))
    done = Question.objects.filter(run_id__in=[*found, *answered])
    done.filter(Q(run_id__in=answered) | Q(is_unanswered=False) & ~Q(text="")).delete()


def _half(envelope: Envelope) -> dict[str, Any]:
    if envelope.type == "agent.message.received":
        return {"text": str(envelope.data["text"])[:QUESTION_CHARS]}
    return {"is_unanswered": _is_unanswered(envelope.data)}


def _names(found: dict[str, Any]) -> frozenset[str]:
    return frozenset(found) & {"text", "is_unanswered"}


def _store(rows: list[Question], halves: list[str]) -> None:
    """Insert questions, or add their halves to those that are there, also at the same moment."""
    if rows:
        Question.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["run_id"], update_fields=halves
        )


def _is_unanswered(data: dict[str, Any]) -> bool:
    receipt = data.get("receipt") or {}
    is_question = receipt.get("intent") not in NO_QUESTIONS and receipt.get("provider") != "rules"
    return is_question and not receipt.get("knows", True)

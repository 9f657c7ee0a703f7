"""Learn from events which questions the knowledge could not answer."""

from typing import Any

from apps.events.contracts import Envelope
from apps.ingestion.models import Question

QUESTION_CHARS = 2000
NO_QUESTIONS = {"smalltalk", "sales_lead"}  # intents that ask nothing of the knowledge


def on_conversation_event(envelope: Envelope) -> None:
    """Put a question and its outcome together, in whichever order they come; in the tenant's transaction."""
    if envelope.run_id is None:
        return
    if envelope.type == "agent.message.received":
        found: dict[str, Any] = {"text": str(envelope.data["text"])[:QUESTION_CHARS]}
    else:
        found = {"is_unanswered": _is_unanswered(envelope.data)}
    defaults = {"asked_at": envelope.occurred_at, "conversation_id": envelope.conversation_id}
    question, is_new = Question.objects.get_or_create(run_id=envelope.run_id, defaults={**defaults, **found})
    if not is_new:
        Question.objects.filter(id=question.id).update(**found)
    Question.objects.filter(id=question.id, is_unanswered=False).exclude(text="").delete()


def _is_unanswered(data: dict[str, Any]) -> bool:
    receipt = data.get("receipt") or {}
    is_question = receipt.get("intent") not in NO_QUESTIONS and receipt.get("provider") != "rules"
    return is_question and not receipt.get("knows", True)

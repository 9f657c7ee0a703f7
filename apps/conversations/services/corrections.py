"""Write what people correct: from then on the router learns it."""

from uuid import UUID

from apps.conversations import validation
from apps.conversations.contracts import Author, MessageView
from apps.conversations.events import IntentCorrected
from apps.conversations.models import Message
from apps.events.services import publish
from apps.resilience.errors import InvalidInput, NotFoundError
from apps.routing.services import record_feedback
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef


def correct_intent(
    *, tenant: TenantRef, conversation_id: UUID, seq: int, intent: str, actor: str
) -> MessageView:
    """Say what the question behind an AI's reply was about; it becomes an example of the router.

    Again with another intent moves the example. Raises NotFoundError, and InvalidInput where the reply
    answers no question, or the tenant has no such intent.
    """
    intent = validation.text("intent", intent, max_chars=50)
    with in_tenant(tenant):
        reply = Message.objects.select_for_update().filter(conversation_id=conversation_id, seq=seq).first()
        if reply is None:
            raise NotFoundError("There is no such message.")
        question = _question_of(reply)
        if question is None:
            raise InvalidInput({"intent": ["This is no reply of the AI to a customer's message."]})
        if intent and reply.corrected_intent == intent:
            return reply.view()
        record_feedback(tenant=tenant, text=question.text[:2000], intent=intent)
        reply.corrected_intent = intent
        reply.save(update_fields=["corrected_intent"])
        publish(
            IntentCorrected(
                tenant_id=tenant.id,
                conversation_id=conversation_id,
                run_id=reply.run_id,
                message_id=reply.id,
                seq=seq,
                decided=str((reply.receipt or {}).get("intent") or ""),
                intent=intent,
                actor=actor,
            )
        )
        return reply.view()


def _question_of(reply: Message) -> Message | None:
    if reply.author != Author.AI:
        return None
    said = Message.objects.filter(
        conversation_id=reply.conversation_id, author=Author.CUSTOMER.value, seq__lt=reply.seq
    )
    asked = said.filter(run_id=reply.run_id).first() if reply.run_id else None
    return asked or said.order_by("-seq").first()

"""Write escalations: a call for a person, its way through the queue and its end."""

from uuid import UUID

from django.utils import timezone

from apps.conversations import validation
from apps.conversations.contracts import ConversationStatus, EscalationStatus, EscalationView
from apps.conversations.events import (
    EscalationCancelled,
    EscalationClaimed,
    EscalationOpened,
    EscalationReopened,
    EscalationResolved,
)
from apps.conversations.models import ACTOR_CHARS, WAITING, Conversation, Escalation, EscalationCall
from apps.conversations.services.mails import ask_for_mail
from apps.conversations.services.messages import send_agent_message
from apps.conversations.services.possession import hand_to_agent, lock_conversation
from apps.events.services import publish
from apps.resilience.errors import ConflictError, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

DEFAULT_QUEUE = "default"
HANDED_BACK = "Handed back to the AI."


def open_escalation(
    *,
    tenant: TenantRef,
    conversation_id: UUID,
    reason: str,
    effect_key: str,
    queue: str = DEFAULT_QUEUE,
    run_id: UUID | None = None,
    suggested_answer: str = "",
    by_mail: bool = False,
) -> EscalationView:
    """Call for a person, once for each `effect_key`; `by_mail` also mails those who answer.

    While another call waits in the conversation this one joins it. Raises InvalidInput, NotFoundError.
    """
    key = validation.effect_key("effect_key", effect_key)
    escalation = Escalation(
        conversation_id=conversation_id,
        reason=validation.text("reason", reason, max_chars=2000, required=True),
        queue=validation.text("queue", queue, max_chars=100) or DEFAULT_QUEUE,
        run_id=run_id,
        suggested_answer=validation.text("suggested_answer", suggested_answer, max_chars=20_000),
    )
    with in_tenant(tenant):
        conversation = lock_conversation(conversation_id)
        answered = _find_answered(conversation, key)
        if answered is not None:
            return answered.view()
        answer = _waiting(conversation) or _insert(tenant, conversation, escalation)
        call = EscalationCall(escalation=answer, effect_key=key, reason=escalation.reason, run_id=run_id)
        call.save(force_insert=True)
        if by_mail:
            ask_for_mail(answer)
        return answer.view()


def claim_escalation(*, tenant: TenantRef, escalation_id: UUID, agent: str) -> EscalationView:
    """Take an escalation and its conversation; again by the same agent changes nothing.

    Raises NotFoundError, and ConflictError where another agent has it or it has ended.
    """
    with in_tenant(tenant):
        conversation, escalation = _lock(escalation_id)
        if escalation.status == EscalationStatus.CLAIMED and escalation.claimed_by == agent:
            return escalation.view()
        if escalation.status != EscalationStatus.OPEN:
            by = f" by {escalation.claimed_by}" if escalation.status == EscalationStatus.CLAIMED else ""
            raise ConflictError(f"This escalation is {escalation.status}{by}; choose another one.")
        hand_to_agent(tenant, conversation, agent)
        _claim(tenant, escalation, agent)
        return escalation.view()


def reassign_escalation(*, tenant: TenantRef, escalation_id: UUID, holder: str, agent: str) -> EscalationView:
    """Give what `holder` has to another agent; where that agent has it already nothing changes.

    Raises NotFoundError, and ConflictError where `holder` does not have it, or no more.
    """
    with in_tenant(tenant):
        conversation, escalation = _lock(escalation_id)
        if escalation.status == EscalationStatus.CLAIMED and escalation.claimed_by == agent:
            return escalation.view()
        if escalation.status != EscalationStatus.CLAIMED or escalation.claimed_by != holder:
            now = f"{escalation.claimed_by} has it" if escalation.claimed_by else f"it is {escalation.status}"
            raise ConflictError(f"This changed meanwhile: now {now}.")
        hand_to_agent(tenant, conversation, agent, holder=holder)
        _claim(tenant, escalation, agent)
        return escalation.view()


def hand_back_escalation(
    *, tenant: TenantRef, escalation_id: UUID, agent: str, text: str, reply_key: str
) -> EscalationView:
    """Tell the customer that the AI goes on, and let it: the escalation ends. Again changes nothing.

    Raises InvalidInput, NotFoundError, and ConflictError for anybody but who has the conversation.
    """
    with in_tenant(tenant):
        conversation, escalation = _lock(escalation_id)
        if escalation.status in (EscalationStatus.RESOLVED, EscalationStatus.CANCELLED):
            return escalation.view()
        send_agent_message(
            tenant=tenant, conversation_id=conversation.id, agent=agent, text=text, reply_key=reply_key
        )
        _resolve(tenant, escalation, agent, HANDED_BACK)
        _give_to_ai(conversation)
        return escalation.view()


def resolve_escalation(
    *, tenant: TenantRef, escalation_id: UUID, agent: str, resolution: str = ""
) -> EscalationView:
    """End an escalation as done and give the conversation back to the AI; again changes nothing.

    Raises InvalidInput, NotFoundError, and ConflictError where it was cancelled or another agent has it.
    """
    words = validation.text("resolution", resolution, max_chars=2000)
    with in_tenant(tenant):
        conversation, escalation = _lock(escalation_id)
        if escalation.status == EscalationStatus.RESOLVED:
            return escalation.view()
        if escalation.status == EscalationStatus.CANCELLED:
            raise ConflictError("This escalation was cancelled; there is nothing to resolve.")
        if escalation.claimed_by not in ("", agent):
            raise ConflictError(f"{escalation.claimed_by} has this escalation; only they can resolve it.")
        _resolve(tenant, escalation, agent, words)
        _give_to_ai(conversation)
        return escalation.view()


def reopen_escalation(*, tenant: TenantRef, escalation_id: UUID, agent: str) -> EscalationView:
    """Take back that an escalation was resolved: the agent has it and its conversation again.

    Where it waits or is being served nothing changes. Raises NotFoundError, and ConflictError where it was
    cancelled, a newer one waits or another agent has the conversation.
    """
    with in_tenant(tenant):
        conversation, escalation = _lock(escalation_id)
        if escalation.status in (EscalationStatus.OPEN, EscalationStatus.CLAIMED):
            return escalation.view()
        if escalation.status == EscalationStatus.CANCELLED or _waiting(conversation) is not None:
            raise ConflictError("This escalation cannot be reopened; look for a newer one in the inbox.")
        hand_to_agent(tenant, conversation, agent)
        escalation.status, escalation.claimed_by = EscalationStatus.CLAIMED, agent
        escalation.resolution, escalation.ended_at = "", None
        escalation.claimed_at = timezone.now()
        escalation.save(update_fields=["status", "claimed_by", "resolution", "ended_at", "claimed_at"])
        publish(
            EscalationReopened(
                tenant_id=tenant.id,
                conversation_id=conversation.id,
                escalation_id=escalation.id,
                claimed_by=agent,
            )
        )
        return escalation.view()


def cancel_escalation(*, tenant: TenantRef, escalation_id: UUID, reason: str = "") -> EscalationView:
    """Take a call for a person back; one that has ended stays as it is, a person who came stays too.

    Raises InvalidInput, NotFoundError.
    """
    words = validation.text("reason", reason, max_chars=2000)
    with in_tenant(tenant):
        conversation, escalation = _lock(escalation_id)
        if escalation.status in (EscalationStatus.RESOLVED, EscalationStatus.CANCELLED):
            return escalation.view()
        _end(escalation, EscalationStatus.CANCELLED, words)
        if conversation.status == ConversationStatus.ESCALATED:
            _give_to_ai(conversation)
        publish(
            EscalationCancelled(
                tenant_id=tenant.id,
                conversation_id=conversation.id,
                escalation_id=escalation.id,
                reason=words,
            )
        )
        return escalation.view()


def claim_waiting(tenant: TenantRef, conversation: Conversation, agent: str) -> None:
    """Claim what waits in a locked conversation, when an agent has taken it over."""
    escalation = _waiting(conversation)
    if escalation is not None:
        _claim(tenant, escalation, agent)


def put_back(conversation: Conversation) -> bool:
    """Let what an agent had claimed wait again; True when there is such an escalation."""
    reopened = {"status": EscalationStatus.OPEN.value, "claimed_by": "", "claimed_at": None}
    return Escalation.objects.filter(WAITING, conversation=conversation).update(**reopened) > 0


def resolve_waiting(tenant: TenantRef, conversation: Conversation, actor: str) -> None:
    """Resolve what waits in a locked conversation that is being closed."""
    escalation = _waiting(conversation)
    if escalation is not None:
        _resolve(tenant, escalation, actor, "The conversation was closed.")


def _lock(escalation_id: UUID) -> tuple[Conversation, Escalation]:
    found = Escalation.objects.filter(id=escalation_id).values_list("conversation_id", flat=True).first()
    if found is None:
        raise NotFoundError("There is no such escalation.")
    return lock_conversation(found), Escalation.objects.select_for_update().get(id=escalation_id)


def _waiting(conversation: Conversation) -> Escalation | None:
    return Escalation.objects.filter(WAITING, conversation=conversation).first()


def _find_answered(conversation: Conversation, key: str) -> Escalation | None:
    call = EscalationCall.objects.select_related("escalation").filter(effect_key=key).first()
    if call is None:
        return None
    if call.escalation.conversation_id != conversation.id:
        raise ConflictError("This effect key was used in another conversation; choose a new one.")
    return call.escalation


def _insert(tenant: TenantRef, conversation: Conversation, escalation: Escalation) -> Escalation:
    escalation.save(force_insert=True)
    publish(
        EscalationOpened(
            tenant_id=tenant.id,
            conversation_id=conversation.id,
            run_id=escalation.run_id,
            escalation_id=escalation.id,
            reason=escalation.reason,
            queue=escalation.queue,
        )
    )
    if conversation.status == ConversationStatus.WITH_AGENT:
        _claim(tenant, escalation, conversation.agent)
        return escalation
    conversation.status, conversation.closed_at = ConversationStatus.ESCALATED, None
    conversation.save(update_fields=["status", "closed_at"])
    return escalation


def _claim(tenant: TenantRef, escalation: Escalation, agent: str) -> None:
    escalation.status, escalation.claimed_by = EscalationStatus.CLAIMED, agent
    escalation.claimed_at = timezone.now()
    escalation.save(update_fields=["status", "claimed_by", "claimed_at"])
    publish(
        EscalationClaimed(
            tenant_id=tenant.id,
            conversation_id=escalation.conversation_id,
            escalation_id=escalation.id,
            claimed_by=agent,
        )
    )


def _resolve(tenant: TenantRef, escalation: Escalation, actor: str, words: str) -> None:
    _end(escalation, EscalationStatus.RESOLVED, words)
    publish(
        EscalationResolved(
            tenant_id=tenant.id,
            conversation_id=escalation.conversation_id,
            escalation_id=escalation.id,
            resolved_by=actor[:ACTOR_CHARS],
            resolution=words,
        )
    )


def _end(escalation: Escalation, status: EscalationStatus, words: str) -> None:
    escalation.status, escalation.resolution = status, words
    escalation.ended_at = timezone.now()
    escalation.save(update_fields=["status", "resolution", "ended_at"])


def _give_to_ai(conversation: Conversation) -> None:
    if conversation.status == ConversationStatus.CLOSED:
        return
    conversation.status, conversation.agent = ConversationStatus.OPEN, ""
    conversation.save(update_fields=["status", "agent"])

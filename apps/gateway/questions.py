"""Ask and wait: a customer's message in, the reply of its run out, within this process."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils.module_loading import import_string

from apps.conversations import selectors, services
from apps.conversations.contracts import ChannelKind, MessageView, ReceivedMessage
from apps.resilience.errors import ConflictError, DomainError
from apps.tenants.context import commit_with_next, in_tenant, wait_for_disk
from apps.tenants.contracts import TenantRef

FAILED = ("failed", "compensated", "compensation_failed", "cancelled")


class NoReplyYet(DomainError):
    """The run is still on its way; its reply will be in the conversation."""

    status = 504
    title = "No reply in time"


class RunFailed(DomainError):
    """The run ended without a reply."""

    status = 502
    title = "The workflow failed"


@dataclass(frozen=True)
class Question:
    """A stored message of a customer and the run that is to answer it."""

    tenant: TenantRef
    message: MessageView
    run_id: UUID
    is_new: bool

    @property
    def conversation_id(self) -> UUID:
        return self.message.conversation_id


def put_question(
    *,
    tenant: TenantRef,
    text: str,
    workflow: str | None = None,
    conversation_id: UUID | None = None,
    open_key: str | None = None,
    client_message_id: str | None = None,
    is_told_at_once: bool = True,
) -> Question:
    """Store a message in the named conversation, in that of the `open_key`, or in a new one.

    Whoever says nothing to the caller before the reply is stored (not `is_told_at_once`) waits for one
    disk instead of two: the reply's commit brings the message's along.
    Its run belongs to this process, which calls `await_reply` next. Raises InvalidInput, NotFoundError,
    and ConflictError where a person has the conversation, because nobody would answer in time.
    """
    given: dict[str, Any] = {"client_message_id": client_message_id, "run_inline": True, "workflow": workflow}
    with in_tenant(tenant):
        if not is_told_at_once:
            commit_with_next()
        received = _receive(tenant, text, conversation_id, open_key, given)
        if received.run_id is None:
            wait_for_disk()  # a person has it, which is told at once
    if received.run_id is None:
        raise ConflictError(
            f"A person has conversation {received.message.conversation_id}; their answer will appear in its "
            "messages."
        )
    return Question(tenant, received.message, received.run_id, received.is_new)


def _receive(
    tenant: TenantRef, text: str, conversation_id: UUID | None, open_key: str | None, given: dict[str, Any]
) -> ReceivedMessage:
    received = None
    if conversation_id is None:
        started = services.start_conversation(
            tenant=tenant, channel=ChannelKind.API, text=text, open_key=open_key, **given
        )
        conversation_id, received = started.conversation.id, started.received
    if received is None or not received.is_new:  # an open_key that is known leads to its first message
        received = services.receive_message(
            tenant=tenant, conversation_id=conversation_id, text=text, **given
        )
    return received


def await_reply(question: Question, *, wait_s: float) -> MessageView:
    """Execute the question's run here and return its reply; raises NoReplyYet and RunFailed."""
    doorway = import_string(settings.RUN_DOORWAY)()
    reply = doorway.execute_now(tenant=question.tenant, run_id=question.run_id, wait_s=wait_s)
    reply = reply or selectors.find_reply(tenant=question.tenant, message=question.message)
    if reply is not None:
        return reply
    run = doorway.get_run(tenant=question.tenant, run_id=question.run_id) or {}
    where = f"run {question.run_id} of conversation {question.conversation_id}"
    if run.get("status") in FAILED:
        raise RunFailed(f"The {where} ended without a reply: {run.get('error') or run['status']}")
    raise NoReplyYet(f"The {where} goes on; read its reply from the conversation's messages.")

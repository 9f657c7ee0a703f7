"""What a socket does to a conversation."""

import time
from dataclasses import dataclass
from uuid import UUID, uuid4

from apps.billing.contracts import UsageKind
from apps.billing.selectors import get_quota
from apps.conversations import selectors as conversations
from apps.conversations import services as conversation_services
from apps.conversations.contracts import ConversationView, CustomerInput, ReceivedMessage
from apps.crm.services import find_or_create_customer
from apps.realtime.delivery import ResumePoint, plan_resume
from apps.realtime.frames import Hello
from apps.realtime.identity import Identity, SessionSecret, sign_session, verify_session
from apps.resilience.errors import NotFoundError, QuotaExceeded
from apps.tenants.contracts import TenantRef

CHANNEL = "widget"
QUOTA_MEMORY_S = 10.0
_quota_spent: dict[UUID, tuple[float, bool]] = {}
NOT_YOURS = (
    "This conversation cannot be opened with what you sent; say `hello` without it to begin a new one."
)


@dataclass(frozen=True)
class OpenChat:
    """A conversation opened for a socket; `session` reopens it when nobody vouches for the visitor."""

    conversation: ConversationView
    session: str | None
    resume: ResumePoint


def open_chat(*, tenant: TenantRef, identity: Identity | None, hello: Hello) -> OpenChat:
    """Begin a conversation or reopen the visitor's own; raises NotFoundError for anybody else's."""
    if hello.conversation_id is None:
        return _begin(tenant, identity)
    conversation = conversations.get_conversation(tenant=tenant, conversation_id=hello.conversation_id)
    secret = _matching_secret(tenant, conversation, hello.session)
    if secret is None and not _is_customers(tenant, identity, conversation.customer_id):
        raise NotFoundError(NOT_YOURS)
    resume = plan_resume(
        last_seq=hello.last_seq,
        epoch=hello.epoch,
        head_seq=conversation.last_seq,
        head_epoch=str(conversation.epoch),
    )
    return OpenChat(conversation, sign_session(secret) if secret else None, resume)


def store_message(
    *, tenant: TenantRef, conversation_id: UUID, text: str, client_message_id: str
) -> ReceivedMessage:
    """Store what the customer said; raises QuotaExceeded when the tenant's plan takes no more messages."""
    if _is_quota_spent(tenant):
        raise QuotaExceeded("This chat cannot take more messages at the moment; try again later.")
    return conversation_services.receive_message(
        tenant=tenant,
        conversation_id=conversation_id,
        text=text,
        client_message_id=client_message_id,
    )


def _is_quota_spent(tenant: TenantRef) -> bool:
    asked_at, is_spent = _quota_spent.get(tenant.id, (-QUOTA_MEMORY_S, False))
    if time.monotonic() - asked_at > QUOTA_MEMORY_S:
        is_spent = get_quota(tenant=tenant, kind=UsageKind.MESSAGE).is_spent
        _quota_spent[tenant.id] = (time.monotonic(), is_spent)
    return is_spent


def _begin(tenant: TenantRef, identity: Identity | None) -> OpenChat:
    visitor_id = uuid4().hex
    customer = (
        CustomerInput(name=identity.name, email=identity.email, external_id=identity.external_id)
        if identity
        else None
    )
    conversation = conversation_services.open_conversation(
        tenant=tenant, channel=CHANNEL, customer=customer, visitor_id=visitor_id
    )
    session = None if identity else sign_session(SessionSecret(tenant.id, conversation.id, visitor_id))
    return OpenChat(conversation, session, ResumePoint(after_seq=0, is_snapshot=False))


def _matching_secret(
    tenant: TenantRef, conversation: ConversationView, session: str | None
) -> SessionSecret | None:
    secret = verify_session(session) if session else None
    return secret if secret == SessionSecret(tenant.id, conversation.id, conversation.visitor_id) else None


def _is_customers(tenant: TenantRef, identity: Identity | None, customer_id: UUID | None) -> bool:
    if identity is None or customer_id is None:
        return False
    customer = find_or_create_customer(
        tenant=tenant, name=identity.name, email=identity.email, external_id=identity.external_id
    )
    return customer.id == customer_id

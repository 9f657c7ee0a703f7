"""What a socket does to a conversation."""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID, uuid4

from django.utils import timezone

from apps.billing.contracts import QuotaSpent, UsageKind
from apps.billing.services import reserving
from apps.conversations import selectors as conversations
from apps.conversations import services as conversation_services
from apps.conversations.contracts import (
    ConversationStatus,
    ConversationView,
    CustomerInput,
    ReceivedMessage,
)
from apps.crm.services import capture_lead, find_or_create_customer
from apps.realtime.admission import Visitor, may_embed
from apps.realtime.delivery import ResumePoint, plan_resume
from apps.realtime.frames import FrameError, Hello, Offline, Profile, Rating
from apps.realtime.identity import Identity, SessionSecret, sign_session, verify_session
from apps.realtime.limits import require_pace_of_message, require_pace_of_opening
from apps.realtime.widget_settings.contracts import OutsideHours, WidgetSettings
from apps.realtime.widget_settings.selectors import Widget, find_widget
from apps.resilience.errors import NotFoundError, QuotaExceeded
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import require_active

CHANNEL = "widget"
NOT_YOURS = (
    "This conversation cannot be opened with what you sent; say `hello` without it to begin a new one."
)


@dataclass(frozen=True)
class OpenChat:
    """A conversation opened for a socket; `session` reopens it when nobody vouches for the visitor."""

    conversation: ConversationView
    session: str | None
    resume: ResumePoint


@dataclass(frozen=True)
class Standing:
    """Where a visitor stands; `is_introduced`: they have said, or somebody signed, who they are."""

    visitor: Visitor
    conversation_id: UUID
    state: str
    is_introduced: bool


def open_chat(*, visitor: Visitor, hello: Hello) -> OpenChat:
    """Begin a conversation or reopen the visitor's own.

    Raises NotFoundError for anybody else's, FrameError where too many were begun from the visitor's address.
    """
    tenant, identity = visitor.tenant, visitor.identity
    if hello.conversation_id is None:
        require_pace_of_opening(visitor, require_widget(visitor).settings)
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


def require_widget(visitor: Visitor) -> Widget:
    """Return the visitor's widget as it is set now.

    Raises FrameError where it has been switched off, or their page may not show it any more.
    """
    widget = find_widget(visitor.key)
    if widget is None:
        raise FrameError("unknown_key", "This widget has been switched off.")
    if not may_embed(widget.key, visitor.origin):
        raise FrameError("origin_not_allowed", "This page may not show this widget any more.")
    return widget


def find_opening(visitor: Visitor) -> dt.datetime | None:
    """Return when the visitor's company is back; None while it is there."""
    widget = find_widget(visitor.key)
    return widget.opens_at(timezone.now()) if widget else None


def store_message(*, standing: Standing, text: str, client_message_id: str) -> ReceivedMessage:
    """Store what the customer said.

    Raises FrameError where a form comes first or too much was said in the last minute, QuotaExceeded when the
    tenant's plan takes no more messages.
    """
    widget = require_widget(standing.visitor)
    if widget.settings.demanded and not standing.is_introduced:
        asked = ", ".join(widget.settings.demanded)
        raise FrameError("profile_first", f"Send `profile` with {asked} before the first message.")
    if standing.state != ConversationStatus.WITH_AGENT and widget.takes_forms_only(timezone.now()):
        opens_at = widget.opens_at(timezone.now())
        raise FrameError("closed_now", "Nobody is there now; leave an `offline` message.", opens_at=opens_at)
    require_pace_of_message(standing.visitor, standing.conversation_id, widget.settings)
    try:
        with reserving(tenant=standing.visitor.tenant, kind=UsageKind.MESSAGE):
            return conversation_services.receive_message(
                tenant=standing.visitor.tenant,
                conversation_id=standing.conversation_id,
                text=text,
                client_message_id=client_message_id,
            )
    except QuotaSpent as exc:  # its words are for the company, not for its customers
        known = conversations.find_received(
            tenant=standing.visitor.tenant,
            conversation_id=standing.conversation_id,
            client_message_id=client_message_id,
        )
        if known is not None:  # it was stored, and its confirmation was lost on the way
            return known
        raise QuotaExceeded("This chat cannot take more messages at the moment; try again later.") from exc


def store_profile(*, standing: Standing, profile: Profile) -> None:
    """Keep what an unsigned visitor says about themselves, for this conversation alone.

    Raises FrameError, InvalidInput, ConflictError.
    """
    settings = require_widget(standing.visitor).settings
    if standing.visitor.identity is not None or not settings.asked:
        raise FrameError("refused", "Nobody asks who you are here; go on with `message`.")
    given = {name: getattr(profile, name).strip() for name in settings.asked}
    missing = [name for name in settings.demanded if not given[name]]
    if missing:
        raise FrameError("invalid", f"`{missing[0]}` is needed.", field=missing[0])
    _require_consent(settings, profile.consent)
    require_active(standing.visitor.tenant)
    conversation_services.introduce_visitor(
        tenant=standing.visitor.tenant, conversation_id=standing.conversation_id, **given
    )


def store_offline_message(*, standing: Standing, message: Offline) -> None:
    """Make a lead of a message for later, once for each conversation and client id.

    It is taken also at the minute in which the team comes back: the form was open before.
    Raises FrameError, InvalidInput, NotAllowed.
    """
    settings, tenant = require_widget(standing.visitor).settings, standing.visitor.tenant
    if settings.outside_hours != OutsideHours.FORM or not settings.has_hours:
        raise FrameError("not_offline", "Messages for later are not taken here; send `message`.")
    _require_consent(settings, message.consent)
    require_active(tenant)
    capture_lead(
        tenant=tenant,
        effect_key=f"widget:{standing.conversation_id}:{message.client_message_id}",
        name=message.name,
        email=message.email,
        message=message.text,
        source=CHANNEL,
    )


def store_rating(*, standing: Standing, rating: Rating) -> None:
    """Keep what the customer thinks of the conversation; raises FrameError, NotFoundError."""
    settings = require_widget(standing.visitor).settings
    if not settings.rating:
        raise FrameError("refused", "This widget asks for no rating.")
    if rating.comment and not settings.rating_comment:
        raise FrameError("invalid", "Rate without a comment here.", field="comment")
    require_active(standing.visitor.tenant)
    conversation_services.rate_conversation(
        tenant=standing.visitor.tenant,
        conversation_id=standing.conversation_id,
        score=rating.score,
        comment=rating.comment,
    )


def _require_consent(settings: WidgetSettings, is_given: bool) -> None:
    if settings.ask_consent and not is_given:
        raise FrameError("invalid", "Agree to how your details are kept: `consent`.", field="consent")


def _begin(tenant: TenantRef, identity: Identity | None) -> OpenChat:
    require_active(tenant)
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

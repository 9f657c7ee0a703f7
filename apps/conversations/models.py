"""Channels, conversations with their messages, and escalations."""

from enum import StrEnum

from django.db import models
from django.db.models import F, Func, Q
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from apps.conversations.contracts import (
    Author,
    CannedReplyView,
    ChannelKind,
    ChannelView,
    ConversationStatus,
    ConversationView,
    EscalationStatus,
    EscalationView,
    MailStatus,
    MessageView,
    NoteView,
)
from apps.routing.contracts import ESCALATION_CONFIDENCE
from apps.tenants.orm import TenantModel

ACTOR_CHARS = 120
# A receipt is what a workflow made of it: whatever it holds, the message is kept.
INTENT_OF = "coalesce(left(%(expressions)s ->> 'intent', 50), '')"
CONFIDENCE_OF = (
    "CASE WHEN jsonb_typeof(%(expressions)s -> 'confidence') = 'number' "
    "THEN least(greatest((%(expressions)s -> 'confidence')::numeric, 0), 1)::double precision END"
)
ROUTED = Q(author=Author.AI.value, intent__gt="")
UNSURE = Q(confidence__lt=ESCALATION_CONFIDENCE)
CORRECTED = Q(corrected_intent__gt="")
COUNTED = ["confidence", "tenant_id"]
WAITING = Q(status__in=[EscalationStatus.OPEN.value, EscalationStatus.CLAIMED.value])


def _choices(values: type[StrEnum]) -> list[tuple[str, str]]:
    return [(value.value, value.value) for value in values]


class Channel(TenantModel):
    """A way in for customers; where every channel of a kind is inactive, that way is shut."""

    kind = models.CharField(max_length=16, choices=_choices(ChannelKind))
    name = models.CharField(max_length=100)
    settings = models.JSONField(default=dict, blank=True)
    is_active = models.BooleanField(default=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "name"], name="channel_name_once")]

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"

    def view(self) -> ChannelView:
        return ChannelView(
            id=self.id,
            kind=ChannelKind(self.kind),
            name=self.name,
            settings=self.settings,
            is_active=self.is_active,
            created_at=self.created_at,
        )


class Conversation(TenantModel):
    """A conversation; `last_seq` is its messages' counter and its row the lock that orders them."""

    channel = models.CharField(max_length=16, choices=_choices(ChannelKind))
    customer = models.ForeignKey("crm.Customer", models.SET_NULL, null=True, blank=True, related_name="+")
    status = models.CharField(
        max_length=16, choices=_choices(ConversationStatus), default=ConversationStatus.OPEN.value
    )
    visitor_id = models.CharField(max_length=100, blank=True)
    subject = models.CharField(max_length=120, blank=True)
    last_seq = models.PositiveIntegerField(default=0)
    epoch = models.UUIDField(default=uuid7, editable=False)
    open_key = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001 - NULLs are distinct
    agent = models.CharField(max_length=ACTOR_CHARS, blank=True)
    rating = models.PositiveSmallIntegerField(null=True, blank=True)
    rating_comment = models.TextField(blank=True)
    rated_at = models.DateTimeField(null=True, blank=True)
    # What lists are filtered by, kept with the row. No index holds what every message changes, so that
    # messages stay cheap to write.
    intent = models.CharField(max_length=50, blank=True, db_default="")
    is_answered = models.BooleanField(default=True, db_default=True)
    last_message_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(rating__isnull=True) | Q(rating__range=(1, 5)), name="rating_from_1_to_5"
            ),
            models.UniqueConstraint(
                fields=["open_key"], condition=Q(open_key__isnull=False), name="conversation_opened_once"
            ),
        ]
        indexes = [
            models.Index(fields=["status", "-id"], name="conversation_by_status"),
            models.Index(fields=["intent", "-id"], name="conversation_by_intent"),
        ]

    def __str__(self) -> str:
        return self.subject or str(self.id)

    def view(self) -> ConversationView:
        return ConversationView(
            id=self.id,
            channel=ChannelKind(self.channel),
            status=ConversationStatus(self.status),
            customer_id=self.customer_id,
            visitor_id=self.visitor_id,
            subject=self.subject,
            last_seq=self.last_seq,
            epoch=self.epoch,
            agent=self.agent,
            rating=self.rating,
            rating_comment=self.rating_comment,
            created_at=self.created_at,
            last_message_at=self.last_message_at,
            closed_at=self.closed_at,
            intent=self.intent,
            is_answered=self.is_answered,
        )


class Message(TenantModel):
    """A message; `run_id` is the run that answers a customer's, or that wrote an answer.

    `agent` is the person who wrote it, `corrected_intent` what a person says the question was about.
    `intent` and `confidence` are the receipt's own, kept by the database where an index finds them.
    """

    conversation = models.ForeignKey(Conversation, models.CASCADE, related_name="messages", db_index=False)
    seq = models.PositiveIntegerField()
    author = models.CharField(max_length=16, choices=_choices(Author))
    text = models.TextField()
    sources = models.JSONField(default=list, blank=True)
    receipt = models.JSONField(null=True, blank=True)
    client_message_id = models.CharField(max_length=100, null=True, blank=True)  # noqa: DJ001 - NULLs are distinct
    reply_key = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001 - as above
    run_id = models.UUIDField(null=True, blank=True)
    agent = models.CharField(max_length=ACTOR_CHARS, blank=True, db_default="")
    corrected_intent = models.CharField(max_length=50, blank=True, db_default="")
    intent = models.GeneratedField(
        expression=Func(F("receipt"), template=INTENT_OF),
        output_field=models.CharField(max_length=50),
        db_persist=True,
    )
    confidence = models.GeneratedField(
        expression=Func(F("receipt"), template=CONFIDENCE_OF),
        output_field=models.FloatField(null=True),
        db_persist=True,
        null=True,
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["conversation", "seq"], name="message_seq_once"),
            models.UniqueConstraint(
                fields=["conversation", "client_message_id"],
                condition=Q(client_message_id__isnull=False),
                name="client_message_once",
            ),
            models.UniqueConstraint(
                fields=["reply_key"], condition=Q(reply_key__isnull=False), name="reply_once"
            ),
        ]
        indexes = [
            # With what counting needs, so that it reads no row.
            models.Index(fields=["-id"], condition=ROUTED, include=COUNTED, name="decision_newest"),
            models.Index(
                fields=["intent", "-id"], condition=ROUTED, include=COUNTED, name="decision_by_intent"
            ),
            models.Index(fields=["-id"], condition=ROUTED & UNSURE, include=COUNTED, name="decision_unsure"),
            models.Index(fields=["-id"], condition=CORRECTED, name="decision_corrected"),
        ]

    def __str__(self) -> str:
        return f"{self.author}: {self.text[:60]}"

    def view(self) -> MessageView:
        return MessageView(
            id=self.id,
            conversation_id=self.conversation_id,
            seq=self.seq,
            author=Author(self.author),
            text=self.text,
            sources=self.sources,
            receipt=self.receipt,
            client_message_id=self.client_message_id,
            run_id=self.run_id,
            created_at=self.created_at,
            agent=self.agent,
            corrected_intent=self.corrected_intent,
        )


class Escalation(TenantModel):
    """A need for a person; a conversation has at most one that waits or is being served."""

    conversation = models.ForeignKey(Conversation, models.CASCADE, related_name="escalations")
    reason = models.TextField()
    queue = models.CharField(max_length=100)
    run_id = models.UUIDField(null=True, blank=True)
    status = models.CharField(
        max_length=16, choices=_choices(EscalationStatus), default=EscalationStatus.OPEN.value
    )
    claimed_by = models.CharField(max_length=ACTOR_CHARS, blank=True)
    suggested_answer = models.TextField(blank=True)
    suggested_sources = models.JSONField(default=list, db_default=[], blank=True)
    resolution = models.TextField(blank=True)
    claimed_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["conversation"], condition=WAITING, name="one_waiting_escalation")
        ]
        indexes = [models.Index(fields=["id"], condition=WAITING, name="escalations_in_queue")]

    def __str__(self) -> str:
        return f"{self.queue}: {self.reason[:60]}"

    def view(self) -> EscalationView:
        return EscalationView(
            id=self.id,
            conversation_id=self.conversation_id,
            reason=self.reason,
            queue=self.queue,
            status=EscalationStatus(self.status),
            run_id=self.run_id,
            claimed_by=self.claimed_by,
            suggested_answer=self.suggested_answer,
            suggested_sources=self.suggested_sources,
            resolution=self.resolution,
            created_at=self.created_at,
            claimed_at=self.claimed_at,
            ended_at=self.ended_at,
        )


class EscalationCall(TenantModel):
    """The proof that a call for a person took effect once; later calls join an escalation that waits."""

    escalation = models.ForeignKey(Escalation, models.CASCADE, related_name="calls")
    effect_key = models.CharField(max_length=255, unique=True)
    reason = models.TextField()
    run_id = models.UUIDField(null=True, blank=True)

    def __str__(self) -> str:
        return self.effect_key


class EscalationMail(TenantModel):
    """The intent to mail an escalation to those who answer, written with it."""

    escalation = models.OneToOneField(Escalation, models.CASCADE, related_name="mail")
    status = models.CharField(max_length=16, choices=_choices(MailStatus), default=MailStatus.WAITING.value)
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(db_default=Now())
    cause = models.TextField(blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["due_at"], condition=Q(status=MailStatus.WAITING.value), name="escalation_mail_due"
            )
        ]

    def __str__(self) -> str:
        return f"{self.escalation_id}: {self.status}"


class Note(TenantModel):
    """What people tell each other about a conversation; no message, so nothing that delivers finds it."""

    conversation = models.ForeignKey(Conversation, models.CASCADE, related_name="notes")
    author = models.CharField(max_length=ACTOR_CHARS)
    text = models.TextField()

    def __str__(self) -> str:
        return f"{self.author}: {self.text[:60]}"

    def view(self) -> NoteView:
        return NoteView(
            id=self.id,
            conversation_id=self.conversation_id,
            author=self.author,
            text=self.text,
            created_at=self.created_at,
        )


class CannedReply(TenantModel):
    """A text that people send often; {customer_name} stands for whom they write to."""

    shortcut = models.CharField(max_length=40, unique=True)
    text = models.TextField()

    def __str__(self) -> str:
        return self.shortcut

    def view(self) -> CannedReplyView:
        return CannedReplyView(id=self.id, shortcut=self.shortcut, text=self.text)

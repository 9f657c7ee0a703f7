"""The outbox, the inboxes and the dead letters; all in the schema `public`."""

from django.db import models
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

SHARDS = 16


class OutboxEvent(models.Model):
    """An event waiting for, or kept after, its publication.

    `position` orders the events of one shard key (a run, else a conversation, else the event):
    their writers commit one after the other, so their positions are in commit order.
    Published rows are kept for as long as their stream keeps them, so that a lost stream can be refilled.
    """

    position = models.BigAutoField(primary_key=True)
    id = models.UUIDField(unique=True, default=uuid7, editable=False)
    tenant_id = models.UUIDField()
    type = models.CharField(max_length=100)
    stream = models.CharField(max_length=40)
    shard = models.SmallIntegerField()
    envelope = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())
    published_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["shard", "position"],
                condition=models.Q(published_at__isnull=True),
                name="outbox_waiting",
            ),
            models.Index(fields=["stream", "published_at"], name="outbox_refill"),
            models.Index(
                fields=["tenant_id", "created_at"],
                condition=models.Q(type="billing.usage.recorded"),
                name="outbox_usage",
            ),
        ]

    def __str__(self) -> str:
        return self.type


class OutboxShard(models.Model):
    """The lease of one shard: only its holder publishes, which keeps a run's events in order."""

    shard = models.SmallIntegerField(primary_key=True)
    holder = models.CharField(max_length=80, blank=True)
    leased_until = models.DateTimeField(null=True)


class StreamIncarnation(models.Model):
    """Which birth of a stream was last published to, and how far.

    Another birth, one that is behind, or another event at that place means that the stream lost its store,
    and must be refilled.
    """

    stream = models.CharField(primary_key=True, max_length=40)
    born_at = models.CharField(max_length=40)
    last_sequence = models.BigIntegerField(default=0)
    last_id = models.UUIDField(null=True)


class InboxEntry(models.Model):
    """The proof that a consumer has done its work for an event."""

    pk = models.CompositePrimaryKey("consumer", "event_id")
    consumer = models.CharField(max_length=60)
    event_id = models.UUIDField()
    tenant_id = models.UUIDField()
    received_at = models.DateTimeField(db_default=Now())


class DeadLetter(models.Model):
    """An event that a consumer could not handle in its last delivery, with the cause."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    consumer = models.CharField(max_length=60)
    event_id = models.UUIDField()
    tenant_id = models.UUIDField()
    type = models.CharField(max_length=100)
    envelope = models.JSONField()
    cause = models.TextField()
    deliveries = models.PositiveSmallIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)
    replayed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["consumer", "event_id"], name="one_dead_letter")]

    def __str__(self) -> str:
        return self.type

"""Endpoints of tenants' own systems, what is delivered to them, and every attempt; in the schema `public`."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.tenants.orm import SealedTextField, TenantModel
from apps.webhooks.contracts import DeliveryStatus, EndpointState, EndpointView, Outcome


class WebhookEndpoint(TenantModel):
    """An address that is told of events.

    `failing_since` is the first failure since the last success; `served_at` orders the endpoints' turns, and
    `last_duration_ms` tells the slow ones, which have a lane of their own.
    """

    url = models.CharField(max_length=2048)
    description = models.CharField(max_length=200, blank=True)
    event_types = models.JSONField(default=list)
    state = models.CharField(
        max_length=10, choices=[(s.value, s.value) for s in EndpointState], default=EndpointState.ACTIVE.value
    )
    secret = SealedTextField()
    secret_hint = models.CharField(max_length=4)
    secret_created_at = models.DateTimeField()
    previous_secret = SealedTextField(blank=True)
    previous_until = models.DateTimeField(null=True)
    failing_since = models.DateTimeField(null=True)
    stopped_at = models.DateTimeField(null=True)
    notified_at = models.DateTimeField(null=True)
    last_duration_ms = models.PositiveIntegerField(default=0)
    served_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.url

    def view(self) -> EndpointView:
        return EndpointView(
            id=self.id,
            url=self.url,
            description=self.description,
            event_types=tuple(self.event_types),
            state=EndpointState(self.state),
            secret_hint=self.secret_hint,
            secret_created_at=self.secret_created_at,
            previous_until=self.previous_until,
            failing_since=self.failing_since,
            created_at=self.created_at,
        )


class WebhookDelivery(TenantModel):
    """One event for one endpoint; `body` is what is signed, the same at every attempt.

    `due_at` is when it may next be attempted: while an attempt is under way, the end of its lease. `attempts`
    numbers them and fences their results; `failures` counts them since the delivery, or its replay, began.
    """

    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="+")
    event_id = models.UUIDField()
    event_type = models.CharField(max_length=100)
    body = models.TextField()
    status = models.CharField(
        max_length=10,
        choices=[(s.value, s.value) for s in DeliveryStatus],
        default=DeliveryStatus.PENDING.value,
    )
    is_test = models.BooleanField(default=False)
    attempts = models.PositiveIntegerField(default=0)
    failures = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(null=True)
    leased_until = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["endpoint", "event_id"], name="webhook_event_once")]
        indexes = [
            models.Index(fields=["endpoint", "due_at"], condition=Q(status="pending"), name="webhook_due"),
            models.Index(
                fields=["endpoint", "leased_until"],
                condition=Q(leased_until__isnull=False),
                name="webhook_in_flight",
            ),
            models.Index(fields=["endpoint", "-id"], name="webhook_newest"),
            models.Index(fields=["endpoint", "status", "-id"], name="webhook_by_status"),
            models.Index(fields=["tenant_id", "created_at"], name="webhook_age"),
        ]

    def __str__(self) -> str:
        return self.webhook_id

    @property
    def webhook_id(self) -> str:
        """Name the delivery for its receiver, the same at every attempt and replay."""
        return f"msg_{self.id.hex}"


class WebhookAttempt(TenantModel):
    """One try: written before anything is sent, completed after the answer."""

    delivery = models.ForeignKey(WebhookDelivery, on_delete=models.CASCADE, related_name="+")
    number = models.PositiveIntegerField()
    outcome = models.CharField(
        max_length=12, choices=[(o.value, o.value) for o in Outcome], default=Outcome.STARTED.value
    )
    response_status = models.PositiveSmallIntegerField(null=True)
    response_body = models.TextField(blank=True)
    error = models.TextField(blank=True)
    duration_ms = models.PositiveIntegerField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["delivery", "number"], name="webhook_attempt_number")]

    def __str__(self) -> str:
        return f"{self.delivery_id} {self.number}"

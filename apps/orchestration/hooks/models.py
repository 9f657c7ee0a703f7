"""Webhook endpoints, and what was delivered to them."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.orchestration.hooks.contracts import DeliveryStatus, EndpointView, HookAction
from apps.tenants.orm import SealedTextField, TenantModel


class Endpoint(TenantModel):
    """An address that takes signed deliveries; its name is the last part of the address.

    The previous secret is accepted until `previous_until`.
    """

    name = models.CharField(max_length=63, unique=True)
    action = models.CharField(max_length=16, choices=[(a.value, a.value) for a in HookAction])
    is_active = models.BooleanField(default=True)
    secret = SealedTextField()
    previous_secret = SealedTextField(blank=True)
    previous_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name

    def view(self) -> EndpointView:
        return EndpointView(
            id=self.id,
            name=self.name,
            action=HookAction(self.action),
            is_active=self.is_active,
            previous_until=self.previous_until,
            created_at=self.created_at,
        )


class Delivery(TenantModel):
    """One delivery and what it led to; of the body only its size and hash are kept.

    `endpoint_id` is no foreign key: a delivery must not fail because its endpoint is deleted meanwhile.
    Refusals of what was not signed (`is_verified` False) are counted in `times`, so that strangers
    cannot fill the table.
    """

    endpoint_id = models.UUIDField()
    webhook_id = models.CharField(max_length=255)
    status = models.CharField(max_length=10, choices=[(s.value, s.value) for s in DeliveryStatus])
    reason = models.TextField(blank=True)
    led_to = models.JSONField(default=dict)
    is_verified = models.BooleanField(default=True)
    is_test = models.BooleanField(default=False)
    times = models.PositiveIntegerField(default=1)
    last_at = models.DateTimeField(db_default=Now())
    body_bytes = models.PositiveIntegerField()
    body_sha256 = models.CharField(max_length=64)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["endpoint_id", "webhook_id"],
                condition=Q(status=DeliveryStatus.ACCEPTED.value),
                name="delivery_accepted_once",
            )
        ]
        indexes = [
            models.Index(fields=["endpoint_id", "-id"], name="delivery_newest"),
            models.Index(fields=["endpoint_id", "status", "-id"], name="delivery_by_status"),
            models.Index(fields=["created_at"], name="delivery_age"),
        ]

    def __str__(self) -> str:
        return f"{self.webhook_id}: {self.status}"

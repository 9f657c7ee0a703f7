"""Plans, who is on which, and what was used; all in the schema `public`."""

from django.db import models
from django.db.models import Q
from uuid_utils.compat import uuid7

from apps.billing.contracts import PlanView
from apps.tenants.orm import TenantModel


class Plan(models.Model):
    """An offer: what a period costs, what it includes, how fast its tenants may call."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=100)
    price_cents = models.PositiveBigIntegerField(default=0)
    currency = models.CharField(max_length=3, default="USD")
    requests_per_minute = models.PositiveIntegerField()
    has_hard_limits = models.BooleanField(default=True)
    included = models.JSONField(default=dict, blank=True)  # {kind: amount}; a missing kind is unlimited
    is_default = models.BooleanField(default=False)
    is_public = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"], condition=Q(is_default=True), name="one_default_plan"
            ),
            models.CheckConstraint(condition=Q(requests_per_minute__gte=1), name="plan_allows_requests"),
        ]

    def view(self) -> PlanView:
        return PlanView(
            code=self.code,
            name=self.name,
            price_cents=self.price_cents,
            currency=self.currency,
            requests_per_minute=self.requests_per_minute,
            has_hard_limits=self.has_hard_limits,
            included=dict(self.included),
        )


class Subscription(TenantModel):
    """The plan of a tenant; periods are counted in months from `anchor`."""

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+")
    anchor = models.DateField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id"], condition=Q(ended_at__isnull=True), name="one_current_subscription"
            )
        ]


class UsageEvent(TenantModel):
    """One thing used, never changed; the primary key is the event's id, so a repeat finds itself."""

    id = models.UUIDField(primary_key=True, editable=False)
    kind = models.CharField(max_length=40)
    quantity = models.PositiveBigIntegerField()
    source_id = models.CharField(max_length=200)
    run_id = models.UUIDField(null=True, blank=True)
    conversation_id = models.UUIDField(null=True, blank=True)
    occurred_at = models.DateTimeField()
    detail = models.JSONField(default=dict, blank=True)

    class Meta:
        indexes = [models.Index(fields=["tenant_id", "occurred_at"], name="usage_event_by_time")]


class UsageBucket(TenantModel):
    """What a tenant used of one kind within 15 minutes; the sum of its usage events."""

    kind = models.CharField(max_length=40)
    starts_at = models.DateTimeField()
    quantity = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "kind", "starts_at"], name="one_usage_bucket"),
        ]

"""Plans and their prices, who is on which, what was used and what it cost; all in the schema `public`."""

import datetime as dt

from django.db import models
from django.db.models import Q
from uuid_utils.compat import uuid7

from apps.billing.contracts import LineType, PlanView, Tier, UsageKind
from apps.tenants.orm import TenantModel

KINDS = [(kind.value, kind.value) for kind in UsageKind]


class Plan(models.Model):
    """An offer: what a period costs, what it includes, how fast its tenants may call.

    `price_cents` is the base fee of the newest price; only `publish_price` changes it. Where tenants compete
    for workers, `run_weight` is each one's part.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=100)
    price_cents = models.PositiveBigIntegerField(default=0)
    currency = models.CharField(max_length=3, default="USD")
    requests_per_minute = models.PositiveIntegerField()
    has_hard_limits = models.BooleanField(default=True)
    max_concurrent_runs = models.PositiveIntegerField(default=20, db_default=20)
    run_weight = models.PositiveSmallIntegerField(default=1, db_default=1)
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
            models.CheckConstraint(
                condition=Q(max_concurrent_runs__gte=1, run_weight__gte=1, run_weight__lte=100),
                name="plan_allows_runs",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def view(self) -> PlanView:
        return PlanView(
            code=self.code,
            name=self.name,
            price_cents=self.price_cents,
            currency=self.currency,
            requests_per_minute=self.requests_per_minute,
            has_hard_limits=self.has_hard_limits,
            max_concurrent_runs=self.max_concurrent_runs,
            run_weight=self.run_weight,
            included=dict(self.included),
        )


class PlanPrice(models.Model):
    """One version of a plan's prices, never changed; it rates the periods that begin from `valid_from` on.

    A custom one is for the subscriptions that name it only.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="prices")
    version = models.PositiveIntegerField()
    base_fee_cents = models.PositiveBigIntegerField()
    valid_from = models.DateTimeField()
    is_custom = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["plan", "version"], name="one_price_per_version")]

    def __str__(self) -> str:
        return f"{self.plan.name}, prices {self.version}"


class PriceTier(models.Model):
    """Units of a kind above the first `starts_after`, up to the next tier, cost `unit_price` each."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    price = models.ForeignKey(PlanPrice, on_delete=models.PROTECT, related_name="tiers")
    kind = models.CharField(max_length=40, choices=KINDS)
    starts_after = models.PositiveBigIntegerField(default=0)
    unit_price = models.DecimalField(max_digits=24, decimal_places=12)

    class Meta:
        ordering = ("kind", "starts_after")
        constraints = [
            models.UniqueConstraint(fields=["price", "kind", "starts_after"], name="one_tier_per_start"),
            models.CheckConstraint(condition=Q(unit_price__gte=0), name="unit_price_not_negative"),
        ]

    def view(self) -> Tier:
        return Tier(self.starts_after, self.unit_price)


class Subscription(TenantModel):
    """The plan of a tenant; periods are counted in months from midnight of `anchor` in `time_zone`.

    `next_plan` follows at `next_plan_at`, the end of a period, unless that is taken back before.
    """

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+")
    price = models.ForeignKey(PlanPrice, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    anchor = models.DateField()
    time_zone = models.CharField(max_length=64, default="UTC")
    ended_at = models.DateTimeField(null=True, blank=True)
    next_plan = models.ForeignKey(Plan, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    next_plan_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id"], condition=Q(ended_at__isnull=True), name="one_current_subscription"
            ),
            models.CheckConstraint(
                condition=Q(next_plan__isnull=True, next_plan_at__isnull=True)
                | Q(next_plan__isnull=False, next_plan_at__isnull=False),
                name="next_plan_has_a_moment",
            ),
        ]

    def __str__(self) -> str:
        return f"Since {self.created_at:%Y-%m-%d}"

    def plan_at(self, moment: dt.datetime) -> Plan:
        """Return the plan that holds at a moment."""
        is_due = self.next_plan_at is not None and self.next_plan_at <= moment
        return self.next_plan if self.next_plan is not None and is_due else self.plan


class UsageEvent(TenantModel):
    """One thing used, never changed; the primary key is the event's id, so a repeat finds itself.

    `created_at` is when it was stored, by the database's clock. `is_late` says that its period's invoice
    had been cut off by then, so that the next invoice bills it.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    kind = models.CharField(max_length=40)
    quantity = models.PositiveBigIntegerField()
    source_id = models.CharField(max_length=200)
    run_id = models.UUIDField(null=True, blank=True)
    conversation_id = models.UUIDField(null=True, blank=True)
    occurred_at = models.DateTimeField()
    is_late = models.BooleanField(default=False, db_default=False)
    detail = models.JSONField(default=dict, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["tenant_id", "occurred_at"], name="usage_event_by_time"),
            models.Index(fields=["tenant_id", "created_at"], condition=Q(is_late=True), name="late_usage"),
        ]


class UsageBucket(TenantModel):
    """What a tenant used of one kind within 15 minutes; the sum of its usage events."""

    kind = models.CharField(max_length=40)
    starts_at = models.DateTimeField()
    quantity = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "kind", "starts_at"], name="one_usage_bucket"),
        ]
        indexes = [models.Index(fields=["tenant_id", "starts_at"], name="usage_bucket_by_time")]


class QuotaEpoch(TenantModel):
    """Since when reservations of a quota hold: each count of what is used begins an epoch."""

    kind = models.CharField(max_length=40)
    epoch = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant_id", "kind"], name="one_quota_epoch")]


class QuotaHold(TenantModel):
    """Units of a hard quota for work that was accepted and is told of when it is done, or goes back."""

    kind = models.CharField(max_length=40)
    source_id = models.CharField(max_length=200)
    units = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "kind", "source_id"], name="one_hold_per_source")
        ]


class BillingAccount(TenantModel):
    """How far a tenant is billed: its open period, the last cut-off and the last invoice's number."""

    open_from = models.DateTimeField()
    closes_at = models.DateTimeField(db_index=True)
    stored_until = models.DateTimeField(null=True)
    last_number = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant_id"], name="one_billing_account")]


class Invoice(TenantModel):
    """What a tenant owes for a period. While it closes its cut-offs are fixed; final, it stays.

    Its input is every event of the period that was stored until `stored_until`, and every late one of
    earlier periods that was stored between `stored_after` and `stored_until`.
    """

    class Status(models.TextChoices):
        CLOSING = "closing"
        FINAL = "final"

    status = models.CharField(max_length=10, choices=Status, default=Status.CLOSING)
    number = models.PositiveIntegerField(null=True, blank=True)  # gapless for each tenant, from 1
    number_text = models.CharField(max_length=60, blank=True)
    plan_name = models.CharField(max_length=100, blank=True)
    price = models.ForeignKey(PlanPrice, on_delete=models.PROTECT, null=True, related_name="+")
    currency = models.CharField(max_length=3, blank=True)
    time_zone = models.CharField(max_length=64)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    stored_after = models.DateTimeField(null=True)
    stored_until = models.DateTimeField()
    event_count = models.PositiveBigIntegerField(default=0)
    checksum = models.CharField(max_length=64, blank=True)
    total_cents = models.BigIntegerField(default=0)
    finalised_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "period_start"], name="one_invoice_per_period"),
            models.UniqueConstraint(fields=["tenant_id", "number"], name="one_invoice_per_number"),
            models.CheckConstraint(
                condition=Q(period_end__gt=models.F("period_start")), name="period_runs_on"
            ),
            models.CheckConstraint(
                condition=Q(status="closing") | Q(number__isnull=False, finalised_at__isnull=False),
                name="final_invoice_is_numbered",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant_id", "-period_end"], name="invoice_by_period"),
            models.Index(fields=["status"], condition=Q(status="closing"), name="invoice_closing"),
        ]

    def __str__(self) -> str:
        return self.number_text or "Invoice in the making"


class InvoiceLine(TenantModel):
    """A line of a final invoice, never changed; `amount` is exact, `amount_cents` what is owed."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="lines")
    position = models.PositiveIntegerField()
    type = models.CharField(max_length=20, choices=[(kind.value, kind.value) for kind in LineType])
    kind = models.CharField(max_length=40, blank=True)
    description = models.CharField(max_length=200)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    price = models.ForeignKey(PlanPrice, on_delete=models.PROTECT, related_name="+")
    quantity = models.PositiveBigIntegerField()
    amount = models.DecimalField(max_digits=24, decimal_places=12)
    amount_cents = models.BigIntegerField()
    shares = models.JSONField(default=list)  # [[units, unit price, exact amount]] by tier

    class Meta:
        ordering = ("position",)
        constraints = [models.UniqueConstraint(fields=["invoice", "position"], name="one_line_per_position")]
        indexes = [models.Index(fields=["tenant_id", "period_start", "kind"], name="line_by_usage")]


class QuotaAlert(TenantModel):
    """A quota passed a share of its limit in a period: once, whoever saw it."""

    kind = models.CharField(max_length=40)
    period_start = models.DateTimeField()
    threshold_percent = models.PositiveSmallIntegerField()
    used = models.PositiveBigIntegerField()
    limit = models.PositiveBigIntegerField()
    mailed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "kind", "period_start", "threshold_percent"], name="one_quota_alert"
            )
        ]


class DraftCheck(TenantModel):
    """The draft computed from the raw events beside the one from the read model, by a worker."""

    finished_at = models.DateTimeField(null=True)
    event_count = models.PositiveBigIntegerField(default=0)
    read_model_cents = models.BigIntegerField(default=0)
    events_cents = models.BigIntegerField(default=0)
    differing_kinds = models.JSONField(default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id"], condition=Q(finished_at__isnull=True), name="one_waiting_draft_check"
            )
        ]
        indexes = [models.Index(fields=["tenant_id", "-created_at"], name="draft_check_by_time")]

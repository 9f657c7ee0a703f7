"""Customers, orders with what was done to them, and leads."""

from django.db import models
from django.db.models.functions import Lower

from apps.crm.contracts import (
    CustomerView,
    LeadStatus,
    LeadView,
    OrderActionView,
    OrderStatus,
    OrderView,
)
from apps.crm.transitions import Standing
from apps.tenants.orm import TenantModel

STATUSES = [(status.value, status.value) for status in OrderStatus]


class Customer(TenantModel):
    """A person who buys or asks; `email` is kept in lower case, NULL when it is not known."""

    name = models.CharField(max_length=200, blank=True)
    email = models.EmailField(max_length=254, null=True, blank=True, unique=True)
    phone = models.CharField(max_length=16, blank=True)
    external_id = models.CharField(max_length=100, null=True, blank=True, unique=True)
    metadata = models.JSONField(default=dict, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(email=Lower("email")), name="customer_email_lower_case")
        ]

    def __str__(self) -> str:
        return self.name or self.email or self.external_id or str(self.id)

    def view(self) -> CustomerView:
        return CustomerView(
            id=self.id,
            name=self.name,
            email=self.email,
            phone=self.phone,
            external_id=self.external_id,
            metadata=self.metadata,
            created_at=self.created_at,
        )


class Order(TenantModel):
    """An order; `held_from` and `cancelled_from` keep the status that a hold or a cancellation replaced."""

    number = models.CharField(max_length=64, unique=True)
    customer = models.ForeignKey(Customer, models.PROTECT, null=True, blank=True, related_name="orders")
    status = models.CharField(max_length=16, choices=STATUSES, default=OrderStatus.PLACED.value)
    held_from = models.CharField(max_length=16, choices=STATUSES, blank=True)
    cancelled_from = models.CharField(max_length=16, choices=STATUSES, blank=True)
    items = models.JSONField(default=list, blank=True)
    total_cents = models.BigIntegerField()
    refunded_cents = models.BigIntegerField(default=0, db_default=0)
    currency = models.CharField(max_length=3, default="USD")
    placed_at = models.DateTimeField()
    shipped_at = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    carrier = models.CharField(max_length=100, blank=True)
    tracking_code = models.CharField(max_length=100, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=[status.value for status in OrderStatus]),
                name="order_status_known",
            ),
            models.CheckConstraint(condition=models.Q(total_cents__gte=0), name="order_total_not_negative"),
            models.CheckConstraint(
                condition=models.Q(refunded_cents__gte=0), name="order_refunded_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def standing(self) -> Standing:
        return Standing(
            OrderStatus(self.status),
            OrderStatus(self.held_from) if self.held_from else None,
            OrderStatus(self.cancelled_from) if self.cancelled_from else None,
        )

    @property
    def customer_email(self) -> str | None:
        return self.customer.email if self.customer else None

    def view(self) -> OrderView:
        return OrderView(
            id=self.id,
            number=self.number,
            status=OrderStatus(self.status),
            total_cents=self.total_cents,
            refunded_cents=self.refunded_cents,
            currency=self.currency,
            items=self.items,
            placed_at=self.placed_at,
            shipped_at=self.shipped_at,
            delivered_at=self.delivered_at,
            carrier=self.carrier,
            tracking_code=self.tracking_code,
            customer_id=self.customer_id,
            customer_email=self.customer_email,
            created_at=self.created_at,
        )


class OrderAction(TenantModel):
    """The proof that something was done to an order once; never changed, never deleted.

    `amount_cents` is the money that a refund gave back.
    """

    order = models.ForeignKey(Order, models.PROTECT, related_name="actions")
    effect_key = models.CharField(max_length=255, unique=True)
    action = models.CharField(max_length=16)
    before = models.CharField(max_length=16, choices=STATUSES)
    after = models.CharField(max_length=16, choices=STATUSES)
    actor = models.CharField(max_length=120)
    amount_cents = models.BigIntegerField(null=True)
    reason = models.CharField(max_length=500, blank=True, db_default="")

    def view(self) -> OrderActionView:
        return OrderActionView(
            amount_cents=self.amount_cents,
            reason=self.reason,
            action=self.action,
            before=OrderStatus(self.before),
            after=OrderStatus(self.after),
            actor=self.actor,
            created_at=self.created_at,
        )


class Lead(TenantModel):
    """Somebody who may buy; reachable by email or phone."""

    name = models.CharField(max_length=200, blank=True)
    email = models.EmailField(max_length=254, null=True, blank=True)  # noqa: DJ001 - NULL is "not known", as for a customer
    phone = models.CharField(max_length=16, blank=True)
    message = models.TextField(blank=True)
    source = models.CharField(max_length=100, blank=True)
    status = models.CharField(
        max_length=16,
        choices=[(status.value, status.value) for status in LeadStatus],
        default=LeadStatus.NEW.value,
    )
    customer = models.ForeignKey(Customer, models.SET_NULL, null=True, blank=True, related_name="leads")
    effect_key = models.CharField(max_length=255, null=True, blank=True, unique=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(email__isnull=False) | ~models.Q(phone=""), name="lead_can_be_reached"
            )
        ]

    def __str__(self) -> str:
        return self.name or self.email or self.phone

    def view(self) -> LeadView:
        return LeadView(
            id=self.id,
            name=self.name,
            email=self.email,
            phone=self.phone,
            message=self.message,
            source=self.source,
            status=LeadStatus(self.status),
            customer_id=self.customer_id,
            created_at=self.created_at,
        )

"""Read invoices: the current draft and those that are final."""

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from django.utils import timezone

from apps.billing.contracts import (
    DraftCheckView,
    InvoiceView,
    LineType,
    LineView,
    Period,
    TierShare,
)
from apps.billing.drafting import compose_lines, frozen_pricing, late_sums_from_buckets, rate_invoice
from apps.billing.models import BillingAccount, DraftCheck, Invoice, InvoiceLine, Subscription
from apps.billing.periods import GRACE
from apps.billing.sums import UsageSums, sum_buckets, sum_events
from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_platform, in_tenant
from apps.tenants.contracts import TenantRef


def get_draft(*, tenant: TenantRef, from_events: bool = False) -> InvoiceView | None:
    """Return what the open period costs so far; None for a tenant without a subscription.

    From the read model in milliseconds; `from_events` adds up every raw event, which is for workers.
    """
    with in_tenant(tenant):
        account = BillingAccount.objects.first()
        current = Subscription.objects.select_related("plan").filter(ended_at__isnull=True).first()
        if account is None or current is None:
            return None
        period = Period(account.open_from, account.closes_at)
        sums = _sum(account, period, from_events)
        lines = tuple(priced.line for priced in compose_lines(period, sums))
    return InvoiceView(
        currency=current.plan.currency,
        period=period,
        time_zone=current.time_zone,
        plan_name=current.plan.name,
        total_cents=sum(line.amount_cents for line in lines),
        lines=lines,
        event_count=sums.event_count,
        checksum=sums.checksum,
    )


def get_invoice(*, tenant: TenantRef, invoice_id: UUID) -> InvoiceView:
    """Return a final invoice with its lines; raises NotFoundError."""
    with in_tenant(tenant):
        lines = InvoiceLine.objects.select_related("price").order_by("position")
        invoice = final_invoices().prefetch_related(Prefetch("lines", lines)).filter(id=invoice_id).first()
        if invoice is None:
            raise NotFoundError("There is no such invoice.")
        return view_of(invoice, with_lines=True)


def rate_again(*, tenant: TenantRef, invoice_id: UUID) -> InvoiceView:
    """Compute a final invoice anew from its frozen inputs; it must equal what `get_invoice` tells."""
    with in_tenant(tenant):
        invoice = final_invoices().get(id=invoice_id)
        pricing = frozen_pricing(invoice)
        priced, invoice.event_count, invoice.checksum = rate_invoice(invoice, pricing=pricing)
        lines = tuple(found.line for found in priced)
        invoice.total_cents = sum(line.amount_cents for line in lines)
        return view_of(invoice, lines=lines)


def list_changed_invoices(*, tenant: TenantRef) -> list[str]:
    """Return the numbers of final invoices that their events and prices do not give; none, if all is well."""
    with in_tenant(tenant):
        ids = list(final_invoices().order_by("number").values_list("id", flat=True))
    pairs = [
        (get_invoice(tenant=tenant, invoice_id=found), rate_again(tenant=tenant, invoice_id=found))
        for found in ids
    ]
    return [kept.number for kept, again in pairs if _figures(kept) != _figures(again)]


def count_invoices(*, tenant: TenantRef) -> int:
    """Return how many invoices are final: their numbers have no gaps."""
    with in_tenant(tenant):
        return BillingAccount.objects.values_list("last_number", flat=True).first() or 0


def final_invoices() -> QuerySet[Invoice]:
    """Return the current tenant's final invoices, to be paged; inside its transaction."""
    return Invoice.objects.filter(status=Invoice.Status.FINAL)


def get_last_check(*, tenant: TenantRef) -> DraftCheckView | None:
    """Return the newest comparison of the draft with the raw events, or the one that waits for a worker."""
    with in_tenant(tenant):
        row = DraftCheck.objects.order_by("-created_at").first()
    if row is None:
        return None
    return DraftCheckView(
        requested_at=row.created_at,
        finished_at=row.finished_at,
        event_count=row.event_count,
        read_model_cents=row.read_model_cents,
        events_cents=row.events_cents,
        differing_kinds=tuple(row.differing_kinds),
    )


def list_tenants_to_bill(*, now: dt.datetime | None = None) -> list[UUID]:
    """Return the tenants with a period to close or an invoice to finish; with the platform's connection."""
    with in_platform() as alias:
        due = BillingAccount.objects.using(alias).filter(closes_at__lte=(now or timezone.now()) - GRACE)
        closing = Invoice.objects.using(alias).filter(status=Invoice.Status.CLOSING)
        return sorted(
            {*due.values_list("tenant_id", flat=True), *closing.values_list("tenant_id", flat=True)}
        )


def list_billed_tenants() -> list[UUID]:
    """Return every tenant that has a billing account; with the platform's connection."""
    with in_platform() as alias:
        return list(
            BillingAccount.objects.using(alias).order_by("tenant_id").values_list("tenant_id", flat=True)
        )


def view_of(invoice: Invoice, *, with_lines: bool = False, lines: tuple[LineView, ...] = ()) -> InvoiceView:
    """Return what a final invoice tells."""
    return InvoiceView(
        id=invoice.id,
        number=invoice.number_text,
        currency=invoice.currency,
        period=Period(invoice.period_start, invoice.period_end),
        time_zone=invoice.time_zone,
        plan_name=invoice.plan_name,
        total_cents=invoice.total_cents,
        lines=tuple(_line(row) for row in invoice.lines.all()) if with_lines else lines,
        finalised_at=invoice.finalised_at,
        stored_until=invoice.stored_until,
        event_count=invoice.event_count,
        checksum=invoice.checksum,
    )


def _sum(account: BillingAccount, period: Period, from_events: bool) -> UsageSums:
    if from_events:
        return sum_events(start=period.start, end=period.end, stored_after=account.stored_until)
    return UsageSums(
        own=sum_buckets(start=period.start, end=period.end),
        late=late_sums_from_buckets(period.start, account.stored_until),
    )


def _figures(invoice: InvoiceView) -> tuple[Any, ...]:
    """Return what must never change of an invoice; a plan's name may."""
    lines = [replace(line, description="") for line in invoice.lines]
    return invoice.total_cents, invoice.event_count, invoice.checksum, lines


def _line(row: InvoiceLine) -> LineView:
    return LineView(
        type=LineType(row.type),
        kind=row.kind,
        description=row.description,
        period=Period(row.period_start, row.period_end),
        quantity=row.quantity,
        amount=row.amount,
        amount_cents=row.amount_cents,
        price_version=row.price.version,
        shares=tuple(TierShare(n, Decimal(price), Decimal(amount)) for n, price, amount in row.shares),
    )

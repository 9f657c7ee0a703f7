"""Close periods and finalise their invoices: each once, with nothing lost and nothing twice.

Two transactions. The first waits until no event of the tenant is being stored, takes the cut-off and commits
it with the invoice's row: from then on every event is either before the cut-off or marked late. The second
adds up, at leisure, what lies before it. Killed anywhere between, the next run finishes what stands there.
"""

import datetime as dt
from uuid import UUID

from django.utils import timezone

from apps.billing.contracts import Period
from apps.billing.drafting import PricedLine, rate_invoice
from apps.billing.events import InvoiceFinalised
from apps.billing.models import BillingAccount, Invoice, InvoiceLine, Subscription
from apps.billing.periods import GRACE, period_after
from apps.billing.pricing import subscriptions_in
from apps.billing.services.subscriptions import take_up_next_plan
from apps.billing.sums import lock_usage, read_clock
from apps.events.services import publish
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import get_time_zone

MAX_AT_ONCE = 120


def finalise_invoices(*, tenant: TenantRef, now: dt.datetime | None = None) -> list[UUID]:
    """Finalise every period that ended an hour ago or earlier, oldest first; again it changes nothing.

    Returns the invoices that became final here.
    """
    finished: list[UUID] = []
    for _ in range(MAX_AT_ONCE):
        waiting = _oldest_closing(tenant) or _close_period(tenant, now or timezone.now())
        if waiting is None:
            break
        if _finish(tenant, waiting):
            finished.append(waiting)
    return finished


def _oldest_closing(tenant: TenantRef) -> UUID | None:
    with in_tenant(tenant):
        closing = Invoice.objects.filter(status=Invoice.Status.CLOSING).order_by("period_start")
        return closing.values_list("id", flat=True).first()


def _close_period(tenant: TenantRef, now: dt.datetime) -> UUID | None:
    """Fix the cut-offs of the open period and open the next; None when none has ended long enough ago."""
    with in_tenant(tenant):
        if not BillingAccount.objects.filter(closes_at__lte=now - GRACE).exists():
            return None
        lock_usage(tenant.id, shared=False)
        account = BillingAccount.objects.select_for_update().get()
        current = Subscription.objects.select_related("plan", "next_plan").filter(ended_at__isnull=True)
        subscription = current.first()
        if account.closes_at > now - GRACE or subscription is None:
            return None
        cut_off = read_clock(not_before=account.stored_until)
        invoice = Invoice.objects.create(
            time_zone=subscription.time_zone,
            period_start=account.open_from,
            period_end=account.closes_at,
            stored_after=account.stored_until,
            stored_until=cut_off,
        )
        _open_next(tenant, account, take_up_next_plan(tenant, subscription, account.closes_at), cut_off)
        return invoice.id


def _open_next(
    tenant: TenantRef, account: BillingAccount, subscription: Subscription, cut_off: dt.datetime
) -> None:
    zone = get_time_zone(tenant=tenant)
    if zone != subscription.time_zone:
        subscription.time_zone = zone
        subscription.save(update_fields=["time_zone"])
    following = period_after(account.closes_at, subscription.anchor, zone)
    account.open_from, account.closes_at, account.stored_until = following.start, following.end, cut_off
    account.save(update_fields=["open_from", "closes_at", "stored_until"])


def _finish(tenant: TenantRef, invoice_id: UUID) -> bool:
    with in_tenant(tenant):
        account = BillingAccount.objects.select_for_update().get()
        invoice = Invoice.objects.get(id=invoice_id)
        if invoice.status == Invoice.Status.FINAL:
            return False
        lines, invoice.event_count, invoice.checksum = rate_invoice(invoice)
        account.last_number += 1
        account.save(update_fields=["last_number"])
        _freeze(tenant, invoice, lines, account.last_number)
        publish(
            InvoiceFinalised(
                tenant_id=tenant.id,
                invoice_id=invoice.id,
                number=invoice.number_text,
                total_cents=invoice.total_cents,
                currency=invoice.currency,
                period_start=invoice.period_start,
                period_end=invoice.period_end,
            )
        )
        return True


def _freeze(tenant: TenantRef, invoice: Invoice, lines: list[PricedLine], number: int) -> None:
    row, price, _ = subscriptions_in(Period(invoice.period_start, invoice.period_end))[-1]
    InvoiceLine.objects.bulk_create(
        _row(invoice, place, priced) for place, priced in enumerate(lines, start=1)
    )
    invoice.number, invoice.number_text = number, f"{tenant.slug.upper()}-{number:05d}"
    invoice.plan_name, invoice.price, invoice.currency = row.plan.name, price, row.plan.currency
    invoice.total_cents = sum(priced.line.amount_cents for priced in lines)
    invoice.status, invoice.finalised_at = Invoice.Status.FINAL, timezone.now()
    invoice.save()


def _row(invoice: Invoice, place: int, priced: PricedLine) -> InvoiceLine:
    line = priced.line
    return InvoiceLine(
        invoice=invoice,
        position=place,
        type=line.type,
        kind=line.kind,
        description=line.description,
        period_start=line.period.start,
        period_end=line.period.end,
        price=priced.price,
        quantity=line.quantity,
        amount=line.amount,
        amount_cents=line.amount_cents,
        shares=[[share.quantity, f"{share.unit_price:f}", f"{share.amount:f}"] for share in line.shares],
    )

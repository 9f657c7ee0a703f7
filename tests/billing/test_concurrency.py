"""Closing a period while events are stored and others close it too: once, and every event billed once."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

from django.db import connections
from django.utils import timezone

from apps.billing import selectors, services
from apps.billing.models import Invoice, InvoiceLine, UsageEvent
from apps.tenants.context import in_tenant
from tests.billing.generated import deliver, usage

EVENTS, CLOSERS = 60, 4


def in_thread(act, *arguments):
    try:
        return act(*arguments)
    finally:
        connections.close_all()


def test_a_period_is_closed_once_by_many_while_its_events_arrive(live_db, acme, globex):
    now = timezone.now()
    services.begin_billing_on(tenant=acme, day=(now - dt.timedelta(days=40)).date())
    moment = now - dt.timedelta(days=35)
    with ThreadPoolExecutor(8) as pool:
        stored = [pool.submit(in_thread, deliver, acme, usage(acme, moment)) for _ in range(EVENTS // 2)]
        closing = [
            pool.submit(in_thread, lambda: services.finalise_invoices(tenant=acme)) for _ in range(CLOSERS)
        ]
        stored += [pool.submit(in_thread, deliver, acme, usage(acme, moment)) for _ in range(EVENTS // 2)]
        finished = [found for done in closing for found in done.result()]
        assert [done.result() for done in stored] == [None] * EVENTS
    assert selectors.list_tenants_to_bill() == []
    assert sorted(selectors.list_billed_tenants()) == sorted([acme.id, globex.id])
    services.finalise_invoices(tenant=acme, now=now + dt.timedelta(days=40))
    with in_tenant(acme):
        assert list(Invoice.objects.order_by("number").values_list("number", flat=True)) == [1, 2]
        assert finished == [Invoice.objects.get(number=1).id]
        assert UsageEvent.objects.count() == EVENTS
        billed = InvoiceLine.objects.filter(kind="message").values_list("quantity", flat=True)
        assert sum(billed) == EVENTS
        assert sum(Invoice.objects.values_list("event_count", flat=True)) == EVENTS
    for invoice_id in finished:
        again = selectors.rate_again(tenant=acme, invoice_id=invoice_id)
        assert again == selectors.get_invoice(tenant=acme, invoice_id=invoice_id)

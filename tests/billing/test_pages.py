"""Usage and invoices as pages, PDF and API: the same figures, few queries, nothing of others."""

import datetime as dt
import re

import pypdfium2
import pytest
from django.test import Client
from django.utils import timezone

from apps.billing import selectors, services
from apps.billing.adapters.pdf import draw_invoice
from apps.billing.contracts import InvoiceView, LineType, LineView, Period
from apps.billing.models import DraftCheck, QuotaAlert, UsageBucket
from apps.events.models import OutboxEvent
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role
from apps.tenants.selectors import list_audit_events
from apps.tenants.services import create_api_key
from tests.billing.generated import deliver, usage
from tests.billing.invoices import make_invoice
from tests.pages import log_in


@pytest.fixture(autouse=True)
def _look_anew():
    services.forget_distances()


def text_of(pdf: bytes) -> list[str]:
    document = pypdfium2.PdfDocument(pdf)
    try:
        return [page.get_textpage().get_text_range() for page in document]
    finally:
        document.close()


def figures(text: str) -> list[str]:
    return sorted(re.findall(r"-?[\d,]+\.\d\d USD", text))


def test_page_pdf_and_api_tell_the_same(acme):
    invoice_id = make_invoice(acme)
    client = log_in(acme)
    page = client.get(f"/app/invoices/{invoice_id}/").content.decode()
    pdf = client.get(f"/app/invoices/{invoice_id}.pdf")
    assert pdf.headers["Content-Disposition"] == 'attachment; filename="ACME-00001.pdf"'
    assert figures(page) == figures(" ".join(text_of(pdf.content)))
    assert "1,234" in page
    assert "Page 1" in text_of(pdf.content)[0]
    token = create_api_key(tenant=acme, name="k", scopes=["read:billing"]).token
    api = Client(headers={"Authorization": f"Api-Key {token}"})
    told = api.get(f"/api/v1/invoices/{invoice_id}").json()
    assert sum(line["amount_cents"] for line in told["lines"]) == told["total_cents"]
    assert [row["number"] for row in api.get("/api/v1/invoices").json()["results"]] == ["ACME-00001"]
    assert api.get("/api/v1/invoices/draft").json()["id"] is None
    assert api.get(f"/api/v1/invoices/{invoice_id}.pdf").content == pdf.content


def test_a_long_invoice_takes_several_pages_and_the_same_bytes_again():
    period = Period(dt.datetime(2026, 3, 1, tzinfo=dt.UTC), dt.datetime(2026, 4, 1, tzinfo=dt.UTC))
    lines = tuple(
        LineView(LineType.LATE_USAGE, "message", f"Messages <{n}> & more", period, n, 0, n, 1)
        for n in range(90)
    )
    invoice = InvoiceView("EUR", period, "Europe/Berlin", "Business", sum(range(90)), lines, number="X-1")
    pdf = draw_invoice(invoice, company="A <b> & Co")
    pages = text_of(pdf)
    assert len(pages) > 2
    assert all("Description" in page and f"Page {n}" in page for n, page in enumerate(pages, start=1))
    assert "Messages <89> & more" in pages[-1]
    assert pdf == draw_invoice(invoice, company="A <b> & Co")
    assert pypdfium2.PdfDocument(pdf).get_metadata_dict()["Title"] == "Invoice X-1"


def test_the_usage_page_shows_quotas_days_and_alerts(acme, globex, django_assert_max_num_queries):
    deliver(acme, usage(acme, timezone.now(), quantity=1700), usage(acme, timezone.now(), "search", 12))
    client = log_in(acme)
    client.get("/app/profile/")  # the first request notes the session
    with django_assert_max_num_queries(20):
        page = client.get("/app/usage/").content.decode()
    assert "Messages: 80% of the quota used." in page
    assert "1,700 of 2,000" in page
    assert 'aria-label="Searches by day, at most 12' in page
    assert "1,700" not in log_in(globex).get("/app/usage/").content.decode()
    exported = client.get("/app/usage/export/").content.decode().splitlines()
    assert exported[0] == "date,kind,quantity"
    assert {row.split(",", 1)[1] for row in exported[1:]} == {"message,1700", "search,12"}


@pytest.mark.parametrize("period", ["2026-13-99", "<script>", "9" * 5000])
def test_a_period_that_is_none_is_told_at_the_field(acme, period):
    answer = log_in(acme).get("/app/usage/", {"period": period})
    assert answer.status_code == 422
    assert b"Choose one of the periods in the list." in answer.content
    assert b"<script>" not in answer.content


def test_a_viewer_sees_no_bill_and_an_analyst_has_nothing_checked(acme):
    assert log_in(acme, Role.VIEWER).get("/app/invoices/").status_code == 403
    assert log_in(acme, Role.ANALYST).post("/app/invoices/").status_code == 403


def test_a_check_is_asked_for_once_done_by_a_worker_and_audited(acme, monkeypatch):
    client = log_in(acme)
    deliver(acme, usage(acme, timezone.now(), quantity=10))
    for _ in range(2):
        assert client.post("/app/invoices/").status_code == 302
    assert "A worker is comparing" in client.get("/app/invoices/").content.decode()
    assert services.check_draft(tenant=acme, only_if_asked=True)
    assert services.check_draft(tenant=acme, only_if_asked=True) is None
    assert "agrees" in client.get("/app/invoices/").content.decode()
    with in_tenant(acme):
        assert DraftCheck.objects.get().event_count == 1
        UsageBucket.objects.update(quantity=11)
    assert list_audit_events(tenant=acme)[0].action == "draft_invoice.check_requested"
    assert services.check_draft(tenant=acme) is False
    assert "differs" in client.get("/app/invoices/").content.decode()


def test_the_invoices_page_asks_little(acme, django_assert_max_num_queries):
    make_invoice(acme)
    client = log_in(acme)
    client.get("/app/profile/")  # the first request notes the session
    with django_assert_max_num_queries(22):
        page = client.get("/app/invoices/").content.decode()
    assert "ACME-00001" in page


def test_each_threshold_is_told_once_a_period(acme, globex, mailoutbox):
    for quantity in (1599, 1, 300, 100, 50):
        deliver(acme, usage(acme, timezone.now(), quantity=quantity))
    services.check_quotas(tenant=acme)
    services.forget_distances()
    services.check_quotas(tenant=acme)
    with in_tenant(acme):
        raised = list(
            QuotaAlert.objects.order_by("threshold_percent").values_list("threshold_percent", "used")
        )
        assert OutboxEvent.objects.filter(type="billing.quota.threshold_reached").count() == 2
    assert raised == [(80, 1600), (100, 2000)]
    [alert] = selectors.list_quota_alerts(tenant=acme)
    assert (alert.threshold_percent, alert.used, alert.is_hard) == (100, 2050, True)
    assert selectors.list_quota_alerts(tenant=globex) == []
    log_in(acme)  # makes an owner
    assert services.mail_quota_alerts(tenant=acme) == 2
    assert services.mail_quota_alerts(tenant=acme) == 0
    assert sorted(mail.subject for mail in mailoutbox) == [
        "Messages: 100% of the quota used",
        "Messages: 80% of the quota used",
    ]
    services.subscribe_tenant(tenant=acme, plan_code="business")
    assert selectors.list_quota_alerts(tenant=acme) == []

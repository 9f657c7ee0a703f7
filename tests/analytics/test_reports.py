"""Reports: on demand as page and CSV, every week by mail where the owners wish it."""

import csv
import datetime as dt
import io

import pytest

from apps.analytics import services
from apps.analytics.kpis import KPIS
from apps.analytics.models import ReportSchedule, SentReport
from apps.analytics.report_tables import TITLES, TextTable, write_csv
from apps.tenants.company import update_settings
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.selectors import list_audit_events
from tests.pages import log_in

PERIOD = {"start": "2026-03-01", "end": "2026-03-31"}
MONDAY = dt.datetime(2026, 3, 23, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def weekly(filled: TenantRef) -> TenantRef:
    log_in(filled)  # makes an owner
    services.set_weekly_report(tenant=filled, is_on=True, actor="test")
    with in_tenant(filled):
        ReportSchedule.objects.update(enabled_at=MONDAY - 9 * 24 * HOUR)
    return filled


@pytest.mark.parametrize("name", TITLES)
def test_each_table_is_a_file(filled: TenantRef, globex: TenantRef, name: str):
    answer = log_in(filled).get("/app/reports/export/", {**PERIOD, "table": name})
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}-2026-03-01-2026-03-31.csv"'
    rows = list(csv.reader(io.StringIO(answer.content.decode())))
    assert len(rows) > 1
    assert {len(row) for row in rows} == {len(rows[0])}
    theirs = log_in(globex).get("/app/reports/export/", {**PERIOD, "table": name})
    assert theirs.content != answer.content


def test_the_figures_in_the_file_are_exact(filled: TenantRef):
    answer = log_in(filled).get("/app/reports/export/", {**PERIOD, "table": "kpis"})
    rows = {row["figure"]: row for row in csv.DictReader(io.StringIO(answer.content.decode()))}
    assert list(rows) == [kpi.key for kpi in KPIS]
    assert rows["conversations"]["value"] == "40"


@pytest.mark.parametrize("query", [{"table": "secrets"}, {"table": "kpis", "start": "x"}])
def test_what_cannot_be_exported_says_so(acme: TenantRef, query: dict):
    answer = log_in(acme).get("/app/reports/export/", query)
    assert answer.status_code == 400
    assert b"Choose one of kpis" in answer.content


def test_no_cell_is_a_formula():
    table = TextTable("intents", "By intent", ("Intent", "n"), [("=HYPERLINK(1)", "1"), ("-2+3", "1")])
    assert write_csv(table).splitlines()[1:] == ["'=HYPERLINK(1),1", "'-2+3,1"]


def test_a_week_is_mailed_once(weekly: TenantRef, globex: TenantRef, mailoutbox: list):
    assert not services.mail_weekly_report(tenant=weekly, now=MONDAY + 5 * HOUR)
    assert services.mail_weekly_report(tenant=weekly, now=MONDAY + 6 * HOUR)
    assert not services.mail_weekly_report(tenant=weekly, now=MONDAY + 30 * HOUR)
    assert not services.mail_weekly_report(tenant=globex, now=MONDAY + 30 * HOUR)
    [mail] = mailoutbox
    assert "week of 16 March 2026" in mail.subject
    assert "/app/?start=2026-03-16&end=2026-03-22" in mail.body
    assert all(kpi.label in mail.body for kpi in KPIS)
    assert services.mail_weekly_report(tenant=weekly, now=MONDAY + 8 * 24 * HOUR)


def test_a_week_begins_at_the_companys_midnight(weekly: TenantRef, mailoutbox: list):
    update_settings(tenant=weekly, name="Acme", time_zone="Pacific/Auckland", silence_hours=72, actor="test")
    assert services.mail_weekly_report(tenant=weekly, now=MONDAY - 7 * HOUR)  # Monday, 6 there
    assert "16 March to 22 March" in mailoutbox[0].body


def test_a_mail_that_could_not_go_out_is_tried_again(weekly: TenantRef, mailoutbox: list, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("apps.analytics.reporting.send_mail", lambda *_: (_ for _ in ()).throw(OSError("no")))
        assert not services.mail_weekly_report(tenant=weekly, now=MONDAY + 7 * HOUR)
    assert services.mail_weekly_report(tenant=weekly, now=MONDAY + 8 * HOUR)
    assert len(mailoutbox) == 1


def test_a_process_that_dies_while_mailing_costs_the_mail_not_two(weekly, mailoutbox, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("apps.analytics.reporting._send", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            services.mail_weekly_report(tenant=weekly, now=MONDAY + 7 * HOUR)
    assert not services.mail_weekly_report(tenant=weekly, now=MONDAY + 8 * HOUR)
    with in_tenant(weekly):
        assert SentReport.objects.get().sent_at is None
    assert mailoutbox == []


def test_the_mail_begins_with_the_week_after_it_was_wished_for(filled: TenantRef, mailoutbox: list):
    client = log_in(filled)
    assert client.post("/app/reports/weekly/", {"is_on": "1"}).status_code == 302
    client.post("/app/reports/weekly/", {"is_on": "1"})
    assert [event.action for event in list_audit_events(tenant=filled)][:1] == ["weekly_report.switched_on"]
    assert b"Switch the weekly mail off" in client.get("/app/reports/").content
    assert not services.mail_weekly_report(tenant=filled)
    client.post("/app/reports/weekly/", {"is_on": "0"})
    assert not services.mail_weekly_report(tenant=filled, now=dt.datetime(2030, 1, 1, tzinfo=dt.UTC))
    assert log_in(filled, Role.AGENT).post("/app/reports/weekly/", {"is_on": "1"}).status_code == 403

"""The overview, the rows behind its figures, the reports, and both over REST."""

import datetime as dt
import re

import pytest
from bs4 import BeautifulSoup
from django.test import Client
from django.utils import timezone

from apps.analytics.charts import draw_line
from apps.analytics.kpis import KPIS
from apps.analytics.selectors import read_kpis, span_of
from apps.billing.services import forget_distances
from apps.tenants.company import update_settings
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.services import create_api_key
from tests.billing.generated import deliver as deliver_usage
from tests.billing.generated import usage
from tests.pages import log_in

PERIOD = {"start": "2026-03-01", "end": "2026-03-31"}
TOTAL = 40
pytestmark = pytest.mark.usefixtures("valkey")


def text_of(answer) -> str:
    return BeautifulSoup(answer.content, "html.parser").get_text(" ", strip=True)


def test_the_overview_shows_figures_and_their_predecessors(filled: TenantRef, globex: TenantRef):
    page = log_in(filled).get("/app/", PERIOD).content.decode()
    assert f'<span class="value">{TOTAL}</span>' in page
    assert page.count('<svg class="chart"') == 6
    assert 'style="' not in page
    empty = log_in(globex).get("/app/", {"days": 7}).content.decode()
    assert "No conversation in this period" in empty


def test_every_figure_on_the_page_leads_to_rows_that_it_can_be_counted_from(filled: TenantRef):
    client = log_in(filled)
    overview = BeautifulSoup(client.get("/app/", PERIOD).content, "html.parser")
    links = [a["href"] for a in overview.select("#figures a") if "/app/overview/" in a["href"]]
    assert {re.search(r"overview/(\w+)/", link)[1] for link in links} == {kpi.key for kpi in KPIS}
    span = span_of(tenant=filled, first=dt.date(2026, 3, 1), last=dt.date(2026, 3, 31))
    sums = read_kpis(tenant=filled, span=span).sums
    for kpi in KPIS:
        [link] = [link for link in links if f"/{kpi.key}/" in link and "reason" not in link]
        rows = BeautifulSoup(client.get(link).content, "html.parser").select("tbody tr")
        part = sum(sums[name] for name in kpi.parts)
        if kpi.unit in ("count", "duration_ms") or (kpi.unit == "ratio" and kpi.key != "knowledge_gap_rate"):
            assert len(rows) == part, kpi.key
        elif kpi.unit == "usd":
            costs = [round(float(row.select("td")[-1].text.strip("$ \n")) * 10_000) for row in rows]
            assert abs(sum(costs) - part / 100) <= len(rows)
        else:
            gaps = re.findall(r"(\d+) without a source", " ".join(row.text for row in rows))
            assert sum(map(int, gaps)) == part


def test_a_reason_leads_to_those_who_had_it(filled: TenantRef):
    client = log_in(filled)
    overview = BeautifulSoup(client.get("/app/", PERIOD).content, "html.parser")
    for term in overview.select("#figures dl.facts dt"):
        link = term.find_next("a")["href"]
        rows = BeautifulSoup(client.get(link).content, "html.parser").select("tbody tr")
        assert len(rows) == int(term.text)


def test_days_are_those_of_the_company(filled: TenantRef):
    update_settings(tenant=filled, name="Acme", time_zone="Asia/Kathmandu", silence_hours=72, actor="test")
    page = log_in(filled).get("/app/", PERIOD)
    assert "1 March 2026 to 31 March 2026" in text_of(page)
    points = [th.text for th in BeautifulSoup(page.content, "html.parser").select("#values-csat tbody th")]
    assert (points[0], points[-1], len(points)) == ("1 Mar", "31 Mar", 31)


@pytest.mark.parametrize(
    ("asked", "points"),
    [({"days": 1}, 24), ({"days": 7}, 7), ({"days": 92, "granularity": "month", "end": "2026-03-31"}, 4)],
)
def test_steps_follow_the_period(filled: TenantRef, asked: dict, points: int):
    page = BeautifulSoup(log_in(filled).get("/app/", asked).content, "html.parser")
    assert len(page.select("#values-csat tbody tr")) == points


def test_a_refresh_is_the_figures_alone_and_a_quota_is_told_above_them(filled: TenantRef):
    client = log_in(filled)
    assert b"<h1" not in client.get("/app/", PERIOD, headers={"HX-Request": "true"}).content
    forget_distances()
    deliver_usage(filled, usage(filled, timezone.now(), quantity=1700))
    assert b"80% of the quota used" in client.get("/app/").content
    assert b"80% of the quota used" not in log_in(filled, Role.VIEWER).get("/app/").content


def test_the_rows_are_ours(filled: TenantRef, globex: TenantRef):
    theirs = log_in(globex).get("/app/overview/conversations/", PERIOD)
    assert len(BeautifulSoup(theirs.content, "html.parser").select("tbody tr")) == 2
    assert log_in(filled).get("/app/overview/nonsense/").status_code == 404


BAD_PERIODS = ["start=x", "start=2026-03-31&end=2026-03-01", "start=1000-01-01&end=2026-01-01", "days=0"]


@pytest.mark.parametrize("query", BAD_PERIODS)
def test_a_wrong_period_says_so(acme: TenantRef, query: str):
    client = log_in(acme)
    for page in ("/app/", "/app/overview/csat/", "/app/reports/"):
        answer = client.get(f"{page}?{query}")
        assert answer.status_code == 422
        assert "errorlist" in answer.content.decode()


@pytest.mark.parametrize("query", ["granularity=year", "days=30&granularity=hour"])
def test_steps_that_cannot_be_say_so(acme: TenantRef, query: str):
    answer = log_in(acme).get(f"/app/?{query}")
    assert answer.status_code == 422
    assert "errorlist" in answer.content.decode()


def test_kpis_over_rest(filled: TenantRef):
    token = create_api_key(tenant=filled, name="a", scopes=["api:read"]).token
    api = Client(headers={"Authorization": f"Api-Key {token}"})
    asked = {"from": "2026-03-01", "to": "2026-03-31", "granularity": "week"}
    answer = api.get("/api/v1/analytics/kpis", asked).json()
    assert answer["kpis"]["conversations"] == str(TOTAL)
    assert set(answer["kpis"]) == {kpi.key for kpi in KPIS}
    assert sum(int(step["values"]["conversations"]) for step in answer["steps"]) == TOTAL
    report = api.get("/api/v1/reports", asked).json()
    assert sum(row["conversations"] for row in report["channels"]) == TOTAL
    for bad in (
        {"from": "x"},
        {"granularity": "hour"},
        {"granularity": "minute"},
        {"from": "2026-03-02", "to": "2026-03-01"},
    ):
        refused = api.get("/api/v1/analytics/kpis", bad)
        assert refused.status_code == 400
        assert refused.json()["errors"]


def test_lines_have_gaps_where_nothing_was_measured():
    assert draw_line([1, None, 2], top=2).path.count("M") == 2
    assert draw_line([], top=None).path == ""
    assert len(draw_line([1, None, 2], top=2).dots) == 2

"""The overview, the rows behind its figures, and the KPIs over REST."""

import random

import pytest
from django.test import Client

from apps.analytics.charts import draw_line
from apps.analytics.kpis import KPIS
from apps.tenants.contracts import TenantRef
from apps.tenants.services import create_api_key
from tests.analytics import test_two_ways as traffic
from tests.pages import log_in

PERIOD = {"start": "2026-03-01", "end": "2026-03-31"}
pytestmark = pytest.mark.usefixtures("valkey")


def fill(tenant: TenantRef) -> int:
    dice = random.Random(3)
    traffic.deliver(dice, tenant, [e for _ in range(8) for e in traffic.make_conversation(dice, tenant)])
    return 8


def test_the_overview_shows_figures_and_their_predecessors(acme: TenantRef, globex: TenantRef):
    total = fill(acme)
    page = log_in(acme).get("/app/", PERIOD).content.decode()
    assert f'<span class="value">{total}</span>' in page
    assert page.count('<svg class="chart"') == 6
    assert 'style="' not in page
    empty = log_in(globex).get("/app/", PERIOD).content.decode()
    assert "No conversation in this period" in empty


@pytest.mark.parametrize("kpi", KPIS, ids=lambda kpi: kpi.key)
def test_every_figure_leads_to_its_rows(acme: TenantRef, kpi):
    fill(acme)
    answer = log_in(acme).get(f"/app/overview/{kpi.key}/", PERIOD)
    assert answer.status_code == 200


def test_the_rows_are_paged_and_ours(acme: TenantRef, globex: TenantRef):
    fill(acme)
    page = log_in(acme).get("/app/overview/conversations/", PERIOD).content.decode()
    assert page.count("/app/conversations/") >= 8
    assert "Nobody" not in log_in(globex).get("/app/overview/conversations/", PERIOD).content.decode()
    assert log_in(acme).get("/app/overview/nonsense/").status_code == 404


BAD_PERIODS = ["start=x", "start=2026-03-31&end=2026-03-01", "start=1000-01-01&end=2026-01-01", "days=0"]


@pytest.mark.parametrize("query", BAD_PERIODS)
def test_a_wrong_period_says_so(acme: TenantRef, query: str):
    answer = log_in(acme).get(f"/app/?{query}")
    assert answer.status_code == 422
    assert "errorlist" in answer.content.decode()


def test_kpis_over_rest(acme: TenantRef, globex: TenantRef):
    total = fill(acme)
    token = create_api_key(tenant=acme, name="a", scopes=["api:read"]).token
    api = Client(headers={"Authorization": f"Api-Key {token}"})
    asked = {"from": "2026-03-01", "to": "2026-03-31", "granularity": "week"}
    answer = api.get("/api/v1/analytics/kpis", asked).json()
    assert answer["kpis"]["conversations"] == str(total)
    assert set(answer["kpis"]) == {kpi.key for kpi in KPIS}
    assert sum(int(step["values"]["conversations"]) for step in answer["steps"]) == total
    for bad in ({"from": "x"}, {"granularity": "minute"}, {"from": "2026-03-02", "to": "2026-03-01"}):
        refused = api.get("/api/v1/analytics/kpis", bad)
        assert refused.status_code == 400
        assert refused.json()["errors"]


def test_the_overview_costs_the_same_for_many(acme: TenantRef, django_assert_max_num_queries):
    client = log_in(acme)
    fill(acme)
    client.get("/app/", PERIOD)
    with django_assert_max_num_queries(9):
        client.get("/app/", PERIOD)


def test_lines_have_gaps_where_nothing_was_measured():
    assert draw_line([1, None, 2], top=2).path.count("M") == 2
    assert draw_line([], top=None).path == ""
    assert len(draw_line([1, None, 2], top=2).dots) == 2

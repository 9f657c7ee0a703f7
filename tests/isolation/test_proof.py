"""`prove_isolation` finds nothing, and could: every leak that is planted here is reported."""

import types

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections
from django.http import HttpResponse, JsonResponse
from django.test import override_settings
from django.urls import path

from aiaas import urls
from aiaas.isolation import caches, proof
from aiaas.isolation.companies import Company, found_company
from aiaas.isolation.report import Report
from aiaas.isolation.routes import Route
from aiaas.isolation.tables import TableAttack
from aiaas.isolation.urls import UrlAttack
from apps.crm.models import Customer
from apps.orchestration.models import AgentRun
from apps.tenants.context import OWNER, in_platform
from apps.tenants.contracts import SIGNED_IN
from apps.tenants.dashboard import MemberRequest, member_page

pytestmark = pytest.mark.usefixtures("live_db", "valkey")
remembered: dict[str, list[str]] = {}


@member_page(read=SIGNED_IN)
def list_runs_of_everybody(request: MemberRequest) -> HttpResponse:
    with in_platform() as alias:
        return JsonResponse({"inputs": list(AgentRun.objects.using(alias).values_list("input", flat=True))})


@member_page(read=SIGNED_IN)
def remember_without_a_name(request: MemberRequest) -> HttpResponse:
    names = list(Customer.objects.values_list("name", flat=True))
    cache.set("newest-customers", names)
    remembered["newest-customers"] = names
    return JsonResponse({"seen": len(names)})


@member_page(write="write:customers", post_only=True)
def rename_anybody(request: MemberRequest, customer_id: object) -> HttpResponse:
    with connections[OWNER].cursor() as cursor:
        cursor.execute("SELECT schema_name FROM tenants_tenant")
        for (schema,) in cursor.fetchall():
            cursor.execute(f'SELECT 1 FROM "{schema}".crm_customer WHERE id = %s', [customer_id])
            if cursor.fetchone():
                return HttpResponse("renamed")
    return HttpResponse("there is none", status=404)


PLANTED = types.ModuleType("planted_urls")
PLANTED.urlpatterns = [  # type: ignore[attr-defined]
    path("app/planted/runs/", list_runs_of_everybody),
    path("app/planted/memory/", remember_without_a_name),
    path("app/planted/customers/<uuid:customer_id>/", rename_anybody),
    path("app/planted/mystery/<uuid:mystery_id>/", rename_anybody),
    *urls.urlpatterns,
]


@pytest.fixture
def pair(live_db: object) -> tuple[Company, Company]:
    return found_company(), found_company()


def attack_url(pair: tuple[Company, Company], pattern: str) -> Report:
    report = Report()
    with override_settings(ROOT_URLCONF=PLANTED):
        UrlAttack(report, *pair).run([Route(pattern)])
    return report


def test_row_level_security_switched_off_on_one_table_is_reported(pair: tuple[Company, Company]):
    with connections[OWNER].cursor() as cursor:
        cursor.execute(f'ALTER TABLE "{pair[0].tenant.schema}".crm_customer DISABLE ROW LEVEL SECURITY')
    report = Report()
    TableAttack(report, *pair).run()
    assert report.uncovered == []
    leaks = [what for _, what in report.leaks]
    assert all("(tenant).crm_customer" in what for what in leaks)
    assert {what.split(" ")[0] for what in leaks} >= {"select", "update", "delete", "insert"}


def test_an_unscoped_queryset_is_reported(pair: tuple[Company, Company]):
    report = attack_url(pair, "app/planted/runs/")
    assert report.has_failed
    assert "shows" in report.leaks[0][1]
    assert pair[0].mark in report.leaks[0][1].lower()


def test_an_answer_that_tells_what_exists_elsewhere_is_reported(pair: tuple[Company, Company]):
    report = attack_url(pair, "app/planted/customers/<uuid:customer_id>/")
    assert "answers 200, but 404 for what nobody has" in report.leaks[0][1]


def test_a_route_that_nothing_opens_is_reported(pair: tuple[Company, Company]):
    assert attack_url(pair, "app/invoices/<uuid:invoice_id>/").uncovered == []
    for company in pair:
        company.things = [thing for thing in company.things if thing.table != "billing.Invoice"]
    assert (
        "nothing of the tenant's own opens it"
        in attack_url(pair, "app/invoices/<uuid:invoice_id>/").uncovered[0][1]
    )


def test_an_untenanted_key_is_reported_in_valkey_and_in_memory(pair: tuple[Company, Company]):
    remembered.clear()
    report, victim = Report(), (pair[1], pair[0])
    with caches.Eavesdropper().listening() as ear:
        attack_url(victim, "app/planted/memory/")
    caches.attack_keys(report, ear, pair)
    assert [what for _, what in report.leaks] == [":1:newest-customers: names no tenant"]
    caches.attack_memory(report, pair, packages=("tests.isolation",))
    assert "remembers a tenant's data under ' newest-customers'" in report.leaks[-1][1]


def test_everything_holds_and_everything_is_attacked(capsys: pytest.CaptureFixture[str]):
    """The whole of it: this is what fails when a new route, table, task or socket lets another tenant in."""
    call_command("prove_isolation")
    told = capsys.readouterr().out
    assert "nothing leaked" in told


def test_a_leak_fails_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    class Leak:
        def __init__(self, report: Report, *pair: Company) -> None:
            self.report = report

        def run(self) -> None:
            self.report.leak("pages", "GET app/: shows it")

    monkeypatch.setattr(proof, "ATTACKS", (Leak,))
    with pytest.raises(CommandError, match="1 leaks, 0 not covered"):
        call_command("prove_isolation")
    assert "LEAK  pages: GET app/: shows it" in capsys.readouterr().out

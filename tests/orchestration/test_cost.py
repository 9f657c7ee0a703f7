"""What a run costs the database."""

from django.db import connection

from apps.crm import services as crm
from apps.orchestration import selectors, services
from apps.orchestration.contracts import RunStatus
from apps.tenants.context import in_tenant
from tests.orchestration.engine import calls, start


def test_the_number_of_queries_of_an_inline_saga_is_pinned(acme, django_assert_num_queries) -> None:
    crm.create_order(tenant=acme, number="1042", total_cents=4200, customer_email="ann@example.com")
    with in_tenant(acme):
        run = services.start_run(
            tenant=acme, workflow_name="order_cancellation", input={"order_number": "1042"}, claim_inline=True
        )
    with django_assert_num_queries(29):
        services.execute_run(tenant=acme, run_id=run.id)
    assert selectors.get_run(tenant=acme, run_id=run.id).status is RunStatus.COMPLETED


def test_a_running_run_is_updated_within_its_page(acme, publish, sink, closed_breakers, no_hints) -> None:
    publish(acme, calls(sink, "a", "b", "c", "d"))
    run_id = start(acme)
    before = _updates()
    services.execute_run(tenant=acme, run_id=run_id)
    updates, within = (after - earlier for after, earlier in zip(_updates(), before, strict=True))
    assert updates >= 6
    assert updates - within == 2, "its claim and its end alone write to the indexes"


def _updates() -> tuple[int, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_stat_get_xact_tuples_updated(t), pg_stat_get_xact_tuples_hot_updated(t) "
            "FROM (VALUES ('orchestration_agentrun'::regclass)) x (t)"
        )
        return cursor.fetchone()

"""What a run costs the database."""

from apps.crm import services as crm
from apps.orchestration import selectors, services
from apps.orchestration.contracts import RunStatus
from apps.tenants.context import in_tenant


def test_the_number_of_queries_of_an_inline_saga_is_pinned(acme, django_assert_num_queries) -> None:
    crm.create_order(tenant=acme, number="1042", total_cents=4200, customer_email="ann@example.com")
    with in_tenant(acme):
        run = services.start_run(
            tenant=acme, workflow_name="order_cancellation", input={"order_number": "1042"}, claim_inline=True
        )
    with django_assert_num_queries(29):
        services.execute_run(tenant=acme, run_id=run.id)
    assert selectors.get_run(tenant=acme, run_id=run.id).status is RunStatus.COMPLETED

"""The shipped workflow with branches and a loop: several orders are recalled, or none of them."""

import pytest

from apps.crm import services as crm
from apps.crm.selectors import find_order
from apps.orchestration import services
from apps.orchestration.contracts import RunStatus
from apps.orchestration.verifying import verify_runs
from tests.orchestration.engine import assert_history_is_whole, show, start

pytestmark = pytest.mark.usefixtures("live_db", "no_hints", "valkey")


def recall(tenant, *numbers):
    run_id = start(tenant, "order_recall", order_numbers=list(numbers))
    services.execute_run(tenant=tenant, run_id=run_id)
    assert_history_is_whole(tenant, run_id)
    assert verify_runs(tenant=tenant, run_id=run_id).differences == []
    return show(tenant, run_id)


def stands(tenant, number):
    return str(find_order(tenant=tenant, number=number).status)


@pytest.fixture
def orders(acme, globex):
    for tenant in (acme, globex):
        for number in ("R1", "R2"):
            crm.create_order(tenant=tenant, number=number, total_cents=100, items=[])


def test_every_order_is_recalled(acme, globex, orders) -> None:
    run = recall(acme, "R1", "R2")
    assert run.status is RunStatus.COMPLETED
    assert run.steps[-1].output == {"text": "2 orders were recalled"}
    assert [stands(acme, number) for number in ("R1", "R2")] == ["cancelled", "cancelled"]
    assert [stands(globex, number) for number in ("R1", "R2")] == ["placed", "placed"]


def test_an_order_that_there_is_not_undoes_the_others(acme, orders) -> None:
    run = recall(acme, "R1", "gone")
    states = {step.id: step.state.value for step in run.steps}
    assert (states["hold_each[0].hold"], states["hold_each[1].hold"]) == ("undone", "failed")
    assert states["cancel_each"] == "skipped"
    assert run.status is RunStatus.COMPENSATED
    assert stands(acme, "R1") == "placed"

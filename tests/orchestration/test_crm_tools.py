import pytest

from apps.crm import selectors
from apps.crm import services as crm
from apps.orchestration import services
from apps.orchestration.contracts import RunStatus
from apps.orchestration.definitions.language.compiler import find_problems
from apps.resilience.errors import ConflictError, InvalidInput
from apps.tenants.selectors import list_audit_events
from tests.orchestration.engine import differences, show, start

pytestmark = pytest.mark.usefixtures("no_hints")
REFUND = """
  - id: "refund"
    type: "tool"
    tool: "order_refund"
    config: {{order_number: "1042", reason: "arrived broken"{more}}}"""
THEN_FAIL = """
  - {id: "last", type: "tool", tool: "order_hold", config: {order_number: "nowhere"}}
compensation:
  - {step: "change", action: "customer_restore"}"""


@pytest.fixture
def order(acme):
    made = crm.create_order(tenant=acme, number="1042", total_cents=4200, currency="EUR", status="delivered")
    return made.id


def run(tenant, **given):
    run_id = start(tenant, **given)
    services.execute_run(tenant=tenant, run_id=run_id)
    return show(tenant, run_id)


def test_a_part_is_refunded_and_then_the_rest(acme, publish, order) -> None:
    publish(acme, REFUND.format(more=", amount_cents: 1200"))
    first = run(acme)
    publish(acme, REFUND.format(more=""))
    second = run(acme)
    shown = [(run.steps[0].output["amount_cents"], run.steps[0].output["status"]) for run in (first, second)]
    assert shown == [(1200, "delivered"), (3000, "refunded")]
    found = selectors.get_order(tenant=acme, order_id=order)
    assert (found.refunded_cents, found.status) == (4200, "refunded")
    actions = selectors.list_order_actions(tenant=acme, order_id=order)
    assert [(one.amount_cents, one.reason) for one in actions] == [
        (1200, "arrived broken"),
        (3000, "arrived broken"),
    ]
    events = [event for event in list_audit_events(tenant=acme) if event.action == "order.refunded"]
    assert [event.data["amount_cents"] for event in events] == [3000, 1200]
    assert differences(acme, first.id) == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (", amount_cents: 4201", "Between 1 and 4200 cents"),
        (', currency: "USD"', "paid in EUR"),
    ],
)
def test_never_more_than_was_paid_and_in_no_other_money(acme, publish, order, more, said) -> None:
    publish(acme, REFUND.format(more=more))
    failed = run(acme)
    assert failed.status is RunStatus.FAILED
    assert said in failed.error
    assert selectors.get_order(tenant=acme, order_id=order).refunded_cents == 0


def test_the_same_effect_gives_money_back_once(acme, order) -> None:
    refund = {"tenant": acme, "order_id": order, "effect_key": "k"}
    for _ in range(2):
        assert crm.refund_order(**refund, amount_cents=1000).refunded_cents == 1000
    with pytest.raises(ConflictError, match="another amount"):
        crm.refund_order(**refund, amount_cents=1001)
    with pytest.raises(InvalidInput):
        crm.refund_order(**{**refund, "effect_key": "l"}, amount_cents=0)


@pytest.fixture
def ann(acme):
    return crm.create_customer(
        tenant=acme, name="Ann", email="ann@shop.example", metadata={"tags": ["new"]}
    ).id


def test_a_customer_is_found_by_what_is_known_of_them(acme, globex, publish, ann) -> None:
    for tenant in (acme, globex):
        publish(
            tenant,
            '  - {id: "find", type: "tool", tool: "customer_search", config: {email: "ANN@shop.example"}}',
        )
    found = run(acme).steps[0].output
    assert (found["customer_id"], found["customer"]["tags"]) == (str(ann), ["new"])
    assert run(globex).steps[0].output["found"] is False


def test_a_change_is_undone_to_what_was(acme, publish, ann) -> None:
    config = 'config: {name: "Anna", phone: "+1 555 010 9999", metadata: {vip: true}}'
    step = f'  - {{id: "change", type: "tool", tool: "customer_update", {config}}}'
    publish(acme, step + THEN_FAIL)
    assert run(acme, customer_id=str(ann)).status is RunStatus.COMPENSATED
    customer = selectors.get_customer(tenant=acme, customer_id=ann)
    assert (customer.name, customer.phone, customer.metadata) == ("Ann", "", {"tags": ["new"]})


def test_tags_are_added_removed_and_undone(acme, publish, ann) -> None:
    config = 'config: {add: ["vip", "vip"], remove: ["new"]}'
    step = f'  - {{id: "change", type: "tool", tool: "customer_tag", {config}}}'
    publish(acme, step)
    assert run(acme, customer_id=str(ann)).steps[0].output["tags"] == ["vip"]
    crm.tag_customer(tenant=acme, customer_id=ann, add=["new"], remove=["vip"])
    publish(acme, step + THEN_FAIL)
    assert run(acme, customer_id=str(ann)).status is RunStatus.COMPENSATED
    assert selectors.get_customer(tenant=acme, customer_id=ann).metadata == {"tags": ["new"]}


def test_what_somebody_changed_since_is_not_overwritten_by_undoing(acme, ann) -> None:
    change = crm.change_customer(tenant=acme, customer_id=ann, name="Anna", phone="123456")
    crm.update_customer(tenant=acme, customer_id=ann, name="Annette")
    crm.restore_customer(tenant=acme, customer_id=ann, before=change.before, after=change.after)
    customer = selectors.get_customer(tenant=acme, customer_id=ann)
    assert (customer.name, customer.phone) == ("Annette", "")


def test_who_somebody_is_cannot_be_changed_by_a_workflow(acme, publish, ann) -> None:
    step = '{id: "a", type: "tool", tool: "customer_update", config: {email: "thief@evil.example"}}'
    assert find_problems(f'name: "w"\nversion: "1"\nsteps:\n  - {step}')

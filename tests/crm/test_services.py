import threading
from uuid import uuid4

import pytest
from django.db import ProgrammingError, connection, transaction

from apps.crm import selectors, services
from apps.crm.contracts import OrderStatus
from apps.crm.models import Customer, Order, OrderAction
from apps.events.models import OutboxEvent
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants.context import in_tenant, write_waiting


def order(tenant, number="1042", **fields):
    return services.create_order(tenant=tenant, number=number, total_cents=4200, **fields)


def told(tenant, kind) -> list[dict]:
    with in_tenant(tenant):
        events = OutboxEvent.objects.filter(type=kind).order_by("position")
        return [event.envelope["data"] for event in events]


def in_threads(count, work):
    """Run `work` in threads that start together; return their results and errors."""
    gate, results = threading.Barrier(count), []

    def run(position):
        gate.wait()
        try:
            results.append(work(position))
        except Exception as exc:
            results.append(exc)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(position,)) for position in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_a_customer_is_found_by_external_id_then_by_email_else_created(acme, globex):
    ann = services.find_or_create_customer(tenant=acme, email="Ann@Example.com")
    assert services.find_or_create_customer(tenant=acme, email="ann@example.COM").id == ann.id
    filled = services.find_or_create_customer(
        tenant=acme, email="ann@example.com", external_id="7", name="Ann"
    )
    assert (filled.id, filled.external_id, filled.name) == (ann.id, "7", "Ann")
    moved = services.find_or_create_customer(
        tenant=acme, external_id="7", email="new@example.com", name="Other"
    )
    assert (moved.id, moved.email, moved.name) == (ann.id, "ann@example.com", "Ann")
    assert services.find_or_create_customer(tenant=globex, email="ann@example.com").id != ann.id
    assert len(told(acme, "agent.customer.created")) == 1


def test_an_email_that_is_anothers_is_not_filled_in(acme):
    services.create_customer(tenant=acme, email="ann@example.com")
    bob = services.create_customer(tenant=acme, external_id="8")
    found = services.find_or_create_customer(tenant=acme, external_id="8", email="ann@example.com")
    assert (found.id, found.email) == (bob.id, None)


def test_an_email_does_not_lead_to_somebody_with_another_external_id(acme):
    """An address is what people type into a shop's account: it must not open another customer's history."""
    ann = services.create_customer(tenant=acme, email="ann@example.com", external_id="7")
    bob = services.find_or_create_customer(tenant=acme, external_id="8", email="ann@example.com", name="Bob")
    assert bob.id != ann.id
    assert (bob.external_id, bob.email) == ("8", None)
    again = services.find_or_create_customer(tenant=acme, external_id="8", email="ann@example.com")
    assert again.id == bob.id
    assert services.find_or_create_customer(tenant=acme, email="ann@example.com").id == ann.id


def test_customers_are_unique_and_say_in_which_field(acme):
    services.create_customer(tenant=acme, email="ann@example.com", external_id="7")
    bob = services.create_customer(tenant=acme, name="Bob")
    with pytest.raises(InvalidInput) as refused:
        services.create_customer(tenant=acme, email="ANN@example.com")
    assert list(refused.value.errors) == ["email"]
    with pytest.raises(InvalidInput) as refused:
        services.update_customer(tenant=acme, customer_id=bob.id, external_id="7")
    assert list(refused.value.errors) == ["external_id"]


def test_a_customer_with_orders_stays(acme):
    ann = services.create_customer(tenant=acme, email="ann@example.com")
    kept = order(acme, customer_id=ann.id)
    with pytest.raises(ConflictError, match="has orders"):
        services.delete_customer(tenant=acme, customer_id=ann.id)
    services.delete_order(tenant=acme, order_id=kept.id)
    services.delete_customer(tenant=acme, customer_id=ann.id)
    with pytest.raises(NotFoundError):
        services.delete_customer(tenant=acme, customer_id=ann.id)


def test_an_order_sums_its_items_and_makes_its_customer(acme):
    items = [
        {"name": "Mug", "quantity": 2, "unit_price_cents": 1250},
        {"name": "Tea", "quantity": 1, "unit_price_cents": 700},
    ]
    made = services.create_order(tenant=acme, number="#77", items=items, customer_email="Ann@example.com")
    assert (made.number, made.total_cents, made.currency, made.status) == ("77", 3200, "USD", "placed")
    assert (made.customer_email, made.items) == ("ann@example.com", items)
    assert selectors.get_order(tenant=acme, order_id=made.id) == made


def test_order_numbers_are_unique_within_a_tenant(acme, globex):
    order(acme)
    order(globex)
    with pytest.raises(InvalidInput, match="There is an order 1042 already"):
        order(acme, number="#1042")
    with pytest.raises(InvalidInput, match="create them first"):
        order(acme, number="1", customer_id=uuid4())
    with pytest.raises(InvalidInput, match="Give the order's number"):
        services.create_order(tenant=acme)


def test_an_order_is_found_as_people_write_it(acme, globex):
    made = order(acme, number="so-1042", customer_email="ann@example.com")
    assert selectors.find_order(tenant=acme, number=" #SO-1042 ") == made
    assert selectors.find_order(tenant=acme, number="so-1042", customer_email="ANN@example.com") == made
    assert selectors.find_order(tenant=acme, number="so-1042", customer_email="bob@example.com") is None
    assert selectors.find_order(tenant=acme, number="\x00") is None
    assert selectors.find_order(tenant=globex, number="so-1042") is None
    assert selectors.list_customer_orders(tenant=acme, customer_id=made.customer_id) == [made]


def test_editing_leaves_number_and_status_alone(acme):
    made = order(acme)
    edited = services.update_order(tenant=acme, order_id=made.id, carrier="DHL", tracking_code="X1")
    assert (edited.carrier, edited.tracking_code, edited.total_cents) == ("DHL", "X1", 4200)
    with pytest.raises(InvalidInput) as refused:
        services.update_order(tenant=acme, order_id=made.id, status="shipped", number="2")
    assert set(refused.value.errors) == {"number", "status"}


def test_an_effect_happens_once_and_says_the_same_again(acme):
    order(acme)
    held = services.hold_order(tenant=acme, number="1042", effect_key="run:hold", actor="run:1")
    released = services.release_order(tenant=acme, number="#1042", effect_key="run:release")
    assert (held.status, released.status) == (OrderStatus.HELD, OrderStatus.PLACED)
    assert services.hold_order(tenant=acme, number="1042", effect_key="run:hold") == held
    assert selectors.find_order(tenant=acme, number="1042") == released
    assert [event["effect_key"] for event in told(acme, "agent.order.held")] == ["run:hold"]


def test_a_hold_is_released_to_exactly_what_it_was(acme):
    made = order(acme)
    services.ship_order(tenant=acme, order_id=made.id, effect_key="1", carrier="DHL", tracking_code="X1")
    services.hold_order(tenant=acme, order_id=made.id, effect_key="2")
    released = services.release_order(tenant=acme, order_id=made.id, effect_key="3")
    assert (released.status, released.carrier) == (OrderStatus.SHIPPED, "DHL")
    assert released.shipped_at is not None
    delivered = services.deliver_order(tenant=acme, order_id=made.id, effect_key="4")
    assert delivered.delivered_at is not None
    services.refund_order(tenant=acme, order_id=made.id, effect_key="5", actor="user:1")
    done = selectors.list_order_actions(tenant=acme, order_id=made.id)
    assert [(act.action, act.after) for act in done] == [
        ("ship", "shipped"), ("hold", "held"), ("release", "shipped"), ("deliver", "delivered"),
        ("refund", "refunded"),
    ]  # fmt: skip
    assert done[-1].actor == "user:1"


def test_a_cancelled_hold_comes_back_as_a_hold(acme):
    made = order(acme)
    services.hold_order(tenant=acme, order_id=made.id, effect_key="1")
    services.cancel_order(tenant=acme, order_id=made.id, effect_key="2")
    assert services.reinstate_order(tenant=acme, order_id=made.id, effect_key="3").status == "held"
    assert services.release_order(tenant=acme, order_id=made.id, effect_key="4").status == "placed"


def test_what_does_not_fit_changes_nothing(acme):
    made = order(acme)
    services.cancel_order(tenant=acme, order_id=made.id, effect_key="1")
    with pytest.raises(ConflictError, match="It is cancelled; only an order that is placed or held"):
        services.cancel_order(tenant=acme, order_id=made.id, effect_key="2")
    other = order(acme, number="2")
    with pytest.raises(ConflictError, match="effect key was used"):
        services.cancel_order(tenant=acme, order_id=other.id, effect_key="1")
    with pytest.raises(ConflictError, match="effect key was used"):
        services.refund_order(tenant=acme, order_id=made.id, effect_key="1")
    with pytest.raises(NotFoundError):
        services.hold_order(tenant=acme, number="404", effect_key="3")
    with pytest.raises(InvalidInput, match="Name one order"):
        services.hold_order(tenant=acme, effect_key="3")
    with pytest.raises(InvalidInput, match="effect_key"):
        services.hold_order(tenant=acme, number="2", effect_key=" ")
    assert selectors.get_order(tenant=acme, order_id=other.id).status == "placed"
    assert len(told(acme, "agent.order.cancelled")) == 1


def test_the_record_of_what_was_done_cannot_be_changed(acme):
    made = order(acme)
    services.cancel_order(tenant=acme, order_id=made.id, effect_key="1")
    for change in (OrderAction.objects.all().delete, lambda: OrderAction.objects.update(actor="x")):
        with (
            in_tenant(acme),
            pytest.raises(ProgrammingError, match="permission denied"),
            transaction.atomic(),
        ):
            change()
    with pytest.raises(ConflictError, match="history"):
        services.delete_order(tenant=acme, order_id=made.id)


def test_an_order_is_acted_on_with_few_queries(acme, django_assert_num_queries):
    made = order(acme)
    with in_tenant(acme):
        # lock, effect key, update, savepoint, record, release, outbox
        with django_assert_num_queries(7):
            services.hold_order(tenant=acme, order_id=made.id, effect_key="1")
            write_waiting()
        with django_assert_num_queries(2):
            services.hold_order(tenant=acme, order_id=made.id, effect_key="1")


def test_a_lead_is_captured_once_for_its_key(acme):
    ann = services.create_customer(tenant=acme, email="ann@example.com")
    lead = services.capture_lead(tenant=acme, effect_key="k", email="ANN@example.com", message="Call me")
    again = services.capture_lead(tenant=acme, effect_key="k", email="ann@example.com", message="Twice")
    assert (again, lead.customer_id, lead.status) == (lead, ann.id, "new")
    assert len(told(acme, "agent.lead.captured")) == 1
    with pytest.raises(InvalidInput, match="nobody can call back"):
        services.capture_lead(tenant=acme, effect_key="k2", name="Ghost")
    won = services.update_lead(tenant=acme, lead_id=lead.id, status="won")
    assert won.status == "won"
    with pytest.raises(InvalidInput, match="nobody can call back"):
        services.update_lead(tenant=acme, lead_id=lead.id, email=None)


def test_nothing_is_seen_or_done_across_tenants(acme, globex):
    made = order(acme, customer_email="ann@example.com")
    lead = services.capture_lead(tenant=acme, effect_key="k", phone="5550100")
    with pytest.raises(NotFoundError):
        selectors.get_order(tenant=globex, order_id=made.id)
    with pytest.raises(NotFoundError):
        services.cancel_order(tenant=globex, order_id=made.id, effect_key="1")
    with pytest.raises(NotFoundError):
        selectors.get_customer(tenant=globex, customer_id=made.customer_id)
    with pytest.raises(NotFoundError):
        services.update_lead(tenant=globex, lead_id=lead.id, status="won")
    with pytest.raises(InvalidInput, match="create them first"):
        order(globex, customer_id=made.customer_id)


def test_the_same_effect_at_the_same_moment_happens_once(live_db, acme):
    made = order(acme)
    views = in_threads(6, lambda _: services.cancel_order(tenant=acme, order_id=made.id, effect_key="same"))
    assert len(set(map(repr, views))) == 1
    assert views[0].status == "cancelled"
    with in_tenant(acme):
        assert OrderAction.objects.count() == 1
    refusals = in_threads(
        4, lambda n: services.reinstate_order(tenant=acme, order_id=made.id, effect_key=f"other{n}")
    )
    assert sum(isinstance(outcome, ConflictError) for outcome in refusals) == 3


def test_the_same_customer_at_the_same_moment_is_one(live_db, acme):
    found = in_threads(
        6, lambda _: services.find_or_create_customer(tenant=acme, email="ann@example.com", name="Ann").id
    )
    assert len(set(found)) == 1
    with in_tenant(acme):
        assert Customer.objects.count() == 1


def test_an_order_keeps_itself_right(acme):
    made = order(acme)
    with in_tenant(acme):
        for wrong in ({"status": "lost"}, {"total_cents": -1}):
            with pytest.raises(Exception, match="order_"), transaction.atomic():
                Order.objects.filter(id=made.id).update(**wrong)

"""Signed webhooks: what a delivery does, that it does it once, and what is refused."""

from unittest import mock

import pytest
from django.utils import timezone

from apps.conversations.models import Conversation, Message
from apps.crm.models import Customer
from apps.events.models import OutboxEvent
from apps.orchestration.definitions.contracts import hook_name
from apps.orchestration.definitions.services import validate_workflow
from apps.orchestration.hooks import services
from apps.orchestration.hooks.models import Delivery
from apps.orchestration.services import execute_run, start_run
from apps.resilience.errors import InvalidInput
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.lifecycle import resume_tenant, suspend_tenant
from tests.conversations.test_concurrency import at_once
from tests.orchestration.hooks import (
    IMPORT_ORDERS,
    ORDER,
    WRONG_SECRET,
    headers,
    listen,
    log_of,
    open_endpoint,
    post,
    runs,
    send,
    statuses,
)

pytestmark = pytest.mark.usefixtures("fresh_limits")


# -- what a delivery does


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/webhook/support", "support"),
        ("/hooks/support", "support"),
        ("support", "support"),
        ("/support/", "support"),
        (" /WEBHOOK/Support ", "support"),
        ("webhook", "webhook"),
        ("/hooks/acme/support", ""),
        ("/a/b", ""),
        ("", ""),
        ("/webhook/", "webhook"),
        ("/webhook/ü", ""),
        ("https://x.example/webhook/support", ""),
    ],
)
def test_a_triggers_address_means_an_endpoint(address: str, name: str):
    assert hook_name(address) == name


def test_an_address_that_no_endpoint_can_have_is_told_before_publishing(acme):
    problems = validate_workflow(tenant=acme, source=IMPORT_ORDERS % ("w", "/a/b/c"))
    assert [(p.line, p.message) for p in problems] == [(4, "no webhook endpoint can have this address")]
    assert validate_workflow(tenant=acme, source=IMPORT_ORDERS % ("w", "/webhook/orders")) == []


def test_a_delivery_starts_every_workflow_that_listens(acme: TenantRef, globex: TenantRef):
    issued = open_endpoint(acme, "orders")
    listen(acme, "/webhook/orders", "first")
    listen(acme, "orders", "second")
    listen(acme, "/webhook/others", "other")
    listen(globex, "orders", "theirs")
    answer = send(acme, issued, {**ORDER, "copies": 2})
    assert answer.status_code == 202
    started = answer.json()["runs"]
    assert [run["workflow"] for run in started] == ["first", "second"]
    assert [str(run.id) for run in runs(acme)] == [run["id"] for run in started]
    assert runs(acme)[0].input == {"order_number": "77", "copies": 2, "channel": "webhook"}
    assert runs(globex) == []
    [delivery] = log_of(acme)
    assert (str(delivery.id), delivery.led_to["runs"]) == (answer.json()["delivery"], started)


def test_the_shipped_workflow_answers_in_a_conversation(live_db, acme: TenantRef):
    issued = open_endpoint(acme)
    customer = {"name": "Ada", "email": "ada@example.com"}
    answer = send(acme, issued, {"text": "I want to complain about my order!", "customer": customer})
    [run] = answer.json()["runs"]
    assert run["workflow"] == "customer_support_workflow"
    execute_run(tenant=acme, run_id=run["id"])
    with in_tenant(acme):
        talk = Conversation.objects.get(id=run["conversation"])
        said = list(
            Message.objects.filter(conversation=talk).order_by("seq").values_list("author", flat=True)
        )
        assert (talk.channel, talk.customer.email, talk.status) == ("webhook", "ada@example.com", "escalated")
    assert said == ["customer", "ai"]


def test_a_message_becomes_a_conversation(acme: TenantRef):
    issued = open_endpoint(acme, action="message")
    payload = {
        "customer": {"name": "Ada", "email": "ada@example.com", "external_id": "7"},
        "message": {"text": "Hello?", "client_message_id": "m1"},
        "more": 1,
    }
    answer = send(acme, issued, payload)
    assert answer.status_code == 202
    told = answer.json()
    assert set(told) == {"delivery", "conversation", "message", "run"}
    with in_tenant(acme):
        message = Message.objects.get(id=told["message"]["id"])
        assert (message.text, message.seq, message.client_message_id) == ("Hello?", 1, "m1")
        assert str(message.conversation_id) == told["conversation"]["id"]
        assert message.conversation.customer.external_id == "7"
    assert [str(run.id) for run in runs(acme)] == [told["run"]["id"]]


# -- exactly once


def test_a_repeated_delivery_gets_the_same_answer_and_starts_nothing(acme: TenantRef):
    issued = open_endpoint(acme, "orders")
    listen(acme)
    first = send(acme, issued, ORDER, "msg_1")
    again, other = send(acme, issued, ORDER, "msg_1"), send(acme, issued, {"order_number": "x"}, "msg_1")
    broken = send(acme, issued, b"not JSON", "msg_1")
    assert [a.status_code for a in (first, again, other, broken)] == [202, 200, 200, 200]
    assert first.json() == again.json() == other.json() == broken.json()
    assert len(runs(acme)) == 1
    assert statuses(acme) == ["accepted", "duplicate", "duplicate", "duplicate"]
    assert [bool(d.reason) for d in log_of(acme)] == [False, False, True, True]
    assert send(acme, issued, ORDER, "msg_2").status_code == 202


def test_the_same_id_counts_for_each_endpoint_and_tenant(acme: TenantRef, globex: TenantRef):
    payload = {"message": {"text": "Hello"}}
    doors = [
        (acme, open_endpoint(acme, "a", "message")),
        (acme, open_endpoint(acme, "b", "message")),
        (globex, open_endpoint(globex, "a", "message")),
    ]
    answers = [send(tenant, issued, payload, "msg_1") for tenant, issued in doors]
    assert [answer.status_code for answer in answers] == [202] * 3
    assert len({answer.json()["message"]["id"] for answer in answers}) == 3
    again = [send(tenant, issued, payload, "msg_1").json() for tenant, issued in doors]
    assert again == [answer.json() for answer in answers]


def test_the_same_delivery_at_the_same_moment_is_one(live_db, acme: TenantRef):
    issued, body = open_endpoint(acme, "orders"), b'{"order_number": "77"}'
    listen(acme)
    signed = headers(issued.secret, body, "msg_1")
    answers = at_once([lambda: post(acme, "orders", body, signed)] * 24)
    assert sorted(answer.status_code for answer in answers) == [200] * 23 + [202]
    assert len({answer.content for answer in answers}) == 1
    assert len(runs(acme)) == 1
    with in_tenant(acme):
        assert OutboxEvent.objects.filter(type="agent.run.started").count() == 1
    assert sorted(statuses(acme)) == ["accepted"] + ["duplicate"] * 23


@pytest.mark.parametrize("action", ["workflows", "message"])
def test_a_death_in_the_middle_leaves_nothing_and_the_repeat_does_it(live_db, acme: TenantRef, action: str):
    """Whatever breaks between the log's line and the commit takes the run and the line back together."""
    issued = open_endpoint(acme, "orders", action)
    listen(acme)
    payload = {**ORDER, "message": {"text": "Hello"}}
    with mock.patch.object(Delivery, "save", autospec=True, side_effect=_dies_at_second_save()):
        assert send(acme, issued, payload, "msg_1").status_code == 500
    assert (runs(acme), log_of(acme)) == ([], [])
    with in_tenant(acme):
        assert not Conversation.objects.exists()
        assert not OutboxEvent.objects.filter(type="agent.run.started").exists()
    assert send(acme, issued, payload, "msg_1").status_code == 202
    assert (len(runs(acme)), statuses(acme)) == (1, ["accepted"])


def _dies_at_second_save():
    real, calls = Delivery.save, []

    def save(self, *args, **kwargs):
        calls.append(self)
        if len(calls) == 2:
            raise SystemError("killed")
        return real(self, *args, **kwargs)

    return save


# -- refusals


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (b"", "body"),
        (b"[]", "body"),
        (b'"text"', "body"),
        (b"{", "body"),
        (b"\xff\xfe", "body"),
        (b'{"order_number": "a\\u0000b"}', "body"),
        (b'{"order_number": "\\ud800"}', "body"),
        (b'{"copies": NaN}', "body"),
        (b'{"order_number": "1", "copies": 1e999}', "body"),
        (b"[" * 5000 + b"]" * 5000, "body"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "body"),
        ({}, "order_number"),
        ({"order_number": ""}, "order_number"),
        ({"order_number": 7}, "order_number"),
        ({"order_number": {"a": 1}}, "order_number"),
        ({"order_number": "7", "copies": "many"}, "copies"),
        ({"order_number": "7", "copies": True}, "copies"),
        ({"order_number": "x" * 30_000}, "order_number"),
    ],
)
def test_a_bad_body_is_refused_at_its_field_and_changes_nothing(acme: TenantRef, payload, field: str):
    issued = open_endpoint(acme, "orders")
    listen(acme, name="b_takes_orders")
    listen(acme, name="a_takes_orders")
    answer = send(acme, issued, payload, "msg_1")
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert list(answer.json()["errors"]) == [field]
    assert runs(acme) == []
    [delivery] = log_of(acme)
    assert (delivery.status, delivery.led_to) == ("refused", {})
    assert field in delivery.reason
    # The sender mends it and sends the same event again.
    assert send(acme, issued, ORDER, "msg_1").status_code == 202


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "message"),
        ({"message": "Hello"}, "message"),
        ({"message": {}}, "message.text"),
        ({"message": {"text": "  "}}, "message.text"),
        ({"message": {"text": 7}}, "message.text"),
        ({"message": {"text": "x" * 9000}}, "message.text"),
        ({"message": {"text": "Hello", "client_message_id": "x" * 200}}, "message.client_message_id"),
        ({"message": {"text": "Hello", "client_message_id": 7}}, "message.client_message_id"),
        ({"message": {"text": "Hello"}, "customer": "Ada"}, "customer"),
        ({"message": {"text": "Hello"}, "customer": {"email": "nonsense"}}, "customer.email"),
        ({"message": {"text": "Hello"}, "customer": {"name": ["Ada"]}}, "customer.name"),
    ],
)
def test_a_bad_message_is_refused_at_its_field(acme: TenantRef, payload: dict, field: str):
    answer = send(acme, open_endpoint(acme, action="message"), payload)
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [field]
    assert statuses(acme) == ["refused"]
    with in_tenant(acme):
        assert not Conversation.objects.exists()
        assert not Customer.objects.exists()


def test_a_message_for_a_workflow_needs_its_text(acme: TenantRef):
    answer = send(acme, open_endpoint(acme), {"message": {"text": "Hello"}})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["text"])


def test_a_workflow_that_routes_needs_a_text(acme: TenantRef, publish):
    publish(acme, "  - {id: route, type: router}", 'triggers: [{type: webhook, endpoint: "orders"}]')
    issued = open_endpoint(acme, "orders")
    refused = send(acme, issued, ORDER)
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["text"])
    with pytest.raises(InvalidInput, match=r"input\.text"):
        start_run(tenant=acme, workflow_name="w", input={"text": ""})
    assert send(acme, issued, {"text": "Hello"}).status_code == 202


def test_without_a_listener_a_delivery_is_refused_so_that_it_comes_again(acme: TenantRef):
    issued = open_endpoint(acme, "orders")
    refused = send(acme, issued, ORDER, "msg_1")
    assert refused.status_code == 409
    assert "/webhook/orders" in refused.json()["detail"]
    listen(acme)
    assert send(acme, issued, ORDER, "msg_1").status_code == 202


def test_a_suspended_company_takes_nothing(acme: TenantRef, settings):
    issued = open_endpoint(acme, action="message")
    payload = {"message": {"text": "Hello"}}
    suspend_tenant(tenant=acme, reason="Unpaid", actor="staff:a@platform.example")
    assert send(acme, issued, payload).status_code == 403
    stranger = post(acme, "support", b"{}", headers(WRONG_SECRET, b"{}"))
    assert stranger.status_code == 401, "a stranger is not told"
    resume_tenant(tenant=acme, reason="Paid", actor="staff:a@platform.example")
    assert send(acme, issued, payload).status_code == 202


def test_a_spent_quota_is_told_to_the_sender_alone(acme: TenantRef):
    from apps.billing.models import Plan, UsageBucket
    from apps.billing.services import subscribe_tenant

    issued = open_endpoint(acme, action="message")
    Plan.objects.create(code="tiny", name="Tiny", requests_per_minute=60, included={"message": 1})
    subscribe_tenant(tenant=acme, plan_code="tiny")
    with in_tenant(acme):
        UsageBucket.objects.create(kind="message", starts_at=timezone.now(), quantity=1)
    payload = {"message": {"text": "Hello"}}
    refused = send(acme, issued, payload)
    assert (refused.status_code, refused.json()["kind"]) == (402, "message")
    assert post(acme, "support", b"{}", headers(WRONG_SECRET, b"{}")).status_code == 401


def test_the_plans_rate_holds_for_senders_and_the_strangers_for_others(acme: TenantRef, settings):
    settings.ANONYMOUS_PER_MINUTE = 2
    issued = open_endpoint(acme, action="message")
    answer = send(acme, issued, {"message": {"text": "Hello"}})
    assert int(answer.headers["RateLimit-Limit"]) > 2
    last = [post(acme, "support", b"{}", headers(WRONG_SECRET, b"{}")).status_code for _ in range(3)]
    assert last == [401, 401, 429]


def test_a_huge_body_is_refused_unread(acme: TenantRef):
    issued = open_endpoint(acme, action="message")
    answer = send(acme, issued, b'{"a": "' + b"x" * 300_000 + b'"}')
    assert answer.status_code == 413
    assert "262144" in answer.json()["detail"]
    assert statuses(acme) == []


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete", "head", "options"])
def test_other_methods_open_nothing(acme: TenantRef, method: str, client):
    open_endpoint(acme)
    assert getattr(client, method)("/hooks/acme/support").status_code in (401, 405)


@pytest.mark.parametrize("path", ["/hooks/", "/hooks/acme", "/hooks/acme/", "/hooks/acme/a/b", "/hooks//x"])
def test_other_addresses_lead_nowhere(db, path: str, client):
    answer = client.post(path, b"{}", "application/json")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_old_deliveries_are_forgotten(acme: TenantRef, globex: TenantRef):
    issued = open_endpoint(acme, action="message")
    for _ in range(2):
        send(acme, issued, {"message": {"text": "Hello"}})
    with in_tenant(acme):
        old = Delivery.objects.order_by("id").first()
        Delivery.objects.filter(id=old.id).update(created_at=timezone.now() - services.KEPT)
    assert services.purge_deliveries(tenant=globex) == 0
    assert services.purge_deliveries(tenant=acme) == 1
    assert old.id not in {delivery.id for delivery in log_of(acme)}


def test_a_delivery_costs_few_queries(acme: TenantRef, django_assert_max_num_queries):
    issued = open_endpoint(acme, "orders")
    listen(acme)
    send(acme, issued, ORDER)
    with django_assert_max_num_queries(22):
        assert send(acme, issued, ORDER).status_code == 202

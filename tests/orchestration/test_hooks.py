"""Signed webhooks: who gets in, what a delivery does, and that it does it once."""

import time
from unittest import mock

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as rules
from hypothesis import strategies as st

from apps.conversations.models import Conversation, Message
from apps.crm.models import Customer
from apps.events.models import OutboxEvent
from apps.gateway import limits
from apps.orchestration.definitions.contracts import hook_name
from apps.orchestration.definitions.services import validate_workflow
from apps.orchestration.hooks import services, signing
from apps.orchestration.hooks.contracts import SignedDelivery
from apps.orchestration.hooks.models import Delivery, Endpoint
from apps.orchestration.services import execute_run, start_run
from apps.resilience.errors import InvalidInput
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import list_audit_events
from tests.conversations.test_concurrency import at_once
from tests.orchestration.hooks import (
    IMPORT_ORDERS,
    headers,
    listen,
    log_of,
    open_endpoint,
    post,
    runs,
    send,
    statuses,
)

SECRET = "whsec_" + "QUJD" * 8
ORDER = {"order_number": "77", "anything": {"else": True}}


@pytest.fixture(autouse=True)
def _fresh_limits(valkey: object) -> None:
    limits.limiter.cache_clear()
    limits.PLAN_RATES.forget()
    limits.QUOTAS.forget()


# -- signatures


def test_the_specifications_own_example_is_verified():
    """The key, message and signature that the libraries of Standard Webhooks are tested with."""
    secret, webhook_id = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek"
    body, known = b'{"test": 2432232314}', "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signing.sign(secret, webhook_id, "1614265330", body) == known
    several = f"v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,{known[3:]} {known}"
    signed = SignedDelivery(webhook_id=webhook_id, timestamp="1614265330", signature=several, body=body)
    assert signing.is_signed(signed, [SECRET, secret])


PARTS = st.sampled_from(["webhook_id", "timestamp", "signature", "body"])


@given(
    PARTS,
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=80),
    st.binary(max_size=80),
    st.integers(0, 1000),
)
@rules(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_change_of_what_was_signed_is_refused(part: str, text: str, raw: bytes, at: int):
    body = b'{"a": 1}'
    whole = {"webhook_id": "msg_1", "timestamp": "1700000000", "body": body}
    whole["signature"] = signing.sign(SECRET, "msg_1", "1700000000", body)
    assert signing.is_signed(SignedDelivery(**whole), [SECRET])
    before = whole[part]
    new = raw if part == "body" else text
    place = at % (len(before) + 1)
    changed = before[:place] + new + before[place + (at % 3) :]
    # A dot would shift the parts; it is refused before the signature is looked at.
    assume(changed != before and "." not in str(changed if part != "body" else ""))
    assume(part != "signature" or before not in changed.split(" "))
    assert not signing.is_signed(SignedDelivery(**{**whole, part: changed}), [SECRET])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"webhook_id": ""}, "Send the headers"),
        ({"timestamp": ""}, "Send the headers"),
        ({"signature": ""}, "Send the headers"),
        ({"webhook_id": "a.1700000000"}, "webhook-id"),
        ({"webhook_id": "x" * 256}, "webhook-id"),
        ({"webhook_id": "ä"}, "webhook-id"),
        ({"webhook_id": "a b"}, "webhook-id"),
        ({"timestamp": "soon"}, "whole seconds"),
        ({"timestamp": "-1700000000"}, "whole seconds"),
        ({"timestamp": "1_700"}, "whole seconds"),
        ({"timestamp": "\u0661\u0667"}, "whole seconds"),
        ({"timestamp": "9" * 400}, "whole seconds"),
        ({"timestamp": "1699999699"}, "5 minutes"),
        ({"timestamp": "1700000301"}, "5 minutes"),
        ({"timestamp": "1699999700"}, ""),
        ({"timestamp": "1700000300"}, ""),
    ],
)
def test_the_headers_are_held_to_the_letter(change: dict, said: str):
    whole = {"webhook_id": "msg_1", "timestamp": "1700000000", "signature": "v1,x", "body": b""}
    fault = signing.find_fault(SignedDelivery(**{**whole, **change}), 1_700_000_000)
    assert said in fault
    assert bool(said) == bool(fault)


def test_an_old_signature_opens_nothing(acme: TenantRef):
    issued = open_endpoint(acme, action="message")
    body = b'{"message": {"text": "Hello"}}'
    for age in (-301, 302):
        signed = headers(issued.secret, body, at=time.time() + age)
        refused = post(acme, "support", body, signed)
        assert refused.status_code == 401
        assert "5 minutes" in refused.json()["detail"]
    assert post(acme, "support", body, headers(issued.secret, body, at=time.time() - 290)).status_code == 202


def test_strangers_learn_nothing(acme: TenantRef, globex: TenantRef):
    """Unknown tenant, unknown endpoint, paused endpoint, wrong secret: the same answer to the letter."""
    issued, paused = open_endpoint(acme), open_endpoint(acme, "quiet")
    services.switch_endpoint(tenant=acme, endpoint_id=paused.endpoint.id, is_active=False, actor="test")
    body = b"{}"
    nobody = TenantRef(acme.id, "nobody", "t_nobody")
    answers = [
        post(nobody, "support", body, headers(issued.secret, body)),
        post(acme, "nowhere", body, headers(issued.secret, body)),
        post(acme, "quiet", body, headers(paused.secret, body)),
        post(acme, "support", body, headers(SECRET, body)),
        post(globex, "support", body, headers(issued.secret, body)),
    ]
    assert {answer.status_code for answer in answers} == {401}
    told = [{k: v for k, v in a.json().items() if k != "request_id"} for a in answers]
    assert all(one == told[0] for one in told)
    names = [sorted(answer.headers) for answer in answers]
    assert all(one == names[0] for one in names)
    assert answers[0].headers["WWW-Authenticate"].startswith("Standard-Webhooks")
    assert [d.reason for d in log_of(acme)] == [
        "The endpoint is paused.",
        "No signature fits the endpoint's secret and the body.",
    ]


def test_a_secret_opens_no_other_tenants_endpoint_of_the_same_name(acme: TenantRef, globex: TenantRef):
    ours, theirs = open_endpoint(acme, action="message"), open_endpoint(globex, action="message")
    payload = {"message": {"text": "Hello"}}
    assert send(globex, ours, payload).status_code == 401
    assert send(globex, theirs, payload).status_code == 202
    assert (statuses(acme), statuses(globex)) == ([], ["refused", "accepted"])
    with in_tenant(acme):
        assert not Conversation.objects.exists()
        assert not Endpoint.objects.filter(id=theirs.endpoint.id).exists()


def test_a_credential_of_another_kind_opens_nothing(acme: TenantRef, globex: TenantRef):
    from apps.tenants.services import create_api_key

    issued = open_endpoint(acme)
    token = create_api_key(tenant=acme, name="all", scopes=["api:write"]).token
    refused = post(acme, "support", b"{}", {"Authorization": f"Api-Key {token}"})
    assert refused.status_code == 401
    # and a sender is nobody elsewhere
    signed = headers(issued.secret, b"{}")
    assert post(acme, "support/../../api/v1/runs", b"{}", signed).status_code in (401, 404)


def test_what_strangers_send_is_counted_not_collected(acme: TenantRef):
    open_endpoint(acme)
    for number in range(5):
        post(acme, "support", b"{}", headers(SECRET, b"{}", f"msg_{number}"))
        post(acme, "support", b"{}", {"webhook-id": "\x00\x01é" + "x" * 400})
    assert [(d.status, d.times, d.is_verified) for d in log_of(acme)] == [("refused", 5, False)] * 2


def test_a_rotated_secret_overlaps_and_ends(acme: TenantRef):
    old, payload = open_endpoint(acme, action="message"), {"message": {"text": "Hello"}}
    endpoint_id = old.endpoint.id
    new = services.rotate_secret(tenant=acme, endpoint_id=endpoint_id, overlap_s=60, actor="test")
    assert [send(acme, one, payload).status_code for one in (old, new)] == [202, 202]
    with in_tenant(acme):
        Endpoint.objects.update(previous_until=timezone.now())
    assert [send(acme, one, payload).status_code for one in (old, new)] == [401, 202]
    newest = services.rotate_secret(tenant=acme, endpoint_id=endpoint_id, overlap_s=0, actor="test")
    assert [send(acme, one, payload).status_code for one in (new, newest)] == [401, 202]
    with in_tenant(acme):
        stored = Endpoint.objects.values_list("secret", "previous_secret").get()
    assert not any("whsec_" in secret or newest.secret[6:20] in secret for secret in stored)
    acts = [event.action for event in list_audit_events(tenant=acme)]
    assert acts[:3] == ["webhook.rotated", "webhook.rotated", "webhook.created"]


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


def test_an_address_that_no_endpoint_can_have_is_told_before_publishing():
    problems = validate_workflow(source=IMPORT_ORDERS % ("w", "/a/b/c"))
    assert [(p.line, p.message) for p in problems] == [(4, "no webhook endpoint can have this address")]
    assert validate_workflow(source=IMPORT_ORDERS % ("w", "/webhook/orders")) == []


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
    suspended = TenantRef(acme.id, acme.slug, acme.schema, is_suspended=True)
    with mock.patch("apps.orchestration.hooks.doorway.get_tenant", return_value=suspended):
        assert send(acme, issued, payload).status_code == 403
        stranger = post(acme, "support", b"{}", headers(SECRET, b"{}"))
        assert stranger.status_code == 401, "a stranger is not told"
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
    assert post(acme, "support", b"{}", headers(SECRET, b"{}")).status_code == 401


def test_the_plans_rate_holds_for_senders_and_the_strangers_for_others(acme: TenantRef, settings):
    settings.ANONYMOUS_PER_MINUTE = 2
    issued = open_endpoint(acme, action="message")
    answer = send(acme, issued, {"message": {"text": "Hello"}})
    assert int(answer.headers["RateLimit-Limit"]) > 2
    last = [post(acme, "support", b"{}", headers(SECRET, b"{}")).status_code for _ in range(3)]
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

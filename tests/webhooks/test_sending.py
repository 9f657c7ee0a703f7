"""What happens is told to tenants' systems: signed, at least once, and one failing system harms no other."""

import base64
import datetime as dt
import hashlib
import hmac
import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core import mail
from django.utils import timezone

from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.signing import new_secret
from apps.webhooks import catalog, services
from apps.webhooks.contracts import IssuedSecret
from apps.webhooks.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from apps.webhooks.services import sending
from tests.live import LiveDatabase
from tests.pages import member_of
from tests.webhooks.conftest import Receiver, order_cancelled, tell

pytestmark = pytest.mark.usefixtures("live_db")
CANCELLED = "agent.order.cancelled"


def listen(tenant: TenantRef, receiver: Receiver, path: str = "/hooks", **fields: Any) -> IssuedSecret:
    wanted = {"event_types": ["*"], **fields}
    return services.create_endpoint(tenant=tenant, url=f"{receiver.url}{path}", actor="test", **wanted)


def sweep(*, suspect: bool = False, limit: int = 50) -> int:
    """Claim and make what is due, here and now."""
    return services.sweep_due_deliveries(limit=limit, submit=lambda work: work(), suspect=suspect)


def deliveries(tenant: TenantRef) -> list[WebhookDelivery]:
    with in_tenant(tenant):
        return list(WebhookDelivery.objects.order_by("id"))


def attempts(tenant: TenantRef) -> list[WebhookAttempt]:
    with in_tenant(tenant):
        return list(WebhookAttempt.objects.order_by("delivery_id", "number"))


def endpoint_of(tenant: TenantRef) -> WebhookEndpoint:
    with in_tenant(tenant):
        return WebhookEndpoint.objects.get()


def hurry(tenant: TenantRef, **fields: Any) -> None:
    """Let what waits be due now."""
    with in_tenant(tenant):
        past = timezone.now() - dt.timedelta(seconds=1)
        waiting = WebhookDelivery.objects.filter(status="pending")
        waiting.update(due_at=past, leased_until=None, **fields)


def signature(secret: str, request: dict[str, Any]) -> str:
    """Sign as a receiver's own library does."""
    headers = request["headers"]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request["body"]
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def test_an_event_is_told_once_to_its_tenant_only(
    acme: TenantRef, globex: TenantRef, receiver: Receiver
) -> None:
    issued = listen(acme, receiver, "/acme")
    listen(globex, receiver, "/globex")
    envelope = order_cancelled(acme)
    for _ in range(2):
        tell(acme, envelope)
    with in_tenant(acme):
        assert services.enqueue([envelope]) == 1, "also without the inbox"
    assert sweep() == 1
    assert sweep() == 0
    (request,) = receiver.requests
    assert request["path"] == "/acme"
    assert json.loads(request["body"]) == {
        "type": CANCELLED,
        "version": 1,
        "timestamp": envelope.occurred_at.isoformat(),
        "data": {
            "order_id": envelope.data["order_id"], "number": "1042", "before": "paid", "after": "cancelled",
        },
    }  # fmt: skip
    assert request["headers"]["webhook-signature"] == signature(issued.secret, request)
    (made,) = attempts(acme)
    assert (made.outcome, made.response_status, made.number) == ("succeeded", 204, 1)
    assert deliveries(globex) == []


def test_the_guides_verification_takes_it_and_nothing_else(acme: TenantRef, receiver: Receiver) -> None:
    guide = (Path(settings.ROOT) / "docs" / "api.md").read_text()
    found = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    code = next(one for one in found if "def verify" in one)
    names: dict[str, Any] = {}
    exec(code, names)
    issued = listen(acme, receiver)
    tell(acme)
    sweep()
    (request,) = receiver.requests
    verify, headers, body = names["verify"], request["headers"], request["body"]
    assert verify(issued.secret, headers, body)
    assert not verify(issued.secret, headers, body + b" ")
    assert not verify(issued.secret, {**headers, "webhook-timestamp": "1"}, body)
    assert not verify(new_secret(), headers, body)


def test_only_what_was_chosen_is_sent(acme: TenantRef, receiver: Receiver) -> None:
    listen(acme, receiver, event_types=["agent.order.shipped"])
    tell(acme)
    assert deliveries(acme) == []


def test_both_secrets_sign_while_they_overlap(acme: TenantRef, receiver: Receiver) -> None:
    former = listen(acme, receiver)
    endpoint_id = former.endpoint.id
    new = services.rotate_secret(tenant=acme, endpoint_id=endpoint_id, overlap_s=600, actor="test")
    tell(acme)
    sweep()
    with in_tenant(acme):
        WebhookEndpoint.objects.update(previous_until=timezone.now())
    tell(acme)
    sweep()
    during, after = receiver.requests
    assert during["headers"]["webhook-signature"].split(" ") == [
        signature(new.secret, during), signature(former.secret, during),
    ]  # fmt: skip
    assert after["headers"]["webhook-signature"] == signature(new.secret, after)


def test_a_failure_is_repeated_ever_later_for_three_days_under_one_id(
    acme: TenantRef, receiver: Receiver
) -> None:
    listen(acme, receiver)
    receiver.answer = lambda number: (500, {})
    tell(acme)
    waits = []
    for number in range(1, 11):
        assert sweep(suspect=number > 1) == 1
        (row,) = deliveries(acme)
        if row.due_at:
            waits.append((row.due_at - timezone.now()).total_seconds())
        hurry(acme)
    assert (row.status, row.attempts) == ("failed", 10)
    assert [round(wait / usual) for wait, usual in zip(waits, sending.SCHEDULE_S, strict=True)] == [1] * 9
    assert 3 * 86_400 < sum(sending.SCHEDULE_S) < 3.5 * 86_400
    assert len({request["headers"]["webhook-id"] for request in receiver.requests}) == 1
    assert len({request["body"] for request in receiver.requests}) == 1
    last = attempts(acme)[-1]
    assert (last.response_body, last.error) == ("<b>what it says</b>", "It answered 500.")


@pytest.mark.parametrize(
    ("asked", "waited"), [("3600", 3600), ("999999", 86_400), ("soon", 5), ("-5", 5), ("1" * 400, 86_400)]
)
def test_a_wish_to_wait_is_honoured(acme: TenantRef, receiver: Receiver, asked: str, waited: int) -> None:
    listen(acme, receiver)
    receiver.answer = lambda number: (429, {"Retry-After": asked})
    tell(acme)
    sweep()
    (row,) = deliveries(acme)
    assert row.due_at is not None
    assert (row.due_at - timezone.now()).total_seconds() == pytest.approx(waited, rel=0.25, abs=1)


def test_a_redirect_is_no_success_and_not_followed(acme: TenantRef, receiver: Receiver) -> None:
    listen(acme, receiver)
    receiver.answer = lambda number: (307, {"Location": f"{receiver.url}/elsewhere"})
    tell(acme)
    sweep()
    assert [request["path"] for request in receiver.requests] == ["/hooks"]
    assert deliveries(acme)[0].status == "pending"


def test_who_is_gone_hears_nothing_more_and_its_company_is_told(acme: TenantRef, receiver: Receiver) -> None:
    listen(acme, receiver)
    owner, admin = member_of(acme, Role.OWNER), member_of(acme, Role.ADMIN)
    member_of(acme, Role.AGENT)
    receiver.answer = lambda number: (410, {})
    for _ in range(2):
        tell(acme)
    sweep(limit=1)
    assert endpoint_of(acme).state == "gone"
    assert {row.status for row in deliveries(acme)} == {"failed"}
    tell(acme)
    assert len(deliveries(acme)) == 2
    assert services.mail_notices(tenant=acme) == 1
    assert services.mail_notices(tenant=acme) == 0
    assert sorted(sent.to[0] for sent in mail.outbox) == sorted([owner, admin])
    assert "410 Gone" in mail.outbox[0].body


def test_days_of_nothing_but_failures_pause_an_endpoint_and_nothing_is_lost(
    acme: TenantRef, receiver: Receiver
) -> None:
    issued = listen(acme, receiver)
    member_of(acme, Role.OWNER)
    receiver.answer = lambda number: (500, {})
    tell(acme)
    sweep()
    assert endpoint_of(acme).state == "active"
    with in_tenant(acme):
        long_ago = timezone.now() - dt.timedelta(days=3, minutes=1)
        WebhookEndpoint.objects.update(failing_since=long_ago)
    hurry(acme)
    sweep(suspect=True)
    assert endpoint_of(acme).state == "failing"
    assert services.mail_notices(tenant=acme) == 1
    tell(acme)
    hurry(acme)
    assert sweep() + sweep(suspect=True) == 0
    receiver.answer = lambda number: (200, {})
    services.resume_endpoint(tenant=acme, endpoint_id=issued.endpoint.id, actor="test")
    assert sweep() == 2
    assert {row.status for row in deliveries(acme)} == {"delivered"}


def test_one_success_ends_the_series(acme: TenantRef, receiver: Receiver) -> None:
    listen(acme, receiver)
    receiver.answer = lambda number: (500 if number == 1 else 200, {})
    tell(acme)
    sweep()
    assert endpoint_of(acme).failing_since
    hurry(acme)
    sweep(suspect=True)
    assert endpoint_of(acme).failing_since is None


def test_a_process_that_dies_repeats_at_most_its_attempt(acme: TenantRef, receiver: Receiver) -> None:
    """Killed after the claim, and killed after the answer: the attempt is written down, and made again."""
    listen(acme, receiver)
    tell(acme)
    (dead,) = sending.claim_due(limit=10, suspect=False)
    assert sending.claim_due(limit=10, suspect=False) == [], "its lease holds"
    assert [one.outcome for one in attempts(acme)] == ["started"]
    hurry(acme)
    assert sweep() == 1
    assert [one.outcome for one in attempts(acme)] == ["interrupted", "succeeded"]
    assert sending.attempt(dead) is False, "whoever comes late sends nothing"
    with in_tenant(acme):
        sending._settle(dead, sending.Result(500, "", "late", 1, 0.0))
    assert deliveries(acme)[0].status == "delivered"
    assert len(receiver.requests) == 1


def test_an_endpoint_with_much_to_hear_leaves_others_their_turn(
    acme: TenantRef, globex: TenantRef, receiver: Receiver
) -> None:
    listen(acme, receiver, "/busy")
    for _ in range(30):
        tell(acme)
    listen(globex, receiver, "/quiet")
    tell(globex)
    claims = sending.claim_due(limit=10, suspect=False)
    by_tenant = [claim.tenant_id for claim in claims]
    assert by_tenant.count(acme.id) == sending.PER_ENDPOINT
    assert by_tenant.count(globex.id) == 1
    assert sending.claim_due(limit=10, suspect=False) == [], "its attempts are under way"


def test_a_failing_or_slow_endpoint_waits_in_a_lane_of_its_own(
    acme: TenantRef, globex: TenantRef, receiver: Receiver
) -> None:
    for tenant, fields in ((acme, {"failing_since": timezone.now()}), (globex, {"last_duration_ms": 9000})):
        listen(tenant, receiver)
        tell(tenant)
        with in_tenant(tenant):
            WebhookEndpoint.objects.update(**fields)
    assert sending.claim_due(limit=10, suspect=False) == []
    assert len(sending.claim_due(limit=10, suspect=True)) == 2


def test_a_name_that_moves_into_our_network_is_not_called(
    acme: TenantRef, receiver: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OUTBOUND_ALLOW = []
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
    services.create_endpoint(tenant=acme, url="http://shop.example/", event_types=["*"], actor="test")
    tell(acme)
    found[0] = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))
    sweep()
    assert "private network" in attempts(acme)[0].error


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"url": "http://127.0.0.1/"}, "url"),
        ({"url": "http://169.254.169.254/"}, "url"),
        ({"url": "ftp://shop.example/"}, "url"),
        ({"url": "https://u:p@shop.example/"}, "url"),
        ({"event_types": []}, "event_types"),
        ({"event_types": ["agent.step.completed"]}, "event_types"),
        ({"description": "x" * 201}, "description"),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(acme: TenantRef, fields: dict[str, Any], field: str) -> None:
    good = {"url": "http://8.8.8.8/", "event_types": ["*"]}
    with pytest.raises(InvalidInput) as refused:
        services.create_endpoint(tenant=acme, actor="test", **{**good, **fields})
    assert set(refused.value.errors) == {field}
    with in_tenant(acme):
        assert not WebhookEndpoint.objects.exists()


def test_a_paused_endpoint_waits_and_loses_nothing(acme: TenantRef, receiver: Receiver) -> None:
    endpoint_id = listen(acme, receiver).endpoint.id
    services.pause_endpoint(tenant=acme, endpoint_id=endpoint_id, actor="test")
    tell(acme)
    assert sweep() == 0
    with pytest.raises(ConflictError, match="resume it first"):
        services.send_test(tenant=acme, endpoint_id=endpoint_id, actor="test")
    services.resume_endpoint(tenant=acme, endpoint_id=endpoint_id, actor="test")
    assert sweep() == 1


def test_a_test_is_tried_once_and_says_that_it_is_one(acme: TenantRef, receiver: Receiver) -> None:
    endpoint_id = listen(acme, receiver).endpoint.id
    receiver.answer = lambda number: (500, {})
    services.send_test(tenant=acme, endpoint_id=endpoint_id, event_type=CANCELLED, actor="test")
    sweep()
    (row,) = deliveries(acme)
    assert (row.is_test, row.status, row.event_type) == (True, "failed", CANCELLED)
    assert endpoint_of(acme).failing_since is None


def test_what_failed_is_replayed_one_or_all(acme: TenantRef, globex: TenantRef, receiver: Receiver) -> None:
    endpoint_id = listen(acme, receiver).endpoint.id
    receiver.answer = lambda number: (500, {})
    for _ in range(3):
        tell(acme)
    hurry(acme, failures=9)
    sweep()
    rows = deliveries(acme)
    assert {row.status for row in rows} == {"failed"}
    receiver.answer = lambda number: (200, {})
    with pytest.raises(NotFoundError):
        services.replay(tenant=globex, delivery_id=rows[0].id, actor="test")
    services.replay(tenant=acme, delivery_id=rows[0].id, actor="test")
    with pytest.raises(ConflictError):
        services.replay(tenant=acme, delivery_id=rows[0].id, actor="test")
    assert services.replay_failed(tenant=acme, endpoint_id=endpoint_id, actor="test") == 2
    assert sweep(suspect=True) == 3
    assert {row.status for row in deliveries(acme)} == {"delivered"}
    sent = [request["headers"]["webhook-id"] for request in receiver.requests]
    assert sorted(sent[:3]) == sorted(sent[3:])


def test_old_deliveries_are_forgotten_with_their_attempts(acme: TenantRef, receiver: Receiver) -> None:
    listen(acme, receiver)
    tell(acme)
    sweep()
    with in_tenant(acme):
        WebhookDelivery.objects.update(created_at=timezone.now() - dt.timedelta(days=31))
    assert services.purge_deliveries(tenant=acme) == 1
    assert attempts(acme) == []


def test_a_public_event_says_only_what_its_fact_has(live_db: LiveDatabase) -> None:
    for event in catalog.PUBLIC_EVENTS:
        known = set(event.fact.__dataclass_fields__)
        assert set(event.example) <= known, event.type
        assert not {"effect_key", "receipt", "trace", "run_inline"} & set(event.example)

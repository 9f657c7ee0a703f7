"""Signed webhooks: who gets in."""

import time

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as rules
from hypothesis import strategies as st

from apps.conversations.models import Conversation
from apps.orchestration.hooks import services, signing
from apps.orchestration.hooks.contracts import SignedDelivery
from apps.orchestration.hooks.models import Endpoint
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import list_audit_events
from tests.orchestration.hooks import (
    WRONG_SECRET,
    headers,
    log_of,
    open_endpoint,
    post,
    send,
    statuses,
)

pytestmark = pytest.mark.usefixtures("fresh_limits")


def test_the_specifications_own_example_is_verified():
    """The key, message and signature that the libraries of Standard Webhooks are tested with."""
    secret, webhook_id = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek"
    body, known = b'{"test": 2432232314}', "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signing.sign(secret, webhook_id, "1614265330", body) == known
    several = f"v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,{known[3:]} {known}"
    signed = SignedDelivery(webhook_id=webhook_id, timestamp="1614265330", signature=several, body=body)
    assert signing.is_signed(signed, [WRONG_SECRET, secret])


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
    whole["signature"] = signing.sign(WRONG_SECRET, "msg_1", "1700000000", body)
    assert signing.is_signed(SignedDelivery(**whole), [WRONG_SECRET])
    before = whole[part]
    new = raw if part == "body" else text
    place = at % (len(before) + 1)
    changed = before[:place] + new + before[place + (at % 3) :]
    # A dot would shift the parts; it is refused before the signature is looked at.
    assume(changed != before and "." not in str(changed if part != "body" else ""))
    assume(part != "signature" or before not in changed.split(" "))
    assert not signing.is_signed(SignedDelivery(**{**whole, part: changed}), [WRONG_SECRET])


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
        post(acme, "support", body, headers(WRONG_SECRET, body)),
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
        post(acme, "support", b"{}", headers(WRONG_SECRET, b"{}", f"msg_{number}"))
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

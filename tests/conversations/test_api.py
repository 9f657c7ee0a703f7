import time
from uuid import uuid4

import pytest
from uuid_utils.compat import uuid7

from apps.conversations import selectors, services
from apps.conversations.models import Conversation
from apps.conversations.ports import run_doorway
from apps.tenants.context import in_tenant
from tests.conversations.conftest import key_client

BASE = "/api/v1"


class Engine:
    """Stands where the engine's doorway is: answers at once, later, or never."""

    answers_at = 0.0
    status = "completed"
    seen: list[tuple] = []

    def execute_now(self, *, tenant, run_id, wait_s):
        self.seen.append((run_id, wait_s))
        if Engine.answers_at == 0:
            self._answer(tenant, run_id)

    def get_run(self, *, tenant, run_id):
        if Engine.answers_at and time.monotonic() > Engine.answers_at:
            self._answer(tenant, run_id)
        return {"id": str(run_id), "status": Engine.status}

    def _answer(self, tenant, run_id):
        with in_tenant(tenant):
            conversation = Conversation.objects.get(messages__run_id=run_id, messages__author="customer")
        services.post_reply(
            tenant=tenant,
            conversation_id=conversation.id,
            run_id=run_id,
            text="It is on its way.",
            reply_key=f"reply:{run_id}",
            sources=[{"title": "Shipping"}],
            receipt={"intent": "order_status"},
        )


@pytest.fixture(autouse=True)
def engine(settings):
    settings.RUN_DOORWAY = f"{__name__}.Engine"
    run_doorway.cache_clear()
    Engine.answers_at, Engine.status, Engine.seen = 0.0, "completed", []
    yield Engine
    run_doorway.cache_clear()


def post(client, path, body=None, **headers):
    return client.post(f"{BASE}/{path}", body or {}, content_type="application/json", headers=headers)


def problem(response, status):
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    return response.json()


def start(client, text="Where is my order?", query="", **more):
    return post(client, f"conversations{query}", {"message": {"text": text}, **more})


def test_a_conversation_is_started(api, acme, engine):
    body = {"channel": "api", "customer": {"name": "Ann", "email": "Ann@example.com"}}
    response = start(api, **body)
    assert response.status_code == 201
    started = response.json()
    assert set(started) == {"conversation", "message", "run"}
    assert (started["conversation"]["last_seq"], started["message"]["seq"]) == (1, 1)
    assert started["run"] == {"id": started["message"]["run_id"], "status": "completed"}
    assert started["conversation"]["customer_id"]
    assert engine.seen == []
    path = f"conversations/{started['conversation']['id']}"
    assert api.get(f"{BASE}/{path}").json() == started["conversation"]


def test_a_start_waits_for_the_reply_where_that_is_asked_for(api):
    started = start(api, query="?wait=5").json()
    assert started["reply"]["text"] == "It is on its way."
    assert (started["conversation"]["last_seq"], started["reply"]["seq"]) == (2, 2)


def test_a_start_with_a_key_outlives_the_remembered_answer(api, acme):
    from apps.gateway.models import IdempotencyRecord

    body = {"message": {"text": "Hi"}}
    first = post(api, "conversations", body, **{"Idempotency-Key": "once"}).json()
    with in_tenant(acme):
        IdempotencyRecord.objects.all().delete()
    again = post(api, "conversations", body, **{"Idempotency-Key": "once"})
    assert (again.status_code, again.json()) == (201, first)


def test_a_message_is_accepted(api, conversation, engine):
    path = f"conversations/{conversation.id}/messages"
    response = post(api, path, {"text": " Hi ", "client_message_id": "c1"})
    assert response.status_code == 202
    accepted = response.json()
    assert (accepted["message"]["text"], accepted["run"]["status"]) == ("Hi", "completed")
    assert set(accepted) == {"message", "run"}
    assert engine.seen == []
    assert post(api, path, {"text": "Hi", "client_message_id": "c1"}).json() == accepted


def test_the_reply_is_waited_for(api, conversation, engine):
    path = f"conversations/{conversation.id}/messages?wait=2.5"
    response = post(api, path, {"text": "Hi", "client_message_id": "c1"})
    assert response.status_code == 200
    answered = response.json()
    assert answered["reply"]["author"] == "ai"
    assert answered["reply"]["sources"] == [{"title": "Shipping"}]
    assert answered["reply"]["run_id"] == answered["message"]["run_id"]
    assert [wait_s for _, wait_s in engine.seen] == [2.5]
    # A repetition reads the reply; the run is not executed again.
    assert post(api, path, {"text": "Hi", "client_message_id": "c1"}).json() == answered
    assert len(engine.seen) == 1


def test_a_reply_that_another_process_makes_is_waited_for(api, conversation, engine):
    engine.answers_at, engine.status = time.monotonic() + 0.1, "running"
    response = post(api, f"conversations/{conversation.id}/messages?wait=5", {"text": "Hi"})
    assert (response.status_code, response.json()["reply"]["seq"]) == (200, 2)


def test_without_a_reply_in_time_the_message_is_accepted(api, conversation, engine):
    path = f"conversations/{conversation.id}/messages?wait=0.2"
    engine.answers_at, engine.status = float("inf"), "running"
    response = post(api, path, {"text": "Hi"})
    assert (response.status_code, "reply" in response.json()) == (202, False)


def test_a_run_that_ended_without_a_reply_is_not_waited_for(api, conversation, engine):
    engine.answers_at, engine.status = float("inf"), "failed"
    began = time.monotonic()
    response = post(api, f"conversations/{conversation.id}/messages?wait=30", {"text": "Hi"})
    assert (response.status_code, response.json()["run"]["status"]) == (202, "failed")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("wait", ["0", "-1", "31", "nan", "inf", "soon", ""])
def test_a_wait_that_cannot_be_is_refused_and_changes_nothing(api, acme, conversation, wait):
    refused = problem(post(api, f"conversations/{conversation.id}/messages?wait={wait}", {"text": "Hi"}), 400)
    assert "at most 30" in refused["errors"]["wait"][0]
    assert "wait" in problem(start(api, query=f"?wait={wait}"), 400)["errors"]
    with in_tenant(acme):
        assert list(Conversation.objects.values_list("last_seq", flat=True)) == [0]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "text"),
        ({"text": "  "}, "text"),
        ({"text": "x" * 8001}, "text"),
        ({"text": 7.5, "client_message_id": "x" * 101}, "client_message_id"),
        ({"text": ["a"]}, "text"),
    ],
)
def test_bad_messages_are_refused_at_their_field(api, acme, conversation, body, field):
    assert field in problem(post(api, f"conversations/{conversation.id}/messages", body), 400)["errors"]
    assert problem(post(api, "conversations", {"message": body}), 400)["errors"]
    with in_tenant(acme):
        assert Conversation.objects.count() == 1


def test_a_start_names_what_is_wrong(api):
    for body, field in (
        ({"channel": "fax", "message": {"text": "Hi"}}, "channel"),
        ({"customer": {"email": "nobody"}, "message": {"text": "Hi"}}, "email"),
        ({"customer": "Ann", "message": {"text": "Hi"}}, "customer"),
        ({}, "message"),
    ):
        errors = problem(post(api, "conversations", body), 400)["errors"]
        assert any(field in name for name in errors), errors


def test_messages_are_read_by_seq(api, acme, conversation):
    for n in range(5):
        services.receive_message(tenant=acme, conversation_id=conversation.id, text=f"m{n}")
    path = f"{BASE}/conversations/{conversation.id}/messages"
    first = api.get(f"{path}?page_size=2&after_seq=1").json()
    assert [message["seq"] for message in first["results"]] == [2, 3]
    assert (first["head_seq"], first["previous"]) == (5, None)
    rest = api.get(first["next"]).json()
    assert ([message["seq"] for message in rest["results"]], rest["next"]) == ([4, 5], None)
    assert api.get(f"{path}?after_seq=9").json()["results"] == []
    for query in ("after_seq=-1", "after_seq=x", "after_seq=2147483648", "page_size=201"):
        assert problem(api.get(f"{path}?{query}"), 400)["errors"]


def test_conversations_are_listed_and_filtered(api, acme, conversation):
    other = services.open_conversation(tenant=acme, channel="api")
    listed = api.get(f"{BASE}/conversations").json()["results"]
    assert [row["id"] for row in listed] == [str(other.id), str(conversation.id)]
    for query in ("channel=widget", f"customer_id={conversation.customer_id}", "channel=widget&status=open"):
        found = api.get(f"{BASE}/conversations?{query}").json()["results"]
        assert [row["id"] for row in found] == [str(conversation.id)]
    assert problem(api.get(f"{BASE}/conversations?status=lost"), 400)["errors"]


def test_a_persons_day(api, acme, conversation):
    path = f"conversations/{conversation.id}"
    called = services.open_escalation(
        tenant=acme, conversation_id=conversation.id, reason="complaint", effect_key="e"
    )
    (queued,) = api.get(f"{BASE}/escalations?status=open&queue=default").json()["results"]
    assert (queued["id"], queued["reason"]) == (str(called.id), "complaint")
    assert problem(post(api, f"{path}/replies", {"text": "Hello"}), 409)["detail"].startswith("Take the")
    claimed = post(api, f"escalations/{called.id}/claim").json()
    assert claimed["claimed_by"].startswith("api_key:ak_")
    assert post(api, f"{path}/messages", {"text": "Hi"}).json()["run"] is None
    said = post(api, f"{path}/replies", {"text": "Hello, I am Ben."})
    assert (said.status_code, said.json()["author"]) == (201, "agent")
    resolved = post(api, f"escalations/{called.id}/resolve", {"resolution": "Refunded"}).json()
    assert (resolved["status"], resolved["resolution"]) == ("resolved", "Refunded")
    assert api.get(f"{BASE}/escalations/{called.id}").json() == resolved
    assert post(api, f"{path}/takeover").json()["status"] == "with_agent"
    assert post(api, f"{path}/release").json()["status"] == "open"
    assert post(api, f"{path}/rating", {"score": 5, "comment": "Fast"}).json()["rating"] == 5
    assert "score" in problem(post(api, f"{path}/rating", {"score": 6}), 400)["errors"]
    assert post(api, f"{path}/close").json()["status"] == "closed"


def test_anothers_ids_and_unknown_ones_are_not_found(foreign_api, api, acme, conversation):
    called = services.open_escalation(
        tenant=acme, conversation_id=conversation.id, reason="complaint", effect_key="e"
    )
    for client, conversation_id, escalation_id in (
        (foreign_api, conversation.id, called.id),
        (api, uuid4(), uuid7()),
        (api, "not-an-id", "not-an-id"),
    ):
        path = f"conversations/{conversation_id}"
        problem(client.get(f"{BASE}/{path}"), 404)
        problem(client.get(f"{BASE}/{path}/messages"), 404)
        problem(client.get(f"{BASE}/escalations/{escalation_id}"), 404)
        for action, body in (
            ("messages", {"text": "Hi"}), ("messages?wait=1", {"text": "Hi"}), ("replies", {"text": "Hi"}),
            ("takeover", {}), ("release", {}), ("close", {}), ("rating", {"score": 1}),
        ):  # fmt: skip
            problem(post(client, f"{path}/{action}", body), 404)
        problem(post(client, f"escalations/{escalation_id}/claim"), 404)
        problem(post(client, f"escalations/{escalation_id}/resolve"), 404)
    assert selectors.get_conversation(tenant=acme, conversation_id=conversation.id).last_seq == 0


@pytest.mark.usefixtures("_fresh_limits")
def test_scopes_are_asked_for(acme, conversation):
    reader = key_client(acme, "read:conversations")
    assert reader.get(f"{BASE}/conversations/{conversation.id}/messages").status_code == 200
    problem(post(reader, f"conversations/{conversation.id}/messages", {"text": "Hi"}), 403)
    problem(post(reader, f"conversations/{conversation.id}/takeover"), 403)
    problem(key_client(acme, "read:orders").get(f"{BASE}/escalations"), 403)


def test_waiting_adds_few_queries_to_the_message(
    api, conversation, django_assert_num_queries, monkeypatch, engine
):
    monkeypatch.setattr("apps.events.services._handlers", dict)
    engine.answers_at, engine.status = float("inf"), "failed"
    path = f"conversations/{conversation.id}/messages?wait=1"
    post(api, path, {"text": "Hi"})
    # place, message; outbox with the usage; quota; reply; a savepoint around each of the two parts
    with django_assert_num_queries(9):
        post(api, path, {"text": "Hi"})

"""A completed run is undone on request: in exactly the reverse order, each step once, whatever dies."""

import uuid

import pytest

from apps.conversations.models import Message
from apps.conversations.services import start_conversation
from apps.crm import selectors as crm_selectors
from apps.crm import services as crm
from apps.events.models import OutboxEvent
from apps.orchestration import services
from apps.orchestration.contracts import RunStatus
from apps.orchestration.models import AgentRun
from apps.resilience.errors import ConflictError, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.selectors import list_audit_events
from tests.orchestration.engine import (
    Crash,
    assert_history_is_whole,
    calls,
    dying_at,
    expire,
    kinds,
    paths,
    show,
    start,
    states,
    undo,
)
from tests.orchestration.test_api import client_of
from tests.pages import log_in

pytestmark = pytest.mark.usefixtures("no_hints", "valkey", "closed_breakers")


def completed(tenant, sink, publish, undone=("a", "c")):
    publish(tenant, calls(sink, "a", "b", "c"), undo(sink, *undone) if undone else "")
    run_id = start(tenant)
    services.execute_run(tenant=tenant, run_id=run_id)
    assert show(tenant, run_id).status is RunStatus.COMPLETED
    return run_id


def compensate(tenant, run_id):
    services.compensate_run(tenant=tenant, run_id=run_id, actor="ann@acme.example", reason="Wrong order")
    services.execute_run(tenant=tenant, run_id=run_id)


def test_a_completed_run_is_undone_in_reverse(acme, sink, publish, no_hints) -> None:
    run_id = completed(acme, sink, publish)
    assert show(acme, run_id).undoable == ["c", "a"]
    compensate(acme, run_id)
    assert show(acme, run_id).status is RunStatus.COMPENSATED
    assert paths(sink) == ["a", "b", "c", "undo-c", "undo-a"]
    assert states(acme, run_id) == {"a": "undone", "b": "done", "c": "undone"}
    assert show(acme, run_id).undoable == []
    assert_history_is_whole(acme, run_id)
    audited = list_audit_events(tenant=acme)[0]
    assert (audited.action, audited.target) == ("run.compensate", str(run_id))
    assert audited.data == {"reason": "Wrong order"}


def test_only_a_completed_run_with_something_to_undo_and_only_once(acme, globex, sink, publish) -> None:
    plain = completed(acme, sink, publish, undone=())
    with pytest.raises(ConflictError, match="declares a compensation"):
        services.compensate_run(tenant=acme, run_id=plain)
    run_id = completed(acme, sink, publish)
    with pytest.raises(NotFoundError):
        services.compensate_run(tenant=globex, run_id=run_id)
    services.compensate_run(tenant=acme, run_id=run_id)
    with pytest.raises(ConflictError, match="compensating"):
        services.compensate_run(tenant=acme, run_id=run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    with pytest.raises(ConflictError, match="compensated"):
        services.compensate_run(tenant=acme, run_id=run_id)
    assert paths(sink).count("undo-a") == 1
    assert kinds(acme, plain)[-1] == "run_ended"


# Every point of an undoing at which a process may die, as (what dies, how often it is passed before).
POINTS = [
    ("claim", 0), ("intent", 0), ("effect", 0), ("result", 0), ("intent", 1), ("effect", 1), ("result", 1),
    ("intent", 2), ("end", 0),
]  # fmt: skip


@pytest.mark.parametrize(("point", "passes"), POINTS)
def test_a_crash_at_any_point_of_the_undoing_repeats_no_effect(
    acme, sink, publish, monkeypatch, point, passes
) -> None:
    run_id = completed(acme, sink, publish)
    services.compensate_run(tenant=acme, run_id=run_id)
    with dying_at(monkeypatch, point, passes), pytest.raises(Crash):
        services.execute_run(tenant=acme, run_id=run_id)
    for _ in range(3):
        expire(acme, run_id)
        services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPENSATED
    assert list(dict.fromkeys(paths(sink))) == ["a", "b", "c", "undo-c", "undo-a"]
    assert len(sink.counts()) == 5, "a repeated request has the key of the first: the receiver does it once"
    assert len(sink.requests) <= 6, "only what was under way is repeated"
    assert_history_is_whole(acme, run_id)


def test_a_stuck_undoing_goes_on_after_a_retry_or_a_persons_word(acme, sink, publish) -> None:
    sink.answer = lambda path, number: 422 if path == "/undo-c" else 200
    run_id = completed(acme, sink, publish)
    compensate(acme, run_id)
    assert show(acme, run_id).status is RunStatus.COMPENSATION_FAILED
    assert states(acme, run_id) == {"a": "done", "b": "done", "c": "stuck"}
    services.retry_run(tenant=acme, run_id=run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPENSATION_FAILED
    with pytest.raises(ConflictError, match="not stuck"):
        services.settle_undo(tenant=acme, run_id=run_id, step_id="a")
    services.settle_undo(tenant=acme, run_id=run_id, step_id="c", actor="ann@acme.example")
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPENSATED
    assert paths(sink)[-3:] == ["undo-c", "undo-c", "undo-a"]
    assert sink.keys[-3] == sink.keys[-2]
    assert_history_is_whole(acme, run_id)
    with in_tenant(acme):
        told = OutboxEvent.objects.filter(type="agent.step.compensated", envelope__run_id=str(run_id))
        assert [event.envelope["data"]["step"] for event in told.order_by("position")] == ["c", "a"]


REPLYING = """
  - {id: "hold", type: "tool", tool: "order_hold", config: {order_number: "1042"}}
  - {id: "reply", type: "llm"}"""
RELEASE = """
triggers: [{type: "websocket", event: "message_received"}]
compensation: [{step: "hold", action: "order_release"}]"""


def test_the_customer_keeps_the_reply_and_pays_once(acme, publish) -> None:
    crm.create_order(tenant=acme, number="1042", total_cents=4200, customer_email="ann@example.com")
    publish(acme, REPLYING, RELEASE, name="customer_support_workflow")
    begun = start_conversation(tenant=acme, channel="api", text="hello")
    services.execute_run(tenant=acme, run_id=begun.received.run_id)
    before = show(acme, begun.received.run_id)
    assert crm_selectors.find_order(tenant=acme, number="1042").status == "held"
    said = count_messages(acme, begun)
    compensate(acme, begun.received.run_id)
    after = show(acme, begun.received.run_id)
    assert after.status is RunStatus.COMPENSATED
    assert after.output == before.output
    assert crm_selectors.find_order(tenant=acme, number="1042").status == "placed"
    assert count_messages(acme, begun) == said == 2
    with in_tenant(acme):
        runs = OutboxEvent.objects.filter(
            type="billing.usage.recorded",
            envelope__data__kind="run",
            envelope__run_id=str(begun.received.run_id),
        )
        assert runs.count() == 1


def count_messages(tenant, begun):
    with in_tenant(tenant):
        return Message.objects.filter(conversation_id=begun.conversation.id).count()


def test_a_member_undoes_a_run_with_a_reason(acme, sink, publish) -> None:
    run_id = completed(acme, sink, publish)
    client, page = log_in(acme), f"/app/runs/{run_id}/"
    assert "Undo this run" in client.get(page).content.decode()
    asked = client.get(f"{page}compensate/").content.decode()
    assert asked.index("<strong>c</strong>") < asked.index("<strong>a</strong>")
    assert client.post(f"{page}compensate/", {"reason": " "}).status_code == 422
    assert show(acme, run_id).status is RunStatus.COMPLETED
    assert client.post(f"{page}compensate/", {"reason": "Wrong order"}).status_code == 302
    services.execute_run(tenant=acme, run_id=run_id)
    assert "cannot be undone" in client.get(f"{page}compensate/").content.decode()
    assert client.post(f"{page}compensate/", {"reason": "Again"}).status_code == 409
    assert "Undo this run" not in client.get(page).content.decode()


def test_a_member_settles_what_is_stuck_or_unknown(acme, sink, publish) -> None:
    sink.answer = lambda path, number: 422 if path == "/undo-c" else 200
    run_id = completed(acme, sink, publish)
    compensate(acme, run_id)
    client, page = log_in(acme), f"/app/runs/{run_id}/"
    shown = client.get(page).content.decode()
    assert "could not be undone" in shown
    assert "Retry the undoing" in shown
    assert client.post(f"{page}resolve/", {"step": "a", "outcome": "undone"}).status_code == 409
    assert client.post(f"{page}resolve/", {"step": "c", "outcome": "undone"}).status_code == 302
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPENSATED


def test_compensating_over_http(acme, sink, publish) -> None:
    run_id = completed(acme, sink, publish)
    client = client_of(acme)
    assert client.post(f"/api/v1/runs/{uuid.uuid4()}/compensate", {}, "application/json").status_code == 404
    answer = client.post(f"/api/v1/runs/{run_id}/compensate", {"reason": "x" * 501}, "application/json")
    assert answer.status_code == 400
    answer = client.post(f"/api/v1/runs/{run_id}/compensate", {"reason": "Wrong"}, "application/json")
    assert (answer.status_code, answer.json()["status"]) == (200, "compensating")
    with in_tenant(acme):
        assert AgentRun.objects.get(id=run_id).due_at is not None

"""The design's workflow on each of its paths, with every neighbour real."""

import pytest

from apps.conversations import selectors as conversations
from apps.conversations.contracts import CustomerInput
from apps.conversations.models import Escalation
from apps.conversations.services import open_conversation, receive_message
from apps.crm import services as crm
from apps.events.models import OutboxEvent
from apps.inference.contracts import ModelTimeout
from apps.ingestion.services import add_document, process_document
from apps.orchestration import selectors, services
from apps.orchestration.contracts import RunStatus
from apps.orchestration.steps import llm, router
from apps.tenants.context import in_tenant

PARCELS = "Parcels are returned within 30 days. Put the slip on the parcel and bring it to any post office."
pytestmark = pytest.mark.usefixtures("no_hints")


@pytest.fixture
def order(acme):
    return crm.create_order(
        tenant=acme,
        number="1042",
        total_cents=4200,
        customer_email="ann@example.com",
        status="shipped",
        carrier="Acme Post",
        tracking_code="AP-77",
    )


@pytest.fixture
def article(acme):
    document = add_document(tenant=acme, title="Returns", text=PARCELS)
    process_document(tenant=acme, document_id=document.id)


def converse(tenant, **customer):
    person = CustomerInput(**customer) if customer else None
    return open_conversation(tenant=tenant, channel="api", customer=person).id


def say(tenant, conversation_id, text):
    received = receive_message(tenant=tenant, conversation_id=conversation_id, text=text, run_inline=True)
    services.execute_or_await(tenant=tenant, run_id=received.run_id, wait_s=30)
    run = selectors.get_run(tenant=tenant, run_id=received.run_id)
    return run, conversations.list_messages(tenant=tenant, conversation_id=conversation_id)[-1]


def states(run):
    return {step.id: step.state.value for step in run.steps}


def told(tenant, run):
    with in_tenant(tenant):
        rows = OutboxEvent.objects.filter(envelope__run_id=str(run.id)).order_by("position")
        return [(row.type, row.envelope["data"]) for row in rows]


def test_a_question_is_answered_from_the_knowledge_with_its_receipt(acme, article, deltas) -> None:
    run, reply = say(acme, converse(acme), "How do I return a parcel?")
    assert run.status is RunStatus.COMPLETED
    assert states(run) == {
        "intent_classification": "done",
        "faq_lookup": "done",
        "order_lookup": "skipped",
        "human_escalation": "skipped",
        "response_generation": "done",
    }
    assert reply.author == "ai"
    assert "[1]" in reply.text
    assert reply.sources[0]["title"] == "Returns"
    receipt = reply.receipt
    assert (receipt["intent"], receipt["fallback"], receipt["escalated"]) == ("faq", None, False)
    assert receipt["confidence"] > 0.7
    assert receipt["reasons"]
    assert receipt["provider"] == "extractive"
    assert receipt["prompt_tokens"] > 0
    assert 0 < receipt["latency_ms"] < 60_000
    assert "".join(piece["text"] for piece in deltas) == reply.text
    assert [piece["offset"] for piece in deltas] == sorted(piece["offset"] for piece in deltas)


def test_every_run_tells_its_events_and_usage_once(acme, article) -> None:
    run, _ = say(acme, converse(acme), "How do I return a parcel?")
    events = told(acme, run)
    types = [kind for kind, _ in events]
    for single in ("agent.run.started", "agent.route.decided", "agent.run.completed", "agent.message.sent"):
        assert types.count(single) == 1, types
    assert types.count("agent.step.completed") == 3
    usage = {data["kind"]: data["quantity"] for kind, data in events if kind == "billing.usage.recorded"}
    assert usage["run"] == 1
    assert usage["prompt_token"] > 0


def test_an_order_is_told_to_its_own_customer(acme, order) -> None:
    run, reply = say(acme, converse(acme, email="ann@example.com"), "Where is my order 1042?")
    assert states(run)["order_lookup"] == "done"
    assert "1042" in reply.text
    assert "AP-77" in reply.text


def test_what_is_missing_is_asked_for_and_taken_from_the_talk(acme, order) -> None:
    conversation = converse(acme)
    _, reply = say(acme, conversation, "Where is my order?")
    assert "order number" in reply.text
    assert "e-mail address" in reply.text
    _, reply = say(acme, conversation, "Where is my order 1042?")
    assert "e-mail address" in reply.text
    assert "order number" not in reply.text
    run, reply = say(acme, conversation, "Where is my order? My address is Ann@Example.com.")
    assert "AP-77" in reply.text, run


def test_an_order_is_never_told_to_another_address(acme, order) -> None:
    run, reply = say(acme, converse(acme, email="eve@example.com"), "Where is my order 1042?")
    assert "AP-77" not in reply.text
    assert "could not find an order 1042" in reply.text
    assert run.steps[2].output["found"] is False


def test_a_complaint_goes_to_a_human_and_the_reply_says_so(acme) -> None:
    conversation = converse(acme)
    run, reply = say(acme, conversation, "This is outrageous, I want to complain about your awful service!")
    assert states(run)["human_escalation"] == "done"
    assert "a member of our team" in reply.text
    assert reply.receipt["escalated"] is True
    condition = next(step.condition for step in run.steps if step.id == "human_escalation")
    assert condition["text"] == "confidence < 0.7 OR intent == 'complaint'"
    assert set(condition["inputs"]) == {"confidence", "intent"}
    with in_tenant(acme):
        escalation = Escalation.objects.get(conversation_id=conversation)
    assert (escalation.queue, escalation.run_id) == ("high_priority", run.id)


def test_a_failing_model_is_replaced_and_the_receipt_says_so(acme, article, monkeypatch) -> None:
    def fail(**_):
        raise ModelTimeout("no answer within 30 s")

    monkeypatch.setattr(llm, "complete_chat", fail)
    run, reply = say(acme, converse(acme), "How do I return a parcel?")
    assert run.status is RunStatus.COMPLETED
    assert "[1]" in reply.text
    assert reply.receipt["fallback"]["reason"] == "ModelTimeout: no answer within 30 s"


def test_a_step_that_keeps_failing_ends_in_the_fallback(acme, monkeypatch) -> None:
    calls = []

    def fail(**_):
        calls.append(1)
        raise ConnectionError("down")

    monkeypatch.setattr(router, "route_message", fail)
    monkeypatch.setattr("apps.orchestration.engine.execution.time.sleep", lambda seconds: None)
    run, reply = say(acme, converse(acme), "How do I return a parcel?")
    assert (run.status, len(calls)) == (RunStatus.COMPLETED, 3)
    assert "cannot answer that right now" in reply.text
    assert reply.receipt["fallback"] == {
        "step": "intent_classification",
        "action": "generic_response",
        "reason": "ConnectionError: down",
    }
    assert states(run)["response_generation"] == "skipped"


def test_what_the_design_declares_is_undone_when_the_fallback_fails_too(acme, monkeypatch) -> None:
    def fail(*_, **__):
        raise ConnectionError("down")

    monkeypatch.setattr(llm, "_request", fail)
    monkeypatch.setattr("apps.orchestration.tools.replies.GENERIC", None)
    monkeypatch.setattr("apps.orchestration.tools.replies.generic_response", fail)
    from apps.orchestration.steps import registry

    registry._load.cache_clear()
    monkeypatch.setattr("apps.orchestration.engine.execution.time.sleep", lambda seconds: None)
    conversation = converse(acme)
    run, reply = say(acme, conversation, "This is outrageous, I want to complain about your awful service!")
    registry._load.cache_clear()
    assert run.status is RunStatus.COMPENSATED
    assert states(run)["human_escalation"] == "undone"
    assert "Sorry" in reply.text
    with in_tenant(acme):
        assert Escalation.objects.get(conversation_id=conversation).status == "cancelled"
    assert ("agent.run.failed", "compensated") in [
        (kind, data.get("status")) for kind, data in told(acme, run)
    ]


def test_tenants_runs_do_not_meet(acme, globex, article) -> None:
    run, reply = say(globex, converse(globex), "How do I return a parcel?")
    assert reply.sources == []
    assert reply.receipt["knows"] is False
    assert selectors.list_runs(tenant=acme) == []
    assert [seen.id for seen in selectors.list_runs(tenant=globex)] == [run.id]

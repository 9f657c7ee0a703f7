"""The list of conversations and the transcript, as a browser gets them."""

import pytest
from django.test import Client
from uuid_utils.compat import uuid7

from apps.conversations import selectors, services
from apps.conversations.contracts import CustomerInput
from apps.routing.selectors import list_examples
from apps.tenants.contracts import Role
from tests.conversations.conftest import told
from tests.pages import log_in

LIST = "/app/conversations/"
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def agent(acme) -> Client:
    return log_in(acme, Role.AGENT)


def start(tenant, text="Where is my parcel?", name="Ann"):
    started = services.start_conversation(
        tenant=tenant,
        channel="api",
        text=text,
        customer=CustomerInput(email=f"{uuid7()}@x.example", name=name),
    )
    return started.conversation.id, started.received.run_id


def answer(tenant, conversation_id, run_id, **more):
    receipt = {
        "intent": "faq", "confidence": 0.91, "tier": "small", "model": "tiny", "reasons": ["word: parcel"],
        "prompt_tokens": 120, "completion_tokens": 30, "cost_microusd": 1500, "latency_ms": 640,
        "run_id": str(run_id), "workflow": "customer_support_workflow", "version": "1.0", "knows": True,
        "sources": [{"title": "Delivery", "index": 1}],
    }  # fmt: skip
    source = {"title": "Delivery", "index": 1, "document_id": str(uuid7()), "quote": "two days"}
    return services.post_reply(
        tenant=tenant, conversation_id=conversation_id, text="In two days [1].", reply_key=str(run_id),
        run_id=run_id, receipt=receipt, sources=[source], **more,
    )  # fmt: skip


def test_the_list_shows_and_filters(acme, agent):
    conversation_id, _ = start(acme, EVIL, name=EVIL)
    page = agent.get(LIST).content.decode()
    assert str(conversation_id) in page
    assert EVIL not in page
    assert "No conversation fits" in agent.get(LIST, {"status": "closed"}).content.decode()
    assert str(conversation_id) in agent.get(LIST, {"text": "alert"}).content.decode()


@pytest.mark.parametrize(
    "query",
    [{"status": "lost"}, {"since": "yesterday"}, {"since": "2026-02-02", "until": "2026-02-01"},
     {"text": "x" * 201}, {"intent": "none"}, {"channel": "fax"}, {"until": "0000-00-00"}],
)  # fmt: skip
def test_a_wrong_filter_is_told_at_its_field(agent, query):
    answered = agent.get(LIST, query)
    assert answered.status_code == 422
    assert "errorlist" in answered.content.decode()


@pytest.mark.parametrize(
    "query",
    [
        {"cursor": "x" * 3000},
        {"cursor": "é"},
        {"until": "9999-12-31"},
        {"customer": "\\%_'"},
        {"since": "0001-01-01"},
    ],
)
def test_a_strange_filter_is_no_error(acme, agent, query):
    start(acme)
    assert agent.get(LIST, query).status_code in (200, 422)


def test_the_list_asks_the_same_whatever_its_length(acme, agent, django_assert_max_num_queries):
    for n in range(8):
        start(acme, f"parcel {n}", name=f"N{n}")
    with django_assert_max_num_queries(9):
        agent.get(LIST)
    with django_assert_max_num_queries(11):
        agent.get(LIST, {"text": "parcel"})


def test_the_transcript_shows_receipts_and_sources(acme, agent):
    conversation_id, run_id = start(acme)
    answer(acme, conversation_id, run_id)
    page = agent.get(f"{LIST}{conversation_id}/").content.decode()
    for wanted in (
        "In two days [1].", "91%", "$0.0015", "0.64 s", "word: parcel", "120 read", "two days",
        "customer_support_workflow 1.0", "Ann",
    ):  # fmt: skip
        assert wanted in page, wanted


def test_a_long_transcript_comes_in_pages(acme, agent, django_assert_max_num_queries):
    conversation_id, _ = start(acme, "message 1.")
    for n in range(2, 121):
        services.post_reply(
            tenant=acme, conversation_id=conversation_id, text=f"message {n}.", reply_key=f"k{n}"
        )
    with django_assert_max_num_queries(12):
        page = agent.get(f"{LIST}{conversation_id}/").content.decode()
    assert "message 71." in page
    assert "message 70." not in page
    older = agent.get(f"{LIST}{conversation_id}/?before=71", headers={"HX-Request": "true"}).content.decode()
    assert "message 70." in older
    assert "message 21." in older
    assert "message 20." not in older
    assert "<html" not in older
    for before in ("", "-1", "NaN", "9" * 30, "²"):
        assert agent.get(f"{LIST}{conversation_id}/", {"before": before}).status_code == 200


def test_a_correction_becomes_an_example(acme, agent):
    conversation_id, run_id = start(acme, "My lamp arrived in pieces!")
    reply = answer(acme, conversation_id, run_id)
    url = f"{LIST}{conversation_id}/replies/{reply.seq}/intent/"
    assert agent.post(url, {"intent": "complaint"}).status_code == 302
    assert ("complaint", "My lamp arrived in pieces!") in list_examples(tenant=acme)
    assert "corrected to complaint" in agent.get(f"{LIST}{conversation_id}/").content.decode()
    shown = agent.post(url, {"intent": "faq"}, headers={"HX-Request": "true"}).content.decode()
    assert "corrected to faq" in shown
    texts = [pair for pair in list_examples(tenant=acme) if pair[1].startswith("My lamp")]
    assert texts == [("faq", "My lamp arrived in pieces!")]
    corrected = told(acme, "agent.intent.corrected")
    assert [(e["data"]["decided"], e["data"]["intent"]) for e in corrected] == [
        ("faq", "complaint"), ("faq", "faq"),
    ]  # fmt: skip


@pytest.mark.parametrize("intent", ["", "no_such", "\x00", "x" * 5000, EVIL])
def test_a_wrong_correction_is_refused(acme, agent, intent):
    conversation_id, run_id = start(acme)
    reply = answer(acme, conversation_id, run_id)
    answered = agent.post(f"{LIST}{conversation_id}/replies/{reply.seq}/intent/", {"intent": intent})
    assert answered.status_code == 400
    kept = selectors.get_message(tenant=acme, message_id=reply.id)
    assert kept.corrected_intent == ""
    assert agent.post(f"{LIST}{conversation_id}/replies/1/intent/", {"intent": "faq"}).status_code == 400
    assert agent.post(f"{LIST}{conversation_id}/replies/99/intent/", {"intent": "faq"}).status_code == 404


def test_a_viewer_reads_and_corrects_nothing(acme):
    conversation_id, run_id = start(acme)
    answer(acme, conversation_id, run_id)
    page = log_in(acme, Role.VIEWER).get(f"{LIST}{conversation_id}/").content.decode()
    assert "Receipt" in page
    assert "Should have been" not in page

"""The list of conversations and the transcript, as a browser gets them."""

import csv
import datetime as dt
import io
import re

import pytest
from django.test import Client
from uuid_utils.compat import uuid7

from apps.conversations import selectors, services
from apps.conversations.contracts import CustomerInput
from apps.conversations.models import Conversation
from apps.routing.selectors import list_examples
from apps.tenants import paging
from apps.tenants.company import update_settings
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role
from tests.conversations.conftest import told
from tests.pages import log_in

LIST = "/app/conversations/"
EXPORT = f"{LIST}export/"
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


def rows_of(answered) -> list[dict[str, str]]:
    assert answered.status_code == 200
    text = b"".join(answered.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_what_a_search_finds_is_exported_to_the_last_page(acme, globex, agent):
    many = paging.PAGE_SIZE + 2
    for number in range(many):
        start(acme, f"=Parcel {number}", name="-Ann")
    start(acme, "Nothing to do with it")
    start(globex, "=Parcel of others")
    for query in ({"text": "parcel"}, {"customer": "-Ann", "text": "parcel"}):
        rows = rows_of(agent.get(EXPORT, query))
        assert [row["subject"] for row in rows] == [f"'=Parcel {number}" for number in reversed(range(many))]
        assert {row["customer"] for row in rows} == {"'-Ann"}
    assert len(rows_of(agent.get(EXPORT))) == many + 1
    assert agent.get(EXPORT, {"since": "yesterday"}).status_code == 400


def test_a_transcript_is_exported_with_its_receipts_and_without_notes(acme, agent):
    conversation_id, run_id = start(acme)
    answer(acme, conversation_id, run_id)
    services.add_note(tenant=acme, conversation_id=conversation_id, author="user:x", text="A secret")
    answered = agent.get(f"{LIST}{conversation_id}/export/")
    asked, told_row = rows_of(answered)
    assert (asked["author"], asked["name"], asked["text"]) == ("customer", "Ann", "Where is my parcel?")
    wanted = {
        "intent": "faq", "confidence": "0.91", "reasons": "word: parcel", "model": "tiny",
        "sources": "Delivery", "prompt_tokens": "120", "completion_tokens": "30",
        "cost_microusd": "1500", "latency_ms": "640",
    }  # fmt: skip
    assert wanted.items() <= told_row.items()


def test_a_customers_part_tells_what_they_cost_and_what_was_noted(acme, globex, agent):
    customer = CustomerInput(email="ann@x.example", name="Ann")
    ids = []
    for number in range(22):
        started = services.start_conversation(
            tenant=acme, channel="api", text=f"Question {number}", customer=customer
        )
        ids.append(started.conversation.id)
    for number in range(2):
        services.post_reply(
            tenant=acme, conversation_id=ids[-1], text="Yes.", reply_key=str(number),
            receipt={"cost_microusd": 1500}, run_id=uuid7(),
        )  # fmt: skip
    services.rate_conversation(tenant=acme, conversation_id=ids[-1], score=4, comment="Quick!")
    services.add_note(tenant=acme, conversation_id=ids[0], author="user:x", text=f"Calls daily {EVIL}")
    customer_id = selectors.get_conversation(tenant=acme, conversation_id=ids[0]).customer_id
    url = f"/app/customers/{customer_id}/conversations/"
    page = agent.get(url).content.decode()
    for words in ("Question 21", "$0.003", "4 of 5", "Quick!", "Calls daily &lt;script&gt;"):
        assert words in page
    assert "Question 1<" not in page
    older = re.search(r'hx-get="([^"]+)"', page)[1]
    page = agent.get(older).content.decode()
    assert "Question 1<" in page
    assert "Calls daily" not in page
    assert log_in(globex).get(url).status_code == 404


def test_days_are_those_of_the_company(acme, agent):
    conversation_id, _ = start(acme)
    moment = dt.datetime(2026, 3, 1, 23, 30, tzinfo=dt.UTC)
    with in_tenant(acme):
        Conversation.objects.filter(id=conversation_id).update(created_at=moment)
    update_settings(tenant=acme, name="Acme", time_zone="Europe/Berlin", silence_hours=24, actor="user:x")
    found = {
        day: str(conversation_id) in agent.get(LIST, {"since": day, "until": day}).content.decode()
        for day in ("2026-03-01", "2026-03-02")
    }
    assert found == {"2026-03-01": False, "2026-03-02": True}


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
    agent.get("/app/profile/")  # the first request notes the session
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
    agent.get("/app/profile/")  # the first request notes the session
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

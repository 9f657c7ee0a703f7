"""The router's decisions, as the page lists them."""

import datetime as dt
import re
from typing import Any

import pytest
from bs4 import BeautifulSoup
from django.test import Client
from django.utils import timezone
from uuid_utils.compat import uuid7

from apps.conversations import selectors, services
from apps.conversations.contracts import DecisionQuery
from apps.conversations.models import Message
from apps.conversations.selectors import decisions
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role, TenantRef
from tests.pages import log_in

PAGE = "/app/router/decisions/"
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def agent(acme: TenantRef) -> Client:
    return log_in(acme, Role.AGENT)


def decide(
    tenant: TenantRef,
    question: str = "Where is my parcel?",
    *,
    intent: Any = "faq",
    confidence: Any = 0.91,
    channel: str = "api",
    **receipt: Any,
) -> Message:
    """Let a customer ask and the AI answer."""
    started = services.start_conversation(tenant=tenant, channel=channel, text=question)
    reply = services.post_reply(
        tenant=tenant, conversation_id=started.conversation.id, text="In two days.",
        reply_key=str(uuid7()), run_id=started.received.run_id,
        receipt={"intent": intent, "confidence": confidence, "tier": "small", "model": "tiny", **receipt},
    )  # fmt: skip
    with in_tenant(tenant):
        return Message.objects.get(id=reply.id)


def asked(tenant: TenantRef, **query: Any) -> list[str]:
    found = selectors.list_decisions(tenant=tenant, query=DecisionQuery(**query))
    return [row.question for row in found.items]


def text_of(answer: Any) -> str:
    return " ".join(BeautifulSoup(answer.content.decode(), "html.parser").get_text(" ").split())


def test_a_decision_is_shown_with_its_route(acme: TenantRef, globex: TenantRef, agent: Client) -> None:
    decide(globex, "Theirs")
    reply = decide(acme, f"Where is it? {EVIL}", escalated=True, model_version="v3")
    page = agent.get(PAGE)
    assert EVIL not in page.content.decode()
    assert f"/app/conversations/{reply.conversation_id}/#m-{reply.seq}" in page.content.decode()
    for wanted in ("Where is it?", "91.0%", "a person", "tiny, routed by v3", "API", "90 to 100% 1"):
        assert wanted in text_of(page), wanted
    assert "Theirs" not in text_of(page)


def test_the_question_is_the_one_that_was_answered(acme: TenantRef) -> None:
    started = services.start_conversation(tenant=acme, channel="api", text="The first")
    services.receive_message(tenant=acme, conversation_id=started.conversation.id, text="The second")
    services.post_reply(
        tenant=acme, conversation_id=started.conversation.id, text="!", reply_key="k",
        run_id=started.received.run_id, receipt={"intent": "faq", "confidence": 0.9},
    )  # fmt: skip
    services.post_reply(
        tenant=acme, conversation_id=started.conversation.id, text="!", reply_key="m",
        receipt={"intent": "faq", "confidence": 0.9},
    )  # fmt: skip
    assert asked(acme) == ["The second", "The first"]


@pytest.mark.parametrize(
    ("receipt", "kept"),
    [
        ({"intent": "faq", "confidence": 1}, ("faq", 1.0)),
        ({"intent": "x" * 80, "confidence": "high"}, ("x" * 50, None)),
        ({"intent": None, "confidence": None}, ("", None)),
        ({"intent": {"a": 1}, "confidence": 10**400}, ('{"a": 1}', 1.0)),
        ({"intent": "faq", "confidence": -3}, ("faq", 0.0)),
        ([], ("", None)),
        (None, ("", None)),
    ],
)
def test_a_reply_is_kept_whatever_its_receipt_holds(acme: TenantRef, receipt: Any, kept: tuple) -> None:
    with in_tenant(acme):
        conversation = services.open_conversation(tenant=acme, channel="api")
        message = Message(conversation_id=conversation.id, seq=1, author="ai", text="!", receipt=receipt)
        message.save(force_insert=True)
        found = Message.objects.get(id=message.id)
    assert (found.intent, found.confidence) == kept


def test_decisions_are_filtered(acme: TenantRef, agent: Client) -> None:
    decide(acme, "low", confidence=0.2)
    decide(acme, "fair", confidence=0.65, intent="complaint")
    decide(acme, "sure", confidence=0.95, channel="email")
    decide(acme, "unrouted", intent=None, confidence=None)
    corrected = decide(acme, "wrong", confidence=0.8)
    services.correct_intent(
        tenant=acme, conversation_id=corrected.conversation_id, seq=corrected.seq, intent="other", actor="me"
    )
    assert asked(acme) == ["wrong", "sure", "fair", "low"]
    assert asked(acme, intent="complaint") == ["fair"]
    assert asked(acme, channel="email") == ["sure"]
    assert asked(acme, below=0.5) == ["low"]
    assert asked(acme, below=0.7) == ["fair", "low"]
    assert asked(acme, below=0.9) == ["wrong", "fair", "low"]
    assert asked(acme, is_corrected=True) == ["wrong"]
    assert asked(acme, is_corrected=False) == ["sure", "fair", "low"]
    assert asked(acme, is_corrected=False, channel="api", below=0.9, intent="faq") == ["low"]
    counted = selectors.count_confidence(tenant=acme, query=DecisionQuery(channel="api"))
    assert (counted.total, counted.looked_at) == (3, 4)
    assert counted.tenths == (0, 0, 1, 0, 0, 0, 1, 0, 1, 0)
    page = text_of(agent.get(PAGE, {"below": "50"}))
    assert "1 decision ." in page.replace("1 decision.", "1 decision .")
    assert "low" in page
    assert "corrected to other" in text_of(agent.get(PAGE, {"corrected": "yes"}))
    assert "No decision fits" in text_of(agent.get(PAGE, {"channel": "slack"}))


def test_decisions_are_of_a_period(acme: TenantRef, agent: Client) -> None:
    decide(acme, "now")
    today, day = timezone.now(), dt.timedelta(days=1)
    assert asked(acme, since=today - day, until=today + day) == ["now"]
    assert asked(acme, until=today - day) == []
    assert asked(acme, since=today + day) == []
    assert selectors.count_confidence(tenant=acme, query=DecisionQuery(since=today - day)).total == 1
    assert selectors.count_confidence(tenant=acme, query=DecisionQuery(until=today - day)).total == 0
    for since in ("2000-01-01", "2999-12-31"):
        assert agent.get(PAGE, {"since": since}).status_code == 200


def test_what_no_index_holds_is_looked_for_in_pieces(
    acme: TenantRef, agent: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "LOOKED_THROUGH", 3)
    decide(acme, "mailed", channel="email")
    for n in range(4):
        decide(acme, f"n{n}")
    first = selectors.list_decisions(tenant=acme, query=DecisionQuery(channel="email"))
    assert first.items == []
    assert first.next_cursor
    assert "Nothing among the newer decisions" in text_of(agent.get(PAGE, {"channel": "email"}))
    second = selectors.list_decisions(
        tenant=acme, query=DecisionQuery(channel="email"), cursor=first.next_cursor
    )
    assert [row.question for row in second.items] == ["mailed"]
    assert second.next_cursor == ""


def test_pages_neither_skip_nor_repeat(acme: TenantRef, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "PAGE_SIZE", 2)
    monkeypatch.setattr(decisions, "LOOKED_THROUGH", 5)
    for n in range(9):
        decide(acme, f"n{n}", channel="email" if n % 2 else "api")
    seen, cursor = [], ""
    while True:
        page = selectors.list_decisions(tenant=acme, query=DecisionQuery(channel="api"), cursor=cursor)
        seen += [row.question for row in page.items]
        cursor = page.next_cursor
        if not cursor:
            break
    assert seen == ["n8", "n6", "n4", "n2", "n0"]


def test_the_list_asks_the_same_whatever_its_length(
    acme: TenantRef, agent: Client, django_assert_max_num_queries: Any
) -> None:
    for n in range(12):
        decide(acme, f"n{n}")
    agent.get("/app/profile/")  # the first request notes the session
    with django_assert_max_num_queries(12):
        agent.get(PAGE)


def test_a_decision_is_corrected_where_it_is_listed(acme: TenantRef, agent: Client) -> None:
    one, other = decide(acme, "My lamp is in pieces!"), decide(acme, "Do you sell lamps?")
    soup = BeautifulSoup(agent.get(PAGE).content, "html.parser")
    labels = [label["for"] for label in soup.select("form.correction label")]
    assert labels == [f"intent-{other.id}", f"intent-{one.id}"]
    forms = soup.select("form.correction")
    part = agent.post(forms[1]["hx-post"], {"intent": "complaint"}, headers={"HX-Request": "true"})
    assert "corrected to complaint" in text_of(part)
    page = text_of(agent.get("/app/router/"))
    assert re.search(r"1 example changed since the shipped model was trained: 1 added", page)
    assert "Should have been" not in text_of(log_in(acme, Role.VIEWER).get(PAGE))


@pytest.mark.parametrize(
    "query",
    [{"intent": "none"}, {"channel": "fax"}, {"below": "NaN"}, {"below": "71"}, {"corrected": "maybe"},
     {"since": "yesterday"}, {"since": "2026-02-02", "until": "2026-02-01"}, {"until": "9" * 40}],
)  # fmt: skip
def test_a_wrong_filter_is_told_at_its_field(acme: TenantRef, agent: Client, query: dict) -> None:
    decide(acme)
    answered = agent.get(PAGE, query)
    assert answered.status_code == 422
    assert "errorlist" in answered.content.decode()

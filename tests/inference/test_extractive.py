"""Answers without a model: quoted, cited, built from facts, or an honest no."""

import pytest

from apps.inference import services
from apps.inference.contracts import ChatResult, Fact
from tests.inference.builders import RETURNS, SHIPPING, ask, source
from tests.inference.test_openai_chat import TENANT

ORDER = {
    "number": "1042",
    "status": "shipped",
    "shipped_at": "2026-11-20T09:00:00+00:00",
    "carrier": "DHL",
    "tracking_code": "JD0142",
}


def answer(question: str, *sources: object, facts: tuple[Fact, ...] = (), **options: object) -> ChatResult:
    request = ask(question, *sources, facts=facts)
    return services.complete_chat(tenant=TENANT, request=request, **options)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("How long do I have to send shoes back?", "within 30 days"),
        ("When do I get my money back?", "within five days"),
        ("How much is delivery?", "4.90 euros"),
        ("Can you deliver tomorrow?", "next working day"),
    ],
)
def test_the_sentence_that_answers_is_quoted_and_cited(question: str, words: str) -> None:
    passages = [source(RETURNS, title="Returns and refunds"), source(SHIPPING, title="Shipping and delivery")]
    result = answer(question, *passages)
    assert words in result.text
    assert "[1]" in result.text
    assert result.knows
    cited = next(citation for citation in result.citations if words in citation.quote)
    assert cited.chunk_id == passages["4.90" in SHIPPING and words in SHIPPING].chunk_id
    assert (result.provider, result.cost_microusd) == ("extractive", 0)


def test_a_title_that_asks_the_question_vouches_for_its_text() -> None:
    passage = source(
        "Open the settings. Choose “Close”. Confirm by mail.", title="How do I delete my account?"
    )
    result = answer("I want to remove my account, how?", passage)
    assert "Open the settings." in result.text


@pytest.mark.parametrize("question", ["Who won the world cup in 2018?", "How do I bake bread?"])
def test_it_says_so_when_it_does_not_know(question: str) -> None:
    result = answer(
        question, source(RETURNS, title="Returns", score=0.15), source(SHIPPING, title="S", score=0.1)
    )
    assert not result.knows
    assert result.citations == ()
    assert "could not find" in result.text


def test_without_sources_it_does_not_know() -> None:
    assert not answer("How long is the warranty?").knows


def test_an_order_is_told_with_its_tracking() -> None:
    result = answer("Where is my order 1042?", source(SHIPPING, title="S"), facts=(Fact("order", "", ORDER),))
    assert result.text == (
        "Your order 1042 is on its way. It was shipped on 20 November 2026. "
        "The carrier is DHL, the tracking code is JD0142."
    )
    assert result.knows


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({**ORDER, "status": "on_hold"}, "is on hold"),
        ({**ORDER, "status": "odd_thing"}, "has the status “odd thing”"),
        ({**ORDER, "shipped_at": "someday", "carrier": None}, "The tracking code is JD0142."),
        ({**ORDER, "tracking_code": ""}, "The carrier is DHL."),
        ({"number": "7", "status": "paid"}, "Your order 7 is paid"),
    ],
)
def test_an_order_with_gaps_is_still_told(data: dict[str, object], words: str) -> None:
    assert words in answer("order?", facts=(Fact("order", "", data),)).text


def test_other_facts_are_told_in_the_tools_words() -> None:
    assert answer("cancel", facts=(Fact("order_cancelled", "Order 7 is cancelled now."),)).text == (
        "Order 7 is cancelled now."
    )


@pytest.mark.parametrize(
    "text",
    [
        "Hi",
        "hello there!",
        "Thanks a lot!",
        "thank you so much",
        "Bye",
        "good morning",
        "who are you?",
        "Ok great",
    ],
)
def test_small_talk_is_answered_politely_without_a_source(text: str) -> None:
    result = answer(text, source(RETURNS, title="Returns"))
    assert result.knows
    assert result.citations == ()


def test_a_question_after_a_greeting_is_a_question() -> None:
    assert "30 days" in answer("Hi, how long can I send things back?", source(RETURNS, title="Returns")).text


def test_deltas_add_up_to_the_answer() -> None:
    deltas: list[str] = []
    result = answer("How much is delivery?", source(SHIPPING, title="Shipping"), on_delta=deltas.append)
    assert "".join(deltas) == result.text


def test_another_language_is_answered_by_its_words() -> None:
    text = "Sie haben 30 Tage Zeit für eine Rücksendung. Der Versand kostet 4,90 Euro."
    result = answer("Was kostet der Versand?", source(text, title="Versand", score=0.6))
    assert result.text.startswith("Der Versand kostet 4,90 Euro. [1]")

"""Decisions around the classifier: tiers, caps, reasons, follow-ups, mail."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from apps.routing.classifier import Prediction
from apps.routing.contracts import RouteDecision, Tier
from apps.routing.decisions import Message, decide_route
from apps.routing.tiers import ChatModels

MODELS = ChatModels(small="tiny", large="huge")


def decide(
    message: Message,
    answers: dict[str, tuple[str, float]],
    *,
    in_scope: bool = True,
    models: ChatModels = MODELS,
) -> RouteDecision:
    """Decide with a classifier that answers from a table and is unsure of every other text.

    `in_scope` is its verdict on the message alone.
    """

    def predict(text: str, _: Any) -> Prediction:
        intent, p = answers.get(text, ("faq", 0.3))
        rest = {"smalltalk": 1 - p} if intent == "faq" else {"faq": 1 - p}
        likeliest = sorted({intent: p, **rest}.items(), key=lambda pair: -pair[1])
        return Prediction(dict(likeliest), in_scope or text != message.text, "a known example", 0.9)

    return decide_route(
        message,
        classifier=SimpleNamespace(predict=predict),  # type: ignore[arg-type]
        version="v7",
        embed=lambda text: np.zeros(3, dtype=np.float32),
        models=models,
    )


def test_a_receipt_says_what_and_why() -> None:
    decision = decide(Message("how long?"), {"how long?": ("faq", 0.92)})
    assert (decision.intent, decision.confidence, decision.escalate) == ("faq", 0.92, False)
    assert decision.alternatives == (("smalltalk", 0.08),)
    assert decision.model_version == "v7"
    assert decision.reasons[0] == 'Reads like faq (92%), as in "a known example".'
    plain = decision.as_dict()
    assert plain["tier"] == "small"
    assert plain["alternatives"] == [{"intent": "smalltalk", "confidence": 0.08}]


@pytest.mark.parametrize(
    ("intent", "text", "models", "tier", "model"),
    [
        ("order_status", "where?", MODELS, Tier.RULES, ""),
        ("smalltalk", "hi", MODELS, Tier.RULES, ""),
        ("faq", "how long?", ChatModels(), Tier.EXTRACTIVE, "extractive"),
        ("faq", "how long?", MODELS, Tier.SMALL, "tiny"),
        ("faq", "how long? how much? how far?", MODELS, Tier.LARGE, "huge"),
        ("faq", "word " * 61, MODELS, Tier.LARGE, "huge"),
        ("custom_intent", "how long?", MODELS, Tier.SMALL, "tiny"),
        ("complaint", "it broke", MODELS, Tier.RULES, ""),
    ],
)
def test_the_cheapest_handler_is_chosen(
    intent: str, text: str, models: ChatModels, tier: Tier, model: str
) -> None:
    decision = decide(Message(text), {text: (intent, 0.95)}, models=models)
    assert (decision.tier, decision.model) == (tier, model)


def test_below_the_bar_a_person_decides() -> None:
    unsure = decide(Message("hm?"), {"hm?": ("faq", 0.69)})
    assert unsure.escalate
    assert "Below 70% a person decides." in unsure.reasons
    assert not decide(Message("hm?"), {"hm?": ("faq", 0.7)}).escalate


def test_out_of_scope_caps_confidence() -> None:
    decision = decide(Message("blorp"), {"blorp": ("faq", 0.99)}, in_scope=False)
    assert (decision.confidence, decision.escalate, decision.in_scope) == (0.5, True, False)


def test_asking_for_a_person_caps_confidence_but_a_complaint_keeps_its_own() -> None:
    asking = decide(Message("I want a human"), {"I want a human": ("smalltalk", 0.9)})
    assert (asking.confidence, asking.escalate) == (0.5, True)
    assert asking.reasons[0] == "The customer asks for a person."
    angry = decide(Message("I am furious"), {"I am furious": ("complaint", 0.9)})
    assert (angry.confidence, angry.escalate) == (0.9, True)


def test_a_short_follow_up_is_read_with_the_message_before() -> None:
    answers = {"and 1043?": ("faq", 0.4), "where is order 1042? and 1043?": ("order_status", 0.9)}
    alone = decide(Message("and 1043?"), answers)
    assert alone.escalate
    together = decide(Message("and 1043?", history=["hi", "where is order 1042?"]), answers)
    assert (together.intent, together.escalate) == ("order_status", False)
    assert any("message before" in reason for reason in together.reasons)


def test_a_clear_message_is_read_alone() -> None:
    answers = {"cancel it": ("order_change", 0.9), "hello cancel it": ("smalltalk", 0.99)}
    assert decide(Message("cancel it", history=["hello"]), answers).intent == "order_change"


def test_what_follows_a_greeting_is_not_small_talk() -> None:
    answers = {"and 1043?": ("faq", 0.6), "hello and 1043?": ("smalltalk", 0.9)}
    assert decide(Message("and 1043?", history=["hello"]), answers).escalate


def test_gibberish_stays_gibberish_whatever_came_before() -> None:
    answers = {"blorp": ("faq", 0.6), "where is my order? blorp": ("order_status", 0.9)}
    decision = decide(Message("blorp", history=["where is my order?"]), answers, in_scope=False)
    assert (decision.intent, decision.in_scope, decision.escalate) == ("faq", False, True)


def test_mail_is_read_without_what_it_quotes() -> None:
    mail = "how long?\n\nOn Monday, Support <help@example.com> wrote:\n> I am furious\n> bye\n-- \nJo"
    answers = {"how long?": ("faq", 0.9)}
    assert decide(Message(mail, channel="email"), answers).intent == "faq"
    assert not decide(Message(mail, channel="email"), answers).escalate
    assert decide(Message(mail, channel="api"), answers).escalate
    only_quoted = "> how long?"
    assert decide(Message(only_quoted, channel="email"), {only_quoted: ("faq", 0.9)}).confidence == 0.9

"""The shipped intents: a new tenant's first messages, of any business, find their way."""

from pathlib import Path

import pytest

from apps.inference.services import embed_query
from apps.routing import default_model
from apps.routing.classifier import IntentClassifier
from apps.routing.contracts import RouteDecision
from apps.routing.decisions import Message, decide_route
from apps.routing.default_model import default_intents, load_default_classifier
from apps.routing.tiers import ChatModels

INTENTS = {"faq", "order_status", "order_change", "complaint", "sales_lead", "smalltalk", "other"}


@pytest.fixture(scope="module")
def classifier() -> IntentClassifier:
    return load_default_classifier()


def decide(classifier: IntentClassifier, text: str, **kwargs: object) -> RouteDecision:
    message = Message(text, **kwargs)  # type: ignore[arg-type]
    return decide_route(message, classifier=classifier, version="x", embed=embed_query, models=ChatModels())


def test_every_intent_has_many_different_examples() -> None:
    assert set(default_intents()) == INTENTS
    seen: set[str] = set()
    for description, texts in default_intents().values():
        assert description.endswith(".")
        assert len(texts) >= 40
        lowered = {text.casefold() for text in texts}
        assert len(lowered) == len(texts)
        assert not lowered & seen
        seen |= lowered


@pytest.mark.parametrize(
    "text",
    [
        "Do you ship to Switzerland?",
        "How many days do I have to send something back?",
        "What is the warranty on ceramic lamps?",
        "Are returns free?",
        "Can I pay with Klarna?",
        "How should I care for a linen tablecloth?",
        "How tall is the floor lamp?",
        "What is your refund policy?",
        "How do I set up SSO with Azure AD?",
        "how many API requests can I make per hour on the free plan",
        "What happens when I hit the rate limit?",
        "How much is the Business plan?",
        "Can I get a refund if I cancel my annual plan?",
        "Where are your servers?",
        "Does Nimbus integrate with Jira?",
        "How do I rotate my API key?",
        "How long are backups kept?",
        "returns",
        "Do rooms have air conditioning?",
        "How do I file an insurance claim?",
        "Is tuition refundable?",
        "how long does a haircut take",
        "What's the speed of the fibre plan?",
        "How can I see who read my message?",
        "How do I freeze the first row of a table?",
        "Wie lange habe ich Zeit für eine Rückgabe?",
        "¿Cuánto cuesta el envío a México?",
    ],
)
def test_questions_about_any_business_are_answered_from_knowledge(
    classifier: IntentClassifier, text: str
) -> None:
    decision = decide(classifier, text)
    assert decision.intent == "faq", decision
    assert decision.confidence >= 0.7, decision
    assert decision.in_scope
    assert not decision.escalate


@pytest.mark.parametrize(
    ("intent", "text"),
    [
        ("order_status", "Where is my order 1042?"),
        ("order_status", "has my package been shipped already"),
        ("order_status", "status of 20931?"),
        ("order_status", "wo ist mein paket"),
        ("order_change", "I want to cancel order 1042"),
        ("order_change", "Please cancel my order 1042, I no longer need it."),
        ("order_change", "could you change the shipping address for order 77 to Baker Street 5"),
        ("order_change", "I'd like to send back one item of order 1042 and get a refund"),
        ("complaint", "your product broke and nobody answers, I'm furious"),
        ("complaint", "The lamp I received is cracked and I am angry"),
        ("complaint", "you charged my card twice and nobody helps"),
        ("sales_lead", "We'd like a quote for 75 licences"),
        ("sales_lead", "Please have a sales person call me about the enterprise plan"),
        ("smalltalk", "hi"),
        ("smalltalk", "Thank you very much!"),
        ("smalltalk", "ok, bye"),
        ("other", "tell me a joke about cows"),
        ("other", "what is the weather in Berlin"),
    ],
)
def test_everything_else_finds_its_intent(classifier: IntentClassifier, intent: str, text: str) -> None:
    decision = decide(classifier, text)
    assert decision.intent == intent, decision
    assert decision.confidence >= 0.7, decision
    assert decision.escalate == (intent == "complaint")


@pytest.mark.parametrize("text", ["sdfgsdfg sdfgsdfg", "lkjhlkjh", "xkcd blorp fnord zzz", "....", "🤷"])
def test_gibberish_is_out_of_scope_and_goes_to_a_person(classifier: IntentClassifier, text: str) -> None:
    decision = decide(classifier, text)
    assert not decision.in_scope
    assert decision.confidence <= 0.5
    assert decision.escalate
    assert "unlike every message" in decision.reasons[0]


def test_a_damaged_copy_on_disk_is_made_anew(tmp_path: Path, settings: object) -> None:
    settings.DATA_DIR = tmp_path  # type: ignore[attr-defined]
    before = load_default_classifier()
    (stored,) = (tmp_path / "models").glob("router-*.npz")
    good = stored.read_bytes()
    stored.write_bytes(good[:1000])
    again = load_default_classifier()
    assert again.intents == before.intents
    assert len(stored.read_bytes()) == pytest.approx(len(good), rel=0.01)
    assert not list((tmp_path / "models").glob("tmp*"))


def test_the_model_is_named_by_what_it_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    before = default_model.default_model_key()
    monkeypatch.setattr(default_model, "embedder_fingerprint", lambda: "another")
    assert default_model.default_model_key() != before

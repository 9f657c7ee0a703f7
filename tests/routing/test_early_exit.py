"""What goes to a person at once, and what must not."""

import pytest

from apps.routing.early_exit import find_early_exit


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("I want to talk to a human", "asks for a person"),
        ("can I speak with a real person please", "asks for a person"),
        ("Please connect me to an agent", "asks for a person"),
        ("transfer me over to your manager", "asks for a person"),
        ("human please", "asks for a person"),
        ("I need human support", "asks for a person"),
        ("let me talk to someone", "asks for a person"),
        ("Ich möchte mit einem Mitarbeiter sprechen", "asks for a person"),
        ("je veux parler à un conseiller", "asks for a person"),
        ("quiero hablar con una persona", "asks for a person"),
        ("My lawyer will hear about this", "legal"),
        ("I will take legal action", "legal"),
        ("I'm going to sue you", "legal"),
        ("see you in court", "legal"),
        ("your product broke and nobody answers, I'm furious", "angry"),
        ("this is UNACCEPTABLE", "angry"),
        ("you make me so angry", "angry"),
        ("WHERE IS MY STUFF!!", "angry"),
        ("I want to kill myself", "danger"),
    ],
)
def test_a_person_takes_over(text: str, about: str) -> None:
    reason = find_early_exit(text)
    assert reason is not None
    assert about in reason


@pytest.mark.parametrize(
    "text",
    [
        "Where is my order 1042?",
        "WHERE IS MY ORDER 1042",
        "Do you have a human resources department?",
        "Is the export human-readable?",
        "How do I invite a person to my workspace?",
        "How many agents can I add?",
        "Can I talk to someone in sales?",
        "What is the legal warranty period?",
        "Is it legal to import this?",
        "Do you sell basketball court shoes?",
        "Do you have Angry Birds mugs?",
        "I will issue a return",
        "Thanks!!",
        "ok",
        "",
    ],
)
def test_ordinary_messages_stay(text: str) -> None:
    assert find_early_exit(text) is None


def test_asking_the_same_a_third_time_goes_to_a_person() -> None:
    asked = "How do I return a lamp?"
    assert find_early_exit(asked, [asked, "and?"]) is None
    assert find_early_exit(asked, [asked, "how do I  RETURN a lamp?"]) is not None
    assert find_early_exit("ok", ["ok", "ok"]) is None

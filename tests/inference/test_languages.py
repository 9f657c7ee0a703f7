"""Languages and sentences: small rules that much stands on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.inference.languages import detect_language
from apps.inference.sentences import split_sentences


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Where is my order 1042?", "en"),
        ("HG-2041-B", "en"),
        ("refund", "en"),
        ("no", "en"),
        ("", "en"),
        ("Can I cancel the Zürich order?", "en"),
        ("de luxe edition shipping cost", "en"),
        ("Wo ist meine Bestellung 1042?", "de"),
        ("Comment puis-je retourner un article ?", "fr"),
        ("¿Dónde está mi pedido?", "es"),
        ("Dov'è il mio ordine?", "it"),
        ("Onde está o meu pedido?", "pt"),
        ("Waar is mijn bestelling?", "nl"),
        ("Gdzie jest moje zamówienie?", "pl"),
        ("Где мой заказ?", "ru"),
        ("订单在哪里", "zh"),
        ("返品したいです", "ja"),
        ("환불 정책", "ko"),
        ("أين طلبي", "ar"),
        ("Rücksendung", "und"),
    ],
)
def test_languages(text: str, language: str) -> None:
    assert detect_language(text) == language


@given(st.text())
def test_any_text_has_some_language(text: str) -> None:
    assert detect_language(text).isalpha()


def test_sentences_end_where_a_reader_would_end_them() -> None:
    text = (
        "Dr. Smith sells shoes, e.g. Boots. He asks 3.50 a pair! See fig. 2.\n- one\n- two. Yes\n\n1. Go on."
    )
    assert split_sentences(text) == [
        "Dr. Smith sells shoes, e.g. Boots.",
        "He asks 3.50 a pair!",
        "See fig. 2.",
        "- one",
        "- two.",
        "Yes",
        "1. Go on.",
    ]
    assert split_sentences("# Returns\nYou may return it.\nWithin\na month.") == [
        "# Returns",
        "You may return it.",
        "Within a month.",
    ]
    assert split_sentences("你好。再见。Ok") == ["你好。", "再见。", "Ok"]


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300))
def test_splitting_loses_nothing_but_space(text: str) -> None:
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())

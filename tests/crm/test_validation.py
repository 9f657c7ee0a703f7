import datetime as dt
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.crm import validation
from apps.resilience.errors import InvalidInput

ITEM = {"name": "Mug", "quantity": 2, "unit_price_cents": 1250}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def problem(rules, **given) -> str:
    with pytest.raises(InvalidInput) as refused:
        validation.clean(given, rules)
    (messages,) = refused.value.errors.values()
    return messages[0]


def clean(rules, **given):
    return validation.clean(given, rules)


@pytest.mark.parametrize(
    ("rules", "field", "value", "words"),
    [
        (validation.CUSTOMER, "email", "someone@", "name@example.com"),
        (validation.CUSTOMER, "email", 7, "Give text"),
        (validation.CUSTOMER, "phone", "call me", "digits"),
        (validation.CUSTOMER, "name", "x" * 201, "shorten it to 200"),
        (validation.CUSTOMER, "name", "a\x00b", "NUL"),
        (validation.CUSTOMER, "name", "a\ud800b", "NUL"),
        (validation.CUSTOMER, "metadata", [], "JSON object"),
        (validation.CUSTOMER, "metadata", {"a": "\x00"}, "NUL"),
        (validation.CUSTOMER, "metadata", {"a": "x" * 16_000}, "16000"),
        (validation.ORDER, "number", " # ", "number"),
        (validation.ORDER, "total_cents", -1, "cents"),
        (validation.ORDER, "total_cents", 1.5, "cents"),
        (validation.ORDER, "total_cents", True, "cents"),
        (validation.ORDER, "total_cents", 10**13, "cents"),
        (validation.ORDER, "currency", "euro", "shorten"),
        (validation.ORDER, "currency", "1€", "three letters"),
        (validation.ORDER, "status", "held", "hold an order by its action"),
        (validation.ORDER, "placed_at", "", "2026-03-31"),
        (validation.ORDER, "placed_at", "2026-02-31", "2026-03-31"),
        (validation.ORDER, "items", {}, "list"),
        (validation.ORDER, "items", [ITEM | {"quantity": 0}], "Item 1: quantity"),
        (validation.ORDER, "items", [ITEM, {"name": "Mug"}], "Item 2: give name"),
        (validation.ORDER, "items", [ITEM | {"colour": "red"}], "Item 1: give name"),
        (validation.LEAD, "status", "cold", "Give one of new"),
    ],
)
def test_bad_values_are_refused_with_what_to_do(rules, field, value, words):
    assert words in problem(rules, **{field: value})


def test_values_are_stored_in_one_way():
    assert clean(
        validation.CUSTOMER, email=" Ann@Example.COM ", phone="+49 (30) 123-456", external_id=""
    ) == {
        "email": "ann@example.com",
        "phone": "+4930123456",
        "external_id": None,
    }
    order = clean(validation.ORDER, number=" #so-1042", currency="eur", placed_at="2026-03-31", items=[ITEM])
    assert order == {
        "number": "SO-1042",
        "currency": "EUR",
        "placed_at": dt.datetime(2026, 3, 31, tzinfo=dt.UTC),
        "items": [ITEM],
    }


@given(st.sampled_from([validation.CUSTOMER, validation.ORDER, validation.LEAD]), st.data())
def test_anything_is_cleaned_or_refused(rules, data):
    field = data.draw(st.sampled_from(sorted(rules)))
    value = data.draw(ANYTHING)
    with suppress(InvalidInput):
        once = validation.clean({field: value}, rules)
        assert validation.clean(once, rules) == once

"""The price book: whole micro-dollars, rounded once."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.inference.prices import price_tokens

tokens = st.integers(min_value=0, max_value=10_000_000)


@pytest.mark.parametrize(
    ("model", "cost"),
    [
        ("gpt-4o-mini", 270),  # 1,000 x 0.15 + 200 x 0.60
        ("gpt-4o-mini-2024-07-18", 270),
        ("gpt-4o", 4500),
        ("gpt-4o-2024-08-06", 4500),
        ("gpt-4ofake", 0),
        ("llama-3", 0),
    ],
)
def test_a_model_costs_what_its_family_costs(model: str, cost: int) -> None:
    assert price_tokens(model=model, prompt_tokens=1000, completion_tokens=200) == cost


@given(tokens, tokens)
def test_the_cost_is_exact_to_half_a_micro_dollar(prompt: int, completion: int) -> None:
    cost = price_tokens(model="gpt-4o-mini", prompt_tokens=prompt, completion_tokens=completion)
    exact = Decimal("0.15") * prompt + Decimal("0.6") * completion
    assert abs(cost - exact) <= Decimal("0.5")


def test_the_settings_add_to_the_book() -> None:
    book = {"own": ("1", "2")}
    assert price_tokens(model="own", prompt_tokens=3, completion_tokens=4, book=book) == 11

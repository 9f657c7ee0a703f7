"""The price book: list prices of chat models, in US dollars for a million tokens.

A dollar for a million tokens is a millionth of a dollar for one, so a price times tokens is micro-dollars.
A model with its date behind it costs what its family costs; a model that is not listed costs nothing here
(a server of one's own). `settings.MODEL_PRICES` adds to the book and overrides it.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal

PRICES: Mapping[str, tuple[str, str]] = {
    "gpt-4o-mini": ("0.15", "0.60"),
    "gpt-4o": ("2.50", "10.00"),
    "gpt-4.1-nano": ("0.10", "0.40"),
    "gpt-4.1-mini": ("0.40", "1.60"),
    "gpt-4.1": ("2.00", "8.00"),
    "gpt-5-nano": ("0.05", "0.40"),
    "gpt-5-mini": ("0.25", "2.00"),
    "gpt-5": ("1.25", "10.00"),
    "o4-mini": ("1.10", "4.40"),
}


def price_tokens(
    *, model: str, prompt_tokens: int, completion_tokens: int, book: Mapping[str, tuple[str, str]] = PRICES
) -> int:
    """Return the cost in micro-dollars, rounded half up once, at the end."""
    family = max((name for name in book if _is_of(model, name)), key=len, default=None)
    if family is None:
        return 0
    prompt, completion = (Decimal(price) for price in book[family])
    cost = prompt * prompt_tokens + completion * completion_tokens
    return int(cost.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def _is_of(model: str, family: str) -> bool:
    rest = model.removeprefix(family)
    return model.startswith(family) and (not rest or rest[1:5].isdigit())

"""Words for what the tools found: orders in full, anything else in the tool's own words."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from apps.inference.contracts import Fact

STATUS_SENTENCES = {
    "pending": "is waiting for payment",
    "paid": "is paid and will be packed next",
    "processing": "is being packed",
    "confirmed": "is confirmed and will be packed next",
    "held": "is on hold",
    "on_hold": "is on hold",
    "shipped": "is on its way",
    "delivered": "was delivered",
    "cancelled": "is cancelled",
    "canceled": "is cancelled",
    "returned": "was returned",
    "refunded": "was refunded",
}
MOMENTS = {"shipped": ("shipped_at", "It was shipped on"), "delivered": ("delivered_at", "It arrived on")}


def describe_facts(facts: tuple[Fact, ...]) -> str:
    """Return the sentences that tell the facts, or nothing."""
    return " ".join(filter(None, (_describe(fact) for fact in facts)))


def _describe(fact: Fact) -> str:
    if fact.kind == "order" and fact.data.get("number") and fact.data.get("status"):
        return " ".join(_order_sentences(fact.data))
    return fact.text.strip()


def _order_sentences(order: Mapping[str, Any]) -> list[str]:
    status = str(order["status"])
    state = STATUS_SENTENCES.get(status, f"has the status “{status.replace('_', ' ')}”")
    sentences = [f"Your order {order['number']} {state}."]
    field, words = MOMENTS.get(status, ("placed_at", "You placed it on"))
    moment = _date(order.get(field))
    if moment:
        sentences.append(f"{words} {moment}.")
    if status in {"shipped", "delivered"}:
        sentences.extend(_tracking(order))
    return sentences


def _tracking(order: Mapping[str, Any]) -> list[str]:
    carrier, code = order.get("carrier"), order.get("tracking_code")
    if carrier and code:
        return [f"The carrier is {carrier}, the tracking code is {code}."]
    if code:
        return [f"The tracking code is {code}."]
    return [f"The carrier is {carrier}."] if carrier else []


def _date(value: object) -> str | None:
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError:
            return None
    return f"{value.day} {value:%B %Y}" if isinstance(value, dt.date) else None

"""Order tools: find, hold, release, cancel."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from apps.crm import selectors, services
from apps.crm.contracts import OrderView
from apps.orchestration.steps.context import Output, StepContext, StepFailed
from apps.orchestration.steps.history import customer_texts
from apps.orchestration.tools.contacts import find_email, find_order_number

# What the design's workflow calls the fields -> what we look for.
FIELDS = {
    "order_id": "order_number", "order_number": "order_number", "customer_email": "customer_email",
    "email": "customer_email",
}  # fmt: skip
ASKED_AS = {"order_number": "your order number", "customer_email": "the e-mail address that you ordered with"}
NOT_FOUND = (
    "I could not find an order {number} for that e-mail address. Please check the number and the address."
)


def order_search(context: StepContext) -> Output:
    """Find the order by its number and the customer's e-mail, from the message, the talk and the customer.

    Missing required fields end up in `needs`, and as a fact that makes the reply ask for them. An order
    is only shown for its own customer's address.
    """
    known = _known_fields(context)
    required = [FIELDS.get(name, name) for name in context.arguments.get("required_fields", ["order_id"])]
    needs = [name for name in dict.fromkeys([*required, "order_number"]) if not known.get(name)]
    if needs:
        wanted = " and ".join(ASKED_AS.get(name, name.replace("_", " ")) for name in needs)
        return _nothing(needs, "needs", f"To look up your order I need {wanted}.", known)
    order = selectors.find_order(
        tenant=context.tenant, number=str(known["order_number"]), customer_email=known["customer_email"]
    )
    if order is None:
        text = NOT_FOUND.format(number=known["order_number"])
        return _nothing([], "order_not_found", text, known)
    shown = _plain(order)
    fact = {"kind": "order", "text": _sentence(order), "data": shown}
    return {"found": True, "needs": [], **_outputs(order), "facts": [fact]}


def order_hold(context: StepContext) -> Output:
    """Hold the order."""
    order = services.hold_order(tenant=context.tenant, effect_key=context.effect_key, **which_order(context))
    return {"is_held": True, **_outputs(order)}


def order_release(context: StepContext) -> Output:
    """Release the order, also as the undoing of a hold."""
    order = services.release_order(
        tenant=context.tenant, effect_key=context.effect_key, **which_order(context)
    )
    return {"is_released": True, **_outputs(order)}


def order_cancel(context: StepContext) -> Output:
    """Cancel the order."""
    order = services.cancel_order(
        tenant=context.tenant, effect_key=context.effect_key, **which_order(context)
    )
    fact = {"kind": "order", "text": f"Order {order.number} was cancelled.", "data": _plain(order)}
    return {"is_cancelled": True, **_outputs(order), "facts": [fact]}


def cancel_order_hold(context: StepContext) -> Output:
    """Release the hold that the undone step put on its order, if it did put one."""
    if not context.undone.get("is_held"):
        return {"is_released": False}
    return order_release(context)


def _known_fields(context: StepContext) -> dict[str, str | None]:
    texts = [*customer_texts(context), context.text]
    given = context.arguments
    return {
        "order_number": given.get("order_number") or find_order_number(texts),
        "customer_email": given.get("customer_email") or _customer_email(context) or find_email(texts),
    }


def _customer_email(context: StepContext) -> str | None:
    if context.customer_id is None:
        return None
    return selectors.get_customer(tenant=context.tenant, customer_id=context.customer_id).email


def _nothing(needs: list[str], kind: str, text: str, known: Mapping[str, Any]) -> Output:
    fact = {"kind": kind, "text": text, "data": {"needs": needs}}
    return {"found": False, "needs": needs, "order_number": known.get("order_number") or "", "facts": [fact]}


def which_order(context: StepContext) -> dict[str, Any]:
    """Name the order: as told, as the undone step had it, as an earlier step found it, or as written."""
    for source in (context.arguments, context.undone):
        if source.get("order_id"):
            return {"order_id": UUID(str(source["order_id"]))}
        if source.get("order_number"):
            return {"number": str(source["order_number"])}
    found = context.find("order_id")
    if found:
        return {"order_id": UUID(str(found))}
    number = find_order_number([*customer_texts(context), context.text])
    if number is None:
        raise StepFailed("which order is meant is not known: give `order_number`", is_retryable=False)
    return {"number": number}


def _outputs(order: OrderView) -> Output:
    return {
        "order_id": str(order.id),
        "order_number": order.number,
        "status": str(order.status),
        "order": _plain(order),
    }


def _plain(order: OrderView) -> dict[str, Any]:
    hidden = ("customer_email", "customer_id", "created_at")
    return {name: value for name, value in dataclasses.asdict(order).items() if name not in hidden}


def _sentence(order: OrderView) -> str:
    text = f"Order {order.number} is {order.status}; total {order.total_cents / 100:.2f} {order.currency}."
    if order.tracking_code:
        text += f" Carrier {order.carrier}, tracking code {order.tracking_code}."
    return text

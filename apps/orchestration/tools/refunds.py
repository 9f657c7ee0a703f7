"""Refund tool."""

from __future__ import annotations

from apps.crm import selectors, services
from apps.orchestration.steps.context import Output, StepContext
from apps.orchestration.tools.orders import which_order


def order_refund(context: StepContext) -> Output:
    """Record the refund with the effect's key, in the transaction of the step's result."""
    arguments = context.arguments
    order = services.refund_order(
        tenant=context.tenant,
        effect_key=context.effect_key,
        actor=f"run:{context.run_id}",
        amount_cents=arguments.get("amount_cents"),
        currency=arguments.get("currency"),
        reason=str(arguments.get("reason", "")),
        **which_order(context),
    )
    # The order is locked until this commits, so the newest refund is this one.
    done = selectors.list_order_actions(tenant=context.tenant, order_id=order.id)
    amount = next(action.amount_cents or 0 for action in reversed(done) if action.action == "refund")
    text = f"{amount / 100:.2f} {order.currency} of order {order.number} were refunded."
    return {
        "is_refunded": True,
        "amount_cents": amount,
        "refunded_cents": order.refunded_cents,
        "left_cents": order.total_cents - order.refunded_cents,
        "currency": order.currency,
        "order_id": str(order.id),
        "order_number": order.number,
        "status": str(order.status),
        "facts": [{"kind": "refund", "text": text}],
    }

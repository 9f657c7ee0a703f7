"""What happens to an order in its life; each effect once, by its key."""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import replace
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.crm import events, validation
from apps.crm.contracts import OrderStatus, OrderView
from apps.crm.models import Order, OrderAction
from apps.crm.transitions import OrderActionKind, Standing, TransitionRefused, next_standing
from apps.events.contracts import DomainEvent
from apps.events.services import publish
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.services import record_audit

EVENTS: dict[OrderActionKind, Callable[..., DomainEvent]] = {
    OrderActionKind.HOLD: events.OrderHeld,
    OrderActionKind.RELEASE: events.OrderReleased,
    OrderActionKind.CANCEL: events.OrderCancelled,
    OrderActionKind.REINSTATE: events.OrderReinstated,
    OrderActionKind.SHIP: events.OrderShipped,
    OrderActionKind.DELIVER: events.OrderDelivered,
    OrderActionKind.REFUND: events.OrderRefunded,
}


def hold_order(
    *,
    tenant: TenantRef,
    effect_key: str,
    order_id: UUID | None = None,
    number: str | None = None,
    actor: str = "system",
) -> OrderView:
    """Stop an order where it is, until it is released or cancelled.

    As every action here: the order is named by id or number; the same `effect_key` again does
    nothing and returns the same view. Raises NotFoundError, and ConflictError where the action
    does not fit the status or the key belongs to another effect.
    """
    return _act(OrderActionKind.HOLD, tenant, effect_key, order_id, number, actor)


def release_order(
    *,
    tenant: TenantRef,
    effect_key: str,
    order_id: UUID | None = None,
    number: str | None = None,
    actor: str = "system",
) -> OrderView:
    """Undo a hold: the order is again exactly what was held."""
    return _act(OrderActionKind.RELEASE, tenant, effect_key, order_id, number, actor)


def cancel_order(
    *,
    tenant: TenantRef,
    effect_key: str,
    order_id: UUID | None = None,
    number: str | None = None,
    actor: str = "system",
) -> OrderView:
    """Cancel an order that has not been shipped."""
    return _act(OrderActionKind.CANCEL, tenant, effect_key, order_id, number, actor)


def reinstate_order(
    *,
    tenant: TenantRef,
    effect_key: str,
    order_id: UUID | None = None,
    number: str | None = None,
    actor: str = "system",
) -> OrderView:
    """Undo a cancellation: the order is again exactly what was cancelled."""
    return _act(OrderActionKind.REINSTATE, tenant, effect_key, order_id, number, actor)


def refund_order(
    *,
    tenant: TenantRef,
    effect_key: str,
    order_id: UUID | None = None,
    number: str | None = None,
    actor: str = "system",
    amount_cents: int | None = None,
    currency: str | None = None,
    reason: str = "",
) -> OrderView:
    """Record that an order's money, or `amount_cents` of it, went back; there is no way back from it.

    Never more than was paid and is not refunded yet; with all of it the order is refunded. Raises as the
    others, and InvalidInput.
    """
    key, words = validation.effect_key(effect_key), validation.text(500)(reason)
    with in_tenant(tenant):
        order = _lock(order_id, number)
        done = OrderAction.objects.filter(effect_key=key).first()
        if done is not None:
            if amount_cents not in (None, done.amount_cents):
                raise ConflictError("This effect key was used for another amount; choose a new one.")
            return _view_of_done(done, order, OrderActionKind.REFUND)
        _give_back(tenant, order, _refundable(order, amount_cents, currency), key, actor, words)
        return order.view()


def _give_back(tenant: TenantRef, order: Order, amount: int, key: str, actor: str, reason: str) -> None:
    kind, before = OrderActionKind.REFUND, order.standing
    refunded = order.refunded_cents + amount
    after = _next(kind, order)
    _move(order, after if refunded >= order.total_cents else before, {"refunded_cents": refunded})
    action = OrderAction(amount_cents=amount, reason=reason)
    money: dict[str, int | str] = {
        "amount_cents": amount, "refunded_cents": refunded, "currency": order.currency,
    }  # fmt: skip
    _record(tenant, order, kind, before, key, actor, action, **money)
    data = {"before": before.status, "after": order.status, "amount_cents": amount, "reason": reason}
    record_audit(tenant=tenant, actor=actor, action="order.refunded", target=order.number, data=data)


def _refundable(order: Order, amount_cents: int | None, currency: str | None) -> int:
    """Return how much goes back; raises InvalidInput where that is more than is left."""
    _next(OrderActionKind.REFUND, order)
    left = max(0, order.total_cents - order.refunded_cents)
    if currency and currency.upper() != order.currency:
        raise InvalidInput({"currency": [f"The order was paid in {order.currency}."]})
    if amount_cents is None:
        return left
    amount: int = validation.clean({"amount_cents": amount_cents}, {"amount_cents": validation.cents})[
        "amount_cents"
    ]
    if not 1 <= amount <= left:
        raise InvalidInput({"amount_cents": [f"Between 1 and {left} cents can be refunded."]})
    return amount


def ship_order(
    *,
    tenant: TenantRef,
    effect_key: str,
    order_id: UUID | None = None,
    number: str | None = None,
    carrier: str = "",
    tracking_code: str = "",
    actor: str = "system",
) -> OrderView:
    """Record that an order is on its way."""
    given = {"carrier": carrier, "tracking_code": tracking_code}
    changes = validation.clean(given, validation.ORDER)
    changes = {name: value for name, value in changes.items() if value} | {"shipped_at": timezone.now()}
    return _act(OrderActionKind.SHIP, tenant, effect_key, order_id, number, actor, changes)


def deliver_order(
    *,
    tenant: TenantRef,
    effect_key: str,
    order_id: UUID | None = None,
    number: str | None = None,
    actor: str = "system",
) -> OrderView:
    """Record that an order has arrived."""
    changes = {"delivered_at": timezone.now()}
    return _act(OrderActionKind.DELIVER, tenant, effect_key, order_id, number, actor, changes)


def _act(
    kind: OrderActionKind,
    tenant: TenantRef,
    effect_key: str,
    order_id: UUID | None,
    number: str | None,
    actor: str,
    changes: Mapping[str, str | dt.datetime] | None = None,
) -> OrderView:
    key = validation.effect_key(effect_key)
    with in_tenant(tenant):
        order = _lock(order_id, number)
        done = OrderAction.objects.filter(effect_key=key).first()
        if done is not None:
            return _view_of_done(done, order, kind)
        before, after = order.standing, _next(kind, order)
        _move(order, after, changes or {})
        _record(tenant, order, kind, before, key, actor, OrderAction())
        return order.view()


def _next(kind: OrderActionKind, order: Order) -> Standing:
    try:
        return next_standing(kind, order.standing)
    except TransitionRefused as exc:
        raise ConflictError(f"Order {order.number} is as it was. {exc}") from exc


def _lock(order_id: UUID | None, number: str | None) -> Order:
    if (order_id is None) == (number is None):
        raise InvalidInput({"order": ["Name one order, by its id or by its number."]})
    named: dict[str, object] = {"id": order_id}
    if number is not None:
        named = validation.clean({"number": number}, validation.ORDER)
    orders = Order.objects.select_related("customer").select_for_update(of=("self",))
    order = orders.filter(**named).first()
    if order is None:
        raise NotFoundError(f"There is no order {number or order_id}.")
    return order


def _view_of_done(done: OrderAction, order: Order, kind: OrderActionKind) -> OrderView:
    if done.order_id != order.id or done.action != kind:
        raise ConflictError("This effect key was used for something else; choose a new one.")
    # The order may have moved on since; a repeated call still hears what its own effect was.
    return replace(order.view(), status=OrderStatus(done.after))


def _move(order: Order, after: Standing, changes: Mapping[str, str | int | dt.datetime]) -> None:
    order.status = after.status.value
    order.held_from = after.held_from.value if after.held_from else ""
    order.cancelled_from = after.cancelled_from.value if after.cancelled_from else ""
    for name, value in changes.items():
        setattr(order, name, value)
    order.save(update_fields=["status", "held_from", "cancelled_from", "updated_at", *changes])


def _record(
    tenant: TenantRef,
    order: Order,
    kind: OrderActionKind,
    before: Standing,
    key: str,
    actor: str,
    action: OrderAction,
    **details: int | str,
) -> None:
    action.order, action.effect_key, action.action = order, key, kind.value
    action.before, action.after, action.actor = before.status.value, order.status, actor[:120]
    try:
        with transaction.atomic():
            action.save(force_insert=True)
    except IntegrityError as exc:
        # Only an effect on another order can have taken the key while this one was locked.
        raise ConflictError("This effect key was used for something else; choose a new one.") from exc
    publish(
        EVENTS[kind](
            tenant_id=tenant.id,
            order_id=order.id,
            number=order.number,
            before=action.before,
            after=action.after,
            effect_key=key,
            actor=action.actor,
            **details,
        )
    )

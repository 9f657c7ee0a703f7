"""Orders: the list, one of them with its history, and what can be done to it and undone."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from apps.crm import selectors, services
from apps.crm.forms import OrderFilter, OrderForm, ShipForm
from apps.crm.models import Order
from apps.crm.pages.shared import edit
from apps.crm.transitions import FROM, PAST_TENSE, OrderActionKind
from apps.resilience.errors import InvalidInput, NotFoundError
from apps.tenants.dashboard import MemberRequest, member_page, notify
from apps.tenants.paging import paginate

ACTIONS: dict[OrderActionKind, Callable[..., Any]] = {
    OrderActionKind.HOLD: services.hold_order,
    OrderActionKind.RELEASE: services.release_order,
    OrderActionKind.CANCEL: services.cancel_order,
    OrderActionKind.REINSTATE: services.reinstate_order,
    OrderActionKind.SHIP: services.ship_order,
    OrderActionKind.DELIVER: services.deliver_order,
    OrderActionKind.REFUND: services.refund_order,
}
UNDO = {
    OrderActionKind.HOLD: OrderActionKind.RELEASE,
    OrderActionKind.RELEASE: OrderActionKind.HOLD,
    OrderActionKind.CANCEL: OrderActionKind.REINSTATE,
    OrderActionKind.REINSTATE: OrderActionKind.CANCEL,
}
ASK = {
    OrderActionKind.REFUND: "Record the refund? It cannot be undone.",
    OrderActionKind.SHIP: "Record that it was shipped? It cannot be undone.",
    OrderActionKind.DELIVER: "Record that it has arrived? It cannot be undone.",
}


@member_page(read="read:orders")
def show_orders(request: MemberRequest) -> HttpResponse:
    """List orders, newest first."""
    form = OrderFilter(request.GET)
    rows = chosen_orders(form)
    context = {
        "form": form,
        "page": paginate(rows.select_related("customer"), request.GET.get("cursor", "")),
        "is_filtered": bool(request.GET.get("q") or request.GET.get("status")),
        "may_write": request.principal.may("write:orders"),
    }
    return render(request, "crm/orders.html", context, status=422 if form.errors else 200)


@member_page(read="read:orders")
def show_order(request: MemberRequest, order_id: UUID) -> HttpResponse:
    """Show an order, its history, and what can be done to it now."""
    order = selectors.get_order(tenant=request.tenant, order_id=order_id)
    may_write = request.principal.may("write:orders")
    fitting = [kind for kind, before in FROM.items() if may_write and order.status in before]
    context = {
        "order": order,
        "history": selectors.list_order_actions(tenant=request.tenant, order_id=order_id),
        "actions": [(kind.value, kind.value.title(), ASK.get(kind, "")) for kind in fitting],
        "ship_form": ShipForm(),
        "effect_key": f"page:{uuid4()}",
    }
    return render(request, "crm/order.html", context)


@member_page(read="write:orders", write="write:orders")
def add_order(request: MemberRequest) -> HttpResponse:
    """Add an order."""

    def save(form: OrderForm) -> object:
        return services.create_order(tenant=request.tenant, **form.fields_given())

    return edit(request, OrderForm, save, title="New order", done="Added.", then="order")


@member_page(write="write:orders", post_only=True)
def act(request: MemberRequest, order_id: UUID, action: str) -> HttpResponse:
    """Do something to an order; a form that is sent twice does it once."""
    selectors.get_order(tenant=request.tenant, order_id=order_id)
    try:
        kind = OrderActionKind(action)
    except ValueError:
        raise NotFoundError("There is no such action.") from None
    given = {**request.GET.dict(), **request.POST.dict()}
    key = given.get("effect_key", "") or f"page:{uuid4()}"
    more = _shipment(request) if kind is OrderActionKind.SHIP else {}
    actor = f"user:{request.user.id}"
    order = ACTIONS[kind](tenant=request.tenant, effect_key=key, order_id=order_id, actor=actor, **more)
    undo = UNDO.get(kind)
    query = urlencode({"effect_key": f"page:{uuid4()}"})
    undo_url = f"{reverse('order_action', args=[order_id, undo.value])}?{query}" if undo else ""
    notify(request, f"Order {order.number} is {PAST_TENSE[kind]}.", undo_url=undo_url)
    return redirect("order", order_id)


def _shipment(request: MemberRequest) -> dict[str, str]:
    form = ShipForm(request.POST)
    if not form.is_valid():
        raise InvalidInput({name: [str(e) for e in errors] for name, errors in form.errors.items()})
    return form.cleaned_data


def chosen_orders(form: OrderFilter) -> QuerySet[Order]:
    """Return the orders that a filter lets through; none where it is not right."""
    return _filtered(form.cleaned_data) if form.is_valid() else Order.objects.none()


def _filtered(given: dict[str, str]) -> QuerySet[Order]:
    rows = Order.objects.all()
    if given["q"]:
        text = given["q"].removeprefix("#").upper()
        rows = rows.filter(Q(number__startswith=text) | Q(customer__email=text.lower()))
    return rows.filter(status=given["status"]) if given["status"] else rows

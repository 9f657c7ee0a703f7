"""Customer tools: find, change, tag, and give back what was."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apps.crm import selectors, services
from apps.crm.contracts import CustomerChange, CustomerView
from apps.orchestration.steps.context import Output, StepContext, StepFailed
from apps.resilience.errors import NotFoundError


def customer_search(context: StepContext) -> Output:
    """Find a customer as told, else the conversation's."""
    customer = _find(context)
    if customer is None:
        return {"found": False}
    return {"found": True, "customer_id": str(customer.id), "customer": _plain(customer)}


def customer_update(context: StepContext) -> Output:
    """Change a customer; the output knows what was, so that it can be undone."""
    given = {
        name: context.arguments[name] for name in ("name", "phone", "metadata") if name in context.arguments
    }
    return _output(services.change_customer(tenant=context.tenant, customer_id=_which(context), **given))


def customer_tag(context: StepContext) -> Output:
    """Add and remove tags."""
    arguments = context.arguments
    change = services.tag_customer(
        tenant=context.tenant,
        customer_id=_which(context),
        add=arguments.get("add", ()),
        remove=arguments.get("remove", ()),
    )
    return {**_output(change), "tags": change.customer.metadata.get("tags", [])}


def customer_restore(context: StepContext) -> Output:
    """Give the customer of the undone step back what it changed."""
    undone = context.undone
    if not undone.get("is_changed"):
        return {"is_restored": False}
    change = services.restore_customer(
        tenant=context.tenant,
        customer_id=UUID(str(undone["customer_id"])),
        before=dict(undone["before"]),
        after=dict(undone["after"]),
    )
    return {"is_restored": bool(change.after)}


def _find(context: StepContext) -> CustomerView | None:
    arguments = context.arguments
    if arguments.get("email") or arguments.get("external_id"):
        return selectors.find_customer(
            tenant=context.tenant, email=arguments.get("email"), external_id=arguments.get("external_id")
        )
    try:
        return selectors.get_customer(tenant=context.tenant, customer_id=_which(context))
    except (StepFailed, NotFoundError):
        return None


def _which(context: StepContext) -> UUID:
    """Name the customer: as told, as an earlier step found them, or whose conversation it is."""
    named = context.arguments.get("customer_id") or context.find("customer_id") or context.customer_id
    try:
        return UUID(str(named))
    except ValueError:
        raise StepFailed(
            "which customer is meant is not known: give `customer_id`", is_retryable=False
        ) from None


def _output(change: CustomerChange) -> Output:
    return {
        "is_changed": bool(change.after),
        "customer_id": str(change.customer.id),
        "before": change.before,
        "after": change.after,
    }


def _plain(customer: CustomerView) -> dict[str, Any]:
    return {
        "id": str(customer.id),
        "name": customer.name,
        "email": customer.email or "",
        "phone": customer.phone,
        "external_id": customer.external_id or "",
        "metadata": customer.metadata,
        "tags": customer.metadata.get("tags", []),
    }

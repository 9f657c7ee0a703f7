"""Router step: what the message is about, and how sure that is."""

from __future__ import annotations

from apps.orchestration.steps.context import Output, StepContext, StepFailed
from apps.orchestration.steps.history import customer_texts
from apps.routing.services import route_message


def route(context: StepContext) -> Output:
    """Route the message; the decision's fields are the outputs."""
    if not context.text:
        raise StepFailed("there is no message to route: give the run an input `text`", is_retryable=False)
    decision = route_message(
        tenant=context.tenant,
        text=context.text,
        channel=str(context.input.get("channel", "api")),
        history=customer_texts(context),
        customer_id=context.customer_id,
    )
    return decision.as_dict()

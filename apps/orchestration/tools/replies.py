"""Replies that need no model."""

from __future__ import annotations

from apps.orchestration.steps.context import Output, StepContext

GENERIC = (
    "Sorry, I cannot answer that right now. Please try again in a moment, or ask for a person to help you."
)


def generic_response(context: StepContext) -> Output:
    """Answer in general words, with the handover's when a human was called already."""
    handover = context.find("handover")
    text = str(context.arguments.get("text") or GENERIC)
    return {"text": f"{text} {handover}" if handover else text}

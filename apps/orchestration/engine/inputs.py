"""Checks what a run is started with against the workflow's declared inputs."""

from __future__ import annotations

from typing import Any

from apps.orchestration.definitions.contracts import StepType, WorkflowDefinition
from apps.orchestration.definitions.language import types as t
from apps.resilience.errors import InvalidInput

MAX_TEXT = 20_000
MESSAGE_INPUTS = {
    "text": "string", "channel": "string", "customer_id": "string", "conversation_id": "string",
    "message_id": "string",
}  # fmt: skip


def check_input(definition: WorkflowDefinition, given: dict[str, Any]) -> dict[str, Any]:
    """Return the input; raises InvalidInput with what is missing, unknown or of the wrong type."""
    types = {**MESSAGE_INPUTS, **{declared.name: declared.type for declared in definition.inputs}}
    errors: dict[str, list[str]] = {}
    for declared in definition.inputs:
        if declared.is_required and given.get(declared.name) in (None, ""):
            errors[f"input.{declared.name}"] = [f"This is required: {declared.description or declared.type}."]
    if not given.get("text") and any(step.type is StepType.ROUTER for step in definition.all_steps):
        errors["input.text"] = ["This is required: the message that the workflow routes."]
    for name, value in given.items():
        if name not in types:
            known = ", ".join(sorted(types))
            errors[f"input.{name}"] = [f"The workflow has no such input. It knows: {known}."]
        elif value is not None and not t.fits(value, types[name]):
            errors[f"input.{name}"] = [f"This must be of type {types[name]}."]
        elif isinstance(value, str) and ("\x00" in value or len(value) > MAX_TEXT):
            errors[f"input.{name}"] = [f"Use at most {MAX_TEXT} characters, without NUL."]
    if errors:
        raise InvalidInput(errors)
    return given

"""What a delivery's body says; each function returns it clean, or raises InvalidInput with the field."""

import io
import json
from collections.abc import Mapping
from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.settings import api_settings

from apps.conversations.contracts import ChannelKind, CustomerInput
from apps.orchestration.definitions.contracts import WorkflowDefinition
from apps.orchestration.engine.inputs import check_input
from apps.orchestration.hooks.contracts import HookAction
from apps.resilience.errors import InvalidInput

CUSTOMER_FIELDS = ("name", "email", "external_id", "phone")
QUESTION = "How do I return a parcel?"
CUSTOMER = {"name": "Ada Lovelace", "email": "ada@example.com"}
EXAMPLES: dict[str, Any] = {"string": "example", "int": 1, "double": 1.5, "bool": True, "list": [], "map": {}}


def read_json(body: bytes) -> dict[str, Any]:
    """Parse a body within the limits of every other doorway; it must be an object."""
    parser: Any = api_settings.DEFAULT_PARSER_CLASSES[0]
    try:
        read = parser().parse(io.BytesIO(body))
        json.dumps(read, allow_nan=False)  # 1e999 reads as infinity, which cannot be stored
    except (ParseError, ValueError) as error:
        raise InvalidInput({"body": [str(error)]}) from error
    if not isinstance(read, dict):
        raise InvalidInput({"body": ['Send a JSON object, such as {"text": "…"}.']})
    return read


def read_said(payload: Mapping[str, Any], name: str = "message") -> tuple[str, str | None]:
    """Return the text and the sender's own id of what a customer says."""
    message = payload.get(name)
    if not isinstance(message, dict):
        raise InvalidInput({name: ['This is required: an object, such as {"text": "…"}.']})
    return _text(message, f"{name}.text"), _optional(message, f"{name}.client_message_id")


def read_customer(payload: Mapping[str, Any]) -> CustomerInput | None:
    """Return who says it, if the body tells."""
    customer = payload.get("customer")
    if customer is None:
        return None
    if not isinstance(customer, dict):
        raise InvalidInput({"customer": [f"Give an object with some of {', '.join(CUSTOMER_FIELDS)}."]})
    return CustomerInput(**{name: _optional(customer, f"customer.{name}") for name in CUSTOMER_FIELDS})


def read_text(payload: Mapping[str, Any]) -> str:
    """Return the text that a workflow which answers messages is started with."""
    return _text(payload, "text")


def read_input(definition: WorkflowDefinition, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that a workflow declares, and `text`; the others are the sender's own affair."""
    declared = {one.name for one in definition.inputs}
    taken = {name: value for name, value in payload.items() if name in {"text", *declared}}
    if "channel" not in declared:
        taken["channel"] = ChannelKind.WEBHOOK.value
    try:
        return check_input(definition, taken)
    except InvalidInput as error:
        raise InvalidInput({k.removeprefix("input."): v for k, v in error.errors.items()}) from error


def answers_messages(definition: WorkflowDefinition) -> bool:
    """Tell whether a workflow answers customers' messages, hence needs a conversation to answer in."""
    return definition.is_triggered_by("websocket", "message_received")


def sample_payload(action: HookAction, listeners: list[WorkflowDefinition]) -> dict[str, Any]:
    """Return a body that the endpoint takes, to try it with."""
    if action is HookAction.MESSAGE:
        return {"customer": CUSTOMER, "message": {"text": QUESTION}}
    sample: dict[str, Any] = {}
    for definition in listeners:
        if answers_messages(definition):
            sample |= {"text": QUESTION, "customer": CUSTOMER}
        for declared in definition.inputs:
            sample[declared.name] = EXAMPLES[declared.type] if declared.default is None else declared.default
    return sample or {"text": QUESTION}


def _text(holder: Mapping[str, Any], path: str) -> str:
    value = _optional(holder, path)
    if not (value or "").strip():
        raise InvalidInput({path: ["This is required: what the customer says."]})
    return value or ""


def _optional(holder: Mapping[str, Any], path: str) -> str | None:
    value = holder.get(path.rsplit(".", 1)[-1])
    if value is not None and not isinstance(value, str):
        raise InvalidInput({path: ["This must be a string."]})
    return value

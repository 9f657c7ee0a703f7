"""What `http_request` takes and promises."""

from __future__ import annotations

from apps.orchestration.definitions.contracts import Effect
from apps.orchestration.definitions.language import types as t
from apps.orchestration.tools.contract import Schema, ToolSpec, arguments

DECLARABLE = ("idempotent", "lookup", "neither")
_URL = {"type": "string", "minLength": 1, "maxLength": 2000}
_HEADERS = {"type": "object", "additionalProperties": {"type": "string"}}


def effect_of(config: Schema) -> Effect:
    """Find a request's promise: what the step says, else that reading does nothing and the key does the rest.

    Without a word a repeat carries the same Idempotency-Key; of a service that does not heed it, say so.
    """
    declared = config.get("effect")
    if declared in DECLARABLE:
        return Effect(declared)
    if "lookup" in config:
        return Effect.LOOKUP
    return Effect.NONE if config.get("method", "GET") == "GET" else Effect.IDEMPOTENT


HTTP_REQUEST = ToolSpec(
    name="http_request",
    summary=(
        "Call an HTTP service; it gets the effect's key as Idempotency-Key. Where the service does not heed "
        "it, say `effect: neither`, or how to `lookup` whether it was done."
    ),
    effect=Effect.IDEMPOTENT,
    arguments={
        **arguments(
            "url",
            url=_URL,
            method={"enum": ["GET", "POST", "PUT", "PATCH", "DELETE"]},
            headers=_HEADERS,
            json={},
            expected_status={"type": "array", "items": {"type": "integer", "minimum": 100, "maximum": 599}},
            effect={"enum": list(DECLARABLE)},
            lookup=arguments(
                "url",
                # Somewhere in it stands {effect_key}.
                url={**_URL, "pattern": r"\{effect_key\}"},
                headers=_HEADERS,
            ),
        ),
        "if": {"properties": {"effect": {"const": "lookup"}}, "required": ["effect"]},
        "then": {"required": ["lookup"]},
    },
    outputs={"status": t.INT, "body": t.DYN},
    is_action=True,
    effect_of=effect_of,
)

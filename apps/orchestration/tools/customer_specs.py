"""What the tools for customers take and promise."""

from apps.orchestration.definitions.contracts import Effect
from apps.orchestration.definitions.language import types as t
from apps.orchestration.tools.contract import ToolSpec, arguments

_TEXT = {"type": "string", "maxLength": 2000}
_TAGS = {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 50}, "maxItems": 20}
_CUSTOMER = t.record(
    id=t.STRING, name=t.STRING, email=t.STRING, phone=t.STRING, external_id=t.STRING, metadata=t.ANY_MAP,
    tags=t.list_of(t.STRING),
)  # fmt: skip
_CHANGE = {"is_changed": t.BOOL, "customer_id": t.STRING, "before": t.ANY_MAP, "after": t.ANY_MAP}

CUSTOMER_TOOLS = [
    ToolSpec(
        name="customer_search",
        summary="Find a customer by e-mail, external id or id; without any, the one of the conversation.",
        effect=Effect.NONE,
        arguments=arguments(customer_id=_TEXT, email=_TEXT, external_id=_TEXT),
        outputs={"found": t.BOOL, "customer_id": t.STRING, "customer": _CUSTOMER},
    ),
    ToolSpec(
        name="customer_update",
        summary=(
            "Change a customer's name, phone or metadata (key by key; null removes one). Undo it with "
            "customer_restore."
        ),
        effect=Effect.TRANSACTIONAL,
        arguments=arguments(customer_id=_TEXT, name=_TEXT, phone=_TEXT, metadata={"type": "object"}),
        outputs=_CHANGE,
    ),
    ToolSpec(
        name="customer_tag",
        summary="Add and remove tags of a customer. Undo it with customer_restore.",
        effect=Effect.TRANSACTIONAL,
        arguments=arguments(customer_id=_TEXT, add=_TAGS, remove=_TAGS),
        outputs={**_CHANGE, "tags": t.list_of(t.STRING)},
    ),
    ToolSpec(
        name="customer_restore",
        summary=(
            "Give a customer back what the undone step had changed; what somebody has changed since stays."
        ),
        effect=Effect.TRANSACTIONAL,
        arguments=arguments(),
        outputs={"is_restored": t.BOOL},
        is_action=True,
    ),
]

"""What each step type and tool takes, gives and promises; checked when a workflow is published."""

from __future__ import annotations

from collections.abc import Mapping

from apps.orchestration.definitions.contracts import MOST_ITEMS, Effect
from apps.orchestration.definitions.durations import DURATION
from apps.orchestration.definitions.language import types as t
from apps.orchestration.tools import rubrics
from apps.orchestration.tools.contract import Schema, ToolCatalogue, ToolSpec
from apps.orchestration.tools.contract import arguments as _arguments
from apps.orchestration.tools.customer_specs import CUSTOMER_TOOLS
from apps.orchestration.tools.http_spec import HTTP_REQUEST
from apps.orchestration.tools.message_specs import MESSAGE_TOOLS
from apps.orchestration.tools.refund_spec import ORDER_REFUND

__all__ = ["STEP_TYPES", "TOOLS", "Schema", "ToolSpec"]

_TEXT = {"type": "string", "maxLength": 2000}
_TEXTS = {"type": "array", "items": {"type": "string", "maxLength": 100}, "maxItems": 20}
_DURATION = {"type": "string", "pattern": DURATION.pattern}
_ORDER = t.record(
    id=t.STRING, number=t.STRING, status=t.STRING, total_cents=t.INT, currency=t.STRING, carrier=t.STRING,
    tracking_code=t.STRING,
)  # fmt: skip
_ORDER_ARGUMENTS = _arguments(order_number=_TEXT, order_id=_TEXT, reason=_TEXT)
_ORDER_OUTPUTS = {"order_number": t.STRING, "order_id": t.STRING, "status": t.STRING, "order": _ORDER}

_TOOLS = [
    ToolSpec(
        name="faq_search",
        summary="Find passages of the tenant's knowledge that answer the message.",
        effect=Effect.NONE,
        arguments=_arguments(
            query=_TEXT,
            similarity_threshold={"type": "number", "minimum": 0, "maximum": 1},
            max_results={"type": "integer", "minimum": 1, "maximum": 50},
        ),
        outputs={
            "found": t.BOOL, "count": t.INT, "is_confident": t.BOOL, "best_score": t.DOUBLE,
            "sources": t.ANY_LIST,
        },
    ),
    ToolSpec(
        name="order_search",
        summary="Find the order that the customer asks about; tells what is missing to find it.",
        effect=Effect.NONE,
        arguments=_arguments(order_number=_TEXT, customer_email=_TEXT, required_fields=_TEXTS),
        outputs={"found": t.BOOL, "needs": t.list_of(t.STRING), **_ORDER_OUTPUTS},
    ),
    ToolSpec(
        name="order_hold",
        summary="Put an order on hold so that it is not shipped.",
        effect=Effect.TRANSACTIONAL,
        arguments=_ORDER_ARGUMENTS,
        outputs={"is_held": t.BOOL, **_ORDER_OUTPUTS},
    ),
    ToolSpec(
        name="order_release",
        summary="Release an order that is on hold.",
        effect=Effect.TRANSACTIONAL,
        arguments=_ORDER_ARGUMENTS,
        outputs={"is_released": t.BOOL, **_ORDER_OUTPUTS},
        is_action=True,
    ),
    ToolSpec(
        name="order_cancel",
        summary="Cancel an order that has not been shipped.",
        effect=Effect.TRANSACTIONAL,
        arguments=_ORDER_ARGUMENTS,
        outputs={"is_cancelled": t.BOOL, **_ORDER_OUTPUTS},
    ),
    ToolSpec(
        name="lead_capture",
        summary="Store the contact details of somebody interested.",
        effect=Effect.TRANSACTIONAL,
        arguments=_arguments(name=_TEXT, email=_TEXT, phone=_TEXT, message=_TEXT, source=_TEXT),
        outputs={"is_captured": t.BOOL, "needs": t.list_of(t.STRING), "lead_id": t.STRING},
    ),
    HTTP_REQUEST,
    ORDER_REFUND,
    *CUSTOMER_TOOLS,
    *MESSAGE_TOOLS,
    ToolSpec(
        name="cancel_order_hold",
        summary="Release the hold that the undone step put on an order; does nothing when it put none.",
        effect=Effect.TRANSACTIONAL,
        arguments=_ORDER_ARGUMENTS,
        outputs={"is_released": t.BOOL},
        is_action=True,
    ),
    ToolSpec(
        name="notify_escalation_cancelled",
        summary="Close the escalation that the undone step opened and tell its queue.",
        effect=Effect.TRANSACTIONAL,
        arguments=_arguments(reason=_TEXT),
        outputs={"is_cancelled": t.BOOL},
        is_action=True,
    ),
    ToolSpec(
        name="log_error",
        summary="Write an error to the log, and keep its message with the run.",
        effect=Effect.NONE,
        arguments=_arguments(message=_TEXT),
        outputs={"message": t.STRING},
        is_action=True,
    ),
    ToolSpec(
        name="generic_response",
        summary="Answer that the request could not be handled now.",
        effect=Effect.NONE,
        arguments=_arguments(text=_TEXT),
        outputs={"text": t.STRING},
        is_action=True,
    ),
]  # fmt: skip
TOOLS: Mapping[str, ToolSpec] = ToolCatalogue(_TOOLS)

_STEPS = [
    ToolSpec(
        name="router",
        summary="Decide what the message is about and how sure that is.",
        effect=Effect.NONE,
        arguments=_arguments(model=_TEXT, features=_TEXTS),
        outputs={
            "intent": t.STRING, "confidence": t.DOUBLE, "tier": t.STRING, "model": t.STRING,
            "escalate": t.BOOL,
            "in_scope": t.BOOL, "reasons": t.list_of(t.STRING),
        },
    ),
    ToolSpec(
        name="llm",
        summary="Write the reply from what the earlier steps found.",
        effect=Effect.NONE,
        arguments=_arguments(
            system_prompt={"type": "string", "maxLength": 8000},
            temperature={"type": "number", "minimum": 0, "maximum": 2},
            max_tokens={"type": "integer", "minimum": 1, "maximum": 32_000},
            history={"type": "integer", "minimum": 0, "maximum": 50},
            knowledge={"type": "boolean"},
        ),
        outputs={
            "text": t.STRING, "knows": t.BOOL, "provider": t.STRING, "model": t.STRING, "is_fallback": t.BOOL,
        },
    ),
    ToolSpec(
        name="escalation",
        summary="Hand the conversation to a human.",
        effect=Effect.TRANSACTIONAL,
        arguments=_arguments(
            escalation_queue={"type": "string", "minLength": 1, "maxLength": 100},
            notification_channels=_TEXTS,
            reason=_TEXT,
            message=_TEXT,
        ),
        outputs={"escalation_id": t.STRING, "queue": t.STRING, "reason": t.STRING},
    ),
    ToolSpec(
        name="parallel",
        summary="Do the steps of several branches at the same time.",
        effect=Effect.NONE,
        arguments=_arguments(
            join={"anyOf": [{"enum": ["all", "any"]}, {"type": "integer", "minimum": 1, "maximum": 10}]}
        ),
        outputs={"branches": t.list_of(t.STRING), "count": t.INT},
    ),
    ToolSpec(
        name="foreach",
        summary="Do the same steps for each item of a list, several at a time.",
        effect=Effect.NONE,
        arguments=_arguments(
            "items",
            items={"type": "array", "maxItems": MOST_ITEMS},
            max_items={"type": "integer", "minimum": 1, "maximum": MOST_ITEMS},
            concurrency={"type": "integer", "minimum": 1, "maximum": 10},
        ),
        outputs={"results": t.ANY_LIST, "count": t.INT},
    ),
    ToolSpec(
        name="wait",
        summary="Wait for a while, for a signal, or for a person's approval; nothing is occupied meanwhile.",
        effect=Effect.NONE,
        arguments=_arguments(
            **{"for": _DURATION},
            signal={"type": "string", "pattern": "^[a-z][a-z0-9_]{0,62}$"},
            approval={"type": "string", "minLength": 1, "maxLength": 1000},
            timeout=_DURATION,
        ),
        outputs={
            "timed_out": t.BOOL, "approved": t.BOOL, "by": t.STRING, "comment": t.STRING,
            "payload": t.ANY_MAP,
        },
    ),
    ToolSpec(
        name="judge",
        summary="Score a text against a rubric, by rules or by a model.",
        effect=Effect.NONE,
        arguments=rubrics.ARGUMENTS,
        outputs={
            "score": t.DOUBLE, "passed": t.BOOL, "criteria": t.list_of(t.ANY_MAP), "by": t.STRING,
            "fallback_reason": t.STRING,
        },
    ),
    ToolSpec(
        name="langgraph",
        summary="Run a LangGraph graph that the operator provides to its end; `config` is its input.",
        effect=Effect.NEITHER,  # unless the operator says that it is idempotent
        arguments={"type": "object", "properties": {}},
        outputs={"result": t.ANY_MAP},
    ),
    ToolSpec(
        name="subworkflow",
        summary="Run another published workflow as a run of its own, and wait for its end.",
        effect=Effect.TRANSACTIONAL,
        arguments={"type": "object", "properties": {}},
        outputs={
            "run_id": t.STRING, "status": t.STRING, "text": t.STRING, "outputs": t.ANY_MAP, "knows": t.BOOL,
        },
    ),
]  # fmt: skip
STEP_TYPES: Mapping[str, ToolSpec] = {spec.name: spec for spec in _STEPS}

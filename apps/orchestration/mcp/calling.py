"""The step that calls a tool of an MCP server."""

from __future__ import annotations

from jsonschema import Draft202012Validator

from apps.orchestration.adapters import mcp_client
from apps.orchestration.mcp.contracts import ApprovedTool
from apps.orchestration.mcp.ports import Address, Called, McpError
from apps.orchestration.mcp.selectors import find_approved
from apps.orchestration.steps.context import OutcomeUnknown, Output, StepContext, StepFailed
from apps.resilience.breaker import BreakerPolicy
from apps.resilience.bulkhead import BulkheadPolicy
from apps.resilience.errors import NotFoundError
from apps.resilience.outcomes import ResilienceError
from apps.resilience.policies import Resilience
from apps.tenants.secrets import CannotOpen

TIMEOUT_S, MAX_TIMEOUT_S = 30.0, 120.0
MAX_ERROR_CHARS = 300
GUARD = Resilience(
    "mcp",
    breaker=BreakerPolicy(failure_threshold=5, recovery_timeout_s=30),
    bulkhead=BulkheadPolicy(max_concurrent=5, max_wait_s=1),
    attempt_timeout_s=TIMEOUT_S,
    is_failure=lambda error: isinstance(error, McpError) and error.is_retryable,
)


def call_tool(context: StepContext) -> Output:
    """Call the step's tool as it was approved; its answer is `data` where structured, and `text`."""
    try:
        approved = find_approved(tenant=context.tenant, name=context.tool)
    except (NotFoundError, CannotOpen) as error:
        raise StepFailed(str(error), is_retryable=False) from None
    arguments = dict(context.arguments)
    wrong = next(iter(Draft202012Validator(approved.arguments).iter_errors(arguments)), None)
    if wrong is not None:
        place = ".".join(str(part) for part in wrong.absolute_path) or "its arguments"
        raise StepFailed(f"{place}: {wrong.message}"[:MAX_ERROR_CHARS], is_retryable=False)
    called = _call(context, approved, arguments)
    if called.is_error:
        raise StepFailed(f"the tool failed: {called.text[:MAX_ERROR_CHARS]}", is_retryable=False)
    return {"text": called.text, "data": called.data}


def _call(context: StepContext, approved: ApprovedTool, arguments: Output) -> Called:
    address = Address(approved.url, approved.headers)
    given_s = min(context.timeout_s or TIMEOUT_S, MAX_TIMEOUT_S)
    try:
        return GUARD.call(
            lambda _timeout_s: mcp_client.call_tool(
                address, approved.tool, arguments, context.effect_key, given_s
            ),
            key=approved.server,
            owner=str(context.tenant.id),
        )
    except McpError as error:
        kind = OutcomeUnknown if error.was_called else StepFailed
        raise kind(f"{approved.server}: {error}", is_retryable=error.is_retryable) from None
    except ResilienceError as error:
        raise StepFailed(str(error)) from None

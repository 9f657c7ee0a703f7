"""Writing down what went wrong."""

from __future__ import annotations

import structlog

from apps.orchestration.steps.context import Output, StepContext

log = structlog.get_logger(__name__)


def log_error(context: StepContext) -> Output:
    """Write an error to the log, with the run and the step that is undone; the run keeps the message."""
    message = str(context.arguments.get("message") or f"{context.step_id} was undone")
    log.error("workflow_error", run_id=str(context.run_id), step=context.step_id)
    return {"message": message}

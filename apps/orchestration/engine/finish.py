"""The end of a run: state, reply, receipt, usage and events in one transaction."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from apps.billing.services import record_usages
from apps.conversations.contracts import MessageView
from apps.conversations.services import post_reply
from apps.orchestration import events, metrics
from apps.orchestration.contracts import RunStatus
from apps.orchestration.definitions.contracts import WorkflowDefinition
from apps.orchestration.engine.children import waking_parent
from apps.orchestration.engine.journal import Journal
from apps.orchestration.engine.outputs import compute_outputs
from apps.orchestration.engine.receipts import Receipt, make_receipt
from apps.orchestration.engine.state import Kind

APOLOGY = "Sorry, something went wrong on our side and I could not finish this. Please try again in a moment."


def finish(journal: Journal, definition: WorkflowDefinition, status: RunStatus) -> MessageView | None:
    """End the run with everything that belongs to its end; a cancelled run says nothing to the customer.

    Returns the reply once it is stored. A completed run that was undone on request keeps its reply, which
    was said and paid for. Raises CancelArrived.
    """
    run = journal.run
    latency_ms = max(0, round((timezone.now() - run.created_at).total_seconds() * 1000))
    is_well = status is RunStatus.COMPLETED
    reply = None
    with (
        waking_parent(journal),
        journal.commit(begins_something=is_well, is_finished=True, lease_owner="") as fields,
    ):
        given = compute_outputs(journal.state, definition) if is_well else {}
        journal.note(Kind.RUN_ENDED, {"status": status.value, **given})
        receipt = make_receipt(journal.state, definition, run, latency_ms)
        if not journal.state.is_undone_on_request:
            output, reply = _reply(journal, status, receipt)
            fields["output"] = {**output, **given}
            _record_usage(journal, receipt)
        journal.events.append(_event(journal, status, receipt, journal.state.error))
    metrics.agent_runs_total.labels(str(journal.tenant.id), run.workflow_name, status.value).inc()
    return reply


def _reply(
    journal: Journal, status: RunStatus, receipt: Receipt
) -> tuple[dict[str, Any], MessageView | None]:
    run = journal.run
    is_well = status is RunStatus.COMPLETED
    text = receipt.text if is_well else APOLOGY
    output: dict[str, Any] = {"text": text, "sources": receipt.sources, "receipt": receipt.data}
    is_mute = status is RunStatus.CANCELLED or journal.state.is_silent
    if run.conversation_id is None or is_mute or not text:
        return output, None
    retries = journal.state.retries
    message = post_reply(
        tenant=journal.tenant,
        conversation_id=run.conversation_id,
        run_id=run.id,
        text=text,
        sources=receipt.sources,
        receipt=receipt.data,
        # However often a run fails again after a retry, its customer is told once.
        reply_key=f"{run.id}/{retries}" if is_well and retries else str(run.id),
    )
    return {**output, "message_id": str(message.id), "seq": message.seq}, message


def _record_usage(journal: Journal, receipt: Receipt) -> None:
    run = journal.run
    record_usages(
        tenant=journal.tenant,
        quantities={
            "run": 1 if run.parent_run_id is None else 0,  # the run above is what is paid for
            "prompt_token": receipt.prompt_tokens,
            "completion_token": receipt.completion_tokens,
        },
        source_id=run.id,
        run_id=run.id,
        conversation_id=run.conversation_id,
        data={"workflow": run.workflow_name, "model": receipt.data["model"]},
        settles=run.id if run.message_id is None and run.parent_run_id is None else None,
    )


def _event(
    journal: Journal, status: RunStatus, receipt: Receipt, error: str
) -> events.RunCompleted | events.RunFailed:
    run = journal.run
    carried: dict[str, Any] = {
        "tenant_id": journal.tenant.id,
        "run_id": run.id,
        # What a conversation was not told counts for nothing in its figures.
        "conversation_id": None if journal.state.is_silent else run.conversation_id,
        "workflow": run.workflow_name,
    }
    if status is RunStatus.COMPLETED:
        return events.RunCompleted(
            **carried,
            latency_ms=receipt.data["latency_ms"],
            is_fallback=receipt.data["fallback"] is not None,
            receipt=receipt.data,
        )
    return events.RunFailed(**carried, status=status.value, error=error)

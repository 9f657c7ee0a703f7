"""Reactions to what happened elsewhere, in the writer's own transaction."""

from __future__ import annotations

import structlog

from apps.conversations.events import MessageReceived
from apps.events.contracts import DomainEvent, Envelope
from apps.orchestration.definitions.contracts import WorkflowDefinition
from apps.orchestration.definitions.selectors import find_published, find_triggered, list_started_by
from apps.orchestration.events import RouteDecided
from apps.orchestration.run_ids import derive_run_id
from apps.orchestration.selectors import get_question
from apps.orchestration.services import create_run, publish_shipped_workflows
from apps.orchestration.triggers import start_triggered_runs
from apps.tenants.context import current_tenant
from apps.tenants.events import TenantProvisioned

DEFAULT_WORKFLOW = "customer_support_workflow"
log = structlog.get_logger(__name__)


def on_message_received(event: DomainEvent) -> None:
    """Create the run that answers a message, together with the message itself.

    Raises NotFoundError when the message asks for a workflow that is not published.
    """
    assert isinstance(event, MessageReceived)
    tenant = current_tenant()
    if event.run_id is None or tenant is None:
        return
    definition: WorkflowDefinition | None
    if event.workflow:
        definition = find_published(tenant=tenant, name=event.workflow)
    else:
        definition = find_triggered(tenant=tenant, event="message_received", preferred=DEFAULT_WORKFLOW)
    if definition is None:
        log.warning("no_workflow_for_messages", tenant_id=str(tenant.id))
        return
    create_run(
        tenant=tenant,
        definition=definition,
        input={
            "text": event.text,
            "channel": event.channel,
            "seq": event.seq,
            "customer_id": event.customer_id and str(event.customer_id),
            "conversation_id": str(event.conversation_id),
            "message_id": str(event.message_id),
        },
        run_id=event.run_id,
        conversation_id=event.conversation_id,
        message_id=event.message_id,
        claim_inline=event.run_inline,
    )


def on_route_decided(event: DomainEvent) -> None:
    """Start the workflows that wait for the intent of a message, as `route.<intent>`, beside its answer.

    Only a message's own run starts others: a workflow that routes cannot start itself.
    """
    assert isinstance(event, RouteDecided)
    tenant = current_tenant()
    assert tenant is not None
    if event.escalate or event.run_id is None:
        return
    definitions = list_started_by(tenant=tenant, event=f"route.{event.intent}")
    asked = get_question(tenant=tenant, run_id=event.run_id) if definitions else None
    for definition in definitions if asked else []:
        create_run(
            tenant=tenant,
            definition=definition,
            input=asked or {},
            run_id=derive_run_id(event.run_id, definition.name),
            conversation_id=event.conversation_id,
        )


def on_starting_event(envelope: Envelope) -> None:
    """Start the workflows that wait for an event."""
    tenant = current_tenant()
    assert tenant is not None
    start_triggered_runs(tenant=tenant, envelope=envelope)


def on_tenant_provisioned(event: DomainEvent) -> None:
    """Give a new tenant the workflows that come with the product."""
    assert isinstance(event, TenantProvisioned)
    tenant = current_tenant()
    assert tenant is not None
    publish_shipped_workflows(tenant=tenant)

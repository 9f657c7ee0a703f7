"""Start a run's work anew: a new run with the same input, linked to the first."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from apps.billing.contracts import UsageKind
from apps.billing.services import hold_quota
from apps.orchestration import selectors
from apps.orchestration.contracts import RunStatus, RunView
from apps.orchestration.definitions.contracts import Effect, StepDefinition, WorkflowDefinition
from apps.orchestration.definitions.selectors import find_published, get_definition
from apps.orchestration.engine.inputs import check_input
from apps.orchestration.models import AgentRun
from apps.orchestration.services import create_run
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import require_active
from apps.tenants.services import record_audit

Version = Literal["same", "published"]
VERSIONS: tuple[Version, ...] = ("same", "published")


def replay_run(
    *,
    tenant: TenantRef,
    run_id: UUID,
    version: Version = "same",
    reply: bool = False,
    new_id: UUID | None = None,
    actor: str = "",
    reason: str = "",
) -> RunView:
    """Start a new run with the input of one that has ended; the same `new_id` again returns the same run.

    It does everything for real, but speaks into the original's conversation only with `reply`. Raises
    NotFoundError, ConflictError for a run under way, InvalidInput where the published version takes no such
    input or there is none, NotAllowed, QuotaSpent.
    """
    require_active(tenant)
    with in_tenant(tenant):
        original = AgentRun.objects.filter(id=run_id).first()
        if original is None:
            raise NotFoundError("There is no such run.")
        if new_id is not None and AgentRun.objects.filter(id=new_id).exists():
            return selectors.get_run(tenant=tenant, run_id=new_id)
        if not RunStatus(original.status).is_end:
            raise ConflictError(f"Only a run that has ended can be replayed; this run is {original.status}.")
        run = create_run(
            tenant=tenant,
            definition=_definition_for(tenant, original, version),
            input=original.input,
            run_id=new_id,
            conversation_id=original.conversation_id if reply else None,
        )
        AgentRun.objects.filter(id=run.id).update(replay_of=run_id)
        hold_quota(tenant=tenant, kind=UsageKind.RUN, source_id=run.id)
        told = {"run": str(run.id), "version": run.workflow_version, "reply": reply, "reason": reason}
        record_audit(tenant=tenant, actor=actor, action="run.replay", target=str(run_id), data=told)
        return selectors.get_run(tenant=tenant, run_id=run.id)


def list_effects(*, tenant: TenantRef, digest: str) -> list[StepDefinition]:
    """Return the steps of a workflow's version that do something to the world."""
    steps = get_definition(tenant=tenant, digest=digest).all_steps
    return [step for step in steps if step.effect is not Effect.NONE]


def _definition_for(tenant: TenantRef, original: AgentRun, version: Version) -> WorkflowDefinition:
    if version == "same":
        return get_definition(tenant=tenant, digest=original.workflow_hash)
    try:
        definition = find_published(tenant=tenant, name=original.workflow_name)
    except NotFoundError as error:
        raise InvalidInput({"version": ["The workflow has no published version any more."]}) from error
    try:
        # A message's place in its conversation is added by whoever receives it.
        check_input(definition, {name: value for name, value in original.input.items() if name != "seq"})
    except InvalidInput as error:
        why = " ".join(f"{name}: {texts[0]}" for name, texts in error.errors.items())
        raise InvalidInput({"version": [f"The published version does not take this input. {why}"]}) from error
    return definition

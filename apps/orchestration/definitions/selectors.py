"""Read workflow definitions and tool settings."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from django.db.models import Q, QuerySet

from apps.orchestration.definitions.contracts import (
    TriggerDefinition,
    VersionState,
    VersionView,
    WorkflowDefinition,
    WorkflowView,
)
from apps.orchestration.definitions.language.storage import definition_from_json
from apps.orchestration.definitions.models import ToolSetting, Workflow, WorkflowVersion
from apps.orchestration.definitions.sealing import MARK, secrets_by_mark, with_marks, with_masks
from apps.orchestration.tools.specs import TOOLS
from apps.resilience.errors import NotFoundError
from apps.resilience.memory import Memory
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

MEMORY_SIZE = 1000
REMEMBERED_S = 1.0  # every process follows another publication or tool setting within this time
_digests: Memory[str] = Memory(REMEMBERED_S)
_started: Memory[list[str]] = Memory(REMEMBERED_S)
_tools: Memory[dict[str, dict[str, Any]]] = Memory(REMEMBERED_S)
_compiled: dict[str, WorkflowDefinition] = {}
_lock = threading.Lock()


def get_definition(*, tenant: TenantRef, digest: str) -> WorkflowDefinition:
    """Return a version's compiled form by its hash, from memory when it was used before.

    The hash covers the whole source, so what is remembered never changes. Raises NotFoundError.
    """
    known = _compiled.get(digest)
    if known is not None:
        return known
    with in_tenant(tenant):
        versions = WorkflowVersion.objects.filter(hash=digest, compiled__isnull=False)
        data = versions.values_list("compiled", flat=True).first()
    if data is None:
        raise NotFoundError(f"There is no published workflow version {digest[:12]}.")
    return _remember(definition_from_json(data))


def find_published(*, tenant: TenantRef, name: str) -> WorkflowDefinition:
    """Return the published version of a workflow, remembered for a second; raises NotFoundError."""
    key = (str(tenant.id), "published", name)
    return get_definition(tenant=tenant, digest=_digests.get(key, lambda: _published_digest(tenant, name)))


def _published_digest(tenant: TenantRef, name: str) -> str:
    with in_tenant(tenant):
        versions = WorkflowVersion.objects.filter(workflow__name=name, state=VersionState.PUBLISHED)
        digest = versions.values_list("hash", flat=True).first()
    if digest is None:
        raise NotFoundError(f"There is no published workflow {name!r}.")
    return digest


def find_triggered(*, tenant: TenantRef, event: str, preferred: str) -> WorkflowDefinition | None:
    """Return the published workflow that a message starts: the preferred one, else the first by name.

    Remembered for a second.
    """
    key = (str(tenant.id), "triggered", event, preferred)
    digest = _digests.get(key, lambda: _triggered_digest(tenant, event, preferred))
    return get_definition(tenant=tenant, digest=digest) if digest else None


def _triggered_digest(tenant: TenantRef, event: str, preferred: str) -> str:
    with in_tenant(tenant):
        versions = WorkflowVersion.objects.filter(
            state=VersionState.PUBLISHED, triggers__contains=[{"type": "websocket", "event": event}]
        )
        rows = dict(versions.order_by("workflow__name").values_list("workflow__name", "hash"))
    return rows.get(preferred) or next(iter(rows.values()), "")


def list_started_by(*, tenant: TenantRef, event: str) -> list[WorkflowDefinition]:
    """Return the published workflows that an event starts, by name; remembered for a second."""
    digests = _started.get((str(tenant.id), event), lambda: _started_digests(tenant, event))
    return [get_definition(tenant=tenant, digest=digest) for digest in digests]


def _started_digests(tenant: TenantRef, event: str) -> list[str]:
    named = Q()
    for name in {event, event.removeprefix("agent.")}:
        named |= Q(triggers__contains=[{"type": "event", "event": name}])
    with in_tenant(tenant):
        versions = WorkflowVersion.objects.filter(named, state=VersionState.PUBLISHED)
        return list(versions.order_by("workflow__name").values_list("hash", flat=True))


def list_hooked(*, tenant: TenantRef) -> dict[str, list[WorkflowDefinition]]:
    """Return the published workflows that listen to webhook endpoints, by the endpoint's name."""
    with in_tenant(tenant):
        versions = WorkflowVersion.objects.filter(
            state=VersionState.PUBLISHED, triggers__contains=[{"type": "webhook"}]
        )
        digests = versions.order_by("workflow__name").values_list("hash", flat=True)
        hooked: dict[str, list[WorkflowDefinition]] = {}
        for digest in digests:
            definition = get_definition(tenant=tenant, digest=digest)
            for name in sorted({trigger.hook for trigger in definition.triggers} - {""}):
                hooked.setdefault(name, []).append(definition)
        return hooked


def list_workflows(*, tenant: TenantRef) -> list[WorkflowView]:
    """Return the tenant's workflows by name."""
    with in_tenant(tenant):
        return [workflow_view(workflow) for workflow in query_workflows()]


def get_workflow(*, tenant: TenantRef, name: str) -> WorkflowView:
    """Return a workflow; raises NotFoundError."""
    with in_tenant(tenant):
        workflow = query_workflows().filter(name=name).first()
        if workflow is None:
            raise NotFoundError(f"There is no workflow {name!r}.")
        return workflow_view(workflow)


def list_versions(*, tenant: TenantRef, name: str) -> list[VersionView]:
    """Return a workflow's versions, newest first; raises NotFoundError."""
    with in_tenant(tenant):
        get_workflow(tenant=tenant, name=name)
        versions = WorkflowVersion.objects.select_related("workflow").filter(workflow__name=name)
        return [version_view(version) for version in versions.order_by("-number")]


def get_version(*, tenant: TenantRef, name: str, number: int) -> VersionView:
    """Return one version of a workflow; raises NotFoundError."""
    with in_tenant(tenant):
        versions = WorkflowVersion.objects.select_related("workflow")
        version = versions.filter(workflow__name=name, number=number).first()
    if version is None:
        raise NotFoundError(f"There is no version {number} of a workflow {name!r}.")
    return version_view(version)


def list_tools(*, tenant: TenantRef) -> list[dict[str, Any]]:
    """Return every tool by name: its contract, whether the tenant uses it, with which settings."""
    with in_tenant(tenant):
        known = {setting.tool: setting for setting in ToolSetting.objects.all()}
    return [
        {
            "name": spec.name,
            "summary": spec.summary,
            "effect": spec.effect.value,
            "is_action": spec.is_action,
            "arguments": dict(spec.arguments),
            "outputs": {name: str(kind) for name, kind in spec.outputs.items()},
            "settings": dict(spec.settings),
            "is_enabled": spec.name not in known or known[spec.name].is_enabled,
            "config": with_masks(known[spec.name]) if spec.name in known else {},
        }
        for spec in sorted(TOOLS.values(), key=lambda spec: spec.name)
    ]


def get_tool_settings(*, tenant: TenantRef) -> dict[str, dict[str, Any]]:
    """Return the config of every tool that the tenant has set up; one switched off has `is_enabled` False.

    A mark stands for each secret, which `reveal_secrets` replaces: so none gets into what runs record.
    Remembered for a second.
    """
    return _tools.get((str(tenant.id),), lambda: _read_tool_settings(tenant))


def forget_definitions() -> None:
    """Forget what was remembered for a second, for tests and after it was changed in this process."""
    _digests.forget()
    _started.forget()
    _tools.forget()


def _read_tool_settings(tenant: TenantRef) -> dict[str, dict[str, Any]]:
    with in_tenant(tenant):
        rows = list(ToolSetting.objects.all())
    return {row.tool: {**with_marks(row), "is_enabled": row.is_enabled} for row in rows}


def reveal_secrets(*, tenant: TenantRef, texts: Mapping[str, str]) -> dict[str, str]:
    """Return texts with the tenant's secrets in the place of their marks."""
    if not any(MARK.search(text) for text in texts.values()):
        return dict(texts)
    with in_tenant(tenant):
        known = secrets_by_mark(ToolSetting.objects.all())
    return {name: MARK.sub(lambda mark: known.get(mark[0], mark[0]), text) for name, text in texts.items()}


def version_view(version: WorkflowVersion) -> VersionView:
    """Shape a version for the outside."""
    return VersionView(
        id=version.id,
        workflow=version.workflow.name,
        number=version.number,
        version=version.label,
        hash=version.hash,
        state=VersionState(version.state),
        source=version.source,
        created_at=version.created_at,
        published_at=version.published_at,
    )


def query_workflows() -> QuerySet[Workflow]:
    """Choose the workflows by name, with their versions, in the caller's transaction of its tenant."""
    return Workflow.objects.prefetch_related("versions").order_by("name")


def workflow_view(workflow: Workflow) -> WorkflowView:
    """Shape a workflow for the outside."""
    versions = {version.state: version for version in workflow.versions.all()}
    published, draft = versions.get(VersionState.PUBLISHED), versions.get(VersionState.DRAFT)
    return WorkflowView(
        id=workflow.id,
        name=workflow.name,
        description=workflow.description,
        triggers=tuple(TriggerDefinition(**trigger) for trigger in published.triggers) if published else (),
        published=version_view(published) if published else None,
        draft=version_view(draft) if draft else None,
        created_at=workflow.created_at,
        updated_at=workflow.updated_at,
    )


def _remember(definition: WorkflowDefinition) -> WorkflowDefinition:
    with _lock:
        if len(_compiled) >= MEMORY_SIZE:
            _compiled.pop(next(iter(_compiled)))
        _compiled[definition.hash] = definition
    return definition

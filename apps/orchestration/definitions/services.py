"""Write workflow definitions and tool settings."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.module_loading import import_string
from jsonschema import Draft202012Validator

from apps.orchestration.definitions.contracts import Problem, VersionState, VersionView, WorkflowDefinition
from apps.orchestration.definitions.errors import InvalidWorkflowSource
from apps.orchestration.definitions.family import find_problems_among
from apps.orchestration.definitions.language.compiler import (
    InvalidWorkflow,
    compile_workflow,
    find_problems,
    source_hash,
)
from apps.orchestration.definitions.language.source import SourceError, read_source
from apps.orchestration.definitions.language.storage import definition_to_json
from apps.orchestration.definitions.models import ToolSetting, Workflow, WorkflowVersion
from apps.orchestration.definitions.sealing import store, with_masks
from apps.orchestration.definitions.selectors import forget_definitions, version_view
from apps.orchestration.mcp.selectors import list_specs
from apps.orchestration.scheduling import follow_schedules
from apps.orchestration.tools.contract import tools_of_tenant
from apps.orchestration.tools.specs import TOOLS
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.services import record_audit

LIBRARY = Path(__file__).with_name("library")


def validate_workflow(*, tenant: TenantRef, source: str) -> list[Problem]:
    """Check a source among the tenant's tools and workflows; an empty list means that it can be published."""
    with tools_of_tenant(list_specs(tenant=tenant)):
        return find_problems(source) or find_problems_among(tenant=tenant, source=source)


def preview_workflow(*, tenant: TenantRef, source: str) -> WorkflowDefinition:
    """Compile a source with the tenant's tools; raises InvalidWorkflow."""
    with tools_of_tenant(list_specs(tenant=tenant)):
        return compile_workflow(source)


def save_draft(*, tenant: TenantRef, source: str, name: str | None = None) -> VersionView:
    """Store a source as the draft of the workflow that it names, replacing the draft there was.

    The source may still have problems, but it must be YAML with a valid name (and `name`, if given).
    Raises InvalidWorkflowSource.
    """
    found = _readable_name(source, name)
    with in_tenant(tenant):
        workflow, _ = Workflow.objects.get_or_create(name=found)
        Workflow.objects.select_for_update().get(pk=workflow.pk)
        draft = workflow.versions.filter(state=VersionState.DRAFT).first()
        if draft is None:
            draft = WorkflowVersion(
                workflow=workflow, number=_next_number(workflow), state=VersionState.DRAFT.value
            )
        before, draft.hash = draft.hash, source_hash(source)
        draft.source = source
        draft.save()
        data = {"version": draft.number, "before": before or None, "after": draft.hash}
        record_audit(tenant=tenant, action="workflow.draft_saved", target=found, data=data)
        return version_view(draft)


def publish_workflow(
    *, tenant: TenantRef, name: str, number: int | None = None, override_reason: str = ""
) -> VersionView:
    """Make a version (the draft, unless `number` says which) the one that new runs begin with.

    Runs under way keep theirs. With `override_reason`, which is recorded, no gate is asked.
    Raises NotFoundError, InvalidWorkflowSource, and ConflictError where the gate is not passed.
    """
    with in_tenant(tenant):
        workflow = Workflow.objects.select_for_update().filter(name=name).first()
        if workflow is None:
            raise NotFoundError(f"There is no workflow {name!r}.")
        wanted = {"state": VersionState.DRAFT} if number is None else {"number": number}
        version = workflow.versions.filter(**wanted).first()
        if version is None:
            what = "a draft; save one first" if number is None else f"a version {number}"
            raise NotFoundError(f"The workflow {name!r} has no such version: {what}.")
        if version.state != VersionState.PUBLISHED:
            before, definition = _published_number(workflow), _compile(tenant, version.source)
            if not override_reason:
                _gate()(tenant=tenant, workflow=name, version=version, digest=definition.hash)
            version = _publish(workflow, version, definition)
            data: dict[str, Any] = {"before": before, "after": version.number}
            if override_reason:
                data["override_reason"] = override_reason
            record_audit(tenant=tenant, action="workflow.published", target=name, data=data)
            _forget()
        return version_view(version)


def _published_number(workflow: Workflow) -> int | None:
    published = workflow.versions.filter(state=VersionState.PUBLISHED)
    return published.values_list("number", flat=True).first()


def roll_back(*, tenant: TenantRef, name: str) -> VersionView:
    """Publish the version again that was published before the present one.

    Raises NotFoundError, and ConflictError when there was none before.
    """
    with in_tenant(tenant):
        if not Workflow.objects.filter(name=name).exists():
            raise NotFoundError(f"There is no workflow {name!r}.")
        retired = WorkflowVersion.objects.filter(workflow__name=name, state=VersionState.RETIRED)
        previous = retired.order_by("-published_at").first()
        if previous is None:
            raise ConflictError(f"The workflow {name!r} has no earlier published version to return to.")
        return publish_workflow(tenant=tenant, name=name, number=previous.number)


def publish_shipped_workflows(*, tenant: TenantRef) -> list[str]:
    """Publish the shipped workflows where the tenant has none of that name; returns their names."""
    published: list[str] = []
    for source in _library():
        name = compile_workflow(source).name
        with in_tenant(tenant):
            if not Workflow.objects.filter(name=name).exists():
                save_draft(tenant=tenant, source=source)
                publish_workflow(tenant=tenant, name=name)
                published.append(name)
    return published


def update_tool_setting(
    *, tenant: TenantRef, tool: str, config: dict[str, Any] | None = None, is_enabled: bool | None = None
) -> dict[str, Any]:
    """Change how the tenant uses a tool and return its config, with a mask for each secret.

    A secret that is given as its mask stays as it is. Raises InvalidInput.
    """
    if tool not in TOOLS:
        raise InvalidInput({"tool": [f"There is no tool {tool!r}. Use one of: {', '.join(sorted(TOOLS))}."]})
    with in_tenant(tenant):
        setting, _ = ToolSetting.objects.get_or_create(tool=tool)
        before = {"config": with_masks(setting), "is_enabled": setting.is_enabled}
        if config is not None:
            _check_config(tool, config)
            setting.config, setting.secrets = store(config, setting, tenant.id)
        setting.is_enabled = setting.is_enabled if is_enabled is None else is_enabled
        setting.save()
        data = {"before": before, "after": {"config": with_masks(setting), "is_enabled": setting.is_enabled}}
        record_audit(tenant=tenant, action="tool.changed", target=tool, data=data)
        _forget()
        return with_masks(setting)


def _check_config(tool: str, config: dict[str, Any]) -> None:
    wrong = next(iter(Draft202012Validator(TOOLS[tool].settings).iter_errors(config)), None)
    if wrong is not None:
        place = ".".join(str(part) for part in wrong.absolute_path)
        raise InvalidInput({"config": [f"{place}: {wrong.message}".lstrip(": ")[:300]]})


def _forget() -> None:
    """Let this process follow a change at once: in this transaction, and all others after its commit."""
    forget_definitions()
    transaction.on_commit(forget_definitions)


def _readable_name(source: str, wanted: str | None) -> str:
    try:
        name = compile_workflow(source).name
    except InvalidWorkflow as error:
        name = _name_in(source, error.problems)
    if wanted not in (None, name):
        read = read_source(source)
        fix = f"write name: {wanted!r}, or save it as {name!r}"
        raise InvalidWorkflowSource([read.problem(("name",), "this is another workflow's name", fix)])
    return name


def _name_in(source: str, problems: list[Problem]) -> str:
    """Return the name in a source that cannot be published yet."""
    try:
        read = read_source(source)
    except SourceError as error:
        raise InvalidWorkflowSource(list(error.problems)) from None
    of_name = [problem for problem in problems if problem.path in ("name", "(document)")]
    if of_name:
        raise InvalidWorkflowSource(of_name)
    return str(read.data["name"])


def _next_number(workflow: Workflow) -> int:
    newest: int | None = workflow.versions.aggregate(newest=Max("number"))["newest"]
    return (newest or 0) + 1


def _compile(tenant: TenantRef, source: str) -> WorkflowDefinition:
    if problems := validate_workflow(tenant=tenant, source=source):
        raise InvalidWorkflowSource(problems)
    return preview_workflow(tenant=tenant, source=source)


def _publish(workflow: Workflow, version: WorkflowVersion, definition: WorkflowDefinition) -> WorkflowVersion:
    if version.compiled is not None and version.hash != definition.hash:
        # A tool means something else by now; runs of the version go on with what it meant then.
        version = WorkflowVersion(workflow=workflow, number=_next_number(workflow), source=version.source)
    version.hash = definition.hash
    workflow.versions.filter(state=VersionState.PUBLISHED).update(state=VersionState.RETIRED)
    version.state = VersionState.PUBLISHED.value
    version.label, version.compiled = definition.version, definition_to_json(definition)
    version.triggers = version.compiled["triggers"]
    version.published_at = timezone.now()
    version.save()
    workflow.description = definition.description
    workflow.save()
    follow_schedules(definition)
    return version


@cache
def _gate() -> Callable[..., None]:
    """Return what may refuse a publication."""
    gate: Callable[..., None] = import_string(settings.PUBLISH_GATE)
    return gate


@cache
def _library() -> tuple[str, ...]:
    return tuple(path.read_text() for path in sorted(LIBRARY.glob("*.yaml")))

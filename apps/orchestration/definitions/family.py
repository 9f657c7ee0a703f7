"""A workflow among the tenant's others: which it may run, and what they take and give."""

from __future__ import annotations

import dataclasses

from apps.orchestration.definitions.contracts import Problem, VersionState, WorkflowDefinition
from apps.orchestration.definitions.language.checks import check_meaning
from apps.orchestration.definitions.language.children import check_children, contract_of, find_subworkflows
from apps.orchestration.definitions.language.source import read_source
from apps.orchestration.definitions.models import Workflow, WorkflowVersion
from apps.orchestration.definitions.selectors import get_definition
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef


def find_problems_among(*, tenant: TenantRef, source: str) -> list[Problem]:
    """Check a source that has no problem by itself against the workflows that its steps run."""
    read = read_source(source)
    if not any(find_subworkflows(read.data["steps"])):
        return []
    with in_tenant(tenant):
        published = _published(tenant)
        drafts = set(Workflow.objects.values_list("name", flat=True)) - set(published)
    contracts = {name: contract_of(child) for name, child in published.items()}
    known = dataclasses.replace(read, children=contracts)
    problems = [*check_children(known, published, drafts), *check_meaning(known)]
    return sorted(problems, key=lambda problem: (problem.line, problem.column))


def _published(tenant: TenantRef) -> dict[str, WorkflowDefinition]:
    digests = WorkflowVersion.objects.filter(state=VersionState.PUBLISHED).values_list("hash", flat=True)
    definitions = [get_definition(tenant=tenant, digest=digest) for digest in digests]
    return {definition.name: definition for definition in definitions}

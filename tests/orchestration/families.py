"""Runs whose steps are runs: how tests write them, and find one from the other."""

from apps.orchestration.definitions.selectors import get_definition
from apps.orchestration.engine.journal import read_facts
from apps.orchestration.engine.replay import replay
from apps.orchestration.models import AgentRun
from apps.tenants.context import in_tenant
from tests.orchestration.engine import assert_history_is_whole, show

CHILD = """
  - id: "part"
    type: "subworkflow"
    workflow: "inner"
    {more}"""
PAID = """
  - id: "paid"
    type: "wait"
    config: {signal: "paid"}"""


def child(more=""):
    return CHILD.format(more=more)


def part(tenant, run_id):
    return next(step for step in show(tenant, run_id).steps if step.id == "part")


def inner_of(tenant, run_id):
    return show(tenant, part(tenant, run_id).child_run_id)


def all_runs(tenant):
    with in_tenant(tenant):
        return list(AgentRun.objects.order_by("created_at"))


def assert_verified(tenant):
    for run in all_runs(tenant):
        with in_tenant(tenant):
            definition = get_definition(tenant=tenant, digest=run.workflow_hash)
            assert replay(read_facts(run), definition) == []
        assert_history_is_whole(tenant, run.id)

"""Whoever may act on runs hears of those that cannot go on without them."""

import pytest
from django.core import mail
from prometheus_client import REGISTRY

from apps.orchestration import services
from apps.orchestration.contracts import RunStatus
from apps.orchestration.engine.journal import append_fact
from apps.orchestration.engine.state import Kind
from apps.orchestration.models import AgentRun
from apps.orchestration.selectors import count_in_need
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role
from apps.tenants.notices import mail_notices
from tests.orchestration.engine import calls, expire, show, start, undo
from tests.pages import log_in, member_of

pytestmark = pytest.mark.usefixtures("live_db", "no_hints", "valkey", "closed_breakers")


def stuck(tenant, sink, publish, name="w"):
    sink.answer = lambda path, number: 200 if path == "/a" else 422
    publish(tenant, calls(sink, "a", "b"), undo(sink, "a"), name=name)
    run_id = start(tenant, name)
    services.execute_run(tenant=tenant, run_id=run_id)
    assert show(tenant, run_id).status is RunStatus.COMPENSATION_FAILED
    return run_id


def counted(tenant, status):
    labels = {"tenant_id": str(tenant.id), "workflow": "w", "status": status}
    return REGISTRY.get_sample_value("agent_runs_in_need_total", labels) or 0


def test_a_failed_undoing_is_mailed_once_an_hour_counted_and_shown(acme, globex, sink, publish) -> None:
    admin, viewer = member_of(acme, Role.ADMIN), member_of(acme, Role.VIEWER)
    run_id = stuck(acme, sink, publish)
    stuck(acme, sink, publish)
    stuck(acme, sink, publish, name="other")
    assert mail_notices() == 2, "one for each workflow, however many runs"
    assert all(admin in sent.to and viewer not in sent.to for sent in mail.outbox)
    [about] = [sent for sent in mail.outbox if "workflow w " in sent.body]
    assert "could not be undone" in about.subject
    assert f"/app/runs/{run_id}/" in about.body
    assert counted(acme, "compensation_failed") == 2
    assert count_in_need(tenant=acme) == {"compensation_failed": 3}
    assert count_in_need(tenant=globex) == {}
    for page in ("/app/", "/app/runs/"):
        assert "3 runs could not be undone" in log_in(acme, Role.VIEWER).get(page).content.decode()
        assert "could not be undone" not in log_in(globex).get(page).content.decode()


def test_an_unknown_outcome_is_mailed(acme, sink, publish, monkeypatch) -> None:
    member_of(acme, Role.OWNER)
    publish(acme, calls(sink, "a"))
    run_id = start(acme)
    with in_tenant(acme):
        intended = {"step": "a", "attempt": 1, "arguments": {"url": sink.url}}
        append_fact(AgentRun.objects.get(id=run_id), Kind.STEP_INTENDED, intended)
    monkeypatch.setattr(services, "get_definition", lambda **asked: without_promise(asked))
    expire(acme, run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.WAITING
    assert mail_notices() == 1
    assert "outcome is unknown" in mail.outbox[0].subject
    assert counted(acme, "waiting") == 1
    assert "1 run waits for a person" in log_in(acme).get("/app/").content.decode()


def without_promise(asked):
    """The workflow as if its tool could neither be repeated nor asked."""
    from dataclasses import replace

    from apps.orchestration.definitions.contracts import Effect
    from apps.orchestration.definitions.selectors import get_definition

    known = get_definition(**asked)
    return replace(known, steps=tuple(replace(step, effect=Effect.NEITHER) for step in known.steps))

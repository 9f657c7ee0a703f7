"""Any run can be rebuilt from its events; what was changed behind their back is found."""

import io

import pytest
from django.core.management import CommandError, call_command

from apps.conversations.services import start_conversation
from apps.crm import services as crm
from apps.orchestration import dispatching, mailbox, services
from apps.orchestration.contracts import RunStatus
from apps.orchestration.definitions.selectors import find_published
from apps.orchestration.engine.replay import replay
from apps.orchestration.engine.state import Fact, Kind
from apps.orchestration.verifying import verify_runs
from tests.conftest import superuser
from tests.orchestration.engine import calls, show, start, undo

pytestmark = pytest.mark.usefixtures("live_db", "no_hints", "valkey", "closed_breakers")
WAIT = """
  - id: "hold_on"
    type: "wait"
    config: {signal: "paid"}
"""


def run_one(tenant, publish, steps, rest="", **given):
    publish(tenant, steps, rest)
    run_id = start(tenant, **given)
    services.execute_run(tenant=tenant, run_id=run_id)
    return run_id


def tell(tenant) -> str:
    out = io.StringIO()
    call_command("verify_runs", tenant=tenant.slug, stdout=out)
    return out.getvalue()


def change(live_db, tenant, sql: str, run_id) -> None:
    """Change what no role of the product may."""
    with superuser(live_db.name) as admin:
        admin.execute(
            f'SET search_path TO "{tenant.schema}", public; SET session_replication_role TO replica'
        )
        admin.execute(sql, [run_id])


def test_every_way_that_a_run_can_go_is_its_own_history(acme, globex, sink, publish) -> None:
    done = run_one(acme, publish, calls(sink, "a", "b"), undo(sink, "a"))
    services.compensate_run(tenant=acme, run_id=done)
    services.execute_run(tenant=acme, run_id=done)
    sink.answer = lambda path, number: 500 if path == "/b" else 200
    failed = run_one(acme, publish, calls(sink, "a", "b"), undo(sink, "a"))
    sink.answer = lambda path, number: 500
    retried = run_one(acme, publish, calls(sink, "b", attempts=1))
    sink.answer = lambda path, number: 200
    services.retry_run(tenant=acme, run_id=retried)
    services.execute_run(tenant=acme, run_id=retried)
    waiting = run_one(acme, publish, calls(sink, "a") + WAIT, undo(sink, "a"))
    cancelled = run_one(acme, publish, calls(sink, "a") + WAIT, undo(sink, "a"))
    services.cancel_run(tenant=acme, run_id=cancelled)
    services.execute_run(tenant=acme, run_id=cancelled)
    mailbox.send_signal(tenant=acme, run_id=waiting, name="paid")
    ends = [show(acme, run_id).status for run_id in (done, failed, retried, waiting, cancelled)]
    assert ends == ["compensated", "compensated", "completed", "sleeping", "cancelled"]
    assert "acme: 5 runs" in tell(acme)
    services.execute_run(tenant=acme, run_id=waiting)
    assert show(acme, waiting).status is RunStatus.COMPLETED
    assert "difference 0" in tell(acme)
    assert tell(globex) == "globex: 0 runs, 0 events: difference 0\n"


def test_the_shipped_workflows_are_replayed(acme) -> None:
    crm.create_order(tenant=acme, number="1042", total_cents=100, items=[])
    for text in ("Where is my order 1042?", "I want to talk to a human, this is a scandal", "Hi"):
        start_conversation(tenant=acme, channel="api", text=text)
    cancelled = start(acme, "order_cancellation", order_number="1042")
    dispatching.sweep_due_runs(limit=20)
    services.compensate_run(tenant=acme, run_id=cancelled)
    dispatching.sweep_due_runs(limit=20)
    assert show(acme, cancelled).status is RunStatus.COMPENSATION_FAILED, "a cancelled order is held no more"
    found = verify_runs(tenant=acme)
    assert found.runs == 4
    assert found.differences == []


RUN, EVENT = "UPDATE orchestration_agentrun SET ", "UPDATE orchestration_runevent SET "
SECOND = " WHERE run_id = %s AND seq = 2"


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (RUN + "status = 'failed' WHERE id = %s", "is failed, but its events say"),
        (RUN + "input = '{\"a\": 1}' WHERE id = %s", "another input"),
        ("DELETE FROM orchestration_runevent" + SECOND, "has version"),
        (EVENT + "kind = 'nonsense'" + SECOND, "cannot be rebuilt"),
        (EVENT + 'data = data || \'{"step": "b"}\'' + SECOND, "is decided"),
    ],
)
def test_what_was_changed_is_found(live_db, acme, sink, publish, sql, message) -> None:
    run_id = run_one(acme, publish, calls(sink, "a", "b"))
    other = run_one(acme, publish, calls(sink, "a", "b"))
    change(live_db, acme, sql, run_id)
    with pytest.raises(CommandError, match="differences between runs"):
        tell(acme)
    lines = verify_runs(tenant=acme).differences
    assert any(message in line for line in lines), lines
    assert all(str(run_id) in line for line in lines)
    assert verify_runs(tenant=acme, run_id=other).differences == []


def test_a_history_that_decides_otherwise_is_told(acme, sink, publish) -> None:
    publish(acme, calls(sink, "a", "b"))
    definition = find_published(tenant=acme, name="w")
    begun = Fact(Kind.RUN_STARTED, {"input": {}})
    assert replay([], definition)
    assert replay([begun, Fact(Kind.RUN_ENDED, {"status": "completed"})], definition)
    assert replay([begun, Fact(Kind.STEP_INTENDED, {"step": "b", "attempt": 1, "arguments": {}})], definition)
    assert not replay(
        [begun, Fact(Kind.STEP_INTENDED, {"step": "a", "attempt": 1, "arguments": {}})], definition
    )
    assert replay([begun, Fact(Kind.COMPENSATION_STARTED, {"reason": "failed"})], definition)


def test_what_there_is_not_cannot_be_verified(acme) -> None:
    with pytest.raises(CommandError, match="no such run"):
        call_command("verify_runs", tenant="acme", run="00000000-0000-0000-0000-000000000001")
    with pytest.raises(CommandError, match="needs --tenant"):
        call_command("verify_runs", run="00000000-0000-0000-0000-000000000001")

"""Histories by months, their end, and the snapshots of long ones."""

import datetime as dt
import json
import re
from uuid import UUID

import pytest
from django.db import connections

from apps.orchestration import selectors, services
from apps.orchestration.contracts import HistoryRemoved, RunStatus
from apps.orchestration.engine import snapshots
from apps.orchestration.engine.journal import read_facts, read_state
from apps.orchestration.engine.state import fold
from apps.orchestration.models import AgentRun, RunEvent, RunSnapshot
from apps.orchestration.retention import ensure_partitions, remove_old_histories
from apps.orchestration.run_ids import derive_run_id, month_of
from apps.orchestration.verifying import verify_runs
from apps.tenants.context import OWNER, in_tenant
from tests.orchestration.engine import calls, start, undo
from tests.orchestration.test_api import client_of
from tests.pages import log_in

pytestmark = pytest.mark.usefixtures("closed_breakers", "no_hints")
MARCH, APRIL = dt.date(2024, 3, 1), dt.date(2024, 4, 1)
LATER = dt.date(2026, 1, 15)


def id_at(moment: dt.datetime, number: int = 1) -> UUID:
    return UUID(int=int(moment.timestamp() * 1000) << 80 | 7 << 76 | 2 << 62 | number)


def old_run(tenant, month: dt.date, number: int = 1) -> UUID:
    run_id = id_at(dt.datetime(month.year, month.month, 20, tzinfo=dt.UTC), number)
    services.start_run(tenant=tenant, workflow_name="w", input={}, run_id=run_id)
    return run_id


def partition_of(run_id: UUID) -> set[str]:
    with connections[OWNER].cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT tableoid::regclass::text FROM orchestration_runevent WHERE run_id = %s", [run_id]
        )
        return {name for (name,) in cursor.fetchall()}


def partitions() -> set[str]:
    with connections[OWNER].cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits "
            "WHERE inhparent = 'orchestration_runevent'::regclass"
        )
        return {name.removeprefix("orchestration_runevent_") for (name,) in cursor.fetchall()}


def test_a_derived_run_has_the_month_of_its_parent_and_one_id() -> None:
    parent = id_at(dt.datetime(2024, 3, 31, 23, 59, 59, 999000, tzinfo=dt.UTC))
    child = derive_run_id(parent, "leads")
    assert child == derive_run_id(parent, "leads") != derive_run_id(parent, "orders")
    assert child.version == 7
    assert child.variant == parent.variant
    assert month_of(child) == month_of(parent) == MARCH
    assert month_of(id_at(dt.datetime(2024, 4, 1, tzinfo=dt.UTC))) == APRIL


def test_a_runs_events_are_read_from_its_month_alone(acme, publish, sink) -> None:
    publish(acme, calls(sink, "a"))
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    with in_tenant(acme):
        plan = RunEvent.objects.filter(run_id=run_id).order_by("seq").explain()
        run = AgentRun.objects.get(id=run_id)
        months = set(re.findall(r"on orchestration_runevent_(\w+)", plan))
        assert months == {f"{run.created_at:%Y_%m}"}, plan
        assert [event.seq for event in RunEvent.objects.filter(run_id=run_id)] == list(
            range(1, run.version + 1)
        )


@pytest.mark.usefixtures("live_db")
class TestRetention:
    def test_months_have_partitions_ahead_of_time(self) -> None:
        ensure_partitions(today=dt.date(2031, 11, 30))
        ensure_partitions(today=dt.date(2031, 11, 30))
        assert {"default", "2031_11", "2031_12", "2032_01", "2032_02"} <= partitions()
        assert "2032_03" not in partitions()

    def test_a_month_goes_when_it_is_old_and_everything_in_it_has_ended(
        self, acme, globex, publish, sink
    ) -> None:
        for tenant in (acme, globex):
            publish(tenant, calls(sink, "a"))
        ensure_partitions(today=MARCH)
        runs = [
            (tenant, old_run(tenant, month, n))
            for n, tenant in enumerate((acme, globex))
            for month in (MARCH, APRIL)
        ]
        mine, mine_later, theirs, _ = (run_id for _, run_id in runs)
        new = start(acme)
        for tenant, run_id in [*runs[:2], *runs[3:], (acme, new)]:
            services.execute_run(tenant=tenant, run_id=run_id)
        assert partition_of(mine) == {"orchestration_runevent_2024_03"}
        assert remove_old_histories(today=dt.date(2025, 5, 5)) == [], "it is not old enough"
        assert remove_old_histories(today=LATER)[0] == APRIL, "in March one is still open"
        services.execute_run(tenant=globex, run_id=theirs)
        assert remove_old_histories(today=LATER) == [MARCH]
        assert remove_old_histories(today=LATER) == []
        assert not {"2024_03", "2024_04"} & partitions()
        ensure_partitions(today=MARCH)
        assert "2024_03" not in partitions(), "what is gone is not made again"
        for run_id, is_kept in ((mine, False), (mine_later, False), (new, True)):
            view = selectors.get_run(tenant=acme, run_id=run_id)
            assert (view.has_history, bool(view.steps)) == (is_kept, is_kept)
            assert view.status is RunStatus.COMPLETED
            assert view.output["receipt"]
        found = verify_runs(tenant=acme)
        assert (found.runs, found.without_history, found.differences) == (3, 2, [])

    def test_a_run_without_its_history_says_so_and_is_left_alone(
        self, acme, publish, sink, fresh_limits
    ) -> None:
        publish(acme, calls(sink, "a"), undo(sink, "a"))
        ensure_partitions(today=MARCH)
        run_id = old_run(acme, MARCH)
        services.execute_run(tenant=acme, run_id=run_id)
        assert MARCH in remove_old_histories(today=LATER)
        with pytest.raises(HistoryRemoved):
            services.compensate_run(tenant=acme, run_id=run_id)
        api, path = client_of(acme), f"/api/v1/runs/{run_id}"
        shown = api.get(path).json()
        assert (shown["has_history"], shown["steps"], shown["status"]) == (False, [], "completed")
        assert shown["output"]["receipt"]
        told = api.get(f"{path}/events")
        assert told.status_code == 410, told.content
        assert "removed for their age" in told.json()["detail"]
        assert api.post(f"{path}/compensate").status_code == 410
        page = log_in(acme).get(f"/app/runs/{run_id}/")
        assert page.status_code == 200
        assert "not kept any more" in page.content.decode()


@pytest.mark.usefixtures("live_db")
def test_a_long_run_is_rebuilt_from_its_snapshot_and_what_came_since(
    acme, publish, sink, monkeypatch, django_assert_num_queries
) -> None:
    monkeypatch.setattr(snapshots, "EVERY", 4)
    publish(acme, calls(sink, "long_one", "b", "ac"), undo(sink, "long_one", "b", "ac"))
    run_id = start(acme, text="x")
    services.execute_run(tenant=acme, run_id=run_id)
    services.compensate_run(tenant=acme, run_id=run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    with in_tenant(acme):
        run, kept = AgentRun.objects.get(id=run_id), RunSnapshot.objects.get(run_id=run_id)
        assert run.version - 4 < kept.seq <= run.version
        assert len(read_facts(run, after_seq=kept.seq)) == run.version - kept.seq
        assert read_state(run) == fold(read_facts(run))
        assert list(read_state(run).steps) == ["long_one", "b", "ac"], "in the order in which they began"
        with django_assert_num_queries(2):
            read_state(run)
    assert verify_runs(tenant=acme).differences == []
    with in_tenant(acme):
        RunSnapshot.objects.update(state={**kept.state, "retries": 7})
    assert verify_runs(tenant=acme).differences == [
        f"{run_id} has a snapshot that its first {kept.seq} events do not give"
    ]
    with in_tenant(acme):
        RunSnapshot.objects.update(layout="another release's")
        assert read_state(run) == fold(read_facts(run)), "one of another layout is of no use"
    assert verify_runs(tenant=acme).differences == []


def test_states_survive_json(acme, publish, sink) -> None:
    publish(acme, calls(sink, "a", "b", attempts=1), undo(sink, "a"))
    sink.answer = lambda path, number: 500 if path == "/b" else 200
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    with in_tenant(acme):
        facts = read_facts(AgentRun.objects.get(id=run_id))
    assert len(facts) > 4
    for count in range(len(facts) + 1):
        state = fold(facts[:count])
        again = json.loads(json.dumps(snapshots.write_state(state)))
        assert snapshots.read_state_from(again) == state


def test_another_tenants_snapshot_is_not_there(acme, globex, publish, sink, monkeypatch) -> None:
    monkeypatch.setattr(snapshots, "EVERY", 2)
    publish(acme, calls(sink, "a"))
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    with in_tenant(acme):
        assert RunSnapshot.objects.filter(run_id=run_id).exists()
    with in_tenant(globex):
        assert not RunSnapshot.objects.exists()

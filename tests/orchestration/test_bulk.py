"""Many runs are steered at once: every one of them once, whoever dies, and nobody else's."""

import re
import uuid

import pytest

from apps.orchestration import services
from apps.orchestration.bulk import services as bulk
from apps.orchestration.bulk.contracts import BulkAction, BulkStatus
from apps.orchestration.bulk.selectors import get_bulk, list_due_bulks
from apps.orchestration.models import AgentRun, BulkOperation
from apps.orchestration.pausing import pause_run
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.selectors import list_audit_events
from tests.conftest import superuser
from tests.orchestration.engine import Crash, calls, kinds, show, start
from tests.orchestration.test_api import client_of, post
from tests.pages import log_in

pytestmark = pytest.mark.usefixtures("live_db", "no_hints", "valkey", "closed_breakers", "fresh_limits")
ANN = "ann@acme.example"


@pytest.fixture(autouse=True)
def hints(monkeypatch):
    sent = []
    monkeypatch.setattr(bulk, "hint_bulk", lambda tenant_id, operation_id: sent.append(operation_id))
    return sent


def runs(tenant, sink, publish, total):
    publish(tenant, calls(sink, "a"))
    return [start(tenant) for _ in range(total)]


def ask(tenant, action=BulkAction.PAUSE, **which):
    return bulk.request_bulk(tenant=tenant, action=action, actor=ANN, reason="The shop is down", **which)


def acts(tenant):
    return [(e.action, e.data) for e in list_audit_events(tenant=tenant) if e.action.startswith("run")]


def test_every_chosen_run_is_steered_and_the_rest_is_told_with_reasons(
    acme, globex, sink, publish, hints
) -> None:
    ours, theirs = runs(acme, sink, publish, 3), runs(globex, sink, publish, 1)
    services.execute_run(tenant=acme, run_id=ours[0])
    before = len(list_audit_events(tenant=acme))
    asked = ask(acme, ids=[*ours, *theirs, ours[1]])
    assert (asked.total, asked.left, asked.status, hints) == (4, 4, BulkStatus.RUNNING, [asked.id])
    bulk.carry_out_bulk(tenant=acme, operation_id=asked.id)
    found = get_bulk(tenant=acme, operation_id=asked.id)
    assert (found.status, found.done, found.refused, found.left) == (BulkStatus.DONE, 2, 2, 0)
    why = {refusal.run_id: refusal.reason for refusal in found.refusals}
    assert "ended already" in why[ours[0]]
    assert "no such run" in why[theirs[0]]
    assert [show(acme, run_id).status.value for run_id in ours] == ["completed", "paused", "paused"]
    assert show(globex, theirs[0]).status == "running"
    counts = {"total": 4, "done": 2, "refused": 2, "status": "done", "reason": "The shop is down"}
    assert acts(acme)[0] == ("runs.pause", counts)
    assert len(list_audit_events(tenant=acme)) == before + 1, "one act, one entry"
    with pytest.raises(NotFoundError):
        get_bulk(tenant=globex, operation_id=asked.id)
    with pytest.raises(ConflictError, match="ended already"):
        bulk.cancel_bulk(tenant=acme, operation_id=asked.id)


def test_a_worker_that_dies_in_the_middle_loses_nothing_and_nothing_is_done_twice(
    acme, sink, publish, monkeypatch
) -> None:
    monkeypatch.setattr(bulk, "BATCH", 3)
    chosen = runs(acme, sink, publish, 8)
    asked = ask(acme, ids=chosen)
    passed = []

    def dying(**given):
        passed.append(given["run_id"])
        if len(passed) in (2, 8):
            raise Crash
        return pause_run(**given)

    monkeypatch.setitem(bulk._ACTS, BulkAction.PAUSE, (dying, True))
    for _ in range(2):
        with pytest.raises(Crash):
            bulk.carry_out_bulk(tenant=acme, operation_id=asked.id)
        found = get_bulk(tenant=acme, operation_id=asked.id)
        assert (found.done, found.refused) == (sum(show(acme, r).status == "paused" for r in chosen), 0)
    bulk.carry_out_bulk(tenant=acme, operation_id=asked.id)
    bulk.carry_out_bulk(tenant=acme, operation_id=asked.id)
    found = get_bulk(tenant=acme, operation_id=asked.id)
    assert (found.status, found.done, found.refused) == (BulkStatus.DONE, 8, 0)
    assert [kinds(acme, run_id).count("paused") for run_id in chosen] == [1] * 8
    assert [name for name, _ in acts(acme)].count("runs.pause") == 1


def test_what_breaks_on_one_run_does_not_stop_the_others(acme, sink, publish, monkeypatch) -> None:
    chosen = runs(acme, sink, publish, 3)
    broken = sorted(map(str, chosen))[1]

    def breaking(**given):
        seen = pause_run(**given)
        if str(given["run_id"]) == broken:
            raise ValueError("a defect")
        return seen

    monkeypatch.setitem(bulk._ACTS, BulkAction.PAUSE, (breaking, True))
    asked = ask(acme, ids=chosen)
    bulk.carry_out_bulk(tenant=acme, operation_id=asked.id)
    found = get_bulk(tenant=acme, operation_id=asked.id)
    assert (found.done, [str(r.run_id) for r in found.refusals]) == (2, [broken])
    assert show(acme, uuid.UUID(broken)).status == "running", "nothing of it remains"


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [
        (BulkAction.CANCEL, None, "cancelled"),
        (BulkAction.RESUME, "pause", "completed"),
        (BulkAction.RETRY, "fail", "completed"),
    ],
)
def test_all_that_match_a_filter_are_steered(acme, sink, publish, action, before, after) -> None:
    chosen = runs(acme, sink, publish, 2)
    sink.answer = lambda path, number: 500 if before == "fail" and number <= 4 else 200
    for run_id in chosen:
        if before == "pause":
            pause_run(tenant=acme, run_id=run_id)
        if before == "fail":
            services.execute_run(tenant=acme, run_id=run_id)
    status = show(acme, chosen[0]).status.value
    asked = ask(acme, action, criteria={"status": status, "workflow": "w"})
    assert asked.total == 2
    bulk.carry_out_bulk(tenant=acme, operation_id=asked.id)
    for run_id in chosen:
        services.execute_run(tenant=acme, run_id=run_id)
    assert {show(acme, run_id).status.value for run_id in chosen} == {after}


def test_a_choice_is_bounded_and_says_what_is_wrong(acme, sink, publish, monkeypatch) -> None:
    runs(acme, sink, publish, 3)
    for wrong in ({"ids": []}, {"criteria": {}}, {"criteria": {"status": "failed"}}):
        with pytest.raises(InvalidInput):
            ask(acme, **wrong)
    monkeypatch.setattr("apps.orchestration.bulk.selectors.MAX_RUNS", 2)
    with pytest.raises(InvalidInput, match="Narrow"):
        ask(acme, criteria={"status": "running"})
    with in_tenant(acme):
        assert not BulkOperation.objects.exists()


def test_an_operation_is_stopped_and_found_again_when_its_hint_was_lost(
    live_db, acme, sink, publish, monkeypatch
) -> None:
    monkeypatch.setattr(bulk, "BATCH", 2)
    chosen = runs(acme, sink, publish, 4)
    asked = ask(acme, ids=chosen)
    assert list_due_bulks() == [], "its hint may be on its way"
    bulk._carry_out_batch(acme, asked.id)
    with superuser(live_db.name) as admin:
        admin.execute("UPDATE orchestration_bulkoperation SET moved_at = now() - interval '1 minute'")
    assert list_due_bulks() == [(acme.id, asked.id)]
    stopped = bulk.cancel_bulk(tenant=acme, operation_id=asked.id)
    assert (stopped.status, stopped.done, stopped.left) == (BulkStatus.CANCELLED, 2, 2)
    bulk.carry_out_bulk(tenant=acme, operation_id=asked.id)
    assert sum(show(acme, run_id).status == "paused" for run_id in chosen) == 2
    assert acts(acme)[0][1]["status"] == "cancelled"
    assert list_due_bulks() == []


def test_over_the_api(acme, globex, sink, publish) -> None:
    chosen, api = runs(acme, sink, publish, 2), client_of(acme)
    body = {"action": "cancel", "ids": [str(run_id) for run_id in chosen], "reason": "Wrong import"}
    how = {"content_type": "application/json", "headers": {"Idempotency-Key": "k"}}
    made, again = (api.post("/api/v1/runs/bulk", body, **how) for _ in range(2))
    assert (made.status_code, again.json()["id"]) == (202, made.json()["id"])
    with in_tenant(acme):
        assert BulkOperation.objects.count() == 1
    url = f"runs/bulk/{made.json()['id']}"
    assert api.get(f"/api/v1/{url}").json()["left"] == 2
    assert client_of(globex).get(f"/api/v1/{url}").status_code == 404
    assert post(client_of(globex), f"{url}/cancel").status_code == 404
    assert post(client_of(acme, "read:runs"), "runs/bulk", body).status_code == 403
    assert post(api, f"{url}/cancel").json()["status"] == "cancelled"
    for wrong in (
        {"action": "cancel"},
        {"action": "explode", "ids": body["ids"]},
        {"action": "cancel", "ids": ["x"]},
        {"action": "cancel", "ids": []},
        {"action": "cancel", "filter": {}},
        {"action": "cancel", "filter": {"status": "odd"}},
        {**body, "filter": {"status": "running"}},
    ):
        assert post(api, "runs/bulk", wrong).status_code == 400, wrong


def test_on_the_page(acme, globex, sink, publish, monkeypatch) -> None:
    monkeypatch.setattr(bulk, "BATCH", 2)
    chosen, client = runs(acme, sink, publish, 3), log_in(acme)
    listed = client.get("/app/runs/?status=running").content.decode()
    assert listed.count('name="ids"') == 3
    assert 'name="all"' in listed
    assert 'name="ids"' not in log_in(acme, "viewer").get("/app/runs/").content.decode()
    assert "Tick" in client.get("/app/runs/bulk/new/?action=cancel&ids=x").content.decode()
    url = "/app/runs/bulk/new/?action=pause&all=on&status=running&workflow="
    page = client.get(url).content.decode()
    assert "Pause: 3 runs" in page
    key = re.search(r'name="key" value="([^"]+)"', page)[1]
    assert client.post(url, {"key": key}).status_code == 422
    first, second = (client.post(url, {"key": key, "reason": "Down"}) for _ in range(2))
    assert first.headers["Location"] == second.headers["Location"]
    progress = first.headers["Location"]
    with in_tenant(acme):
        operation_id = BulkOperation.objects.get().id
    bulk._carry_out_batch(acme, operation_id)
    shown = client.get(progress).content.decode()
    assert re.search(r'<progress max="3"\s+value="2"', shown)
    assert "Under way" in shown
    assert "Watch it" in client.get("/app/runs/").content.decode()
    assert log_in(globex).get(progress).status_code == 404
    assert client.post(f"{progress}cancel/").status_code == 302
    assert "Stopped" in client.get(progress).content.decode()
    with in_tenant(acme):
        assert AgentRun.objects.filter(id__in=chosen, status="paused").count() == 2

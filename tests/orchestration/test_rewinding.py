"""A run is done again from a step on: what was done is undone first, and nothing happens twice unasked."""

import random
from collections import Counter

import pytest

from apps.conversations.models import Message
from apps.conversations.services import start_conversation
from apps.orchestration import mailbox, services
from apps.orchestration.contracts import RunStatus
from apps.orchestration.definitions.language.compiler import compile_workflow
from apps.orchestration.engine import decisions as d
from apps.orchestration.engine.replay import replay
from apps.orchestration.engine.state import Kind
from apps.orchestration.rewinding import plan_retry, retry_from, undo_from
from apps.orchestration.verifying import verify_runs
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.selectors import list_audit_events
from tests.orchestration.engine import (
    Crash,
    assert_history_is_whole,
    calls,
    dying_at,
    expire,
    kinds,
    paths,
    show,
    start,
    states,
    undo,
)
from tests.orchestration.simulator import Simulation
from tests.orchestration.test_api import client_of, post
from tests.pages import log_in

pytestmark = pytest.mark.usefixtures("live_db", "no_hints", "valkey", "closed_breakers")
ANN = "ann@acme.example"


def ended(tenant, sink, publish, names="abc", undone="bc"):
    publish(tenant, calls(sink, *names, attempts=1), undo(sink, *undone) if undone else "")
    run_id = start(tenant)
    services.execute_run(tenant=tenant, run_id=run_id)
    return run_id


def again(tenant, run_id, step, **how):
    retry_from(tenant=tenant, run_id=run_id, step_id=step, actor=ANN, reason="Wrong price", **how)
    services.execute_run(tenant=tenant, run_id=run_id)


def keys_of(sink, path):
    return [request["key"] for request in sink.requests if request["path"] == f"/{path}"]


def test_what_came_after_is_undone_in_reverse_and_done_again_with_new_keys(acme, sink, publish) -> None:
    run_id = ended(acme, sink, publish)
    plan = plan_retry(tenant=acme, run_id=run_id, step_id="b")
    assert (plan.again, plan.undone_first, plan.repeated) == (["b", "c"], ["c", "b"], [])
    again(acme, run_id, "b")
    assert show(acme, run_id).status is RunStatus.COMPLETED
    assert paths(sink) == ["a", "b", "c", "undo-c", "undo-b", "b", "c"]
    assert states(acme, run_id) == {"a": "done", "b": "done", "c": "done"}
    assert len(set(keys_of(sink, "b"))) == 2, "the receiver would drop the repeat of a key that it knows"
    again(acme, run_id, "b")
    assert len(set(keys_of(sink, "b"))) == 3
    assert len(set(keys_of(sink, "undo-b"))) == 2
    assert len(set(sink.keys)) == len(sink.keys)
    assert_history_is_whole(acme, run_id)
    assert verify_runs(tenant=acme).differences == []
    audited = list_audit_events(tenant=acme)[0]
    assert (audited.action, audited.data) == ("run.retry", {"reason": "Wrong price", "step": "b"})


def test_what_cannot_be_undone_is_repeated_only_when_asked_for(acme, globex, sink, publish) -> None:
    run_id = ended(acme, sink, publish, undone="c")
    before = kinds(acme, run_id)
    with pytest.raises(InvalidInput) as refused:
        retry_from(tenant=acme, run_id=run_id, step_id="b")
    assert "b." in refused.value.errors["repeat_effects"][0]
    with pytest.raises(NotFoundError):
        retry_from(tenant=globex, run_id=run_id, step_id="b")
    assert kinds(acme, run_id) == before
    again(acme, run_id, "b", repeat_effects=True)
    assert paths(sink) == ["a", "b", "c", "undo-c", "b", "c"]
    assert len(set(keys_of(sink, "b"))) == 2
    assert list_audit_events(tenant=acme)[0].data["repeated"] == "b"


def test_a_failed_step_keeps_its_key_and_what_was_undone_gets_a_new_one(acme, sink, publish) -> None:
    sink.answer = lambda path, number: 500 if path == "/c" else 200
    run_id = ended(acme, sink, publish, undone="ab")
    assert states(acme, run_id) == {"a": "undone", "b": "undone", "c": "failed"}
    with pytest.raises(InvalidInput) as refused:
        retry_from(tenant=acme, run_id=run_id, step_id="c")
    assert "Begin with 'a'" in refused.value.errors["from"][0]
    sink.answer = lambda path, number: 200
    again(acme, run_id, "a")
    assert show(acme, run_id).status is RunStatus.COMPLETED
    assert paths(sink) == ["a", "b", "c", "undo-b", "undo-a", "a", "b", "c"]
    assert len(set(keys_of(sink, "a"))) == 2
    assert len(set(keys_of(sink, "c"))) == 1, "it may have taken effect: the receiver may know its key"
    assert verify_runs(tenant=acme).differences == []


def test_a_cancelled_run_is_done_again(acme, sink, publish) -> None:
    wait = '\n  - {id: "hold_on", type: "wait", config: {signal: "paid"}}'
    publish(acme, calls(sink, "a") + wait, undo(sink, "a"))
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    services.cancel_run(tenant=acme, run_id=run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.CANCELLED
    with pytest.raises(ConflictError, match="Only a completed run"):
        undo_from(tenant=acme, run_id=run_id, step_id="a")
    again(acme, run_id, "a")
    assert show(acme, run_id).status is RunStatus.SLEEPING
    assert not show(acme, run_id).is_cancelling
    mailbox.send_signal(tenant=acme, run_id=run_id, name="paid")
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPLETED
    assert paths(sink) == ["a", "undo-a", "a"]


def test_a_stuck_undoing_stops_the_retry_until_it_is_settled(acme, sink, publish) -> None:
    sink.answer = lambda path, number: 422 if path == "/undo-b" else 200
    run_id = ended(acme, sink, publish)
    again(acme, run_id, "b")
    assert show(acme, run_id).status is RunStatus.COMPENSATION_FAILED
    with pytest.raises(ConflictError, match="could not be undone"):
        retry_from(tenant=acme, run_id=run_id, step_id="a")
    services.settle_undo(tenant=acme, run_id=run_id, step_id="b", actor=ANN)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPLETED, "and then it is done again as was asked"
    assert paths(sink) == ["a", "b", "c", "undo-c", "undo-b", "b", "c"]
    assert verify_runs(tenant=acme).differences == []


# Every point at which a process may die until the end, as (what dies, how often it is passed before).
POINTS = [
    ("claim", 0),
    *((point, n) for n in range(4) for point in ("intent", "effect", "result")),
    ("end", 0),
]


@pytest.mark.parametrize(("point", "passes"), POINTS)
def test_a_crash_at_any_point_of_a_retry_repeats_no_effect(
    acme, sink, publish, monkeypatch, point, passes
) -> None:
    run_id = ended(acme, sink, publish)
    retry_from(tenant=acme, run_id=run_id, step_id="b")
    with dying_at(monkeypatch, point, passes), pytest.raises(Crash):
        services.execute_run(tenant=acme, run_id=run_id)
    for _ in range(3):
        expire(acme, run_id)
        services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPLETED
    assert len(sink.counts()) == 7
    by_key = list(dict.fromkeys((r["key"], r["path"]) for r in sink.requests))
    assert [path.strip("/") for _, path in by_key] == ["a", "b", "c", "undo-c", "undo-b", "b", "c"]
    assert_history_is_whole(acme, run_id)


def test_a_run_is_undone_from_a_step_on_and_later_the_rest(acme, sink, publish) -> None:
    run_id = ended(acme, sink, publish, undone="abc")
    undo_from(tenant=acme, run_id=run_id, step_id="b", actor=ANN, reason="Too much")
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPENSATED
    assert paths(sink)[3:] == ["undo-c", "undo-b"]
    assert states(acme, run_id) == {"a": "done", "b": "undone", "c": "undone"}
    with pytest.raises(ConflictError, match="nothing"):
        undo_from(tenant=acme, run_id=run_id, step_id="c")
    undo_from(tenant=acme, run_id=run_id, step_id="a")
    services.execute_run(tenant=acme, run_id=run_id)
    assert paths(sink)[3:] == ["undo-c", "undo-b", "undo-a"]
    assert verify_runs(tenant=acme).differences == []


def test_the_customer_is_answered_again_only_when_asked_for(acme) -> None:
    started = start_conversation(tenant=acme, channel="api", text="Where is my order 1042?")
    run_id = started.received.run_id
    services.execute_run(tenant=acme, run_id=run_id)
    step = show(acme, run_id).steps[0].id

    def answers():
        with in_tenant(acme):
            return Message.objects.filter(run_id=run_id, author="ai").count()

    assert answers() == 1
    again(acme, run_id, step, repeat_effects=True)
    assert show(acme, run_id).status is RunStatus.COMPLETED
    assert answers() == 1
    again(acme, run_id, step, repeat_effects=True, reply=True)
    assert answers() == 2


def test_over_the_api_and_on_the_page(acme, globex, sink, publish) -> None:
    run_id, api, page = ended(acme, sink, publish, undone="c"), client_of(acme), log_in(acme)
    assert post(api, f"runs/{run_id}/retry", {"repeat_effects": True}).status_code == 400
    assert "never came" in post(api, f"runs/{run_id}/retry", {"from": "x"}).json()["errors"]["from"][0]
    refused = post(api, f"runs/{run_id}/retry", {"from": "b"})
    assert refused.status_code == 400
    assert "repeat_effects" in refused.json()["errors"]
    url = f"/app/runs/{run_id}/retry-from/?step=b"
    shown = page.get(url).content.decode()
    assert "What happens twice" in shown
    assert page.post(url, {"reason": "Wrong"}).status_code == 422
    assert "cannot be done again" in page.get(url.replace("=b", "=x")).content.decode()
    assert log_in(globex).get(url).status_code == 404
    assert page.post(url, {"reason": "Wrong", "repeat_effects": "on"}).status_code == 302
    services.execute_run(tenant=acme, run_id=run_id)
    assert paths(sink)[3:] == ["undo-c", "b", "c"]
    assert "by cannot" not in page.get(f"/app/runs/{run_id}/undo-from/?step=c").content.decode()
    undone = post(api, f"runs/{run_id}/compensate", {"from": "c", "reason": "No"})
    assert (undone.status_code, undone.json()["status"]) == (200, "compensating")


def test_in_random_retries_what_is_said_to_be_done_happened_so_often() -> None:
    for seed in range(300):
        rng = random.Random(seed)
        names = [f"s{n}" for n in range(rng.randint(1, 6))]
        undone = [name for name in names if rng.random() < 0.6]
        source = 'name: "w"\nversion: "1"\nsteps:' + "".join(
            f'\n  - {{id: "{n}", type: "tool", tool: "http_request", config: {{url: "https://x.example"}}}}'
            for n in names
        )
        config = 'action: "http_request", config: {url: "https://x.example"}'
        if undone:
            source += "\ncompensation:" + "".join(f'\n  - {{step: "{n}", {config}}}' for n in undone)
        definition = compile_workflow(source)
        simulation = Rewound(
            definition,
            succeeds=lambda path, attempt, rng=rng: "undo" in path or rng.random() < 0.85,
            crash=lambda turn, rng=rng: rng.random() < 0.2,
        )
        simulation.run()
        for _ in range(rng.randint(1, 4)):
            first = next(iter(simulation.state.steps))
            undone_now = [n for n, s in simulation.state.steps.items() if s.status == "undone"]
            step = undone_now[0] if undone_now else rng.choice(list(simulation.state.steps) or [first])
            simulation.note(Kind.RETRY_REQUESTED, **{"from": step, "reply": False, "repeated": []})
            simulation.go_on()
            assert simulation.state.status.is_end, seed
        happened = Counter(key.rpartition("/")[0] for key in simulation.effects)
        assert recorded(simulation) <= happened, f"seed {seed}: something is said to be done, and is not"
        assert replay(simulation.facts, definition) == [], seed


def recorded(simulation: Simulation) -> Counter:
    endings = {Kind.STEP_COMPLETED: "", Kind.STEP_UNDONE: "/undo"}
    done = [fact for fact in simulation.facts if fact.kind in endings]
    return Counter(f"{fact.data['step']}{endings[fact.kind]}" for fact in done)


class Rewound(Simulation):
    """Notes each effect under the key that its receiver sees; a repeat of a known key is no effect."""

    def perform(self, command: d.Command) -> None:
        step = getattr(getattr(command, "step", None), "id", "") or getattr(
            getattr(command, "compensation", None), "step", ""
        )
        generation = self.state.generations.get(step, 0)
        known, self.effects = self.effects, []
        super().perform(command)
        self.effects = known + [key for p in self.effects if (key := f"{p}/{generation}") not in known]

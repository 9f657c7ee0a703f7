"""What becomes of an effect whose outcome was lost: repeated, looked for, or left to a person."""

import pytest

from apps.orchestration import services
from apps.orchestration.contracts import RunStatus
from apps.orchestration.definitions.contracts import Effect
from apps.orchestration.definitions.language.compiler import compile_workflow, find_problems
from tests.orchestration.engine import Crash, differences, dying_at, expire, kinds, paths, show, start, states

pytestmark = pytest.mark.usefixtures("no_hints", "closed_breakers")

SOURCE = """name: "w"
version: "1"
steps:
  - {{id: "a", type: "tool", tool: "http_request", config: {config}}}
"""


def pay(sink, declared: str, method: str = "POST") -> str:
    return f"""
  - id: "pay"
    type: "tool"
    tool: "http_request"
    config: {{method: "{method}", url: "{sink.url}/pay", {declared}}}
    retry: {{max_attempts: 3, initial_delay_s: 0.01, backoff_factor: 1}}"""


def lookup(sink) -> str:
    return f'effect: "lookup", lookup: {{url: "{sink.url}/known/{{effect_key}}"}}'


@pytest.mark.parametrize(
    ("config", "effect"),
    [
        ('url: "https://x.example"', Effect.NONE),
        ('url: "https://x.example", method: "GET"', Effect.NONE),
        ('url: "https://x.example", method: "DELETE"', Effect.IDEMPOTENT),
        ('url: "https://x.example", method: "POST"', Effect.IDEMPOTENT),
        ('url: "https://x.example", method: "POST", effect: "neither"', Effect.NEITHER),
        ('url: "https://x.example", lookup: {url: "https://x.example/{effect_key}"}', Effect.LOOKUP),
    ],
)
def test_a_step_says_what_its_request_promises(config, effect) -> None:
    assert compile_workflow(SOURCE.format(config=f"{{{config}}}")).step("a").effect is effect


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ('effect: "lookup"', "`lookup` is missing"),
        ('effect: "maybe"', "'maybe' is not one of"),
        ('lookup: {url: "https://x.example/known"}', "effect_key"),
    ],
)
def test_a_promise_that_cannot_be_kept_is_refused(config, said) -> None:
    config = f'{{url: "https://x.example", method: "POST", {config}}}'
    problems = find_problems(SOURCE.format(config=config))
    assert any(said in problem.message + problem.fix for problem in problems)


def test_what_was_done_before_a_crash_is_found_and_not_done_again(acme, sink, publish, monkeypatch) -> None:
    publish(acme, pay(sink, lookup(sink)))
    run_id = start(acme)
    with dying_at(monkeypatch, "effect", 0), pytest.raises(Crash):
        services.execute_run(tenant=acme, run_id=run_id)
    expire(acme, run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    key = sink.requests[0]["key"]
    assert paths(sink) == ["pay", f"known/{key}"]
    run = show(acme, run_id)
    assert (run.status, run.steps[0].output) == (RunStatus.COMPLETED, {"status": 200, "body": {"n": 1}})
    assert differences(acme, run_id) == []


def test_what_was_not_done_before_a_crash_is_done_once(acme, sink, publish, monkeypatch) -> None:
    sink.answer = lambda path, number: 404 if path.startswith("/known") else 200
    publish(acme, pay(sink, lookup(sink)))
    run_id = start(acme)
    with dying_at(monkeypatch, "intent", 0), pytest.raises(Crash):
        services.execute_run(tenant=acme, run_id=run_id)
    expire(acme, run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert [path.partition("/")[0] for path in paths(sink)] == ["known", "pay"]
    assert show(acme, run_id).status is RunStatus.COMPLETED
    assert differences(acme, run_id) == []


def test_an_answer_that_does_not_say_whether_is_followed_by_a_look(acme, sink, publish) -> None:
    sink.answer = lambda path, number: 502 if path == "/pay" else 200
    publish(acme, pay(sink, lookup(sink)))
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    assert (paths(sink), show(acme, run_id).status) == (["pay"], RunStatus.RUNNING)
    assert not services.execute_run(tenant=acme, run_id=run_id), "what is under way must have come first"
    expire(acme, run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert paths(sink)[1].startswith("known/")
    assert show(acme, run_id).status is RunStatus.COMPLETED


def test_a_look_that_fails_leaves_it_to_a_person(acme, sink, publish, monkeypatch) -> None:
    sink.answer = lambda path, number: 500 if path.startswith("/known") else 200
    publish(acme, pay(sink, lookup(sink)))
    run_id = start(acme)
    with dying_at(monkeypatch, "effect", 0), pytest.raises(Crash):
        services.execute_run(tenant=acme, run_id=run_id)
    expire(acme, run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert (states(acme, run_id), show(acme, run_id).status) == ({"pay": "unknown"}, RunStatus.WAITING)


@pytest.mark.parametrize(
    ("status", "state", "requests"), [(502, "unknown", 1), (429, "failed", 3), (400, "failed", 1)]
)
def test_what_cannot_be_repeated_is_repeated_only_where_surely_nothing_was_done(
    acme, sink, publish, status, state, requests
) -> None:
    sink.answer = lambda path, number: status
    publish(acme, pay(sink, 'effect: "neither"'))
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    assert (states(acme, run_id), len(sink.requests)) == ({"pay": state}, requests)
    assert differences(acme, run_id) == []


def test_a_person_who_says_that_it_was_done_lets_the_run_go_on(acme, sink, publish) -> None:
    sink.answer = lambda path, number: 502
    publish(acme, pay(sink, 'effect: "neither"'))
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    services.resolve_step(tenant=acme, run_id=run_id, step_id="pay", is_done=True)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPLETED
    assert "step_unknown" in kinds(acme, run_id)


def test_reading_begins_with_no_intent(acme, sink, publish) -> None:
    publish(acme, pay(sink, "expected_status: [200]", method="GET"))
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    assert kinds(acme, run_id) == ["run_started", "step_completed", "run_ended"]

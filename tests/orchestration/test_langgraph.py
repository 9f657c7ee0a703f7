"""A LangGraph graph runs as one step: once, in time, and only if the operator has named it."""

import pytest

from apps.orchestration import services
from apps.orchestration.contracts import RunStatus
from apps.orchestration.definitions.language import compiler
from apps.orchestration.definitions.language.compiler import find_problems
from apps.orchestration.engine.attempts import effect_key
from apps.orchestration.tools import graphs as registry
from tests.orchestration.engine import Crash, dying_at, expire, kinds, show, start

pytest.importorskip("langgraph")
from tests.orchestration import graphs

pytestmark = pytest.mark.usefixtures("no_hints", "valkey")
STEPS = """
  - id: "think"
    type: "langgraph"
    graph: "{}"
    config: {{question: "${{input.question}}"}}
    {}
  - id: "say"
    type: "tool"
    tool: "generic_response"
    config: {{text: "It is ${{steps.think.result.mood}}"}}"""
INPUTS = 'inputs: {question: {type: "string", default: "Why!"}}'


@pytest.fixture(autouse=True)
def allowed(settings):
    """Name the graphs of the tests, some of them as idempotent."""
    names = ("triage", "failing", "slow", "blocking", "odd", "asking", "not_compiled", "absent")
    paths = {name: f"tests.orchestration.graphs.{name}" for name in names}
    sure = {f"sure_{name}": {"path": path, "idempotent": True} for name, path in paths.items()}
    settings.LANGGRAPH_GRAPHS = paths | sure
    compiler._compile_built_in.cache_clear()
    graphs.done.clear()


def run(tenant, publish, graph, more="", **given):
    publish(tenant, STEPS.format(graph, more), INPUTS)
    run_id = start(tenant, **given)
    services.execute_run(tenant=tenant, run_id=run_id)
    return show(tenant, run_id)


def test_a_graph_is_a_step_and_gets_the_effect_key(acme, publish) -> None:
    ended = run(acme, publish, "triage", question="Where is it!")
    assert ended.status is RunStatus.COMPLETED
    assert ended.steps[0].output["result"] == {
        "question": "Where is it!", "mood": "angry", "answer": {"to": "Where is it!", "mood": "angry"},
    }  # fmt: skip
    assert ended.steps[1].output == {"text": "It is angry"}
    assert graphs.done == [("Where is it!", effect_key(acme.id, ended.id, "think"))]


@pytest.mark.parametrize(
    ("graph", "times", "status"), [("triage", 1, "waiting"), ("sure_triage", 2, "completed")]
)
def test_after_a_crash_only_what_is_idempotent_is_repeated(
    acme, publish, monkeypatch, graph, times, status
) -> None:
    publish(acme, STEPS.format(graph, ""), INPUTS)
    run_id = start(acme)
    with dying_at(monkeypatch, "effect", 0), pytest.raises(Crash):
        services.execute_run(tenant=acme, run_id=run_id)
    expire(acme, run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status == status
    assert len(graphs.done) == times
    assert len({key for _, key in graphs.done}) == 1
    if status == "waiting":
        output = {"result": {"mood": "calm"}}
        services.resolve_step(tenant=acme, run_id=run_id, step_id="think", is_done=True, output=output)
        services.execute_run(tenant=acme, run_id=run_id)
        assert show(acme, run_id).steps[1].output == {"text": "It is calm"}


@pytest.mark.parametrize("graph", ["slow", "blocking"])
def test_one_that_does_not_end_in_time_is_unknown_unless_it_may_be_repeated(acme, publish, graph) -> None:
    ended = run(acme, publish, graph, "timeout_s: 0.2")
    assert (ended.status, ended.steps[0].state.value) == ("waiting", "unknown")
    assert "step_unknown" in kinds(acme, ended.id)
    more = "timeout_s: 0.2\n    retry: {max_attempts: 1}"
    ended = run(acme, publish, f"sure_{graph}", more)
    assert ended.status is RunStatus.FAILED
    assert "did not end within 0.2 s" in ended.error


def test_one_that_fails_is_retried_only_where_that_is_safe_or_asked(acme, publish) -> None:
    assert "does not like this" in run(acme, publish, "failing").error
    assert len(graphs.done) == 1
    run(acme, publish, "failing", "retry: {max_attempts: 2, initial_delay_s: 0}")
    assert len(graphs.done) == 3
    run(acme, publish, "sure_failing", "retry: {initial_delay_s: 0}")
    assert len(graphs.done) == 6


@pytest.mark.parametrize(("graph", "message"), [("odd", "no JSON"), ("asking", "waits for a person")])
def test_what_is_no_final_state_fails_clearly(acme, publish, graph, message) -> None:
    ended = run(acme, publish, graph)
    assert ended.status is RunStatus.FAILED
    assert message in ended.error


def test_a_graph_that_is_gone_fails_its_step(acme, publish, settings) -> None:
    publish(acme, STEPS.format("triage", ""), INPUTS)
    run_id = start(acme)
    settings.LANGGRAPH_GRAPHS = {}
    services.execute_run(tenant=acme, run_id=run_id)
    assert "not among LANGGRAPH_GRAPHS" in show(acme, run_id).error


@pytest.mark.parametrize(
    ("graph", "message", "fix"),
    [
        ("triaje", "there is no graph `triaje`", "did you mean `triage`"),
        ("absent", "cannot be loaded", "operator"),
        ("not_compiled", "call .compile()", "operator"),
    ],
)
def test_what_cannot_be_run_is_told_when_it_is_published(graph, message, fix) -> None:
    [problem] = find_problems(f'name: "w"\nversion: "1"\nsteps:{STEPS.format(graph, "")}\n{INPUTS}')
    assert message in problem.message
    assert fix in problem.fix
    assert (problem.line, problem.path) == (6, "steps[0].graph")


def test_no_path_of_a_workflow_is_ever_imported(settings) -> None:
    source = f'name: "w"\nversion: "1"\nsteps:{STEPS.format("os.system", "")}\n{INPUTS}'
    assert "not a valid name" in find_problems(source)[0].message
    settings.LANGGRAPH_GRAPHS = {}
    source = f'name: "w"\nversion: "1"\nsteps:{STEPS.format("triage", "")}\n{INPUTS}'
    assert "LANGGRAPH_GRAPHS" in find_problems(source)[0].fix


def test_without_the_library_publishing_says_so(monkeypatch) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    source = f'name: "w"\nversion: "1"\nsteps:{STEPS.format("triage", "")}\n{INPUTS}'
    [problem] = find_problems(source)
    assert "LangGraph is not installed" in problem.message

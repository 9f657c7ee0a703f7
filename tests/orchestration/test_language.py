import hashlib
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.orchestration.definitions.contracts import Effect, StepType
from apps.orchestration.definitions.language import types as t
from apps.orchestration.definitions.language.compiler import InvalidWorkflow, compile_workflow, find_problems
from apps.orchestration.definitions.language.expressions import (
    EvaluationError,
    evaluate_condition,
    inputs_of,
    render,
)
from apps.orchestration.definitions.language.storage import definition_from_json, definition_to_json
from apps.orchestration.definitions.language.tokens import translate
from apps.orchestration.definitions.language.typecheck import ExpressionError, infer
from apps.orchestration.definitions.services import LIBRARY

DESIGN_SHA256 = "fc427ed57cf07c664fcdb852ad8e8039fe4dcff4aa880842011c53d0450afbdf"
DESIGN = (LIBRARY / "customer_support.yaml").read_text()


def test_the_designs_workflow_is_shipped_byte_for_byte() -> None:
    assert hashlib.sha256(DESIGN.encode()).hexdigest() == DESIGN_SHA256


def test_the_designs_workflow_compiles_as_written() -> None:
    definition = compile_workflow(DESIGN)
    assert definition.name == "customer_support_workflow"
    assert [(step.id, step.type) for step in definition.steps] == [
        ("intent_classification", StepType.ROUTER),
        ("faq_lookup", StepType.TOOL),
        ("order_lookup", StepType.TOOL),
        ("human_escalation", StepType.ESCALATION),
        ("response_generation", StepType.LLM),
    ]
    assert {step.retry.max_attempts for step in definition.steps} == {3}
    assert {step.fallback for step in definition.steps} == {"generic_response"}
    assert {name: entry.action for name, entry in definition.compensation.items()} == {
        "order_lookup": "cancel_order_hold",
        "human_escalation": "notify_escalation_cancelled",
    }
    assert definition.is_triggered_by("websocket", "message_received")
    assert definition.step("human_escalation").effect is Effect.TRANSACTIONAL


@pytest.mark.parametrize("path", sorted(LIBRARY.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_workflow_has_no_problem_and_survives_storage(path: Path) -> None:
    source = path.read_text()
    assert find_problems(source) == []
    definition = compile_workflow(source)
    assert definition_from_json(json.loads(json.dumps(definition_to_json(definition)))) == definition


MISTAKES = [
    ("tool: \"faq_search\"", "tool: \"faq_serch\"", 21, 12, "there is no tool", "faq_search"),
    ("intent == 'faq'", "intnt == 'faq'", 22, 17, "`intnt` is not known", "intent"),
    ("intent == 'faq'", "intent == 3", 22, 24, "a string is never `==` a int", "quotes"),
    ("intent == 'faq'", "steps.order_lookup.found", 22, 23,
     "there is no `order_lookup`", "intent_classification"),
    ("intent == 'faq'", "confidence", 22, 17, "this is a double", "=="),
    ("intent == 'faq'", "intent ==", 22, 17, "not a valid expression", "write it like"),
    ("intent == 'faq'", "nope(intent) == 1", 22, 17, "no function `nope`", "size"),
    ("max_results: 5", "max_results: many", 25, 20, "not allowed here", "a whole number"),
    ("max_results: 5", "max_result: 5", 25, 7, "`max_result` is not known", "max_results"),
    ("type: \"llm\"", "type: \"lm\"", 42, 12, "not one of the possible values", "llm"),
    ("action: \"cancel_order_hold\"", "action: \"order_search\"", 51, 14, "there is no action", "order_"),
    ("step: \"order_lookup\"", "step: \"order_lokup\"", 50, 12, "there is no step", "order_lookup"),
    ("version: \"1.0\"", "version: 1.0", 3, 10, "1.0 is not allowed", "quotes"),
    ("id: \"faq_lookup\"", "id: \"intent_classification\"", 19, 10, "two steps", "rename"),
    ("similarity_threshold: 0.8", "similarity_threshold: 2", 24, 29, "2 is greater", "change"),
    ("endpoint: \"/webhook/support\"", "event: \"x\"", 7, 5, "needs `endpoint`", "endpoint: …"),
    ("max_attempts: 3", "max_attempts: 3\n    max_attempts: 4", 58, 5, "given twice", "keep one"),
    ("backoff_factor: 2", "backoff_factor: .inf", 58, 21, "finite", "0.7"),
    ("backoff_factor: 2", "backoff_factor: 2024-01-01", 58, 21, "type timestamp", "quotes"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "message", "fix"), MISTAKES, ids=[m[1] for m in MISTAKES]
)
def test_a_mistake_is_told_with_its_place_and_what_to_write(old, new, line, column, message, fix) -> None:
    assert DESIGN.count(old) >= 1
    problems = find_problems(DESIGN.replace(old, new, 1))
    assert len(problems) == 1, problems
    found = problems[0]
    assert message in found.message
    assert fix in found.fix
    assert (found.line, found.column) == (line, column)


def test_a_condition_may_only_read_what_an_earlier_router_decided() -> None:
    steps = '- {id: "a", type: "tool", tool: "faq_search", condition: "intent == \'faq\'"}'
    problems = find_problems(f'name: "w"\nversion: "1"\nsteps:\n  {steps}\n')
    assert "`intent` is not known here" in problems[0].message


@pytest.mark.parametrize(
    "source",
    [
        "", "a: [", "- 1", "just text", "a: *x", "? [1]\n: 2", "name: !!python/object:os.system x",
        "[" * 5000,
        "name: \"w\"\nsteps: 3", "a: \x00", "\ufeff", "name: &n w\nversion: *n", "x: " + "y" * 70_000, "{}",
        "name: 'w'\nversion: '1'\nsteps: [{id: a, type: tool, tool: http_request, config: {url: '${'}}]",
    ],
)  # fmt: skip
def test_no_text_is_accepted_or_breaks_the_compiler_by_mistake(source) -> None:
    problems = find_problems(source)
    assert problems
    assert all(problem.line >= 1 and problem.message and problem.fix for problem in problems)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(DESIGN)), st.text(max_size=3), st.integers(0, 12))
def test_an_edited_workflow_compiles_or_tells_its_problems(at, inserted, removed) -> None:
    source = DESIGN[:at] + inserted + DESIGN[at + removed :]
    try:
        definition = compile_workflow(source)
    except InvalidWorkflow as error:
        problems = error.problems
    else:
        problems = []
        assert definition == definition_from_json(json.loads(json.dumps(definition_to_json(definition))))
    assert find_problems(source) == problems


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
        max_leaves=8,
    )
)
def test_any_yaml_data_is_refused_with_problems(data) -> None:
    assert find_problems(yaml.safe_dump(data))


@pytest.mark.parametrize(
    ("written", "cel"),
    [
        ("a < 0.7 OR b == 'x'", "a < 0.7 || b == 'x'"),
        ("NOT a AND b", "! a && b"),
        ("x == 'this OR that'", "x == 'this OR that'"),
        ('x == "NOT \\" AND" OR y', 'x == "NOT \\" AND" || y'),
        ("x.OR == 1 && ORDER", "x.OR == 1 && ORDER"),
        ("a || b && !c", "a || b && !c"),
    ],
)
def test_words_become_operators_outside_of_texts(written, cel) -> None:
    assert translate(written) == cel


VARIABLES = {
    "intent": t.STRING,
    "confidence": t.DOUBLE,
    "count": t.INT,
    "tags": t.list_of(t.STRING),
    "input": t.record(name=t.STRING),
    "settings": t.ANY_MAP,
}


@pytest.mark.parametrize(
    "text",
    [
        "confidence < 0.7 OR intent == 'complaint'", "confidence < 1", "NOT (intent == 'x')",
        "intent in ['a', 'b']",
        "size(tags) > 0 && tags[0] == 'x'", "tags.exists(x, x.startsWith('a'))", "has(settings.shop.url)",
        "settings.shop.limit > 3", "input.name != '' ? true : confidence >= 0.5",
        "intent.contains('a') == false",
        "tags.filter(x, x != '').size() == count + 1", "settings['a'] == 1", "-count < 0", "intent == null",
    ],
)  # fmt: skip
def test_conditions_with_fitting_types_are_accepted(text) -> None:
    assert infer(text, VARIABLES).name == "bool"


@pytest.mark.parametrize(
    "text",
    [
        "NOT intent == 'x'", "intent < 3", "confidence == 'high'", "count + 0.5 > 1",
        "tags.exists(x, x + 1 > 2)",
        "intent && true", "input.nme == ''", "tags == 'x'", "intent.foo == 1", "intent in 'abc'",
        "size(count) > 1",
        "intent.startsWith(3)", "tags['a'] == 'x'", "count ? true : false", "size() > 1",
        "count.contains('x')",
    ],
)  # fmt: skip
def test_conditions_that_can_never_be_right_are_refused(text) -> None:
    with pytest.raises(ExpressionError):
        infer(text, VARIABLES)


scalars = st.sampled_from(["'a'", "'b OR c'", "intent", "0.5", "confidence", "count", "3", "true", "false"])
expressions = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["==", "<", ">=", "AND", "OR", "+", "in"]), inner).map(
            lambda x: f"({' '.join(x)})"
        ),
        inner.map(lambda x: f"NOT {x}"),
        inner.map(lambda x: f"size({x})"),
        inner.map(lambda x: f"[{x}]"),
    ),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None)
@given(expressions)
def test_what_the_checker_accepts_does_not_fail_by_its_types(text) -> None:
    known = {name: VARIABLES[name] for name in ("intent", "confidence", "count")}
    try:
        found = infer(text, known)
    except ExpressionError:
        return
    if found.name != "bool":
        return
    evaluate_condition(text, {"intent": "a", "confidence": 0.5, "count": 3})


def test_inputs_of_a_condition_are_read_by_path() -> None:
    variables = {"intent": "faq", "steps": {"a": {"count": 2}}, "x": 1}
    read = inputs_of("intent == 'x' OR steps.a.count > 1 && steps.b.found", variables)
    assert read == {"intent": "faq", "steps.a.count": 2, "steps.b.found": None}


def test_texts_are_filled_and_a_single_hole_keeps_its_type() -> None:
    variables = {"input": {"n": 3, "s": "x}"}, "steps": {}}
    config = {
        "a": "${input.n}",
        "b": "n is ${input.n + 1}, ${input.s}",
        "c": ["$${input.n}", "${{'k': '}'}.k}"],
        "d": 1,
    }
    assert render(config, variables) == {"a": 3, "b": "n is 4, x}", "c": ["${input.n}", "}"], "d": 1}
    with pytest.raises(EvaluationError, match="there is no 'gone'"):
        render("${input.gone}", variables)

"""Branches, loops and transitions as workflows write them: what is accepted, what is told at its place."""

import json

import pytest

from apps.orchestration.definitions.contracts import StepType
from apps.orchestration.definitions.language.compiler import compile_workflow, find_problems
from apps.orchestration.definitions.language.storage import definition_from_json, definition_to_json

FLOW = """name: "flow"
version: "1"
timeout: "2h"
inputs:
  orders: {type: "list"}
steps:
  - id: "look"
    type: "parallel"
    config: {join: "any"}
    branches:
      - id: "known"
        steps:
          - {id: "find", type: "tool", tool: "faq_search", timeout: "30s"}
          - {id: "say", type: "tool", tool: "generic_response", config: {text: "Found ${steps.find.count}"}}
      - steps:
          - {id: "other", type: "tool", tool: "faq_search"}
  - id: "each"
    type: "foreach"
    config: {items: "${input.orders}", max_items: 5, concurrency: 2}
    steps:
      - {id: "hold", type: "tool", tool: "order_hold", config: {order_number: "${item}"}}
      - {id: "tell", type: "tool", tool: "generic_response", config: {text: "${index}: ${steps.hold.status}"}}
  - id: "ask"
    type: "wait"
    config: {approval: "Is ${steps.each.results[0].text} right?"}
    max_visits: 3
    next:
      - {when: "steps.ask.approved", to: "done"}
      - {when: "steps.ask.timed_out", to: "end"}
      - {to: "look"}
  - {id: "done", type: "tool", tool: "generic_response", config: {text: "${steps.say.text}"}}
compensation:
  - {step: "hold", action: "order_release", config: {reason: "${index} of ${steps.hold.order_number}"}}
"""


def test_a_flow_compiles_with_what_is_inside() -> None:
    definition = compile_workflow(FLOW)
    look, each, ask, _ = definition.steps
    assert [branch.id for branch in look.branches] == ["known", "branch_2"]
    assert (definition.step("find").timeout_s, definition.timeout_s) == (30, 7200)
    assert [step.id for step in each.body] == ["hold", "tell"]
    assert [(turn.when, turn.to) for turn in ask.next][-1] == ("", "look")
    assert definition.step("each#2[3].tell").type is StepType.TOOL
    assert not definition.is_linear
    assert definition_from_json(json.loads(json.dumps(definition_to_json(definition)))) == definition


MISTAKES = [
    ('join: "any"', "join: 3", "there are only 2 branches", "lower number"),
    ('join: "any"', "join: most", "does not fit", "change"),
    ('id: "other"', 'id: "find"', "two steps `find`", "rename"),
    ("${item}", "${itm}", "`itm` is not known", "item"),
    ("${steps.say.text}", "${item}", "`item` is not known", ""),
    ("${steps.say.text}", "${steps.hold.status}", "no `hold` here", ""),
    ("results[0].text", "results[0].txt", "no `txt` here", "text"),
    ('items: "${input.orders}"', 'items: "${text}"', "this is a string, not a list", "convert"),
    ("max_items: 5", "max_items: 5000", "greater than the maximum", ""),
    ("concurrency: 2", "concurrency: 11", "greater than the maximum", ""),
    ('to: "done"', 'to: "dne"', "no outer step `dne`", "done"),
    ('to: "done"', 'to: "hold"', "no outer step `hold`", ""),
    ('{when: "steps.ask.approved", to: "done"}', '{when: "steps.ask.by", to: "done"}', "is a string", "=="),
    ('{when: "steps.ask.approved", to: "done"}', '{to: "done"}', "nothing after this", "put it last"),
    ('"steps.ask.approved", to: "done"', '"1 == 1", to: "look"', "no way leads to `done`", ""),
    ('      - {when: "steps.ask.approved", to: "done"}\n      - {when: "steps.ask.timed_out", to: "end"}\n',
     "", "only goes round in a circle", "leads out"),
    ('timeout: "30s"', 'timeout: "1h"', "cannot have a timeout of 1h", "10m"),
    ('timeout: "30s"', 'timeout: "30s", timeout_s: 3', "`timeout` says this", "remove"),
    ('timeout: "30s"', 'next: "end"', "only outer steps have `next`", "remove"),
    ('timeout: "2h"', 'timeout: "9999d"', "longer than a year", "shorter"),
    ("    max_visits: 3", '    timeout: "3s"', "timeout elsewhere", "config"),
    ("    max_visits: 3", "    max_visits: 0", "less than the minimum", ""),
    ('    type: "foreach"', '    type: "foreach"\n    retry: {max_attempts: 2}', "no `retry`", "inside"),
    ('    type: "foreach"', '    type: "parallel"', "a parallel step needs `branches`", "branches"),
    ('  - {id: "done"', '  - {id: "end"', "`end` is where a run ends", "rename"),
    ("${index} of", "${indx} of", "`indx` is not known", "index"),
    ('      - id: "known"', '      - id: "branch_2"', "two branches `branch_2`", "rename"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message", "fix"), MISTAKES, ids=[m[1] for m in MISTAKES])
def test_a_mistake_is_told_with_its_place_and_what_to_write(old, new, message, fix) -> None:
    assert old in FLOW
    problems = find_problems(FLOW.replace(old, new, 1))
    told = [problem for problem in problems if message in problem.message and fix in problem.fix]
    assert told, problems
    assert all(problem.line > 1 and problem.column >= 1 for problem in problems)


def test_nesting_is_bounded() -> None:
    inner = '{id: "x", type: "tool", tool: "faq_search"}'
    for level in range(4):
        inner = f'{{id: "e{level}", type: "foreach", config: {{items: [1]}}, steps: [{inner}]}}'
    problems = find_problems(f'name: "w"\nversion: "1"\nsteps: [{inner}]')
    assert [problem.message for problem in problems] == ["this is nested too deeply"]


def test_one_branch_does_not_read_what_another_does() -> None:
    branches = "\n".join(
        f'      - steps: [{{id: "{name}", type: "tool", tool: "faq_search", condition: "{condition}"}}]'
        for name, condition in (("a", "1 == 1"), ("b", "steps.a.found"))
    )
    after = '  - {id: "c", type: "tool", tool: "faq_search", condition: "steps.a.found"}'
    steps = f'  - id: "p"\n    type: "parallel"\n    branches:\n{branches}\n{after}'
    problems = find_problems(f'name: "w"\nversion: "1"\nsteps:\n{steps}')
    assert [(problem.line, problem.message) for problem in problems] == [(8, "there is no `a` here")]

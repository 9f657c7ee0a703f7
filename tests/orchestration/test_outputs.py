"""What a completed run gives, typed as its workflow declares it."""

import pytest

from apps.orchestration import services
from apps.orchestration.contracts import RunStatus
from apps.orchestration.definitions.language.compiler import find_problems
from apps.orchestration.definitions.services import validate_workflow
from apps.orchestration.selectors import list_run_events
from apps.tenants.contracts import Role
from tests.orchestration.engine import go_on, show, start
from tests.orchestration.test_api import client_of
from tests.pages import log_in

pytestmark = pytest.mark.usefixtures("no_hints", "valkey")
SAY = """
  - id: "say"
    type: "tool"
    tool: "generic_response"
    config: {text: "Hi ${input.who}"}"""
NAMED = 'inputs: {who: {type: "string", default: "you"}, data: {type: "map", default: {}}}\n'


def run(tenant, publish, outputs, steps=SAY, **given):
    publish(tenant, steps, NAMED + outputs)
    run_id = start(tenant, **given)
    services.execute_run(tenant=tenant, run_id=run_id)
    return show(tenant, run_id)


def test_outputs_are_computed_at_the_end_and_shown(acme, globex, publish) -> None:
    outputs = """outputs:
  greeting: {type: "string", value: "${steps.say.text}!"}
  letters: {type: "int", value: "${size(steps.say.text)}"}
  ratio: {type: "double", value: "${1}"}
  all: {type: "map", value: {said: ["${steps.say.text}"], fixed: true}}"""
    ended = run(acme, publish, outputs, who="Ann")
    assert ended.output["outputs"] == {
        "greeting": "Hi Ann!", "letters": 6, "ratio": 1.0, "all": {"said": ["Hi Ann"], "fixed": True},
    }  # fmt: skip
    assert list_run_events(tenant=acme, run_id=ended.id)[-1].data["outputs"] == ended.output["outputs"]
    url = f"runs/{ended.id}"
    assert client_of(acme).get(f"/api/v1/{url}").json()["output"]["outputs"]["letters"] == 6
    assert client_of(globex).get(f"/api/v1/{url}").status_code == 404
    assert "Hi Ann!" in log_in(acme, Role.ADMIN).get(f"/app/{url}/").content.decode()


def test_personal_data_in_outputs_is_masked_for_those_who_may_not_see_it(acme, publish) -> None:
    outputs = 'outputs:\n  greeting: {type: "string", value: "${steps.say.text}!"}'
    page = f"/app/runs/{run(acme, publish, outputs, who='ann@example.com').id}/"
    assert "Hi ann@example.com!" in log_in(acme, Role.ADMIN).get(page).content.decode()
    assert "ann@example.com" not in log_in(acme, Role.VIEWER).get(page).content.decode()


def test_what_cannot_be_computed_is_null_and_says_why(acme, publish) -> None:
    outputs = """outputs:
  total: {type: "int", value: "${input.data.total}"}
  name: {type: "string", value: "${input.who}"}"""
    ended = run(acme, publish, outputs, data={"total": "three"})
    assert ended.status is RunStatus.COMPLETED
    assert ended.output["outputs"] == {"total": None, "name": "you"}
    assert ended.output["output_errors"] == {"total": "total: this is not a int"}
    page = log_in(acme, Role.ADMIN).get(f"/app/runs/{ended.id}/").content.decode()
    assert "could not be computed" in page


def test_the_workflow_above_reads_them_by_their_types(acme, publish) -> None:
    publish(acme, SAY, NAMED + 'outputs: {said: {type: "string", value: "${steps.say.text}"}}', name="inner")
    above = """
  - id: "part"
    type: "subworkflow"
    workflow: "inner"
    config: {who: "Ann"}
  - id: "say"
    type: "tool"
    tool: "generic_response"
    condition: "steps.part.outputs.said == 'Hi Ann'"
    config: {text: "It said ${steps.part.outputs.said}"}"""
    publish(acme, above)
    run_id = start(acme)
    go_on(acme)
    assert show(acme, run_id).steps[1].output == {"text": "It said Hi Ann"}
    wrong = f'name: "w"\nversion: "1"\nsteps:{above}'.replace("outputs.said ==", "outputs.sad ==")
    [problem] = validate_workflow(source=wrong, tenant=acme)
    assert (problem.message, problem.fix) == ("there is no `sad` here", "did you mean `said`?")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ('{type: "int", value: "${steps.say.text}"}', "this is a string, not a int"),
        ('{type: "int", value: "${1} or ${2}"}', "this is not a int"),
        ('{type: "int", value: 1.5}', "this is not a int"),
        ('{type: "string", value: "${steps.sai.text}"}', "there is no `sai` here"),
        ('{type: "string", value: "${settings.http_request.token}"}', "`settings` is not known here"),
        ('{type: "list", value: ["${nothing}"]}', "`nothing` is not known here"),
        ('{type: "text", value: "x"}', "is not one of the possible values"),
        ('{type: "string"}', "`value` is missing"),
    ],
)
def test_what_it_cannot_mean_is_told_at_its_line(output, message) -> None:
    problems = find_problems(f'name: "w"\nversion: "1"\nsteps:{SAY}\n{NAMED}outputs:\n  x: {output}\n')
    assert any(message in problem.message for problem in problems), problems
    assert [problem.line for problem in problems] == [10]

"""The replay gate: a draft is published once a simulation of exactly it has shown what is asked for."""

import datetime as dt

import pytest
from django.utils import timezone

from apps.orchestration.definitions.services import publish_workflow, roll_back, save_draft
from apps.orchestration.rehearsals import services as rehearsals
from apps.orchestration.rehearsals.contracts import GateNotPassed, GateRules
from apps.orchestration.rehearsals.gate import get_gate_state, get_rules
from apps.orchestration.rehearsals.models import Rehearsal
from apps.orchestration.rehearsals.rules import remove_gate, set_gate
from apps.orchestration.rehearsals.selectors import count_under_way
from apps.resilience.errors import InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role
from apps.tenants.selectors import list_audit_events
from apps.tenants.services import create_api_key
from tests.orchestration.engine import start
from tests.orchestration.test_simulations import draft, record, simulate
from tests.pages import log_in

pytestmark = pytest.mark.usefixtures("no_hints", "valkey")
FIND = '  - {id: "a", type: "tool", tool: "faq_search"}'
URL = "/app/workflows/w/w/"


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Send no hints."""
    monkeypatch.setattr(rehearsals, "_send_hint", lambda *_: None)


@pytest.fixture
def gated(acme, publish):
    """A workflow with three recorded runs, a draft, and a gate that asks for two."""
    publish(acme, FIND)
    record(acme, 3, text="x")
    set_gate(tenant=acme, rules=GateRules(is_required=True, min_cases=2))
    draft(acme, FIND)
    return acme


def missing(tenant):
    state = get_gate_state(tenant=tenant, workflow="w")
    return [check.name for check in state.checks if not check.is_met]


def test_a_draft_that_was_not_simulated_is_refused(gated):
    with pytest.raises(GateNotPassed, match="Simulate it on at least 2 recorded runs") as refused:
        publish_workflow(tenant=gated, name="w")
    assert refused.value.members["checks"][0]["name"] == "simulated"
    assert missing(gated) == ["simulated"]


def test_a_good_simulation_opens_the_gate_for_this_draft_alone(gated):
    simulate(gated)
    assert missing(gated) == []
    draft(gated, FIND, "# a word more")
    with pytest.raises(GateNotPassed):
        publish_workflow(tenant=gated, name="w")
    draft(gated, FIND)
    assert publish_workflow(tenant=gated, name="w").number == 2


@pytest.mark.parametrize("broken", ["cases", "age", "failures", "routes", "cost", "failed"])
def test_each_bound_holds_by_itself(gated, broken):
    shown = simulate(gated)
    with in_tenant(gated):
        row = Rehearsal.objects.get(id=shown.id)
        summary = dict(row.summary)
        match broken:
            case "cases":
                summary["cases"] = 1
            case "age":
                row.finished_at = timezone.now() - dt.timedelta(days=8)
            case "failures":
                summary["new_failures"] = 1
            case "failed":
                summary["failed"] = 1
            case "routes":
                summary["changed_routes"] = 1
            case "cost":
                summary |= {"tokens_before": 100, "tokens_after": 126}
        row.summary = summary
        row.save()
    with pytest.raises(GateNotPassed):
        publish_workflow(tenant=gated, name="w")
    assert missing(gated) == ["failures" if broken == "failed" else broken]


def test_a_simulation_that_was_stopped_does_not_count(gated):
    from apps.orchestration.rehearsals.contracts import Selection

    begun = rehearsals.start_simulation(tenant=gated, name="w", selection=Selection())
    rehearsals.cancel_simulation(tenant=gated, rehearsal_id=begun.id)
    assert missing(gated) == ["simulated"]


def test_an_admin_may_publish_past_it_with_a_reason_that_is_kept(gated):
    publish_workflow(tenant=gated, name="w", override_reason="the shop is down")
    event = list_audit_events(tenant=gated)[0]
    assert event.action == "workflow.published"
    assert event.data["override_reason"] == "the shop is down"


def test_the_first_version_and_a_return_need_no_simulation(gated, globex):
    publish_workflow(tenant=gated, name="w", override_reason="hurry")
    assert roll_back(tenant=gated, name="w").number == 1
    set_gate(tenant=globex, rules=GateRules(is_required=True))
    draft(globex, FIND)
    assert publish_workflow(tenant=globex, name="w").number == 1


def test_a_workflows_own_gate_replaces_the_default(gated, globex):
    set_gate(tenant=gated, rules=GateRules(workflow="w", is_required=False))
    assert get_gate_state(tenant=gated, workflow="w").is_passed
    remove_gate(tenant=gated, workflow="w")
    assert not get_gate_state(tenant=gated, workflow="w").is_passed
    assert not get_rules(tenant=globex).is_required, "of another company"
    actions = [event.action for event in list_audit_events(tenant=gated)[:2]]
    assert actions == ["workflow.gate_removed", "workflow.gate_changed"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_cases": 0},
        {"max_age_days": 31},
        {"max_new_failures": -1},
        {"max_changed_routes_percent": 101.0},
        {"max_cost_increase_percent": float("nan")},
    ],
)
def test_rules_that_mean_nothing_are_refused(acme, wrong):
    with pytest.raises(InvalidInput):
        set_gate(tenant=acme, rules=GateRules(is_required=True, **wrong))
    assert not get_rules(tenant=acme).is_required


def test_unknown_workflows_are_not_found(acme):
    with pytest.raises(NotFoundError):
        set_gate(tenant=acme, rules=GateRules(workflow="nowhere"))
    with pytest.raises(NotFoundError):
        get_gate_state(tenant=acme, workflow="nowhere")


def test_a_draft_with_problems_is_told_of_them_first(gated):
    from apps.orchestration.definitions.errors import InvalidWorkflowSource

    save_draft(tenant=gated, source='name: "w"\nversion: "3"\nsteps: []\n')
    with pytest.raises(InvalidWorkflowSource):
        publish_workflow(tenant=gated, name="w")


def test_runs_under_way_are_counted_by_their_version(gated):
    start(gated, text="x")
    publish_workflow(tenant=gated, name="w", override_reason="hurry")
    start(gated, text="x")
    start(gated, text="x")
    rows = count_under_way(tenant=gated, workflow="w")
    assert [row["runs"] for row in rows] == [2, 1]
    page = log_in(gated).get(f"{URL}publishing/").content.decode()
    assert "3 runs under way" in page


def test_the_api_refuses_with_what_is_missing_and_takes_no_reason_from_every_key(gated, client):
    def post(scopes, body):
        token = create_api_key(tenant=gated, name="k", scopes=scopes).token
        auth = {"Authorization": f"Api-Key {token}"}
        url = "/api/v1/workflows/w/publish"
        return client.post(url, body, content_type="application/json", headers=auth)

    refused = post(["write:workflows"], {})
    assert refused.status_code == 409
    assert refused.json()["checks"][0]["is_met"] is False
    assert "Simulate it" in refused.json()["detail"]
    assert post(["write:workflows"], {"override_reason": "because"}).status_code == 403
    assert post(["write:workflows", "write:gates"], {"override_reason": "because"}).status_code == 200


def test_the_page_shows_the_checklist_and_publishes_past_it(gated):
    client = log_in(gated)
    assert client.post(f"{URL}publish/").headers["Location"] == f"{URL}publishing/"
    page = client.get(f"{URL}publishing/").content.decode()
    assert "may not be published yet" in page
    assert "not met" in page
    client.post(f"{URL}publish/", {"override_reason": "because"})
    assert "There is no draft" in client.get(f"{URL}publishing/").content.decode()


def test_the_gate_is_set_on_its_page(acme, publish):
    publish(acme, FIND)
    client = log_in(acme)
    given = {
        "is_required": "on", "min_cases": "5", "max_age_days": "3", "max_new_failures": "1",
        "max_changed_routes_percent": "2.5", "max_cost_increase_percent": "10",
    }  # fmt: skip
    assert client.post(f"{URL}gate/", given | {"min_cases": "0"}).status_code == 422
    client.post(f"{URL}gate/", given)
    assert get_rules(tenant=acme, workflow="w").max_changed_routes_percent == 2.5
    assert not get_rules(tenant=acme).is_required
    client.post("/app/workflows/gate/", given)
    assert get_rules(tenant=acme).is_required
    client.post(f"{URL}gate/remove/")
    assert get_rules(tenant=acme, workflow="w").workflow == ""
    assert log_in(acme, Role.AGENT).post(f"{URL}gate/", given).status_code == 403

"""Rehearsals as members and programs use them."""

import json
from uuid import UUID

import pytest

from apps.orchestration.rehearsals import services as rehearsals
from apps.orchestration.rehearsals.models import Rehearsal
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role
from tests.orchestration.test_api import client_of
from tests.orchestration.test_simulations import draft, record, simulate
from tests.pages import log_in

pytestmark = pytest.mark.usefixtures("no_hints", "valkey", "closed_breakers")
FIND = '  - {id: "a", type: "tool", tool: "faq_search"}'
HOLD = '  - {id: "hold", type: "tool", tool: "order_hold", config: {order_number: "${input.number}"}}'
NUMBER = 'inputs: {number: {type: "string", required: true}, twice: {type: "int"}}'
URL = "/app/workflows/w/w/"
API = "/api/v1/workflows/w/"


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Send no hints."""
    monkeypatch.setattr(rehearsals, "_send_hint", lambda *_: None)


@pytest.fixture
def simulated(acme, publish):
    publish(acme, FIND)
    record(acme, 2, text="Where is my secret parcel?")
    draft(acme, '  - {id: "b", type: "tool", tool: "faq_search"}')
    return simulate(acme)


def test_the_editor_tries_what_is_written_and_shows_what_would_be_called(acme):
    draft(acme, FIND)
    client = log_in(acme)
    page = client.get(URL).content.decode()
    assert "Try it" in page
    source = f'name: "w"\nversion: "1"\nsteps:\n{HOLD}\n{NUMBER}\n'
    asked = {"text": "hold it", "input_number": "1042", "input_twice": "2", "source": source}
    tried = client.post(f"{URL}try/", asked, headers={"HX-Request": "true"})
    assert tried.status_code == 200
    shown = tried.content.decode()
    assert "intercepted" in shown
    assert "1042" in shown
    assert "<html" not in shown
    assert "<html" in client.post(f"{URL}try/", asked).content.decode(), "without a script, a page of its own"
    wrong = client.post(f"{URL}try/", asked | {"input_number": "", "input_twice": "two"})
    assert wrong.status_code == 422
    assert "input_number" in wrong.content.decode()
    broken = client.post(f"{URL}try/", asked | {"source": "name: w"}, headers={"HX-Request": "true"})
    assert broken.status_code == 422


def test_a_simulation_is_chosen_estimated_and_begun_once(acme, publish):
    publish(acme, FIND)
    record(acme, 2, text="x")
    draft(acme, FIND)
    client = log_in(acme)
    assert "See what it takes" in client.get(f"{URL}simulate/").content.decode()
    chosen = {"last": "10", "against": "recorded", "intent": "", "since": "", "until": ""}
    page = client.get(f"{URL}simulate/", chosen).content.decode()
    assert "$0.00" in page
    assert "Begin" in page
    begin = chosen | {"key": "0123456789abcdef0123456789abcdef"}
    first, again = client.post(f"{URL}simulate/", begin), client.post(f"{URL}simulate/", begin)
    assert first.status_code == 302
    assert first.headers["Location"] == again.headers["Location"]
    with in_tenant(acme):
        assert Rehearsal.objects.count() == 1
    page = client.get(first.headers["Location"]).content.decode()
    assert 'hx-trigger="every 2s"' in page
    assert client.post(f"{first.headers['Location']}cancel/").status_code == 302
    assert "cancelled" in client.get(first.headers["Location"]).content.decode()
    assert client.post(f"{URL}simulate/", chosen | {"last": "501"}).status_code == 422
    none = client.get(f"{URL}simulate/", chosen | {"intent": "nothing"}).content.decode()
    assert "No recorded run matches" in none


def test_the_changed_cases_are_listed_first_and_filtered(acme, simulated):
    client = log_in(acme)
    url = f"/app/simulations/{simulated.id}/"
    page = client.get(url).content.decode()
    assert page.count("secret parcel") == 2
    assert "steps" in page
    assert client.get(url, {"change": "route"}).content.decode().count("secret parcel") == 0
    assert client.get(url, {"change": "nonsense"}).status_code == 422
    shown = client.get(f"{url}cases/1/").content.decode()
    assert "Recorded" in shown
    assert "Rehearsed" in shown


def test_who_may_not_see_what_runs_are_about_sees_the_figures_only(acme, simulated):
    client = log_in(acme, Role.VIEWER)
    url = f"/app/simulations/{simulated.id}/"
    page = client.get(url)
    assert page.status_code == 200
    assert "Same answer" in page.content.decode()
    assert "secret parcel" not in page.content.decode()
    assert client.get(f"{url}cases/1/").status_code == 403
    assert log_in(acme).get(f"{url}cases/99/").status_code == 404


def test_a_dry_run_over_the_api(acme, globex):
    draft(acme, HOLD, NUMBER)
    client = client_of(acme)
    answer = client.post(
        f"{API}dry-run", {"input": {"number": "7"}}, content_type="application/json",
        headers={"Idempotency-Key": "one"},
    )  # fmt: skip
    assert answer.status_code == 200
    told = answer.json()
    assert told["after"]["steps"][0]["how"] == "assumed"
    assert told["before"] is None
    again = client.post(
        f"{API}dry-run", {"input": {"number": "7"}}, content_type="application/json",
        headers={"Idempotency-Key": "one"},
    )  # fmt: skip
    assert again.json()["id"] == told["id"]
    wrong = client.post(f"{API}dry-run", {"input": {}}, content_type="application/json")
    assert wrong.status_code == 400
    assert "input.number" in json.dumps(wrong.json())
    assert client_of(globex).post(f"{API}dry-run", {}, content_type="application/json").status_code == 404


def test_a_simulation_over_the_api(acme, globex, publish):
    publish(acme, FIND)
    record(acme, 3, text="x")
    draft(acme, '  - {id: "b", type: "tool", tool: "faq_search"}')
    client = client_of(acme)
    told = client.get(f"{API}simulations/estimate?last=2").json()
    assert (told["cases"], told["is_within_bound"]) == (2, True)
    begun = client.post(f"{API}simulations", {"last": 2}, content_type="application/json")
    assert begun.status_code == 201
    url = f"/api/v1/simulations/{begun.json()['id']}"
    second = client.post(f"{API}simulations", {"last": 2}, content_type="application/json")
    assert second.status_code == 409
    rehearsals.sweep_due_simulations(tenant=acme)
    rehearsals.run_simulation(tenant=acme, rehearsal_id=UUID(begun.json()["id"]))
    shown = client.get(url).json()
    assert (shown["status"], shown["summary"]["changed_steps"]) == ("done", 2)
    page = client.get(f"{url}/cases?page_size=1").json()
    assert len(page["results"]) == 1
    rest = client.get(page["next"]).json()["results"]
    assert rest[0]["id"] != page["results"][0]["id"]
    assert client.get(f"{url}/cases?change=route").json()["results"] == []
    assert client.get(f"{url}/cases?change=nothing").status_code == 400
    assert client.post(f"{url}/cancel").status_code == 409
    assert client.get(f"{API}simulations").json()["results"][0]["id"] == shown["id"]
    for path in (url, f"{url}/cases"):
        assert client_of(globex).get(path).status_code == 404


def test_the_gate_over_the_api(acme, publish):
    publish(acme, FIND)
    client = client_of(acme)
    assert client.get(f"{API}gate").json()["rules"]["is_required"] is False
    body = {"is_required": True, "min_cases": 3}
    set_default = client.put("/api/v1/replay-gate", body, content_type="application/json")
    assert set_default.status_code == 200
    assert client.get(f"{API}gate").json()["rules"]["min_cases"] == 3
    own = client.put(f"{API}gate", {"is_required": False}, content_type="application/json")
    assert own.json()["rules"]["is_required"] is False
    assert client.delete(f"{API}gate").status_code == 204
    assert client.get(f"{API}gate").json()["rules"]["is_required"] is True
    wrong = client.put(f"{API}gate", {"is_required": True, "min_cases": 0}, content_type="application/json")
    assert wrong.status_code == 400

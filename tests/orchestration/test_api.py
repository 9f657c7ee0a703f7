import pytest
from django.test import Client

from apps.crm import services as crm
from apps.gateway import limits
from apps.orchestration.definitions.services import LIBRARY
from apps.tenants.services import create_api_key

BASE = "/api/v1"
DESIGN = (LIBRARY / "customer_support.yaml").read_text()


def client_of(tenant, *scopes: str) -> Client:
    key = create_api_key(tenant=tenant, name="test", scopes=list(scopes or ("api:read", "api:write")))
    return Client(headers={"Authorization": f"Api-Key {key.token}"}, raise_request_exception=False)


@pytest.fixture
def _fresh_limits(valkey):
    limits.limiter.cache_clear()
    limits.PLAN_RATES.forget()


@pytest.fixture
def api(acme, _fresh_limits) -> Client:
    return client_of(acme)


def post(client, path, body=None, content_type="application/json"):
    return client.post(f"{BASE}/{path}", {} if body is None else body, content_type=content_type)


def put(client, path, body, content_type="application/json"):
    return client.put(f"{BASE}/{path}", body, content_type=content_type)


def problem(response, status: int) -> dict:
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    return response.json()


def test_a_workflow_from_draft_to_roll_back(api) -> None:
    source = DESIGN.replace("customer_support_workflow", "mine")
    draft = post(api, "workflows", source, "application/yaml")
    assert draft.status_code == 201, draft.content
    assert (draft.json()["number"], draft.json()["state"]) == (1, "draft")
    assert post(api, "workflows/mine/publish").json()["state"] == "published"

    changed = source.replace("confidence < 0.7", "confidence < 0.5")
    assert put(api, "workflows/mine", {"source": changed}).json()["number"] == 2
    assert api.get(f"{BASE}/workflows/mine").json()["published"]["number"] == 1
    assert post(api, "workflows/mine/publish", {"number": 2}).json()["number"] == 2
    states = {v["number"]: v["state"] for v in api.get(f"{BASE}/workflows/mine/versions").json()["results"]}
    assert states == {1: "retired", 2: "published"}

    assert post(api, "workflows/mine/rollback").json()["number"] == 1
    shown = api.get(f"{BASE}/workflows/mine/versions/2", headers={"Accept": "application/yaml"})
    assert (shown["Content-Type"], shown.content.decode()) == ("application/yaml; charset=utf-8", changed)
    names = [w["name"] for w in api.get(f"{BASE}/workflows").json()["results"]]
    shipped = ["customer_support_saga", "customer_support_workflow", "lead_capture", "order_cancellation"]
    assert sorted(names) == sorted([*shipped, "order_recall", "mine"])


def test_problems_are_told_with_their_places_and_nothing_is_published(api) -> None:
    broken = DESIGN.replace("customer_support_workflow", "mine").replace("intent == 'faq'", "intnt == 'faq'")
    told = post(api, "workflows/validate", broken, "application/yaml").json()
    assert told == {
        "is_valid": False,
        "problems": [
            {
                "line": 22,
                "column": 17,
                "path": "steps[1].condition",
                "message": "`intnt` is not known here",
                "fix": "did you mean `intent`?",
            }
        ],
    }
    assert post(api, "workflows", broken, "application/yaml").status_code == 201
    refused = problem(post(api, "workflows/mine/publish"), 400)
    assert "line 22, column 17" in refused["errors"]["steps[1].condition"][0]
    assert api.get(f"{BASE}/workflows/mine").json()["published"] is None
    assert post(api, "workflows/validate", DESIGN, "application/yaml").json()["is_valid"]


@pytest.mark.parametrize(
    ("method", "path", "body", "content_type", "status"),
    [
        ("post", "workflows", "a: [", "application/yaml", 400),
        ("post", "workflows", "name: 3", "application/yaml", 400),
        ("post", "workflows", b"\xff\xfe\x00", "application/yaml", 400),
        ("post", "workflows", "x" * 70_000, "application/yaml", 400),
        ("post", "workflows", "{}", "application/json", 400),
        ("post", "workflows", "[]", "application/json", 400),
        ("post", "workflows", "<x/>", "application/xml", 415),
        ("put", "workflows/other", DESIGN, "application/yaml", 400),
        ("post", "workflows/nope/publish", "{}", "application/json", 404),
        ("post", "workflows/customer_support_workflow/publish", '{"number": 99}', "application/json", 404),
        ("post", "workflows/customer_support_workflow/publish", '{"number": "x"}', "application/json", 400),
        ("post", "workflows/customer_support_workflow/rollback", "{}", "application/json", 409),
        ("post", "runs", '{"workflow": "nope"}', "application/json", 404),
        ("post", "runs", '{"workflow": "order_cancellation"}', "application/json", 400),
        ("post", "runs", '{"workflow": "order_cancellation", "input": {"order_number": 3}}',
         "application/json", 400),
        ("post", "runs", '{"workflow": "order_cancellation", "input": {"order_number": "1", "x": 1}}',
         "application/json", 400),
        ("post", "runs", '{"workflow": "order_cancellation", "input": []}', "application/json", 400),
        ("post", "runs?wait=99", '{"workflow": "order_cancellation"}', "application/json", 400),
        ("post", "runs/00000000-0000-7000-8000-000000000000/cancel", "{}", "application/json", 404),
        ("post", "runs/00000000-0000-7000-8000-000000000000/retry", "{}", "application/json", 404),
        ("post", "runs/00000000-0000-7000-8000-000000000000/resolve", "{}", "application/json", 400),
        ("put", "tools/nope", '{"is_enabled": false}', "application/json", 404),
        ("put", "tools/http_request", '{"config": 3}', "application/json", 400),
    ],
)  # fmt: skip
def test_bad_input_gets_a_problem_that_says_what_to_do(api, method, path, body, content_type, status) -> None:
    response = getattr(api, method)(f"{BASE}/{path}", body, content_type=content_type)
    assert problem(response, status)["detail"]


def test_a_run_is_started_executed_and_shown_with_its_events(api, acme, no_hints) -> None:
    crm.create_order(tenant=acme, number="1042", total_cents=4200, customer_email="ann@example.com")
    body = {"workflow": "order_cancellation", "input": {"order_number": "1042"}}
    started = post(api, "runs?wait=10", body)
    assert started.status_code == 201, started.content
    run = started.json()
    assert run["status"] == "completed"
    assert {step["id"]: step["state"] for step in run["steps"]} == {
        "hold_order": "done", "notify_warehouse": "skipped", "cancel_order": "done",
    }  # fmt: skip
    assert run["steps"][1]["condition"]["result"] is False
    events = api.get(f"{BASE}/runs/{run['id']}/events?page_size=2").json()
    assert [event["seq"] for event in events["results"]] == [1, 2]
    assert [event["seq"] for event in api.get(events["next"]).json()["results"]] == [3, 4]
    listed = api.get(f"{BASE}/runs?status=completed&workflow=order_cancellation").json()["results"]
    assert [row["id"] for row in listed] == [run["id"]]
    problem(api.get(f"{BASE}/runs?status=nope"), 400)
    problem(post(api, f"runs/{run['id']}/cancel"), 409)
    problem(post(api, f"runs/{run['id']}/retry"), 409)
    problem(post(api, f"runs/{run['id']}/resolve", {"step": "hold_order", "outcome": "done"}), 409)


def test_another_tenant_sees_nothing_of_it(api, acme, globex, no_hints) -> None:
    crm.create_order(tenant=acme, number="1042", total_cents=4200, customer_email="ann@example.com")
    body = {"workflow": "order_cancellation", "input": {"order_number": "1042"}}
    run_id = post(api, "runs?wait=10", body).json()["id"]
    post(api, "workflows", DESIGN.replace("customer_support_workflow", "mine"), "application/yaml")
    foreign = client_of(globex)
    for path in (f"runs/{run_id}", f"runs/{run_id}/events", "workflows/mine", "workflows/mine/versions/1"):
        problem(foreign.get(f"{BASE}/{path}"), 404)
    for path in (f"runs/{run_id}/cancel", f"runs/{run_id}/retry", "workflows/mine/publish"):
        problem(post(foreign, path), 404)
    assert foreign.get(f"{BASE}/runs").json()["results"] == []


@pytest.mark.usefixtures("_fresh_limits")
def test_scopes_are_asked_for(acme) -> None:
    reader = client_of(acme, "read:runs", "read:workflows")
    problem(post(reader, "runs", {"workflow": "order_cancellation"}), 403)
    problem(post(reader, "workflows", DESIGN, "application/yaml"), 403)
    problem(put(reader, "tools/http_request", {"is_enabled": False}), 403)
    assert reader.get(f"{BASE}/runs").status_code == 200


def test_a_tool_that_is_switched_off_fails_its_step_clearly(api, acme, no_hints) -> None:
    crm.create_order(tenant=acme, number="1042", total_cents=4200, customer_email="ann@example.com")
    tool = put(api, "tools/order_cancel", {"is_enabled": False})
    assert (tool.status_code, tool.json()["is_enabled"]) == (200, False)
    run = post(
        api, "runs?wait=10", {"workflow": "order_cancellation", "input": {"order_number": "1042"}}
    ).json()
    assert run["status"] == "compensated"
    assert "order_cancel is switched off" in run["error"]


def test_the_language_is_published_as_json_schema(api) -> None:
    schema = api.get(f"{BASE}/workflows/schema").json()
    assert schema["properties"]["steps"]["$ref"] == "#/$defs/steps"
    assert schema["$defs"]["steps"]["items"]["$ref"] == "#/$defs/step"
    assert len(api.get(f"{BASE}/tools").json()["results"]) >= 10

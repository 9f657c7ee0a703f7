"""Tools and MCP servers as members and programs see them."""

import json

import pytest
from django.test import Client

from apps.orchestration.definitions import selectors
from apps.orchestration.mcp import selectors as servers
from apps.orchestration.mcp.contracts import McpEffect, ToolState
from apps.orchestration.mcp.models import McpTool
from apps.resilience.breaker import BreakerPolicy, Callee, Verb
from apps.resilience.shared_breakers import breakers
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role
from apps.tenants.selectors import list_audit_events
from apps.tenants.services import create_api_key
from tests.isolation.test_urls import make_mcp_server, make_mcp_tool
from tests.pages import log_in

RULES = BreakerPolicy(failure_threshold=1, recovery_timeout_s=60)
FAILING = "Left alone, because it fails"


@pytest.fixture
def shop(acme, valkey):
    breakers().tell(Callee("http_request", "shop.example", str(acme.id)), Verb.FAILED, RULES, "TimedOut")


@pytest.mark.usefixtures("shop")
def test_a_company_sees_what_of_its_own_is_left_alone_and_has_it_tried(acme, globex) -> None:
    page = log_in(acme).get("/app/tools/").content.decode()
    assert FAILING in page
    assert "shop.example" in page
    assert "TimedOut" in page
    assert FAILING not in log_in(globex).get("/app/tools/").content.decode()
    assert "Try again now" not in log_in(acme, Role.VIEWER).get("/app/tools/").content.decode()
    asked = {"policy": "http_request", "name": "shop.example"}
    assert log_in(globex).post("/app/tools/try-now/", asked).status_code == 404
    assert log_in(acme).post("/app/tools/try-now/", asked).status_code == 302
    assert list_audit_events(tenant=acme)[0].action == "callee.tried_now"
    assert (
        breakers().tell(Callee("http_request", "shop.example", str(acme.id)), Verb.ADMIT, RULES).wait_s == 0
    )


@pytest.mark.usefixtures("shop")
def test_programs_see_the_same(acme) -> None:
    api = client_of(acme)
    [one] = api.get("/api/v1/failing-callees").json()["results"]
    assert (one["kind"], one["name"], one["error"], one["is_tried"]) == (
        "HTTP service",
        "shop.example",
        "TimedOut",
        False,
    )
    asked = {"policy": "http_request", "name": "shop.example"}
    assert post(api, "/api/v1/failing-callees", asked).status_code == 204
    assert api.get("/api/v1/failing-callees").json()["results"][0]["is_tried"] is True
    assert post(api, "/api/v1/failing-callees", {**asked, "name": "x"}).status_code == 404


def test_a_tool_is_set_up_and_switched_off(acme) -> None:
    owner = log_in(acme)
    given = {"is_enabled": "on", "config": '{"token": "xoxb-1", "channel": "C1"}'}
    assert owner.post("/app/tools/t/slack_send/", given).status_code == 302
    page = owner.get("/app/tools/t/slack_send/").content.decode()
    assert "xoxb-1" not in page
    assert "•••" in page
    owner.post("/app/tools/t/slack_send/", {"config": '{"token": "•••", "channel": "C2"}'})
    found = selectors.get_tool_settings(tenant=acme)["slack_send"]
    assert (found["channel"], found["is_enabled"]) == ("C2", False)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("{", "not JSON"),
        ("[]", "Write an object"),
        ('{"colour": "red"}', "colour"),
        ('{"max_per_hour": 0}', "minimum"),
    ],
)
def test_settings_that_the_tool_does_not_know_are_refused_at_the_field(acme, config, said) -> None:
    answer = log_in(acme).post("/app/tools/t/email_send/", {"is_enabled": "on", "config": config})
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert selectors.get_tool_settings(tenant=acme) == {}


def test_an_unknown_tool_is_not_found(acme) -> None:
    assert log_in(acme).get("/app/tools/t/nothing/").status_code == 404


def test_an_mcp_server_that_does_not_answer_is_registered_and_says_so(acme, settings) -> None:
    settings.OUTBOUND_ALLOW = ["127.0.0.1:9"]
    owner = log_in(acme)
    given = {"name": "desk", "url": "http://127.0.0.1:9/mcp", "headers": "Authorization: Bearer s3cret"}
    answer = owner.post("/app/tools/", given, follow=True)
    page = answer.content.decode()
    assert "could not be asked" in page
    assert "s3cret" not in page
    assert "Authorization" in page
    again = owner.post("/app/tools/", given)
    assert (again.status_code, "of this name already" in again.content.decode()) == (422, True)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("url", "http://10.0.0.1/mcp", "private network"),
        ("name", "No Way", "a-z"),
        ("headers", "nonsense", "Name: value"),
        ("headers", "Host: evil.example", "headers"),
    ],
)
def test_what_cannot_be_registered_is_said_at_the_field(acme, field, value, said) -> None:
    given = {"name": "desk", "url": "https://8.8.8.8/mcp", "headers": "", field: value}
    answer = log_in(acme).post("/app/tools/", given)
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert servers.list_servers(tenant=acme) == []


def test_a_person_approves_what_was_shown_and_switches_it_off(acme) -> None:
    owner, tool_id = log_in(acme), make_mcp_tool(acme)
    page = owner.get(f"/app/tools/mcp/{make_mcp_server(acme).id}/").content.decode()
    assert "waits for approval" in page
    given = {"digest": "0" * 64, "effect": "idempotent"}
    assert (
        owner.post(f"/app/tools/mcp-tools/{tool_id}/approve/", {**given, "digest": "1" * 64}).status_code
        == 409
    )
    assert owner.post(f"/app/tools/mcp-tools/{tool_id}/approve/", given).status_code == 302
    with in_tenant(acme):
        tool = McpTool.objects.get(id=tool_id)
        assert (tool.state, tool.effect) == (ToolState.READY, McpEffect.IDEMPOTENT)
        McpTool.objects.filter(id=tool_id).update(
            digest="2" * 64, offered={**tool.offered, "description": "<script>alert(1)</script>"}
        )
    page = owner.get(f"/app/tools/mcp/{tool.server_id}/").content.decode()
    assert "Nobody calls it until you have looked" in page
    assert "<script>alert" not in page
    assert owner.post(f"/app/tools/mcp-tools/{tool_id}/switch-off/").status_code == 302
    with in_tenant(acme):
        assert not McpTool.objects.get(id=tool_id).is_enabled


def test_programs_register_change_and_remove_servers(acme, globex) -> None:
    api, other = client_of(acme), client_of(globex)
    made = post(
        api, "/api/v1/mcp-servers", {"name": "desk", "url": "https://8.8.8.8/mcp", "headers": {"X-Key": "k"}}
    )
    path = f"/api/v1/mcp-servers/{made.json()['id']}"
    assert (made.status_code, made.json()["header_names"]) == (201, ["X-Key"])
    assert other.get(path).status_code == 404
    assert other.get("/api/v1/mcp-servers").json() == {"results": []}
    changed = api.patch(path, json.dumps({"is_enabled": False}), content_type="application/json").json()
    assert (changed["is_enabled"], changed["header_names"]) == (False, ["X-Key"])
    refused = post(api, "/api/v1/mcp-servers", {"name": "inner", "url": "http://127.0.0.1/mcp"})
    assert (refused.status_code, "url" in refused.json()["errors"]) == (400, True)
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404


def client_of(tenant) -> Client:
    token = create_api_key(tenant=tenant, name="all", scopes=["api:read", "api:write"]).token
    return Client(headers={"Authorization": f"Api-Key {token}"})


def post(api: Client, path: str, body: dict):
    return api.post(path, json.dumps(body), content_type="application/json")

"""Outgoing webhooks over the API and in the dashboard: secrets once, words at the field, only one's own."""

from typing import Any

import pytest
from django.test import Client

from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.selectors import list_audit_events
from apps.tenants.services import create_api_key
from apps.webhooks import services
from apps.webhooks.catalog import PUBLIC_EVENTS
from apps.webhooks.models import WebhookEndpoint
from tests.isolation.test_urls import client_of
from tests.pages import log_in

GOOD = {"url": "https://8.8.8.8/hooks", "event_types": ["agent.order.cancelled"]}
API, PAGE = "/api/v1/webhook-endpoints", "/app/channels/outgoing/"


def post(client: Client, path: str, body: Any = None) -> Any:
    return client.post(path, body or {}, content_type="application/json")


def test_an_endpoint_lives_over_the_api(acme: TenantRef, valkey: object) -> None:
    client = client_of(acme)
    made = post(client, API, GOOD)
    assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store")
    secret, url = made.json()["secret"], f"{API}/{made.json()['id']}"
    shown = client.get(url)
    assert secret not in shown.content.decode()
    assert shown.json()["secret_hint"] == secret[-4:]
    changed = client.patch(url, {"event_types": ["*"]}, content_type="application/json")
    assert changed.json()["event_types"] == ["*"]
    rotated = post(client, f"{url}/rotate", {"overlap_s": 60}).json()
    assert rotated["secret"] not in (secret, "")
    assert rotated["previous_until"]
    assert post(client, f"{url}/pause").json()["state"] == "paused"
    assert post(client, f"{url}/test").status_code == 409
    assert post(client, f"{url}/resume").json()["state"] == "active"
    tried = post(client, f"{url}/test", {"event_type": "agent.order.cancelled"})
    assert tried.status_code == 202
    (listed,) = client.get(f"{url}/deliveries?status=pending").json()["results"]
    assert listed["id"] == tried.json()["id"]
    detail = client.get(f"/api/v1/webhook-deliveries/{listed['id']}").json()
    assert '"number":"1042"' in detail["body"]
    assert detail["attempt_log"] == []
    assert post(client, f"/api/v1/webhook-deliveries/{listed['id']}/replay").status_code == 409
    assert post(client, f"{url}/deliveries/replay").json() == {"deliveries": 0}
    assert client.delete(url).status_code == 204
    assert client.get(url).status_code == 404
    acts = [event.action for event in list_audit_events(tenant=acme)]
    for act in ("created", "changed", "rotated", "paused", "resumed", "tested", "replayed", "deleted"):
        assert f"webhook_endpoint.{act}" in acts
    trail = str([event.data for event in list_audit_events(tenant=acme)])
    assert secret not in trail


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({**GOOD, "url": "http://10.0.0.1/"}, "url"),
        ({**GOOD, "url": 7}, "url"),
        ({**GOOD, "event_types": "all"}, "event_types"),
        ({**GOOD, "event_types": ["agent.step.completed"]}, "event_types"),
        ({**GOOD, "description": "x" * 201}, "description"),
    ],
)
def test_bad_input_is_refused_at_its_field(acme: TenantRef, valkey: object, body: Any, field: str) -> None:
    answer = post(client_of(acme), API, body)
    assert answer.status_code == 400
    assert field in answer.json()["errors"]


def test_a_reader_makes_nothing(acme: TenantRef, valkey: object) -> None:
    token = create_api_key(tenant=acme, name="r", scopes=["read:webhooks"]).token
    reader = Client(headers={"Authorization": f"Api-Key {token}"})
    assert post(reader, API, GOOD).status_code == 403
    types = reader.get("/api/v1/webhook-event-types").json()["results"]
    assert len(types) == len(PUBLIC_EVENTS)


def test_the_secret_is_shown_once_in_the_dashboard(acme: TenantRef) -> None:
    browser = log_in(acme)
    made = browser.post(PAGE, GOOD)
    first, second = browser.get(made["Location"]), browser.get(made["Location"])
    assert "shown this once" in first.content.decode()
    assert "outgoing-secret" not in second.content.decode()
    refused = browser.post(PAGE, {**GOOD, "url": "http://127.0.0.1/"})
    assert refused.status_code == 422
    assert "private network" in refused.content.decode()


def test_a_stopped_endpoint_is_told_where_one_looks(acme: TenantRef, globex: TenantRef) -> None:
    services.create_endpoint(tenant=acme, actor="t", **GOOD)
    with in_tenant(acme):
        WebhookEndpoint.objects.update(state="failing")
    for page in ("/app/", "/app/channels/", PAGE):
        assert "A webhook endpoint is paused" in log_in(acme).get(page).content.decode()
        assert "A webhook endpoint is paused" not in log_in(globex).get(page).content.decode()
    assert "8.8.8.8" not in log_in(globex, Role.VIEWER).get("/app/").content.decode()

"""Secrets in a tool's settings: sealed at rest, write-only, and nowhere but in the header that needs them."""

import json

import pytest
from django.test import Client

from apps.orchestration.definitions import selectors, services
from apps.orchestration.definitions.models import ToolSetting
from apps.orchestration.models import AgentRun, RunEvent
from apps.orchestration.services import execute_run
from apps.resilience.errors import InvalidInput
from apps.tenants import resealing
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.secrets import MASK, CannotOpen, present_prefix
from apps.tenants.selectors import list_audit_events
from apps.tenants.services import create_api_key
from tests.orchestration.engine import show, start, states
from tests.orchestration.sink import Sink

pytestmark = pytest.mark.usefixtures("closed_breakers")
TOOL, SECRET = "http_request", "s3cret-of-the-shop"
CONFIG = {
    "warehouse_url": "https://warehouse.example",
    "max_tokens": 5,
    "token": SECRET,
    "headers": {"X-Api-Key": f"{SECRET}-2", "Accept": "text/plain"},
    "credentials": [{"user": f"{SECRET}-3"}],
}
MASKED = {
    "warehouse_url": "https://warehouse.example",
    "max_tokens": 5,
    "token": MASK,
    "headers": {"X-Api-Key": MASK, "Accept": "text/plain"},
    "credentials": [{"user": MASK}],
}
CALL = """
  - id: "tell"
    type: "tool"
    tool: "http_request"
    config:
      method: "POST"
      url: "{url}"
      headers: {{Authorization: "Bearer ${{settings.http_request.token}}"}}
      json: {{said: "{said}"}}"""


def set_up(tenant: TenantRef, config: dict = CONFIG) -> dict:
    return services.update_tool_setting(tenant=tenant, tool=TOOL, config=config)


def stored(tenant: TenantRef) -> ToolSetting:
    with in_tenant(tenant):
        return ToolSetting.objects.get(tool=TOOL)


def mark_of(tenant: TenantRef) -> str:
    return selectors.get_tool_settings(tenant=tenant)[TOOL]["token"]


def test_they_rest_sealed_and_are_never_shown(acme: TenantRef):
    key = create_api_key(tenant=acme, name="k", scopes=["api:read", "api:write", "write:settings"])
    client = Client(headers={"Authorization": f"Api-Key {key.token}"})
    told = client.put(
        f"/api/v1/tools/{TOOL}", json.dumps({"config": CONFIG}), content_type="application/json"
    )
    assert told.json()["config"] == MASKED
    assert client.get(f"/api/v1/tools/{TOOL}").json()["config"] == MASKED
    assert SECRET not in client.get("/api/v1/tools").content.decode()
    row = stored(acme)
    assert row.config == MASKED
    assert row.secrets.startswith(present_prefix())
    assert SECRET not in json.dumps([event.data for event in list_audit_events(tenant=acme, limit=5)])


def test_a_mask_that_is_sent_back_keeps_the_secret(acme: TenantRef, globex: TenantRef):
    set_up(acme)
    before = selectors.reveal_secrets(tenant=acme, texts={"a": mark_of(acme)})
    assert set_up(acme, {**MASKED, "max_tokens": 6}) == {**MASKED, "max_tokens": 6}
    assert selectors.reveal_secrets(tenant=acme, texts={"a": mark_of(acme)}) == before == {"a": SECRET}
    set_up(acme, {**MASKED, "token": "another"})
    assert selectors.reveal_secrets(tenant=acme, texts={"a": mark_of(acme)}) == {"a": "another"}
    with pytest.raises(InvalidInput, match="token: give the secret"):
        set_up(globex, {"token": MASK})
    set_up(acme, {"warehouse_url": "https://x.example"})
    assert stored(acme).secrets == ""


def test_only_a_header_carries_one_and_no_record_does(acme: TenantRef, sink: Sink, publish):
    set_up(acme)
    publish(acme, CALL.format(url=sink.url, said="hello"))
    run_id = start(acme, text="hi")
    execute_run(tenant=acme, run_id=run_id)
    assert states(acme, run_id) == {"tell": "done"}
    assert sink.requests[0]["headers"]["Authorization"] == f"Bearer {SECRET}"
    with in_tenant(acme):
        kept = list(RunEvent.objects.values_list("data", flat=True)) + list(
            AgentRun.objects.values_list("input", flat=True)
        )
    assert SECRET not in json.dumps(kept)
    assert SECRET not in str(show(acme, run_id))


@pytest.mark.parametrize("place", ["url", "json"])
def test_a_secret_may_stand_nowhere_else(acme: TenantRef, sink: Sink, publish, place: str):
    set_up(acme)
    secret = "${settings.http_request.token}"
    given = {"url": sink.url, "said": "hello"} | (
        {"url": f"{sink.url}/?key={secret}"} if place == "url" else {"said": secret}
    )
    publish(acme, CALL.format(**given))
    run_id = start(acme, text="hi")
    execute_run(tenant=acme, run_id=run_id)
    assert states(acme, run_id) == {"tell": "failed"}
    assert sink.requests == []


def test_another_companys_mark_or_a_guess_opens_nothing(acme: TenantRef, globex: TenantRef):
    set_up(acme)
    set_up(globex, {"token": "theirs"})
    guessed = "[[secret:http_request.token:000000000000000000000000]]"
    for text in (mark_of(acme), guessed):
        assert selectors.reveal_secrets(tenant=globex, texts={"a": text}) == {"a": text}


def test_what_was_stored_in_plain_is_treated_alike(acme: TenantRef):
    with in_tenant(acme):
        ToolSetting.objects.create(tool=TOOL, config={"token": SECRET})
    tools = {tool["name"]: tool for tool in selectors.list_tools(tenant=acme)}
    assert tools[TOOL]["config"] == {"token": MASK}
    assert selectors.reveal_secrets(tenant=acme, texts={"a": mark_of(acme)}) == {"a": SECRET}
    set_up(acme, {"token": MASK})
    assert stored(acme).config == {"token": MASK}
    assert selectors.reveal_secrets(tenant=acme, texts={"a": mark_of(acme)}) == {"a": SECRET}


def test_they_follow_an_exchange_of_keys(acme: TenantRef, settings):
    settings.SECRETS_KEYS = ["old-key-of-at-least-32-characters"]
    set_up(acme)
    settings.SECRETS_KEYS = ["new-key-of-at-least-32-characters", *settings.SECRETS_KEYS]
    assert resealing.reseal_secrets(tenant=acme).lost == []
    settings.SECRETS_KEYS = settings.SECRETS_KEYS[:1]
    assert selectors.reveal_secrets(tenant=acme, texts={"a": mark_of(acme)}) == {"a": SECRET}
    settings.SECRETS_KEYS = ["a-third-key-of-at-least-32-characters"]
    with pytest.raises(CannotOpen):
        selectors.reveal_secrets(tenant=acme, texts={"a": mark_of(acme)})

"""Every URL answers 404 for another tenant's ids, whatever the method."""

import re
import uuid
from collections.abc import Callable, Iterator

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from apps.conversations.services import open_conversation, open_escalation
from apps.crm.services import capture_lead, create_customer, create_order
from apps.ingestion.services import add_document
from apps.orchestration.bulk.contracts import BulkAction
from apps.orchestration.bulk.services import request_bulk
from apps.orchestration.definitions.services import save_draft
from apps.orchestration.mcp.models import McpServer, McpTool
from apps.orchestration.rehearsals.models import Rehearsal, RehearsalCase
from apps.orchestration.services import start_run
from apps.routing.services import create_intent
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.domains.services import add_domain
from apps.tenants.services import create_api_key
from apps.webhooks import services as webhooks
from apps.webhooks.selectors import query_endpoints
from tests.billing.invoices import make_invoice

# How to make one thing of each collection; the id is what its URLs carry.
MAKERS: dict[str, Callable[[TenantRef], object]] = {
    "invoices": make_invoice,
    "api-keys": lambda t: create_api_key(tenant=t, name="theirs", scopes=["api:read"]).key_id,
    "domains": lambda t: add_domain(tenant=t, name="help.theirs.example", actor="test").id,
    "customers": lambda t: create_customer(tenant=t, name="Theirs").id,
    "orders": lambda t: (
        create_order(tenant=t, number="77", total_cents=100, currency="EUR", items=[], customer_id=None).id
    ),
    "leads": lambda t: (
        capture_lead(tenant=t, name="Theirs", email="their@lead.example", effect_key=str(uuid.uuid4())).id
    ),
    "conversations": lambda t: open_conversation(tenant=t, channel="api", customer=None).id,
    "escalations": lambda t: (
        open_escalation(
            tenant=t,
            conversation_id=open_conversation(tenant=t, channel="api", customer=None).id,
            run_id=None,
            reason="asked",
            queue="default",
            effect_key=str(uuid.uuid4()),
        ).id
    ),
    "router/intents": lambda t: create_intent(tenant=t, name="theirs", description="", examples=[]).name,
    "workflows": lambda t: save_draft(tenant=t, source=WORKFLOW).workflow,
    "runs": lambda t: (
        start_run(tenant=t, workflow_name="order_cancellation", input={"order_number": "77"}).id
    ),
    "simulations": lambda t: make_simulation(t),
    "runs/bulk": lambda t: (
        request_bulk(tenant=t, action=BulkAction.PAUSE, ids=[MAKERS["runs"](t)], actor="test").id
    ),
    "documents": lambda t: add_document(tenant=t, title="Theirs", text="Their secret.").id,
    "mcp-servers": lambda t: make_mcp_server(t).id,
    "mcp-tools": lambda t: make_mcp_tool(t),
    "webhook-endpoints": lambda t: make_webhook_endpoint(t),
    "webhook-deliveries": lambda t: (
        webhooks.send_test(tenant=t, endpoint_id=make_webhook_endpoint(t), actor="test").id
    ),
}
# What a write needs in order to get as far as looking for the thing.
BODIES = {
    "messages": {"text": "hello"},
    "replies": {"text": "hello"},
    "rating": {"score": 5},
    "resolve": {"resolution": "done"},
    "runs/resolve": {"step": "hold_order", "outcome": "not_done"},
    "runs/approve": {"step": "hold_order", "approved": True},
    "runs/signal": {"name": "paid"},
    "ship": {"carrier": "Post", "tracking_code": "1"},
    "refund": {"amount_cents": 1},
}
WORKFLOW = """
name: theirs
version: "1.0"
triggers: [{type: api}]
steps: [{id: find, type: tool, tool: faq_search}]
"""
# Names of the product's own tools, the same for every tenant.
SHARED = {"api/v1/tools/<str:name>"}
# A name that the caller chooses: a write makes something of the caller's own.
OWN_NAMES = {("put", "api/v1/workflows/<str:name>")}
METHODS = ("get", "post", "put", "patch", "delete")


def make_mcp_server(tenant: TenantRef) -> McpServer:
    """Make one that answers nobody, or return the one there is."""
    with in_tenant(tenant):
        made = {"url": "https://8.8.8.8/mcp", "is_enabled": False}
        return McpServer.objects.get_or_create(name="theirs", defaults=made)[0]


def make_mcp_tool(tenant: TenantRef) -> uuid.UUID:
    """Make one, or return the one there is."""
    offered = {"name": "look", "arguments": {"type": "object", "properties": {}}}
    with in_tenant(tenant):
        given = {"offered": offered, "digest": "0" * 64}
        return McpTool.objects.get_or_create(server=make_mcp_server(tenant), name="look", defaults=given)[
            0
        ].id


def make_simulation(tenant: TenantRef) -> uuid.UUID:
    """Make one that has ended, with its one case."""
    of_draft = {"workflow": "theirs", "hash": "0" * 64, "source": WORKFLOW, "total": 1, "done": 1}
    with in_tenant(tenant):
        made = Rehearsal.objects.create(kind="simulation", against="recorded", status="done", **of_draft)
        add_cases(made.id, 1)
    return made.id


def add_cases(rehearsal_id: uuid.UUID, total: int) -> None:
    """Add cases to a rehearsal, in the caller's transaction of its tenant."""
    first = RehearsalCase.objects.filter(rehearsal_id=rehearsal_id).count() + 1
    RehearsalCase.objects.bulk_create(
        RehearsalCase(rehearsal_id=rehearsal_id, position=first + n, status="done", input={"text": "Theirs"})
        for n in range(total)
    )


def make_webhook_endpoint(tenant: TenantRef) -> uuid.UUID:
    """Make one, or return the newest of many: there is a limit."""
    with in_tenant(tenant):
        present = list(query_endpoints().order_by("-id").values_list("id", flat=True))
    if len(present) >= 10:
        return present[0]
    address = {"url": "https://8.8.8.8/theirs", "event_types": ["*"]}
    return webhooks.create_endpoint(tenant=tenant, actor="test", **address).endpoint.id


def patterns(entries: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[str]:
    for entry in entries:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from patterns(entry.url_patterns, route)
        else:
            yield route


ROUTES = sorted(
    {r for r in patterns(get_resolver().url_patterns) if r.startswith("api/v1/") and "<" in r} - SHARED
)


def address(route: str, owner: TenantRef) -> str:
    collection = route.removeprefix("api/v1/").split("/<")[0]
    assert collection in MAKERS, f"say in MAKERS how to make one of {collection!r}"
    return "/" + re.sub(r"<[^>]+>", str(MAKERS[collection](owner)), route, count=1).replace(
        "<int:number>", "1"
    )


def client_of(tenant: TenantRef) -> Client:
    token = create_api_key(tenant=tenant, name="all", scopes=["api:read", "api:write"]).token
    return Client(headers={"Authorization": f"Api-Key {token}"})


@pytest.mark.parametrize("route", ROUTES)
def test_another_tenants_id_is_not_found(acme: TenantRef, globex: TenantRef, route: str):
    url, stranger = address(route, acme), client_of(globex)
    statuses = {}
    for method in (m for m in METHODS if (m, route) not in OWN_NAMES):
        body = BODIES.get("/".join(url.split("/")[3::2]), BODIES.get(url.rsplit("/", 1)[-1], {}))
        answer = getattr(stranger, method)(url, body, content_type="application/json")
        statuses[method] = answer.status_code
    assert set(statuses.values()) <= {404, 405}, statuses
    assert 404 in statuses.values()


@pytest.mark.parametrize("route", [r for r in ROUTES if r.endswith(">")])
def test_the_owner_finds_it(acme: TenantRef, route: str):
    """Without this the test above could pass on URLs that never answer anything else."""
    owner, url = client_of(acme), address(route, acme)
    assert {200, 204} & {getattr(owner, method)(url).status_code for method in ("get", "delete")}

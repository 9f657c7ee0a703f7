"""Every page under /app/ asks who looks, and says who may do what; test_proof asks for others' things."""

import datetime as dt
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db.models import Model
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from apps.conversations import services as conversations
from apps.crm.services import capture_lead, create_customer, create_order
from apps.ingestion.models import QuestionGroup
from apps.ingestion.services import add_document
from apps.orchestration.bulk.contracts import BulkAction
from apps.orchestration.bulk.services import request_bulk
from apps.orchestration.definitions.services import save_draft
from apps.orchestration.hooks.services import create_endpoint
from apps.orchestration.services import start_run
from apps.routing.models import IntentExample, RouterModel, RouterTraining
from apps.routing.services import create_intent
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.domains.selectors import query_domains
from apps.tenants.domains.services import MAX_DOMAINS, add_domain
from apps.tenants.exporting.services import path_of
from apps.tenants.members import invite_member
from apps.tenants.models import Membership, TenantExport
from apps.tenants.services import create_api_key, create_widget_key
from apps.webhooks import services as webhooks
from tests.billing.invoices import make_invoice
from tests.isolation.test_urls import (
    WORKFLOW,
    make_mcp_server,
    make_mcp_tool,
    make_simulation,
    make_webhook_endpoint,
)
from tests.pages import log_in, member_of


def make_conversation(tenant: TenantRef) -> object:
    started = conversations.start_conversation(tenant=tenant, channel="api", text="Hello?")
    conversations.post_reply(
        tenant=tenant, conversation_id=started.conversation.id, text="Hello!", reply_key=str(uuid.uuid4())
    )
    return started.conversation.id


# How to make one thing that a page shows, by the route's start; the id is what its URL carries.
MAKERS: dict[str, Callable[[TenantRef], object]] = {
    "app/workflows/w": lambda t: save_draft(tenant=t, source=WORKFLOW).workflow,
    "app/runs": lambda t: (
        start_run(tenant=t, workflow_name="order_cancellation", input={"order_number": "77"}).id
    ),
    "app/tools/t": lambda t: "http_request",
    "app/tools/mcp": lambda t: make_mcp_server(t).id,
    "app/tools/mcp-tools": lambda t: make_mcp_tool(t),
    "app/simulations": make_simulation,
    "app/runs/bulk": lambda t: (
        request_bulk(tenant=t, action=BulkAction.PAUSE, ids=[MAKERS["app/runs"](t)], actor="test").id
    ),
    "app/channels/webhooks": lambda t: (
        create_endpoint(
            tenant=t, name=f"w{uuid.uuid4().hex[:8]}", action="workflows", actor="test"
        ).endpoint.id
    ),
    "app/invoices": make_invoice,
    "app/customers": lambda t: create_customer(tenant=t, name="Theirs").id,
    "app/orders": lambda t: create_order(tenant=t, number=uuid.uuid4().hex[:8], total_cents=100, items=[]).id,
    "app/leads": lambda t: (
        capture_lead(tenant=t, email="their@lead.example", effect_key=str(uuid.uuid4())).id
    ),
    "app/overview": lambda t: "csat",
    "app/plans": lambda t: "business",
    "app/knowledge/documents": lambda t: add_document(tenant=t, title="Theirs", text="Their secret.").id,
    "app/knowledge/questions": lambda t: make_question(t),
    "app/team/members": lambda t: add_member_of(t),
    "app/team/invitations": lambda t: (
        invite_member(tenant=t, email="asked@x.example", role="viewer", actor="test")[0].id
    ),
    "app/api-keys": lambda t: create_api_key(tenant=t, name="theirs", scopes=["api:read"]).key_id,
    "app/settings/domains": lambda t: make_domain(t),
    "app/exports": lambda t: make_archive(t),
    "app/channels/outgoing": lambda t: make_webhook_endpoint(t),
    "app/channels/outgoing/deliveries": lambda t: (
        webhooks.send_test(tenant=t, endpoint_id=make_webhook_endpoint(t), actor="test").id
    ),
    "app/channels/widgets": lambda t: create_widget_key(tenant=t, name="Theirs").key,
    "app/conversations": make_conversation,
    "app/inbox": lambda t: (
        conversations.open_escalation(
            tenant=t, conversation_id=make_conversation(t), reason="angry", effect_key=str(uuid.uuid4())
        ).id
    ),
    "app/inbox/canned": lambda t: (
        conversations.save_canned_reply(tenant=t, shortcut=f"hi{uuid.uuid4().hex[:6]}", text="Hello").id
    ),
    "app/router/intents": lambda t: create_intent(tenant=t, name=f"theirs_{uuid.uuid4().hex[:8]}").name,
    "app/router/examples": lambda t: make_example(t),
    "app/router/trainings": lambda t: make_row(t, RouterTraining, status="discarded"),
    "app/router/models": lambda t: make_row(
        t, RouterModel, version=uuid.uuid4().int % 10**9, payload=b"theirs"
    ),
}
# A member's own doings: they concern no tenant's data.
PERSONAL = {"app/choose-tenant/", "app/leave-tenant/"}
# What everybody may write, because it concerns nobody else.
OWN = {"app/profile/", "app/team/leave/"}
# Values for further parameters of a route, by name.
OTHERS = {"action": "hold", "number": "1", "version": "1", "step": "find"}


def add_member_of(tenant: TenantRef) -> object:
    email = member_of(tenant, Role.VIEWER)
    with in_tenant(tenant):
        return Membership.objects.get(user__email=email).id


def make_domain(tenant: TenantRef) -> object:
    """Make one, or return the newest of many: there is a limit."""
    with in_tenant(tenant):
        present = list(query_domains().order_by("-id").values_list("id", flat=True))
    if len(present) >= MAX_DOMAINS:
        return present[0]
    return add_domain(tenant=tenant, name=f"{uuid.uuid4().hex[:8]}.theirs.example", actor="test").id


def make_archive(tenant: TenantRef) -> object:
    ready = {"status": "ready", "expires_at": timezone.now() + dt.timedelta(days=1)}
    made = make_row(tenant, TenantExport, tenant_id=tenant.id, requested_by="test", **ready)
    path = path_of(tenant.id, made)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"theirs")
    return made


def make_row(tenant: TenantRef, model: type[Model], **fields: object) -> object:
    with in_tenant(tenant):
        return model._default_manager.create(**fields).pk


def make_example(tenant: TenantRef) -> object:
    made = uuid.uuid4().hex[:8]  # an example is of one intent: told of another, it moves there
    name = create_intent(tenant=tenant, name=f"theirs_{made}", examples=[f"Their words {made}"]).name
    with in_tenant(tenant):
        return IntentExample.objects.get(intent__name=name).id


def make_question(tenant: TenantRef) -> object:
    with in_tenant(tenant):
        fields = {"text": "Their question", "vector": [1.0] + [0.0] * 383, "last_asked_at": timezone.now()}
        return QuestionGroup.objects.create(**fields).id


def patterns(entries: list[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for entry in entries:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from patterns(entry.url_patterns, route)
        elif isinstance(entry, URLPattern):
            yield route, entry.callback


PAGES = {
    route: view
    for route, view in patterns(get_resolver().url_patterns)
    if route.startswith("app/") and route not in PERSONAL
}


def address(route: str, owner: TenantRef) -> str:
    if "<" not in route:
        return f"/{route}"
    start = route.split("/<")[0]
    assert start in MAKERS, f"say in MAKERS how to make one thing of {start!r}"
    url = re.sub(r"<[^>]+>", str(MAKERS[start](owner)), route, count=1)
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: OTHERS[found[1]], url)


def guessed(route: str) -> str:
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: OTHERS.get(found[1], str(uuid.uuid4())), route)


@pytest.mark.parametrize("route", sorted(PAGES))
def test_a_page_declares_its_permissions(route: str):
    assert getattr(PAGES[route], "permissions", None) is not None, "use member_page"


@pytest.mark.parametrize("route", sorted(PAGES))
def test_a_stranger_is_asked_to_log_in(db: None, route: str):
    for method in ("get", "post"):
        answer = getattr(Client(), method)(guessed(route))
        assert answer.status_code == 405 or answer.headers["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("route", sorted(PAGES))
def test_the_owner_sees_it(acme: TenantRef, route: str):
    owner, url = log_in(acme), address(route, acme)
    assert owner.get(url).status_code in (200, 302, 405)


@pytest.mark.parametrize(
    "route", sorted(r for r, v in PAGES.items() if v.permissions["write"] and r not in OWN)
)
def test_a_viewer_changes_nothing(acme: TenantRef, route: str):
    if route in OWN:
        return
    viewer = log_in(acme, Role.VIEWER)
    assert viewer.post(address(route, acme)).status_code == 403

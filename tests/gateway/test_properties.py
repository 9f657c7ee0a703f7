"""What bodies may say and show: no property that is not the caller's to set, none that is ours to keep."""

import re
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from drf_spectacular.generators import SchemaGenerator

from aiaas.access import list_doorways
from aiaas.settings import base
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.db.compiler import tenant_tables
from tests.gateway.conftest import key_client
from tests.gateway.test_headers import production
from tests.isolation.test_urls import WORKFLOW

FOREIGN_ID = UUID("01935c1e-0000-7000-8000-00000000abcd")
# What a caller must not decide, under the names that our own columns have.
NOT_THEIRS = {
    "id": str(FOREIGN_ID),
    "created_at": "2001-01-01T00:00:00Z",
    "created_by": "somebody",
    "is_staff": True,
    "is_superuser": True,
    "lease_epoch": 99,
    "published_at": "2001-01-01T00:00:00Z",
    "secret_hash": "0" * 64,
    "key_id": "ak_mine",
    "paid_at": "2001-01-01T00:00:00Z",
    "attempts": 99,
}
# Shown once, to whoever has just made it; or a public address.
SHOWN = {"secret", "token", "access_token", "refresh_token", "refresh", "access"}
INSIDE = re.compile(
    r"tenant_id|schema|hash$|password|sealed|lease|payload|private|secret|token$|visitor_secret"
)
# Names that only sound like it: of a workflow's source, of an event, what a caller sends and is never shown.
HARMLESS = {
    "password",
    "hash",
    "baseline_hash",
    "workflow_hash",
    "max_tokens",
    "secret_created_at",
    "secret_hint",
    "schema",
}
API, UNDOCUMENTED = ("/api/", "/v1/"), {"/api/schema/", "/api/docs/"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return SchemaGenerator().get_schema(request=None, public=True)


BODIES: dict[str, dict[str, Any]] = {
    "/api/v1/api-keys": {"name": "k", "scopes": ["read:customers"]},
    "/api/v1/conversations": {"channel": "api", "message": {"text": "Hello"}},
    "/api/v1/customers": {"name": "Ann", "email": "ann@x.example"},
    "/api/v1/documents": {"title": "Returns", "text": "Within 30 days."},
    "/api/v1/domains": {"name": "help.shop.example"},
    "/api/v1/leads": {"name": "Lee", "email": "lee@x.example"},
    "/api/v1/mcp-servers": {"name": "desk", "url": "https://8.8.8.8/mcp"},
    "/api/v1/orders": {"number": "901", "total_cents": 100, "currency": "EUR"},
    "/api/v1/router/feedback": {"text": "where is my parcel now", "intent": "faq"},
    "/api/v1/router/intents": {"name": "parcels", "examples": ["where is it"]},
    "/api/v1/runs": {"workflow": "order_cancellation", "input": {"order_number": "77"}},
    "/api/v1/runs/bulk": {"action": "pause", "filter": {"status": "running"}},
    "/api/v1/webhook-endpoints": {"url": "https://shop.example/hooks", "event_types": ["*"]},
    "/api/v1/workflows": {"source": WORKFLOW},
}
# They make nothing, train, or give what belongs to a person.
OTHERS = {
    *("/api/v1/auth/token", "/api/v1/auth/token/refresh", "/api/v1/auth/token/revoke"),
    "/api/v1/failing-callees",
    *("/api/v1/route", "/api/v1/router/models", "/api/v1/search", "/api/v1/workflows/validate"),
}


def rows_of(tenant: TenantRef) -> dict[str, int]:
    with in_tenant(tenant), connection.cursor() as cursor:
        counts = {}
        for table in sorted(tenant_tables()):
            cursor.execute(f'SELECT count(*) FROM "{table}"')
            counts[table] = cursor.fetchone()[0]
        return counts


def test_what_is_not_the_callers_to_say_is_not_taken(acme: TenantRef, globex: TenantRef):
    client, before = key_client(acme), rows_of(globex)
    foreign = NOT_THEIRS | {"tenant_id": str(globex.id), "tenant": globex.slug, "schema": globex.schema}
    for path, body in BODIES.items():
        told = client.post(path, {**foreign, **body}, content_type="application/json")
        assert told.status_code in (201, 202), (path, told.content)
        assert_ours(path, told.json(), body)
    assert rows_of(globex) == before


def test_no_creation_is_forgotten_here(document):
    creations = {path for path, item in document["paths"].items() if "post" in item and "{" not in path}
    known = BODIES.keys() | OTHERS
    assert {path for path in creations if path.startswith("/api/v1/") and "import" not in path} == known


def assert_ours(path: str, shown: Any, example: dict[str, Any]) -> None:
    if not isinstance(shown, dict):
        return
    for name in NOT_THEIRS.keys() & shown.keys() - example.keys():
        assert shown[name] != NOT_THEIRS[name], f"{path} took {name}"


def test_nobody_raises_their_own_rights_in_a_body(acme: TenantRef):
    client = key_client(acme, "api:read", "write:settings")
    body = {"name": "more", "scopes": ["api:write"], "role": "owner", "is_staff": True}
    told = client.post("/api/v1/api-keys", body, content_type="application/json")
    assert told.status_code in (400, 403)


def test_no_answer_has_a_property_of_our_inside(document):
    shown = set()
    for name, schema in document["components"]["schemas"].items():
        if name.endswith("Request"):
            continue
        shown |= {(name, prop) for prop in schema.get("properties", {}) if INSIDE.search(prop)}
    assert {(name, prop) for name, prop in shown if prop not in SHOWN | HARMLESS} == set()
    secret = {name for name, prop in shown if prop in SHOWN}
    listed = {name for name in secret if "List" in name}
    assert not listed, "secrets are shown to whoever makes them, never in a list"


def test_the_document_knows_every_endpoint(document):
    def plain(path: str) -> str:
        return re.sub(r"[<{][^>}]*[>}]", "{}", path)

    known = {(plain(path), method.upper()) for path, item in document["paths"].items() for method in item}
    doors = {(plain(door.path), door.method) for door in list_doorways() if door.path.startswith(API)}
    assert {door for door in doors - known if door[0] not in UNDOCUMENTED} == set(), "not documented"
    assert {path for path, _ in doors if not path.startswith(("/api/v1/", "/v1/"))} <= UNDOCUMENTED


def test_an_installation_shows_no_demo_and_no_debugging():
    assert production(path="/demo/")[1].startswith("404 ")
    assert base.DEBUG is False

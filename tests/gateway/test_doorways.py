"""Every API view is fail-closed: these tests find the views from the routes."""

import base64
import re

import pytest
from django.test import RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import AllowAny
from rest_framework.request import Request

from apps.billing.models import Plan, UsageBucket
from apps.gateway.authentication import HasRequiredScope
from apps.gateway.metering import METERED
from apps.gateway.pagination import CursorPages
from apps.tenants.context import in_tenant
from apps.tenants.contracts import OPEN as OPEN_TO_ALL
from apps.tenants.permissions import is_declared

OPEN = {
    "/api/schema/",
    "/api/docs/",
    "/api/v1/auth/token",
    "/api/v1/auth/token/refresh",
    "/api/v1/auth/token/revoke",
}
SAFE = {"head", "options"}


def routes(patterns=None, prefix="/"):
    for entry in patterns if patterns is not None else get_resolver().url_patterns:
        path = prefix + str(entry.pattern).removeprefix("^")
        if isinstance(entry, URLResolver):
            yield from routes(entry.url_patterns, path)
        elif isinstance(entry, URLPattern) and path.startswith(("/api/", "/v1/")):
            yield path, entry.callback


def api_views():
    return [(path, callback) for path, callback in routes() if path not in OPEN]


def methods_of(callback) -> set[str]:
    actions = getattr(callback, "actions", None)
    names = actions or {name for name in callback.cls.http_method_names if hasattr(callback.cls, name)}
    return {name.upper() for name in set(names) - SAFE}


@pytest.mark.parametrize(
    ("path", "callback"), api_views(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_view_declares_a_known_permission_for_each_method(path, callback):
    assert HasRequiredScope in callback.cls.permission_classes
    declared = callback.cls.required_scopes
    assert methods_of(callback) <= declared.keys()
    assert {scope for scope in declared.values() if not is_declared(scope)} == set()


def test_only_the_listed_views_are_open():
    is_open = {
        path
        for path, callback in routes()
        if AllowAny in callback.cls.permission_classes
        or OPEN_TO_ALL in getattr(callback.cls, "required_scopes", {}).values()
    }
    assert is_open == OPEN


def test_every_metered_pattern_has_a_route():
    samples = [re.sub(r"<[^>]+>", "x", path) for path, _ in routes()]
    for _, pattern, kind in METERED:
        assert any(pattern.fullmatch(sample) for sample in samples), f"nothing is metered as {kind}"


def page(query, queryset):
    pages = CursorPages()
    request = Request(RequestFactory().get(f"/api/v1/x?{query}"))
    rows = pages.paginate_queryset(queryset, request)
    return rows, pages.get_paginated_response([str(row.pk) for row in rows]).data


def test_pages_follow_one_another_without_gap_or_repeat(acme):
    with in_tenant(acme):
        from django.utils import timezone

        for index in range(7):
            UsageBucket.objects.create(kind=f"k{index}", starts_at=timezone.now(), quantity=1)
        seen, query = [], "page_size=3"
        while query:
            rows, body = page(query, UsageBucket.objects.all())
            seen += [row.kind for row in rows]
            query = (body["next"] or "").partition("?")[2]
        assert seen == [f"k{index}" for index in reversed(range(7))]
        assert set(body) == {"next", "previous", "results"}


@pytest.mark.parametrize(
    "query",
    [
        "cursor=%%%",
        "cursor=x",
        "cursor=" + base64.b64encode(b"p=not-a-uuid").decode(),
        "cursor=" + base64.b64encode(b"o=-1&p=1").decode(),
        "cursor=" + base64.b64encode(b"\xff\xfe").decode(),
        "page_size=0",
        "page_size=201",
        "page_size=-1",
        "page_size=many",
        "page_size=" + "9" * 40,
    ],
)
def test_a_bad_page_request_is_400(acme, query):
    with in_tenant(acme), pytest.raises(ValidationError):
        page(query, Plan.objects.all())

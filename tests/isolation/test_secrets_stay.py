"""Tenants' secrets are planted everywhere; no page, no answer of the API and no log line shows one."""

import logging
from functools import cache
from typing import Any

import pytest
from django.urls import get_resolver

from apps.orchestration.definitions.services import update_tool_setting
from apps.orchestration.hooks.services import create_endpoint, rotate_secret
from apps.orchestration.mcp.services import update_server
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.resealing import sealed_fields
from apps.tenants.secrets import unseal
from apps.tenants.services import create_api_key, create_widget_key, rotate_identity_secret
from apps.webhooks import services as webhooks
from tests.isolation import test_pages, test_urls
from tests.isolation.test_pages import PAGES
from tests.isolation.test_pages import address as page_address
from tests.isolation.test_urls import ROUTES, client_of, make_mcp_server, make_webhook_endpoint, patterns
from tests.isolation.test_urls import address as api_address
from tests.pages import log_in

IN_A_TOOL = "Bearer planted-in-a-tool"
NEVER_SHOWN = {"tenants.Erasure", "gateway.SigningKey"}  # no page or answer knows their models


def plant(tenant: TenantRef) -> None:
    """Fill every column that holds a secret."""
    hook = create_endpoint(tenant=tenant, name="in", action="message", actor="t").endpoint.id
    rotate_secret(tenant=tenant, endpoint_id=hook, overlap_s=3600, actor="t")
    widget = create_widget_key(tenant=tenant).key
    rotate_identity_secret(tenant=tenant, key=widget, secret_version=0, overlap_s=3600, actor="t")
    config = {"headers": {"Authorization": IN_A_TOOL}}
    update_tool_setting(tenant=tenant, tool="http_request", config=config)
    headers = {"Authorization": "Bearer planted-in-a-server"}
    update_server(tenant=tenant, server_id=make_mcp_server(tenant).id, headers=headers)
    endpoint = make_webhook_endpoint(tenant)
    webhooks.rotate_secret(tenant=tenant, endpoint_id=endpoint, overlap_s=3600, actor="t")


def planted(tenant: TenantRef) -> set[str]:
    """Return every secret of a tenant, as it is and as it is stored."""
    found: set[str] = {IN_A_TOOL}
    with in_tenant(tenant):
        for model, name in sealed_fields():
            if model._meta.label in NEVER_SHOWN:
                continue
            stored = set(model._base_manager.exclude(**{name: ""}).values_list(name, flat=True))
            assert stored, f"plant one in {model._meta.label}.{name}"
            found |= stored | {unseal(one, tenant.id) for one in stored}
    return found


@pytest.fixture
def _made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every address of a collection be of one and the same thing."""
    for makers in (test_urls.MAKERS, test_pages.MAKERS):
        for name, make in makers.items():
            monkeypatch.setitem(makers, name, cache(make))
    monkeypatch.setitem(test_pages.MAKERS, "app/invoices", test_urls.MAKERS["invoices"])


@pytest.mark.usefixtures("_made_once")
def test_no_page_and_no_answer_shows_a_secret(acme: TenantRef, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    plant(acme)
    key = create_api_key(tenant=acme, name="k", scopes=["api:read"]).token
    browser, developer = log_in(acme), client_of(acme)
    plain = [r for r in patterns(get_resolver().url_patterns) if r.startswith("api/v1/") and "<" not in r]
    looked = [(developer, f"/{route}") for route in plain]
    looked += [(developer, api_address(route, acme)) for route in ROUTES]
    looked += [(browser, page_address(route, acme)) for route in PAGES]
    seen = 0
    for client, url in looked:
        answer = client.get(url)
        text = _text(answer)
        seen += answer.status_code == 200
        assert [one for one in planted(acme) | {key} if one in text] == [], url
    assert seen > 60, "most of them answer"
    assert [one for one in planted(acme) if one in caplog.text] == []


def _text(answer: Any) -> str:
    content = b"".join(answer) if getattr(answer, "streaming", False) else answer.content
    return content.decode(errors="replace")

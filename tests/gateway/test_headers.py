"""What every answer tells a browser, found by walking all routes."""

import os
import re
import subprocess
import sys

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from apps.gateway import limits
from apps.tenants.context import in_tenant
from apps.tenants.models import WidgetKey
from tests.gateway.conftest import key_client
from tests.pages import log_in

# The same for everybody, and for any site: a script, and the keys that our tokens are checked by.
PUBLIC = {"/widget.js", "/.well-known/jwks.json"}
SAMPLES = {"uuid": "01935c1e-0000-7000-8000-000000000000", "int": "1", "slug": "x", "str": "x", "path": "x"}


def addresses(patterns=None, prefix="/"):
    for entry in patterns if patterns is not None else get_resolver().url_patterns:
        path = prefix + re.sub(r"[\^$]|\\Z|\(\?P?(<\w+>)?.*?\)", "", str(entry.pattern))
        if isinstance(entry, URLResolver):
            yield from addresses(entry.url_patterns, path)
        elif isinstance(entry, URLPattern):
            yield re.sub(r"<(?:(\w+):)?\w+>", lambda kind: SAMPLES.get(kind[1] or "str", "x"), path)


def check(answer, path: str) -> None:
    policy = answer.headers.get("Content-Security-Policy", "")
    assert policy.startswith("default-src 'none'"), path
    assert "frame-ancestors 'none'" in policy, path
    if not path.startswith("/admin/"):  # its library evaluates expressions of its own templates
        assert "unsafe" not in policy, path
    assert answer.headers["X-Content-Type-Options"] == "nosniff", path
    assert answer.headers["Referrer-Policy"] == "strict-origin-when-cross-origin", path
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin", path
    assert answer.headers["X-Frame-Options"] == "DENY", path
    assert "camera=()" in answer.headers["Permissions-Policy"], path
    if path not in PUBLIC:
        assert answer.headers.get("Access-Control-Allow-Origin") != "*", path
    assert "Access-Control-Allow-Credentials" not in answer.headers, path
    for cookie in answer.cookies.values():
        assert cookie["samesite"] == "Lax", path


def test_every_address_sends_the_headers_to_strangers_and_members(live_db, acme):
    walked = sorted(set(addresses()))
    assert len(walked) > 150
    member, stranger = log_in(acme), Client(raise_request_exception=False)
    member.raise_request_exception = False
    for path in walked:
        for client in (stranger, member):
            answer = client.get(path)
            assert answer.status_code < 500, path
            check(answer, path)


def test_inline_parts_need_the_nonce_of_their_request(stranger, db):
    first, second = stranger.get("/api/docs/"), stranger.get("/api/docs/")
    nonces = [
        re.search(r"'nonce-([^']+)'", answer["Content-Security-Policy"])[1] for answer in (first, second)
    ]
    assert nonces[0] != nonces[1]
    page = first.content.decode()
    assert len(re.findall("<script|<style", page)) == page.count(f'nonce="{nonces[0]}"')
    assert "nonce" not in stranger.get("/accounts/login/")["Content-Security-Policy"]


@pytest.fixture
def shop(acme):
    limits.ORIGINS.forget()
    with in_tenant(acme):
        key = WidgetKey.objects.filter(is_active=True).first()
        key.allowed_origins = ["https://shop.acme.example"]
        key.save(update_fields=["allowed_origins"])
    yield acme
    limits.ORIGINS.forget()


def test_a_page_of_the_tenants_own_site_may_read_the_answers(shop, globex):
    ours, theirs = key_client(shop), key_client(globex)
    origin = {"Origin": "https://shop.acme.example"}
    answer = ours.get("/api/v1/me", headers=origin)
    assert answer["Access-Control-Allow-Origin"] == "https://shop.acme.example"
    assert "RateLimit-Remaining" in answer["Access-Control-Expose-Headers"]
    assert "Origin" in answer["Vary"]
    assert "Access-Control-Allow-Credentials" not in answer
    assert "Access-Control-Allow-Origin" not in theirs.get("/api/v1/me", headers=origin)
    for foreign in ("https://shop.acme.example.evil.example", "null", "https://other.example", "*"):
        assert "Access-Control-Allow-Origin" not in ours.get("/api/v1/me", headers={"Origin": foreign})


def test_a_preflight_needs_no_credential_and_gives_none(shop, stranger):
    asks = {
        "Origin": "https://shop.acme.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    answer = stranger.options("/api/v1/conversations", headers=asks)
    assert answer.status_code == 204
    assert answer["Access-Control-Allow-Origin"] == "https://shop.acme.example"
    assert "Authorization" in answer["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer
    assert "Access-Control-Allow-Origin" not in stranger.options("/app/", headers=asks)
    assert "Access-Control-Allow-Origin" not in stranger.options("/hooks/acme/x", headers=asks)


def test_metrics_are_not_for_strangers(stranger, db, settings):
    assert stranger.get("/metrics").status_code == 200
    assert stranger.get("/metrics", REMOTE_ADDR="203.0.113.9").status_code == 404
    assert stranger.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 404
    settings.TRUSTED_PROXY_COUNT = 1
    assert stranger.get("/metrics").status_code == 404
    settings.METRICS_TOKEN = "prometheus"
    assert stranger.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 404
    assert stranger.get("/metrics", headers={"Authorization": "Bearer prometheus"}).status_code == 200


PRODUCTION = """
import django
django.setup()
from django.test import Client
page = Client(headers={"X-Forwarded-Proto": "https", "Host": "app.example"}).get("/healthz", secure=%s)
print(page.status_code, page.headers.get("Strict-Transport-Security"), page.headers.get("Location"))
page = Client(headers={"X-Forwarded-Proto": "https", "Host": "app.example"}).get("%s")
print(page.status_code, page.headers.get("Strict-Transport-Security"), page.headers.get("Location"))
from django.conf import settings
print(settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME, settings.CSRF_TRUSTED_ORIGINS)
print(settings.SESSION_COOKIE_SECURE, settings.CSRF_COOKIE_SECURE, settings.SESSION_COOKIE_HTTPONLY)
"""


def production(path: str = "/nothing", **variables: str) -> list[str]:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "aiaas.settings.production",
        "SECRET_KEY": "p" * 60,
        "ALLOWED_HOSTS": "app.example",
        "PUBLIC_URL": "https://app.example",
        "LOG_LEVEL": "ERROR",
        **variables,
    }
    done = subprocess.run(
        [sys.executable, "-c", PRODUCTION % ("False", path)],
        env=environment,
        cwd=django_settings.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-4:]


def test_behind_tls_cookies_are_bound_to_the_host_and_browsers_told_to_stay():
    health, page, names, flags = production()
    assert health.startswith("200 max-age=31536000; includeSubDomains")
    assert page.startswith("404 max-age=31536000; includeSubDomains")
    assert names == "__Host-session __Host-csrf ['https://app.example']"
    assert flags == "True True True"


def test_without_a_proxy_nobody_is_believed_to_be_encrypted():
    _, page, *_ = production(BEHIND_TLS_PROXY="false")
    assert page == "301 None https://app.example/nothing"

"""The door of the dashboard, seen through a page of its own making."""

import pytest
from django.contrib.auth import get_user_model
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path

from apps.resilience.errors import ConflictError
from apps.tenants.context import current_tenant
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.dashboard import MemberRequest, member_page
from apps.tenants.services import add_member
from tests.pages import log_in, member_of


@member_page(read="read:orders", write="write:orders")
def door(request: MemberRequest) -> HttpResponse:
    if "refuse" in request.POST:
        raise ConflictError("It was shipped.")
    tenant = current_tenant()
    return HttpResponse(f"{tenant.slug if tenant else None} {request.principal.roles[0]}")


urlpatterns = [path("app/door/", door), path("", include("aiaas.urls"))]
pytestmark = pytest.mark.urls(__name__)


def test_a_member_is_served_their_tenant(acme: TenantRef, globex: TenantRef):
    assert log_in(acme, Role.VIEWER).get("/app/door/").content == b"acme viewer"
    assert log_in(globex).post("/app/door/").content == b"globex owner"


def test_a_role_without_the_permission_is_told(acme: TenantRef):
    answer = log_in(acme, Role.VIEWER).post("/app/door/")
    assert answer.status_code == 403
    assert b"Your role here is viewer" in answer.content


def test_a_stranger_comes_back_after_the_login(db: None):
    answer = Client().get("/app/door/?page=2")
    assert answer.headers["Location"] == "/accounts/login/?next=/app/door/%3Fpage%3D2"
    partial = Client(headers={"HX-Request": "true", "HX-Current-URL": "http://a/app/door/"}).get("/app/door/")
    assert (partial.status_code, partial.headers["HX-Redirect"]) == (204, "/accounts/login/?next=/app/door/")


def test_a_member_of_two_chooses(acme: TenantRef, globex: TenantRef):
    email = member_of(acme)
    add_member(tenant=globex, email=email, role=Role.AGENT)
    client = Client()
    client.force_login(
        get_user_model().objects.get(email=email), "allauth.account.auth_backends.AuthenticationBackend"
    )
    assert client.post("/app/choose-tenant/", {"tenant": "globex"}).status_code == 302
    assert client.get("/app/door/").content == b"globex agent"
    assert client.post("/app/choose-tenant/", {"tenant": "acme"}).status_code == 302
    assert client.get("/app/door/").content == b"acme owner"


def test_nobody_chooses_what_is_not_theirs(acme: TenantRef, globex: TenantRef):
    client = log_in(acme)
    assert client.post("/app/choose-tenant/", {"tenant": "globex"}).status_code == 404
    assert client.get("/app/door/").content == b"acme owner"


def test_a_forged_visit_of_staff_is_ignored(acme: TenantRef, globex: TenantRef):
    client = log_in(acme)
    session = client.session
    session["acting"] = {"tenant": "globex", "role": "owner", "until": "2999-01-01T00:00:00+00:00"}
    session.save()
    assert client.get("/app/door/").content == b"acme owner"


def test_a_refusal_is_a_page_or_a_notice(acme: TenantRef):
    client = log_in(acme)
    page = client.post("/app/door/", {"refuse": "1"})
    assert page.status_code == 409
    assert b"<h1>Conflict</h1>" in page.content
    part = client.post("/app/door/", {"refuse": "1"}, headers={"HX-Request": "true"})
    assert part.status_code == 409
    assert b"It was shipped." in part.content
    assert b"<html" not in part.content


def test_pages_have_a_strict_policy(acme: TenantRef):
    policy = log_in(acme).get("/app/door/").headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy

"""Log in, out and reset: wrong words at their field, limits that hold, links that lead to us alone."""

import re

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.cache import cache
from django.test import Client

from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import list_memberships
from apps.tenants.services import add_member
from tests.pages import PASSWORD, log_in, member_of

pytestmark = pytest.mark.usefixtures("valkey")
LOGIN, RESET = "/accounts/login/", "/accounts/password/reset/"
DEAD = {"default": {"BACKEND": "apps.resilience.cache.SteadyCache", "LOCATION": "redis://127.0.0.1:1"}}


@pytest.fixture(autouse=True)
def _fresh_limits(valkey: object):
    cache.clear()


@pytest.mark.parametrize(
    ("login", "password", "says"),
    [
        ("", "x", "required"),
        ("a@b.example", "", "required"),
        ("nobody", "x", "valid email"),
        ("a\x00@b.example", "x", "valid email"),
        ("a@b.example", "wrong", "not correct"),
        ("x" * 5000 + "@b.example", "x", "at most"),
    ],
)
def test_wrong_words_at_the_log_in(acme: TenantRef, login: str, password: str, says: str):
    client = Client()
    answer = client.post(LOGIN, {"login": login, "password": password})
    assert answer.status_code == 200
    assert says in answer.content.decode()
    assert client.get("/app/").status_code == 302


def test_in_and_out(acme: TenantRef):
    client = Client()
    answer = client.post(LOGIN, {"login": member_of(acme).upper(), "password": PASSWORD})
    assert answer.headers["Location"] == "/app/"
    assert client.get("/accounts/logout/").status_code == 200, "a link logs nobody out"
    assert client.get("/app/profile/").status_code == 200
    client.post("/accounts/logout/")
    assert client.get("/app/profile/").status_code == 302


def test_a_log_in_leads_nowhere_else(acme: TenantRef):
    there = {"login": member_of(acme), "password": PASSWORD, "next": "https://evil.example/"}
    assert Client().post(LOGIN, there).headers["Location"] == "/app/"


def test_a_guessers_attempts_are_limited_whatever_the_proxy_says(acme: TenantRef):
    email, client = member_of(acme), Client()
    for number in range(6):
        forged = {"X-Forwarded-For": f"198.51.100.{number}"}
        answer = client.post(LOGIN, {"login": email, "password": "wrong"}, headers=forged)
    assert "Too many failed" in answer.content.decode()
    assert "Too many" in client.post(LOGIN, {"login": email, "password": PASSWORD}).content.decode()


@pytest.mark.parametrize("path", [RESET, "/accounts/signup/"])
def test_a_flood_is_told_to_wait_on_a_page_of_ours(acme: TenantRef, path: str):
    client = Client()
    answers = [client.post(path, {"email": "nobody@x.example"}) for _ in range(25)]
    assert answers[-1].status_code == 429
    assert "Too many attempts" in answers[-1].content.decode()
    assert "dashboard.css" in answers[-1].content.decode()


def test_logging_in_works_and_is_limited_while_valkey_is_away(acme: TenantRef, settings):
    settings.CACHES = DEAD
    email, client = member_of(acme), Client()
    for _ in range(6):
        answer = client.post(LOGIN, {"login": email, "password": "wrong"})
    assert "Too many failed" in answer.content.decode()
    other = Client(REMOTE_ADDR="203.0.113.9")
    assert other.post(LOGIN, {"login": member_of(acme), "password": PASSWORD}).status_code == 302


@pytest.mark.parametrize(("email", "says"), [("", "required"), ("nobody", "valid email")])
def test_wrong_words_at_the_reset(db: None, email: str, says: str):
    assert says in Client().post(RESET, {"email": email}).content.decode()
    assert not mail.outbox


def test_a_reset_tells_a_stranger_nothing(acme: TenantRef):
    known, unknown = (Client().post(RESET, {"email": e}) for e in (member_of(acme), "no@x.example"))
    assert known.headers["Location"] == unknown.headers["Location"]
    assert [message.subject for message in mail.outbox] == [
        "Choose a new password",
        "There is no account with this address",
    ]
    assert f"{django_settings.PUBLIC_URL}/accounts/signup/" in mail.outbox[1].body


def test_a_new_password_by_a_link_that_works_once_and_ends_other_sessions(acme: TenantRef):
    elsewhere = log_in(acme)
    email = get_user_model().objects.get(id=elsewhere.session["_auth_user_id"]).email
    client = Client(headers={"Host": "evil.example"})
    client.post(RESET, {"email": email})
    link = re.search(r"http\S+", mail.outbox[0].body)[0]
    assert link.startswith(f"{django_settings.PUBLIC_URL}/accounts/password/reset/key/")
    path = link.removeprefix(django_settings.PUBLIC_URL)
    form = client.get(path).headers["Location"]
    assert "at least 8" in client.post(form, {"password1": "short", "password2": "short"}).content.decode()
    new = {"password1": "another long one", "password2": "another long one"}
    assert "errorlist" in client.post(form, {**new, "password2": "different"}).content.decode()
    assert client.post(form, new).status_code == 302
    assert elsewhere.get("/app/profile/").status_code == 302
    assert "was used or has expired" in Client().get(path, follow=True).content.decode()
    assert Client().post(LOGIN, {"login": email, "password": "another long one"}).status_code == 302


def test_a_person_in_two_companies_switches_between_them_and_to_no_other(acme: TenantRef, globex: TenantRef):
    client = log_in(acme)
    user = get_user_model().objects.get(id=client.session["_auth_user_id"])
    add_member(tenant=globex, email=user.email, role="viewer")
    assert len(list_memberships(user_id=user.id)) == 2
    assert client.post("/app/choose-tenant/", {"tenant": globex.slug}).status_code == 302
    assert "<h1" in client.get("/app/team/").content.decode()
    assert client.post("/app/team/", {"email": "a@b.example", "role": "agent"}).status_code == 403
    assert client.post("/app/choose-tenant/", {"tenant": "nowhere"}).status_code == 404
    assert client.post("/app/choose-tenant/", {"tenant": acme.slug}).status_code == 302
    assert client.post("/app/team/", {"email": "a@b.example", "role": "agent"}).status_code == 302

"""Second factors: set up, shown, lost; each code once, guesses limited, no way around them."""

import json
import re

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import get_resolver

from apps.gateway import families
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.secrets import present_prefix
from tests.accounts.factors import (
    BASE,
    ORIGIN,
    PRESENT,
    Passkey,
    code_of,
    confirm,
    options_of,
    set_up_app,
    set_up_passkey,
)
from tests.accounts.test_log_in import DEAD, LOGIN
from tests.isolation.test_pages import patterns
from tests.pages import PASSWORD, log_in, member_of

pytestmark = pytest.mark.usefixtures("valkey")


@pytest.fixture(autouse=True)
def _fresh(valkey: object, settings):
    cache.clear()
    settings.PUBLIC_URL = ORIGIN


def email_of(client: Client) -> str:
    return get_user_model().objects.get(id=client.session["_auth_user_id"]).email


def first_step(email: str) -> Client:
    client = Client(headers={"Accept": "text/html"})
    answer = client.post(LOGIN, {"login": email, "password": PASSWORD})
    assert answer.headers["Location"] == f"{BASE}log-in/"
    assert client.get("/app/profile/").status_code == 302, "the password alone opens nothing"
    return client


def second_step(client: Client, code: str) -> bool:
    return client.post(f"{BASE}log-in/", {"code": code}).status_code == 302


def token(email: str, **also: str):
    given = {"email": email, "password": PASSWORD, **also}
    return Client().post("/api/v1/auth/token", given, content_type="application/json")


def codes_on(page: str) -> list[str]:
    return re.search(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)[1].replace("&#10;", "\n").split()


def test_an_app_is_set_up_and_asked_for_at_the_log_in(acme: TenantRef):
    owner = log_in(acme)
    email = email_of(owner)
    assert "reauthenticate" in owner.get(f"{BASE}app/add/").headers["Location"], (
        "the password is asked for again"
    )
    secret = set_up_app(owner)
    client = first_step(email)
    assert not second_step(client, "000000")
    assert second_step(client, code_of(secret))
    assert client.get("/app/profile/").status_code == 200


def test_a_code_works_once_even_while_valkey_is_away(acme: TenantRef, settings):
    settings.CACHES = DEAD
    owner = log_in(acme)
    email, secret = email_of(owner), set_up_app(owner)
    code = code_of(secret)
    assert second_step(first_step(email), code)
    assert not second_step(first_step(email), code), "replayed"
    assert not second_step(first_step(email), code_of(secret, steps=-1)), "older than one that was used"


def test_the_code_that_set_it_up_logs_nobody_in(acme: TenantRef):
    owner = log_in(acme)
    secret = set_up_app(owner, steps=0)
    assert not second_step(first_step(email_of(owner)), code_of(secret))


def test_guesses_are_limited_over_pages_and_api_together(acme: TenantRef):
    owner = log_in(acme)
    email, secret = email_of(owner), set_up_app(owner)
    client = first_step(email)
    for _ in range(3):
        assert not second_step(client, "000000")
    assert [token(email, otp="000000").status_code for _ in range(3)] == [401, 401, 429]
    limited = token(email, otp=code_of(secret))
    assert limited.status_code == 429
    assert limited.headers["Retry-After"]
    assert not second_step(client, code_of(secret))


def test_the_api_is_no_way_around_it(acme: TenantRef):
    owner = log_in(acme)
    email = email_of(owner)
    assert token(email).status_code == 200
    secret = set_up_app(owner)
    missing = token(email)
    assert missing.status_code == 401
    assert missing.headers["Content-Type"] == "application/problem+json"
    assert missing.json()["type"] == "urn:aiaas:problem:second-factor-required"
    assert "`otp`" in missing.json()["detail"]
    assert token(email, otp="123").status_code == 401
    code = code_of(secret)
    assert token(email, otp=code).status_code == 200
    assert token(email, otp=code).status_code == 401, "replayed"
    assert token(email, password="wrong", otp=code_of(secret, steps=1)).json()["title"] == "Login refused"


def test_secrets_rest_encrypted(acme: TenantRef):
    secret = set_up_app(log_in(acme))
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(data::text, ' ') FROM mfa_authenticator")
        stored = cursor.fetchone()[0]
    assert secret not in stored
    assert stored.count(present_prefix()) == 2, "the app's key and the recovery codes' seed"


def test_recovery_codes_are_shown_once_and_work_once(acme: TenantRef):
    owner = log_in(acme)
    email = email_of(owner)
    set_up_app(owner)
    codes = codes_on(owner.get(f"{BASE}recovery-codes/").content.decode())
    assert len(codes) == 10
    again = owner.get(f"{BASE}recovery-codes/").content.decode()
    assert not any(code in again for code in codes)
    assert second_step(first_step(email), codes[0])
    assert not second_step(first_step(email), codes[0])
    assert token(email, otp=codes[1]).status_code == 200
    owner.post(f"{BASE}recovery-codes/new/")
    assert not second_step(first_step(email), codes[2]), "new codes end the old ones"
    assert second_step(first_step(email), codes_on(owner.get(f"{BASE}recovery-codes/").content.decode())[0])


def test_removing_it_asks_for_the_factor_and_not_for_the_password(acme: TenantRef, monkeypatch):
    owner = log_in(acme)
    email, secret = email_of(owner), set_up_app(owner)
    client = first_step(email)
    assert second_step(client, code_of(secret))
    asked = client.post(f"{BASE}app/remove/")
    assert asked.headers["Location"].startswith(f"{BASE}confirm/")
    by_password = client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    assert by_password.headers["Location"].startswith(f"{BASE}confirm/")
    assert client.post(f"{BASE}app/remove/").headers["Location"].startswith(f"{BASE}confirm/")
    assert client.post(f"{BASE}confirm/", {"code": code_of(secret, steps=1)}).status_code == 302
    assert client.post(f"{BASE}app/remove/").status_code == 302
    assert not Authenticator.objects.filter(user__email=email).exists(), "its recovery codes end with it"
    assert Client().post(LOGIN, {"login": email, "password": PASSWORD}).headers["Location"] == "/app/"


def test_a_passkey_is_added_renamed_used_and_removed(acme: TenantRef):
    owner = log_in(acme)
    email, passkey = email_of(owner), set_up_passkey(owner)
    assert mail.outbox[-1].to == [email], "the person is told"
    page = owner.get(BASE).content.decode()
    assert "Laptop" in page
    own = Authenticator.objects.get(user__email=email, type="webauthn")
    assert owner.post(f"{BASE}passkeys/{own.pk}/rename/", {"name": "Desk"}).status_code == 302
    assert "Desk" in owner.get(BASE).content.decode()
    client = first_step(email)
    options = options_of(client.get(f"{BASE}log-in/").content.decode())
    signed = json.dumps(passkey.sign(options))
    assert client.post(f"{BASE}log-in/", {"credential": signed}).status_code == 302
    assert client.get("/app/profile/").status_code == 200
    replay = first_step(email)
    replay.get(f"{BASE}log-in/")
    assert replay.post(f"{BASE}log-in/", {"credential": signed}).status_code == 200, "an answer works once"
    assert owner.post(f"{BASE}passkeys/{own.pk}/remove/").status_code == 302
    assert not Authenticator.objects.filter(user__email=email).exists()


def passkey_login(client: Client, passkey: Passkey):
    options = client.get(f"{BASE}passkeys/log-in/", headers={"Accept": "application/json"}).json()
    return client.post(f"{BASE}passkeys/log-in/", {"credential": json.dumps(passkey.sign(options))})


def test_a_passkey_logs_in_alone_and_counts_as_both_steps(acme: TenantRef):
    passkey, client = set_up_passkey(log_in(acme)), Client(headers={"Accept": "text/html"})
    assert passkey_login(client, passkey).headers["Location"] == "/app/"
    assert client.get("/app/profile/").status_code == 200


@pytest.mark.parametrize("wrong", ["origin", "host", "not verified", "another key", "another person"])
def test_a_passkey_that_is_not_right_opens_nothing(acme: TenantRef, wrong: str):
    passkey, client = set_up_passkey(log_in(acme)), Client(headers={"Accept": "text/html"})
    if wrong == "origin":
        passkey.origin = "http://evil.example"
    elif wrong == "host":
        passkey.host = "evil.example"
    elif wrong == "not verified":
        passkey.flags = PRESENT
    elif wrong == "another key":
        passkey.key = Passkey().key
    else:
        passkey.user_handle = set_up_passkey(log_in(acme)).user_handle
    assert passkey_login(client, passkey).headers["Location"] == "/accounts/login/"
    assert client.get("/app/profile/").status_code == 302


@pytest.mark.parametrize(
    "sent", ["", "x", "[]", "{}", "1", '{"id": 5}', '{"response": []}', '{"rawId": "AA"}', "\x00"]
)
def test_what_no_browser_sends_is_a_wrong_passkey(acme: TenantRef, sent: str):
    client, owner = Client(), log_in(acme)
    set_up_passkey(owner)
    client.get(f"{BASE}passkeys/log-in/", headers={"Accept": "application/json"})
    assert (
        client.post(f"{BASE}passkeys/log-in/", {"credential": sent}).headers["Location"] == "/accounts/login/"
    )
    step = first_step(email_of(owner))
    step.get(f"{BASE}log-in/")
    assert step.post(f"{BASE}log-in/", {"credential": sent}).status_code == 200
    assert owner.post(f"{BASE}passkeys/add/", {"credential": sent, "name": "x"}).status_code == 200
    assert owner.post(f"{BASE}passkeys/confirm/", {"credential": sent}).status_code == 302


@pytest.mark.parametrize("code", ["", "x" * 100, "a\x00b", "١٢٣٤٥٦", "💩"])
def test_what_is_no_code_is_told_at_its_field(acme: TenantRef, code: str):
    owner = log_in(acme)
    set_up_app(owner)
    answer = first_step(email_of(owner)).post(f"{BASE}log-in/", {"code": code})
    assert answer.status_code == 200
    assert "errorlist" in answer.content.decode()


def test_one_persons_factors_are_nobody_elses(acme: TenantRef, globex: TenantRef):
    set_up_passkey(log_in(acme))
    own = Authenticator.objects.get(type="webauthn")
    stranger = log_in(globex)
    confirm(stranger)
    for action in ("rename", "remove"):
        assert stranger.get(f"{BASE}passkeys/{own.pk}/{action}/").status_code == 404
        assert stranger.post(f"{BASE}passkeys/{own.pk}/{action}/", {"name": "x"}).status_code == 404


def test_nobody_locks_an_address_that_is_not_proved(acme: TenantRef):
    owner = log_in(acme)
    user = get_user_model().objects.get(id=owner.session["_auth_user_id"])
    user.emailaddress_set.update(verified=False)
    confirm(owner)
    for page in ("app/add/", "passkeys/add/"):
        assert owner.get(f"{BASE}{page}").headers["Location"] == BASE


def require(client: Client, on: bool = True):
    return client.post("/app/settings/second-step/", {"required": "yes"} if on else {})


def test_a_company_asks_its_members_for_a_second_step(acme: TenantRef, globex: TenantRef):
    owner, agent = log_in(acme), log_in(acme, Role.AGENT)
    stale = token(email_of(agent)).json()
    bearer = Client(headers={"Authorization": f"Bearer {stale['access']}"})
    assert bearer.get("/api/v1/me").status_code == 200
    assert require(owner).headers["Location"] == BASE, "who asks for it has one"
    assert agent.get("/app/profile/").status_code == 200
    set_up_app(owner)
    assert require(owner).headers["Location"] == "/app/settings/"
    assert owner.get("/app/settings/").status_code == 200, "the session that set it up has shown it"
    assert agent.get("/app/profile/").headers["Location"] == BASE, "with the next click"
    assert "Acme asks for a second step" in agent.get(BASE).content.decode()
    families.forget_all()  # a second has passed
    refused = bearer.get("/api/v1/me")
    assert refused.status_code == 401
    assert "requires a second factor" in refused.json()["detail"]
    renewed = Client().post(
        "/api/v1/auth/token/refresh", {"refresh": stale["refresh"]}, content_type="application/json"
    )
    assert renewed.status_code == 401
    assert token(email_of(agent)).status_code == 403
    secret = set_up_app(agent)
    assert agent.get("/app/profile/").status_code == 200
    families.forget_all()
    assert bearer.get("/api/v1/me").status_code == 401, "a token from before has shown nothing"
    fresh = token(email_of(agent), otp=code_of(secret)).json()["access"]
    assert Client(headers={"Authorization": f"Bearer {fresh}"}).get("/api/v1/me").status_code == 200
    assert log_in(globex).get("/app/profile/").status_code == 200, "another company asks for nothing"
    page = owner.get("/app/audit/").content.decode()
    assert "requires_mfa" in page
    assert require(owner, on=False).status_code == 302
    assert log_in(acme, Role.AGENT).get("/app/profile/").status_code == 200


def test_a_session_from_before_shows_the_factor_that_the_person_has(acme: TenantRef):
    owner = log_in(acme)
    secret = set_up_app(owner)
    require(owner)
    other = Client(headers={"Accept": "text/html"})
    other.force_login(
        get_user_model().objects.get(email=email_of(owner)),
        "allauth.account.auth_backends.AuthenticationBackend",
    )
    assert other.get("/app/profile/").headers["Location"] == f"{BASE}confirm/"
    assert other.post(f"{BASE}confirm/", {"code": code_of(secret)}).status_code == 302
    assert other.get("/app/profile/").status_code == 200


@pytest.mark.parametrize("role", [Role.ADMIN, Role.AGENT, Role.VIEWER])
def test_only_an_owner_decides_about_it(acme: TenantRef, role: Role):
    member = log_in(acme, role)
    set_up_app(member)
    assert require(member).status_code == 403
    assert log_in(acme).get("/app/profile/").status_code == 200


def test_staff_show_a_second_factor(live_db, acme: TenantRef, settings):
    settings.STAFF_REQUIRES_MFA = True
    user = get_user_model().objects.create_superuser("staff@platform.example", PASSWORD)
    client = Client(headers={"Accept": "text/html"})
    client.post(LOGIN, {"login": user.email, "password": PASSWORD})
    assert client.get("/admin/").headers["Location"] == BASE, "it is set up at the first log-in"
    session = client.session
    session["acting"] = {"tenant": "acme", "role": "viewer", "until": "2999-01-01T00:00:00+00:00"}
    session.save()
    assert client.get("/app/team/").headers["Location"] == BASE, "visits as well"
    secret = set_up_app(client)
    assert client.get("/admin/").status_code == 200
    assert client.get("/app/team/").status_code == 200
    again = first_step(user.email)
    assert second_step(again, code_of(secret))
    assert again.get("/admin/").status_code == 200
    user.refresh_from_db()
    user.is_staff = user.is_superuser = False
    user.save()
    assert again.get("/admin/").headers["Location"].startswith("/admin/login/")


def admin_routes() -> list[str]:
    """Return every address of the admin but where staff log in and out, with some id in it."""
    routes = [route for route, _ in patterns(get_resolver().url_patterns) if route.startswith("admin/")]
    filled = {re.sub(r"<[^>]+>", "1", route) for route in routes if "(?P" not in route}
    return sorted(filled - {"admin/login/"})


def test_no_address_of_the_admin_is_open_without_it(live_db, settings):
    settings.STAFF_REQUIRES_MFA = True
    user = get_user_model().objects.create_superuser("staff@platform.example", PASSWORD)
    client = Client(headers={"Accept": "text/html"})
    client.force_login(user, "allauth.account.auth_backends.AuthenticationBackend")
    routes = admin_routes()
    assert len(routes) > 30
    answers = {route: client.get(f"/{route}").headers.get("Location") for route in routes}
    assert {route: there for route, there in answers.items() if there != BASE} == {}


def test_a_member_without_a_factor_logs_in_as_before(acme: TenantRef):
    answer = Client().post(LOGIN, {"login": member_of(acme), "password": PASSWORD})
    assert answer.headers["Location"] == "/app/"


def test_an_operator_lets_in_who_has_lost_every_factor(acme: TenantRef):
    owner = log_in(acme)
    set_up_app(owner)
    call_command("remove_second_factors", email_of(owner))
    answer = Client().post(LOGIN, {"login": email_of(owner), "password": PASSWORD})
    assert answer.headers["Location"] == "/app/"
    with pytest.raises(CommandError, match="Nobody logs in"):
        call_command("remove_second_factors", "nobody@x.example")

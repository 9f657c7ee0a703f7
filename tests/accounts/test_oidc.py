"""Log-in through another provider: what is believed, whom it lets in, and what a liar gets."""

import html
import re
from urllib.parse import urlsplit

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from aiaas.settings.sign_ins import build_providers
from apps.accounts import services
from apps.tenants.contracts import TenantRef
from apps.tenants.services import add_member
from tests.accounts.factors import BASE, code_of, confirm, set_up_app
from tests.accounts.oidc_server import CLIENT_ID, CLIENT_SECRET, STRANGERS_KEY, Provider, question_of, serving
from tests.pages import PASSWORD, log_in, member_of

pytestmark = pytest.mark.usefixtures("valkey")
SIGN_UP = "/accounts/connections/sign-up/"
ENTRY = {"id": "corp", "name": "Corp", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}


@pytest.fixture
def provider(settings, valkey: object):
    cache.clear()
    with serving() as provider:
        configure(settings, provider, trusts_email=True)
        yield provider


def configure(settings, provider: Provider, *, trusts_email: bool) -> None:
    entry = {**ENTRY, "issuer": provider.url, "trusts_email": trusts_email}
    settings.SOCIALACCOUNT_PROVIDERS = build_providers([entry])


def go(client: Client, provider: Provider, *, process: str = "login", **changes: str):
    """Go to the provider, log in there and come back."""
    page = client.post(f"/accounts/oidc/corp/login/?process={process}").content.decode()
    there = html.unescape(re.search(r'url=(http[^"]+)"', page)[1])
    back = urlsplit(provider.authorize(question_of(there) | changes))
    return client.get(f"{back.path}?{back.query}")


def person(email: str):
    return get_user_model().objects.get(email=email)


def stranger() -> Client:
    return Client(headers={"Accept": "text/html"})


def is_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_without_configuration_there_is_no_other_log_in(db: None):
    page = Client().get("/accounts/login/").content.decode()
    assert "Other ways to log in" not in page
    assert Client().post("/accounts/oidc/corp/login/").status_code == 404


def test_a_new_person_signs_up_and_gets_a_company(live_db, provider: Provider):
    client = stranger()
    assert "Go on with Corp" in client.get("/accounts/login/").content.decode()
    assert go(client, provider).headers["Location"] == SIGN_UP
    form = client.get(SIGN_UP).content.decode()
    assert "olga@corp.example" in form
    given = {"email": "other@corp.example", "company": "Olga's", "time_zone": "UTC"}
    assert client.post(SIGN_UP, {**given, "company": ""}).status_code == 200
    assert client.post(SIGN_UP, given).headers["Location"] == "/accounts/start/"
    services.sweep_due_sign_ups()
    assert client.get("/accounts/start/").headers["Location"] == "/app/first-steps/"
    user = person("olga@corp.example")
    assert EmailAddress.objects.get(user=user).verified
    assert not user.has_usable_password()
    assert not mail.outbox, "a trusted provider has proved the address"
    again = stranger()
    assert go(again, provider).headers["Location"] == "/app/"
    assert is_in(again)


@pytest.mark.parametrize("case", ["provider is not trusted", "not verified there"])
def test_an_address_that_nobody_vouches_for_is_proved_by_mail(db, provider, settings, case: str):
    if case == "provider is not trusted":
        configure(settings, provider, trusts_email=False)
    else:
        provider.person["email_verified"] = "true"  # a word is no proof
    client = stranger()
    go(client, provider)
    client.post(SIGN_UP, {"company": "Olga's", "time_zone": "UTC"})
    assert not EmailAddress.objects.get(email="olga@corp.example").verified
    assert "Verify" in mail.outbox[0].subject


def test_a_trusted_provider_lets_in_whom_it_and_we_have_verified(acme: TenantRef, provider: Provider):
    add_member(tenant=acme, email="olga@corp.example", role="agent", password=PASSWORD)
    client = stranger()
    assert go(client, provider).headers["Location"] == "/app/"
    assert client.get("/app/profile/").status_code == 200
    assert person("olga@corp.example").check_password(PASSWORD)
    assert mail.outbox[-1].to == ["olga@corp.example"], "nothing happens silently"


@pytest.mark.parametrize("case", ["not trusted", "not verified there", "not verified here"])
def test_a_stranger_gets_into_no_account_by_its_address(acme, provider, settings, case: str):
    add_member(tenant=acme, email="olga@corp.example", role="agent", password=PASSWORD)
    if case == "not trusted":
        configure(settings, provider, trusts_email=False)
    elif case == "not verified there":
        provider.person["email_verified"] = False
    else:
        EmailAddress.objects.update(verified=False)
    client = stranger()
    answer = go(client, provider)
    assert answer.headers["Location"] == "/accounts/login/"
    assert "There is an account with this address" in client.get("/accounts/login/").content.decode()
    assert not is_in(client)
    assert not SocialAccount.objects.exists()


def test_a_second_factor_is_asked_for_all_the_same(acme: TenantRef, provider: Provider):
    add_member(tenant=acme, email="olga@corp.example", role="agent", password=PASSWORD)
    own = stranger()
    own.force_login(person("olga@corp.example"), "allauth.account.auth_backends.AuthenticationBackend")
    secret = set_up_app(own)
    client = stranger()
    assert go(client, provider).headers["Location"] == f"{BASE}log-in/"
    assert not is_in(client)
    assert client.post(f"{BASE}log-in/", {"code": code_of(secret)}).status_code == 302
    assert is_in(client)


LIES = {
    "another nonce": {"lies": {"nonce": "0" * 64}},
    "no nonce": {"lies": {"nonce": None}},
    "another issuer": {"lies": {"iss": "http://127.0.0.1:9"}},
    "another audience": {"lies": {"aud": "somebody"}},
    "meant for another": {"lies": {"aud": [CLIENT_ID, "x"], "azp": "x"}},
    "expired": {"lies": {"exp": 1}},
    "no subject": {"lies": {"sub": None}},
    "another key": {"key": STRANGERS_KEY},
    "an unknown key": {"kid": "k9"},
    "no key id, several algorithms": {"key": "x" * 64, "algorithm": "HS256"},
    "unsigned": {"key": None, "algorithm": "none"},
    "another issuer discovered": {"issuer": "http://127.0.0.1:9"},
    "userinfo of somebody else": {
        "in_token": False,
        "userinfo": {"sub": "p-2", "email": "olga@corp.example"},
    },
}


@pytest.mark.parametrize("lie", sorted(LIES))
def test_a_lie_is_refused(db: None, provider: Provider, lie: str):
    client = stranger()
    page = client.post("/accounts/oidc/corp/login/").content.decode()
    there = html.unescape(re.search(r'url=(http[^"]+)"', page)[1])
    for name, value in LIES[lie].items():
        setattr(provider, name, value)
    back = urlsplit(provider.authorize(question_of(there)))
    answer = client.get(f"{back.path}?{back.query}")
    assert answer.status_code in (401, 502)
    assert "did not work" in answer.content.decode()
    assert client.get(SIGN_UP).headers["Location"] == "/accounts/login/"
    assert not is_in(client)


def test_the_userinfo_of_the_same_person_is_believed(db: None, provider: Provider):
    provider.in_token = False
    client = stranger()
    assert go(client, provider).headers["Location"] == SIGN_UP


def test_what_comes_back_belongs_to_this_browser_and_comes_once(db: None, provider: Provider):
    client = stranger()
    page = client.post("/accounts/oidc/corp/login/").content.decode()
    back = urlsplit(provider.authorize(question_of(html.unescape(re.search(r'url=(http[^"]+)"', page)[1]))))
    path = f"{back.path}?{back.query}"
    assert stranger().get(path).status_code == 401, "another browser"
    assert client.get(path.replace("state=", "state=x")).status_code == 401
    assert client.get(path).headers["Location"] == SIGN_UP
    assert client.get(path).status_code == 401, "replayed"


def test_the_exchange_is_bound_by_pkce(db: None, provider: Provider):
    client = stranger()
    assert go(client, provider, code_challenge="0" * 43).status_code == 401


def test_a_link_starts_nothing_and_a_provider_that_is_away_says_so(db: None, provider: Provider, settings):
    assert stranger().get("/accounts/oidc/corp/login/").status_code == 405
    page = (
        stranger().post("/accounts/oidc/corp/login/?scope=admin&auth_params=prompt%3Dnone").content.decode()
    )
    asked = question_of(html.unescape(re.search(r'url=(http[^"]+)"', page)[1]))
    assert set(asked["scope"].split()) == {"openid", "profile", "email"}
    assert "prompt" not in asked
    entry = {**ENTRY, "issuer": "http://127.0.0.1:9"}
    settings.SOCIALACCOUNT_PROVIDERS = build_providers([entry])
    answer = stranger().post("/accounts/oidc/corp/login/")
    assert answer.status_code == 502
    assert "did not work" in answer.content.decode()
    cancelled = stranger().get("/accounts/oidc/corp/login/callback/?error=access_denied")
    assert cancelled.status_code == 401


def test_a_member_connects_and_disconnects(acme: TenantRef, provider: Provider):
    member = log_in(acme)
    confirm(member)
    assert go(member, provider, process="connect").headers["Location"] == "/accounts/connections/"
    assert "Corp" in member.get("/accounts/connections/").content.decode()
    other = stranger()
    assert go(other, provider).headers["Location"] == "/app/"
    assert other.session["_auth_user_id"] == member.session["_auth_user_id"]
    assert (
        log_in(acme).post("/accounts/connections/", {"account": SocialAccount.objects.get().pk}).status_code
        == 200
    )
    assert SocialAccount.objects.exists(), "somebody else's"
    account = SocialAccount.objects.get()
    assert member.post("/accounts/connections/", {"account": account.pk}).status_code == 302
    assert not SocialAccount.objects.exists()
    assert set(account.extra_data["userinfo"]) == {"sub", "email", "name"}


def test_nothing_is_connected_before_the_address_is_proved(acme: TenantRef, provider: Provider):
    member = log_in(acme)
    EmailAddress.objects.filter(user_id=member.session["_auth_user_id"]).update(verified=False)
    confirm(member)
    assert go(member, provider, process="connect").headers["Location"] == "/accounts/address/"
    assert not SocialAccount.objects.exists()


def test_the_only_way_in_is_not_disconnected(acme: TenantRef, provider: Provider):
    user = person(member_of(acme))
    SocialAccount.objects.create(user=user, provider="corp", uid="p-1")
    client = stranger()
    go(client, provider)
    user.set_unusable_password()
    user.save()
    client = stranger()
    go(client, provider)
    answer = client.post("/accounts/connections/", {"account": SocialAccount.objects.get().pk})
    assert "no password" in answer.content.decode()
    assert SocialAccount.objects.exists()


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({}, "JSON list"),
        (["x"], "JSON list"),
        ([{**ENTRY}], "missing"),
        ([{**ENTRY, "issuer": "https://x.example", "typo": 1}], "typo"),
        ([{**ENTRY, "issuer": "http://x.example"}], "https"),
        ([{**ENTRY, "issuer": "https://x.example", "id": "A B"}], "small letters"),
        ([{**ENTRY, "issuer": "https://x.example", "trusts_email": "yes"}], "trusts_email"),
        ([{**ENTRY, "issuer": "https://x.example"}] * 2, "id of its own"),
    ],
)
def test_a_wrong_configuration_stops_the_start(entries: object, says: str):
    with pytest.raises(ImproperlyConfigured, match=says):
        build_providers(entries)

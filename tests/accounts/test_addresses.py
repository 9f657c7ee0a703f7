"""An address counts once its mails were read: by nobody else, once, and not before."""

import datetime as dt
import re

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from apps.tenants import members
from apps.tenants.contracts import TenantRef
from tests.accounts.factors import confirm, set_up_app
from tests.accounts.test_log_in import LOGIN, RESET
from tests.accounts.test_sign_up import GOOD, sign_up
from tests.pages import PASSWORD, log_in, member_of

pytestmark = pytest.mark.usefixtures("valkey")


@pytest.fixture(autouse=True)
def _fresh_limits(valkey: object):
    cache.clear()


def user_of(client: Client):
    return get_user_model().objects.get(id=client.session["_auth_user_id"])


def unverified(tenant: TenantRef, **fields: object) -> Client:
    client = log_in(tenant)
    user = user_of(client)
    EmailAddress.objects.filter(user=user).update(verified=False)
    get_user_model().objects.filter(id=user.id).update(**fields)
    return client


def link_in(message: object) -> str:
    return re.search(r"http://localhost:8000(/accounts/address/\S+)", message.body)[1]


def is_verified(email: str) -> bool:
    return EmailAddress.objects.filter(email=email, user__email=email, verified=True, primary=True).exists()


def test_signing_up_asks_for_the_proof_and_the_link_gives_it_once(db: None):
    client, answer = sign_up()
    assert answer.headers["Location"] == "/accounts/start/", "one looks around at once"
    assert [m.to for m in mail.outbox] == [[GOOD["email"]]]
    assert not is_verified(GOOD["email"])
    link = link_in(mail.outbox[0])
    assert client.get(link).status_code == 200
    assert not is_verified(GOOD["email"]), "a scanner that opens the link proves nothing"
    assert client.post(link).status_code == 302
    assert is_verified(GOOD["email"])
    assert client.get(link).status_code == 404


def test_the_link_serves_only_the_account_that_asked(acme: TenantRef):
    owner = unverified(acme)
    email = user_of(owner).email
    owner.post("/accounts/address/resend/")
    link = link_in(mail.outbox[0])
    assert Client().post(link).headers["Location"].startswith(LOGIN)
    assert log_in(acme).post(link).status_code == 404
    forged = link[:-3] + "xyz/"
    assert owner.post(forged).status_code == 404
    assert not is_verified(email)
    assert owner.post(link).status_code == 302
    assert is_verified(email)


def test_mails_to_one_address_are_limited(acme: TenantRef):
    owner = unverified(acme)
    for _ in range(5):
        answer = owner.post("/accounts/address/resend/", follow=True)
    assert len(mail.outbox) == 3
    assert "Enough mails went to this address" in answer.content.decode()


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("/app/team/", {"email": "a@b.example", "role": "agent"}),
        ("/app/api-keys/", {"name": "k", "scopes": ["api:read"]}),
    ],
)
def test_nobody_acts_in_the_name_of_an_address_that_is_not_proved(
    acme: TenantRef, path: str, given: dict[str, object]
):
    owner = unverified(acme)
    assert owner.get(path).status_code == 200
    refused = owner.post(path, given)
    assert refused.status_code == 403
    assert "Verify your e-mail address first" in refused.content.decode()
    assert not mail.outbox
    EmailAddress.objects.filter(user=user_of(owner)).update(verified=True)
    assert owner.post(path, given).status_code == 302


def test_an_unproved_address_gets_no_tokens(acme: TenantRef, client: Client):
    email = member_of(acme)
    given = {"email": email, "password": PASSWORD}
    EmailAddress.objects.filter(email=email).update(verified=False)
    answer = client.post("/api/v1/auth/token", given, content_type="application/json")
    assert answer.status_code == 403
    assert "Verify your e-mail address" in answer.json()["detail"]
    EmailAddress.objects.filter(email=email).update(verified=True)
    assert client.post("/api/v1/auth/token", given, content_type="application/json").status_code == 200


def test_after_three_days_the_dashboard_waits_for_the_proof(acme: TenantRef):
    early = unverified(acme, created_at=timezone.now() - dt.timedelta(days=2))
    assert early.get("/app/team/").status_code == 200
    late = unverified(acme, created_at=timezone.now() - dt.timedelta(days=4))
    assert late.get("/app/team/").headers["Location"] == "/accounts/address/"
    fragment = late.get("/app/team/", headers={"HX-Request": "true"})
    assert (fragment.status_code, fragment.headers["HX-Redirect"]) == (204, "/accounts/address/")
    assert "Not verified" in late.get("/accounts/address/").content.decode()
    EmailAddress.objects.filter(user=user_of(late)).update(verified=True)
    assert late.get("/app/team/").status_code == 200


def test_a_new_address_counts_once_it_is_proved(acme: TenantRef):
    client = log_in(acme)
    former = user_of(client).email
    change = {"email": "New@Mail.example"}
    asked = client.post("/accounts/address/change/", change)
    assert "reauthenticate" in asked.headers["Location"], "whoever finds the screen open changes nothing"
    confirm(client)
    assert client.post("/accounts/address/change/", change).status_code == 302
    assert user_of(client).email == former
    assert not EmailAddress.objects.filter(email="new@mail.example").exists(), "nobody occupies an address"
    assert client.post(link_in(mail.outbox[-1])).status_code == 302
    assert user_of(client).email == "new@mail.example"
    assert is_verified("new@mail.example")
    assert mail.outbox[-1].to == [former], "the former address is told"
    assert Client().post(LOGIN, {"login": former, "password": PASSWORD}).status_code == 200
    assert Client().post(LOGIN, {"login": "new@mail.example", "password": PASSWORD}).status_code == 302


def test_whoever_has_a_second_factor_changes_the_address_as_well(acme: TenantRef):
    client = log_in(acme)
    set_up_app(client)
    client.post("/accounts/address/change/", {"email": "new@mail.example"})
    assert client.post(link_in(mail.outbox[-1])).status_code == 302
    assert user_of(client).email == "new@mail.example"


def test_an_address_of_somebody_else_is_not_told_apart(acme: TenantRef):
    client, taken = log_in(acme), member_of(acme)
    confirm(client)
    answers = [client.post("/accounts/address/change/", {"email": e}) for e in (taken, "free@x.example")]
    assert answers[0].headers["Location"] == answers[1].headers["Location"]
    assert [m.subject for m in mail.outbox] == [
        "This address has an account already",
        "Verify your e-mail address",
    ]
    assert "/accounts/address/prove/" not in mail.outbox[0].body


def test_an_address_that_is_taken_meanwhile_stays_with_who_has_it(acme: TenantRef):
    client = log_in(acme)
    confirm(client)
    client.post("/accounts/address/change/", {"email": "wanted@x.example"})
    get_user_model().objects.create(email="wanted@x.example")
    assert client.post(link_in(mail.outbox[0])).status_code == 409


@pytest.mark.parametrize("email", ["", "nobody", "a\x00@b.example", "x" * 300 + "@b.example"])
def test_a_wrong_address_is_told_at_its_field(acme: TenantRef, email: str):
    client = log_in(acme)
    confirm(client)
    answer = client.post("/accounts/address/change/", {"email": email})
    assert answer.status_code == 422
    assert "errorlist" in answer.content.decode()


def test_only_the_mailed_invitation_proves_the_address(acme: TenantRef):
    """An inviter sees a link as well: they must not make an account in somebody else's name with it."""
    for email, is_mailed in (("by@link.example", False), ("by@mail.example", True)):
        token = members.invite_member(tenant=acme, email=email, role="agent", actor="test")[1]
        token = members.sign_for_mailbox(token) if is_mailed else token
        joined = Client().post(f"/accounts/invitations/{token}/", {"name": "N", "password": PASSWORD})
        assert joined.status_code == 302
        assert is_verified(email) is is_mailed
    forged = Client().get(f"/accounts/invitations/{token}x/")
    assert forged.status_code == 404


def test_a_reset_proves_the_address(acme: TenantRef):
    email = user_of(unverified(acme)).email
    client = Client()
    client.post(RESET, {"email": email})
    path = re.search(r"http://localhost:8000(\S+)", mail.outbox[0].body)[1]
    new = {"password1": "another long one", "password2": "another long one"}
    assert client.post(client.get(path).headers["Location"], new).status_code == 302
    assert is_verified(email)


def test_whom_the_platform_makes_is_vouched_for(acme: TenantRef, monkeypatch: pytest.MonkeyPatch):
    assert is_verified(member_of(acme))
    boss = get_user_model().objects.create_superuser("boss@platform.example", "x")
    assert is_verified(boss.email)


def test_an_owner_from_the_command_line_may_act_at_once(live_db):
    call_command("create_tenant", "initech", owner="bill@initech.example")
    assert is_verified("bill@initech.example")


def test_a_mail_server_that_is_away_stops_no_sign_up(db: None, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    assert sign_up()[1].headers["Location"] == "/accounts/start/"


def test_the_dashboard_says_what_is_missing(acme: TenantRef):
    owner = unverified(acme)
    assert "open the link that we mail" in owner.get("/app/team/").content.decode()
    assert "open the link that we mail" not in log_in(acme).get("/app/team/").content.decode()

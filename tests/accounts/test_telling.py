"""Nobody learns at the doors whether an address has an account: not by words, not by the work behind."""

import re

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core import mail
from django.core.cache import cache
from django.test import Client

from apps.accounts.models import SignUp
from apps.tenants.contracts import TenantRef
from tests.accounts.test_addresses import is_verified
from tests.accounts.test_log_in import LOGIN, RESET
from tests.accounts.test_sign_up import GOOD
from tests.pages import member_of

pytestmark = pytest.mark.usefixtures("valkey")
SIGN_UP = "/accounts/signup/"


@pytest.fixture(autouse=True)
def _fresh_limits(valkey: object):
    cache.clear()


@pytest.fixture
def proof_first(settings) -> None:
    settings.SIGN_UP_NEEDS_PROOF = True


def wish(email: str) -> dict[str, str]:
    return {name: GOOD[name] for name in ("company", "time_zone")} | {"email": email}


def page_of(answer) -> tuple[int, str, str]:
    """What a browser shows at the end, without what differs each time."""
    text = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", answer.content.decode())
    return answer.status_code, answer.request["PATH_INFO"], text


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch):
    """Measure what costs time: hashes and mails."""
    hashed: list[str] = []
    real = MD5PasswordHasher.encode

    def encode(self, password, salt):
        hashed.append(password)
        return real(self, password, salt)

    monkeypatch.setattr(MD5PasswordHasher, "encode", encode)

    def measure(path: str, body: dict[str, str]) -> tuple[int, int]:
        before = len(hashed), len(mail.outbox)
        Client().post(path, body)
        return len(hashed) - before[0], len(mail.outbox) - before[1]

    return measure


@pytest.mark.usefixtures("proof_first")
def test_a_sign_up_that_proves_first_tells_nothing(acme: TenantRef, work):
    taken = member_of(acme)
    pages = [page_of(Client().post(SIGN_UP, wish(email), follow=True)) for email in (taken, GOOD["email"])]
    assert pages[0] == pages[1]
    assert pages[0][1] == "/accounts/signup/sent/"
    assert [(m.to, m.subject) for m in mail.outbox] == [
        ([taken], "This address has an account already"),
        ([GOOD["email"]], "Go on with your account"),
    ]
    assert not get_user_model().objects.filter(email=GOOD["email"]).exists()
    assert not SignUp.objects.exists()
    assert work(SIGN_UP, wish(taken)) == work(SIGN_UP, wish("other@new.example")) == (0, 1)


@pytest.mark.usefixtures("proof_first")
def test_the_mailed_link_makes_the_account_once_with_its_address_proved(db: None):
    Client().post(SIGN_UP, wish(GOOD["email"]))
    link = re.search(r"http://localhost:8000(\S+)", mail.outbox[0].body)[1]
    client = Client()
    page = client.get(link).content.decode()
    assert GOOD["email"] in page
    assert "at least 8" in client.post(link, {"password1": "short"}).content.decode()
    forged = {"password1": GOOD["password1"], "email": "else@x.example", "company": "Else"}
    assert client.post(link, forged).headers["Location"] == "/accounts/start/"
    assert is_verified(GOOD["email"])
    assert SignUp.objects.get().company == GOOD["company"]
    assert len(mail.outbox) == 1, "nothing is left to prove"
    assert client.get("/accounts/start/").status_code == 200
    assert Client().get(link).status_code == 404
    assert Client().get(f"{link[:-3]}xx/").status_code == 404


@pytest.mark.usefixtures("proof_first")
@pytest.mark.parametrize(("field", "value"), [("email", "nobody"), ("company", ""), ("time_zone", "Mars")])
def test_wrong_input_is_told_before_a_mail_is_sent(db: None, field: str, value: str):
    page = Client().post(SIGN_UP, {**wish(GOOD["email"]), field: value}).content.decode()
    assert "errorlist" in page
    assert not mail.outbox


@pytest.mark.usefixtures("proof_first")
def test_mails_to_one_address_are_few(db: None):
    for _ in range(5):
        assert Client().post(SIGN_UP, wish(GOOD["email"])).status_code == 302
    assert len(mail.outbox) == 3


def test_without_the_proof_a_taken_address_is_told_to_its_owner_alone(acme: TenantRef):
    taken = member_of(acme)
    answer = Client().post(SIGN_UP, {**GOOD, "email": taken.upper()}, follow=True)
    assert answer.request["PATH_INFO"] == "/accounts/signup/sent/"
    assert taken not in answer.content.decode()
    assert [m.to for m in mail.outbox] == [[taken]]
    assert not SignUp.objects.exists()


def test_log_in_and_reset_do_the_same_work_for_anybody(acme: TenantRef, work):
    known, unknown = member_of(acme), "nobody@x.example"
    log_ins = [work(LOGIN, {"login": email, "password": "wrong"}) for email in (known, unknown)]
    assert log_ins[0] == log_ins[1] == (1, 0)
    resets = [work(RESET, {"email": email}) for email in (known, unknown)]
    assert resets[0] == resets[1] == (0, 1)
    tokens = [work("/api/v1/auth/token", {"email": email, "password": "wrong"}) for email in (known, unknown)]
    assert tokens[0] == tokens[1]

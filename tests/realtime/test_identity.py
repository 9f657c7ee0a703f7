import datetime as dt
from uuid import uuid4

import jwt
import pytest
from django.core import signing
from django.utils import timezone

from apps.realtime import identity
from apps.realtime.identity import BadToken, Identity, SessionSecret, sign_session, verify_session

SECRET = "s" * 64
LATER = dt.timedelta(hours=1)  # longer than the whole suite: tokens are made when it is collected


def _token(*, secret: str = SECRET, algorithm: str = "HS256", **claims: object) -> str:
    claims = {"sub": "ada", "exp": timezone.now() + LATER, **claims}
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, secret, algorithm=algorithm)


def test_reads_the_customer_that_the_tenant_signed():
    token = _token(email="ada@example.com", name="Ada")
    assert identity.verify_customer_token(token, secret=SECRET) == Identity("ada", "ada@example.com", "Ada")


def test_external_id_wins_over_sub():
    assert identity.verify_customer_token(_token(external_id="c-7"), secret=SECRET).external_id == "c-7"


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (_token(secret="x" * 64), "token_invalid"),
        (_token(exp=None), "token_invalid"),
        (_token(sub=None), "token_invalid"),
        (_token(sub=None, external_id=7), "token_invalid"),
        (_token(algorithm="HS384"), "token_invalid"),
        (jwt.encode({"sub": "ada", "exp": timezone.now() + LATER}, None, algorithm="none"), "token_invalid"),
        (_token(exp=timezone.now() - LATER), "token_expired"),
        ("not.a.token", "token_invalid"),
        ("", "token_invalid"),
    ],
    ids=range(9),  # tokens hold the time, so that two workers would name them differently
)
def test_refuses_what_the_tenant_did_not_sign(token, code):
    with pytest.raises(BadToken) as refusal:
        identity.verify_customer_token(token, secret=SECRET)
    assert refusal.value.code == code


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": dt.timedelta(hours=25)},
        {"exp": dt.timedelta(days=36_500)},
        {"aud": "wk_other"},
        {"aud": ["wk_other"]},
        {"aud": None, "external_id": {"$ne": ""}},
        {"aud": 7},
        {"sub": ""},
        {"sub": "   "},
        {"sub": "a\x00b"},
        {"sub": "x" * 101},
        {"external_id": ["ada"]},
        {"name": "x" * 5000},
        {"nbf": dt.timedelta(minutes=5)},
        {"iat": dt.timedelta(minutes=5)},
    ],
    ids=range(14),
)
def test_refuses_what_reaches_too_far(claims):
    claims = {k: timezone.now() + v if isinstance(v, dt.timedelta) else v for k, v in claims.items()}
    with pytest.raises(BadToken) as refusal:
        identity.verify_customer_token(_token(**claims), secret=SECRET, audience="wk_1")
    assert refusal.value.code == "token_invalid"


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"aud": "wk_1"},
        {"aud": ["x", "wk_1"]},
        {"exp": timezone.now() + dt.timedelta(hours=23, minutes=59)},
        {"iat": timezone.now()},
        {"sub": "x" * 100},
    ],
    ids=range(6),
)
def test_takes_what_stays_within_reach(claims):
    assert identity.verify_customer_token(_token(**claims), secret=SECRET, audience="wk_1").external_id


def test_clocks_may_differ_by_half_a_minute():
    ended = [_token(exp=timezone.now() - dt.timedelta(seconds=late)) for late in (20, 60)]
    assert identity.verify_customer_token(ended[0], secret=SECRET).external_id == "ada"
    with pytest.raises(BadToken) as refusal:
        identity.verify_customer_token(ended[1], secret=SECRET)
    assert refusal.value.code == "token_expired"


def test_without_a_secret_no_token_is_accepted():
    token = jwt.encode({"sub": "ada", "exp": timezone.now() + LATER}, None, algorithm="none")
    with pytest.raises(BadToken):
        identity.verify_customer_token(token, secret="")


def test_a_session_secret_names_its_conversation():
    session = SessionSecret(uuid4(), uuid4(), "visitor")
    assert verify_session(sign_session(session)) == session


@pytest.mark.parametrize(
    "forge", [lambda s: s[:-1] + ("A" if s[-1] != "A" else "B"), lambda s: "", str.upper]
)
def test_a_forged_session_secret_names_nothing(forge):
    assert verify_session(forge(sign_session(SessionSecret(uuid4(), uuid4(), "visitor")))) is None


def test_a_signature_for_something_else_is_no_session():
    assert verify_session(signing.dumps([uuid4().hex, uuid4().hex, "visitor"], salt="password-reset")) is None


def test_an_old_session_secret_names_nothing(monkeypatch):
    secret = sign_session(SessionSecret(uuid4(), uuid4(), "visitor"))
    monkeypatch.setattr(identity, "SESSION_MAX_AGE_S", -1)
    assert verify_session(secret) is None


def test_the_secret_before_a_rotation_signs_while_it_overlaps():
    token = _token(secret="o" * 64)
    assert identity.verify_customer_token(token, secret=SECRET, previous="o" * 64).external_id == "ada"
    for previous in ("", "x" * 64):
        with pytest.raises(BadToken) as refusal:
            identity.verify_customer_token(token, secret=SECRET, previous=previous)
        assert refusal.value.code == "token_invalid"

"""Tokens: what is believed, and keys that rotate under traffic."""

import base64
import datetime as dt
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from apps.gateway import families, signing
from apps.gateway.models import SigningKey
from apps.gateway.tokens import BadToken, issue_tokens, read_access_token, renew_tokens
from apps.tenants import services
from apps.tenants.contracts import Role
from tests.gateway.tokens import at_once, forge, forget, me, post

OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def test_anybody_checks_a_token_by_the_published_keys(ada, acme, settings):
    pair = issue_tokens(ada)
    answer = Client().get("/.well-known/jwks.json")
    assert answer["Cache-Control"] == "public, max-age=300"
    (key,) = answer.json()["keys"]
    assert set(key) == {"kty", "n", "e", "kid", "use", "alg", "key_ops"}
    claims = jwt.decode(
        pair.access,
        jwt.PyJWK(key).key,
        algorithms=["RS256"],
        audience=f"{settings.PUBLIC_URL}/api/v1",
        issuer=settings.PUBLIC_URL,
    )
    assert {"sub", "tenant_id", "roles", "permissions", "iat", "exp", "jti", "sid"} <= claims.keys()
    assert jwt.get_unverified_header(pair.access) == {"alg": "RS256", "kid": key["kid"], "typ": "at+jwt"}
    kept = SigningKey.objects.get()
    assert "PRIVATE" not in kept.private_key
    assert jwt.get_unverified_header(pair.refresh)["typ"] == "refresh+jwt"


def test_the_published_keys_are_there_before_the_first_token(db):
    assert len(Client().get("/.well-known/jwks.json").json()["keys"]) == 1
    assert Client().post("/.well-known/jwks.json").status_code == 405


LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
UNKNOWN = "01935c1e-7d5a-7c33-8f00-123456789012"


@pytest.mark.parametrize(
    "changes",
    [
        {"key": OTHER_KEY},
        {"header": {"kid": "0123456789abcdef"}},
        {"header": {"kid": None}},
        {"header": {"kid": ["x"]}},
        {"header": {"typ": "refresh+jwt"}},
        {"header": {"typ": "JWT"}},
        {"exp": LONG_AGO},
        {"iat": dt.datetime(2120, 1, 1, tzinfo=dt.UTC)},
        {"iss": "https://elsewhere.example"},
        {"aud": "https://elsewhere.example/api/v1"},
        {"aud": ["http://localhost:8000/api/v1", "x"]},
        {"tenant_id": UNKNOWN},
        {"sub": UNKNOWN},
        {"sub": 7},
        {"sid": UNKNOWN},
        {"sid": "x"},
        *({name: None} for name in ("iss", "aud", "sub", "tenant_id", "sid", "jti", "iat", "exp")),
    ],
    ids=lambda changes: "-".join(changes),
)
def test_a_token_that_is_not_right_in_everything_is_refused(ada, changes):
    pair = issue_tokens(ada)
    assert me(forge(pair.access)).status_code == 200
    try:
        token = forge(pair.access, **changes)
    except jwt.PyJWTError:  # the library does not even write such a header
        token = _with_header(pair.access, **changes["header"])
    except TypeError:
        token = _with_claims(pair.access, **changes)
    answer = me(token)
    assert answer.status_code == 401, token
    assert answer["WWW-Authenticate"]
    assert answer["Content-Type"] == "application/problem+json"


def _with_header(token: str, **header) -> str:
    _, body, signature = token.split(".")
    changed = jwt.get_unverified_header(token) | header
    return ".".join([_encoded(changed), body, signature])


def _with_claims(token: str, **claims) -> str:
    head, _, signature = token.split(".")
    changed = jwt.decode(token, options={"verify_signature": False}) | claims
    return ".".join([head, _encoded(changed), signature])


def _encoded(part: dict) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def test_the_algorithm_is_ours_to_choose(ada):
    """Neither unsigned, nor signed with our public key as a secret, nor by another RSA algorithm."""
    pair = issue_tokens(ada)
    unsigned = _with_header(pair.access, alg="none").rsplit(".", 1)[0] + "."
    public = SigningKey.objects.get().public_key
    claims = pair.access.split(".")[1]
    head = _encoded({"alg": "HS256", "typ": "at+jwt", "kid": jwt.get_unverified_header(pair.access)["kid"]})
    mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signature = mac.sign(f"{head}.{claims}".encode(), public.encode())
    confused = f"{head}.{claims}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
    other = forge(pair.access, algorithm="RS512")
    assert [me(token).status_code for token in (unsigned, confused, other)] == [401] * 3


def test_neither_token_serves_as_the_other(ada):
    pair = issue_tokens(ada)
    assert me(pair.refresh).status_code == 401
    assert post("token/refresh", refresh=pair.access).status_code == 401
    assert me(pair.access).status_code == 200


def test_a_token_grants_no_more_than_the_role_of_today(acme, ada):
    pair = issue_tokens(ada)
    services.add_member(tenant=acme, email="ada@acme.example", role=Role.VIEWER)
    families.forget_all()
    assert "write:orders" not in me(pair.access).json()["permissions"]
    narrow = forge(pair.access, permissions=["read:orders", "write:orders"])
    assert me(narrow).json()["permissions"] == ["read:orders"]


def test_checking_a_token_asks_the_database_once_a_second(ada, django_assert_num_queries):
    pair = issue_tokens(ada)
    forget()
    with django_assert_num_queries(2):  # the keys, the login
        for _ in range(50):
            read_access_token(pair.access)


def test_invented_key_ids_cost_one_query_a_second(ada, django_assert_max_num_queries):
    pair = issue_tokens(ada)
    with django_assert_max_num_queries(1):
        for number in range(100):
            with pytest.raises(BadToken):
                read_access_token(_with_header(pair.access, kid=f"invented{number}"))


# Rotation.


def test_a_rotation_is_published_first_and_refuses_nothing(ada):
    """Two processes: one remembers the keys of before, the other signs already with the new one."""
    before = issue_tokens(ada)
    first = SigningKey.objects.get()
    call_command("rotate_signing_key")
    second = SigningKey.objects.exclude(kid=first.kid).get()
    assert second.activates_at > timezone.now() + dt.timedelta(minutes=9)
    assert {key["kid"] for key in signing.list_public_keys()} == {first.kid, second.kid}
    assert jwt.get_unverified_header(issue_tokens(ada).access)["kid"] == first.kid
    remembered = signing._ring
    _pass(dt.timedelta(minutes=11))
    signing.forget_all()
    after = issue_tokens(ada)
    assert jwt.get_unverified_header(after.access)["kid"] == second.kid
    signing._ring = remembered  # a process that has not looked since the publication
    for pair in (before, after):
        assert read_access_token(pair.access).id == ada.id
    signing.forget_all()
    for pair in (before, after):
        assert read_access_token(pair.access).id == ada.id
        assert renew_tokens(pair.refresh).access


def _pass(time: dt.timedelta) -> None:
    for key in SigningKey.objects.all():
        key.activates_at -= time
        key.retires_at = key.retires_at and key.retires_at - time
        key.save()


def test_an_old_key_goes_when_all_that_it_signed_has(ada):
    issue_tokens(ada)
    first = SigningKey.objects.get()
    signing.rotate_signing_key()
    _pass(families.REFRESH_LIFETIME)
    assert signing.purge_signing_keys() == 0
    assert first.kid in {key["kid"] for key in signing.list_public_keys()}
    _pass(dt.timedelta(hours=2))
    signing.forget_all()
    assert first.kid not in {key["kid"] for key in signing.list_public_keys()}
    assert signing.purge_signing_keys() == 1


def test_the_schedule_rotates_when_it_is_time_and_once(ada):
    issue_tokens(ada)
    assert signing.rotate_signing_key(only_after=signing.ROTATED_AFTER) is None
    _pass(signing.ROTATED_AFTER + dt.timedelta(hours=1))
    made = [signing.rotate_signing_key(only_after=signing.ROTATED_AFTER) for _ in range(3)]
    assert len({key.kid for key in made if key}) == 1
    assert SigningKey.objects.count() == 2


def test_a_leaked_key_is_believed_no_more(ada):
    pair = issue_tokens(ada)
    signing.rotate_signing_key()
    call_command("rotate_signing_key", "--leaked")
    assert len(signing.list_public_keys()) == 1
    assert me(pair.access).status_code == 401
    assert me(issue_tokens(ada).access).status_code == 200


def test_a_key_that_was_just_made_elsewhere_is_found(ada):
    issue_tokens(ada)
    read_access_token(issue_tokens(ada).access)
    remembered = signing._ring
    signing.rotate_signing_key(is_urgent=True)
    pair = issue_tokens(ada)
    signing._ring = remembered
    assert read_access_token(pair.access).id == ada.id


def test_many_make_the_first_key_and_the_next_oneat_once(live_db):
    tokens = at_once(lambda: signing.sign({"sub": "x"}, kind="test"))
    assert SigningKey.objects.count() == 1
    assert {jwt.get_unverified_header(token)["kid"] for token in tokens} == {SigningKey.objects.get().kid}
    rotated = at_once(signing.rotate_signing_key)
    assert len({key.kid for key in rotated}) == 1
    assert SigningKey.objects.count() == 2


# Refreshing.

"""The page of API keys: made, shown once, rotated, revoked; hostile input changes nothing."""

import datetime as dt
import re

import pytest
from django.utils import timezone

from apps.tenants import credentials, key_uses
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.permissions import expand_scopes
from apps.tenants.selectors import list_api_keys, list_audit_events
from apps.tenants.services import authenticate_api_key, create_api_key
from tests.pages import log_in

URL = "/app/api-keys/"


def token_on(page: bytes) -> str:
    found = re.search(rb'value="(ak_[^"]+)"', page)
    return found[1].decode() if found else ""


def test_a_key_is_made_and_its_token_shown_once(acme: TenantRef):
    client = log_in(acme)
    day = (timezone.now() + dt.timedelta(days=30)).date()
    answer = client.post(
        URL, {"name": "import", "scopes": ["read:orders", "write:orders"], "expires_on": day.isoformat()}
    )
    assert answer.status_code == 302
    token = token_on(client.get(URL).content)
    principal = authenticate_api_key(token)
    assert principal is not None
    assert principal.permissions == {"read:orders", "write:orders"}
    assert token_on(client.get(URL).content) == ""
    key = list_api_keys(tenant=acme)[0]
    assert key.expires_at is not None
    assert key.expires_at.date() == day + dt.timedelta(days=1)
    made = list_audit_events(tenant=acme)[0]
    assert (made.action, made.target) == ("api_key.created", key.key_id)
    assert made.actor.startswith("owner-")


def test_limit_last_use_and_maker_are_shown(acme: TenantRef):
    client = log_in(acme)
    assert (
        client.post(
            URL, {"name": "import", "scopes": ["read:orders"], "requests_per_minute": "1200"}
        ).status_code
        == 302
    )
    token = token_on(client.get(URL).content)
    assert b"not yet" in client.get(URL).content
    assert authenticate_api_key(token).rate_limits == {"requests_per_minute": 1200}
    key_uses.write_uses()
    page = client.get(URL).content.decode()
    assert "1,200" in page
    assert "by owner-" in page
    assert "not yet" not in page


def test_the_session_never_holds_the_token_in_clear(acme: TenantRef):
    client = log_in(acme)
    client.post(URL, {"name": "import", "scopes": ["api:read"]})
    kept = str(dict(client.session))
    token = token_on(client.get(URL).content)
    assert token
    assert token not in kept


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "a\x00b"),
        ("name", "x" * 1_000_000),
        ("scopes", []),
        ("scopes", ["api:everything"]),
        ("scopes", ["<script>"]),
        ("expires_on", "2001-01-01"),
        ("expires_on", "9999-12-31"),
        ("expires_on", "NaN"),
        ("expires_on", "-1"),
        ("requests_per_minute", "0"),
        ("requests_per_minute", "-5"),
        ("requests_per_minute", "1.5"),
        ("requests_per_minute", "1000001"),
        ("requests_per_minute", "NaN"),
    ],
)
def test_wrong_input_is_told_at_the_field(acme: TenantRef, field: str, value: object):
    client = log_in(acme)
    answer = client.post(URL, {"name": "import", "scopes": ["api:read"], field: value})
    assert answer.status_code == 422
    assert answer.context["form"].errors[field]
    assert list_api_keys(tenant=acme) == []


def test_a_name_of_markup_is_shown_as_text(acme: TenantRef):
    create_api_key(tenant=acme, name="<script>alert(1)</script>", scopes=["api:read"])
    page = log_in(acme).get(URL).content
    assert b"<script>alert" not in page
    assert b"&lt;script&gt;alert" in page


def test_rotation_keeps_the_old_key_for_the_overlap(acme: TenantRef):
    client = log_in(acme)
    old = create_api_key(tenant=acme, name="import", scopes=["read:orders"])
    assert client.post(f"{URL}{old.key_id}/rotate/", {"overlap_s": 3600}).status_code == 302
    token = token_on(client.get(URL).content)
    credentials.forget_all()
    new, still = authenticate_api_key(token), authenticate_api_key(old.token)
    assert new is not None
    assert still is not None
    assert new.permissions == still.permissions
    assert new.id != still.id


def test_rotation_refuses_an_overlap_of_ones_own(acme: TenantRef):
    client = log_in(acme)
    old = create_api_key(tenant=acme, name="import", scopes=["read:orders"])
    for overlap in ("", "-1", "1e9", "NaN"):
        answer = client.post(f"{URL}{old.key_id}/rotate/", {"overlap_s": overlap})
        assert answer.status_code == 422
    assert len(list_api_keys(tenant=acme)) == 1


def test_a_revoked_key_stays_revoked_since_then(acme: TenantRef):
    client = log_in(acme)
    key = create_api_key(tenant=acme, name="import", scopes=["read:orders"])
    assert client.post(f"{URL}{key.key_id}/revoke/").status_code == 302
    credentials.forget_all()
    assert authenticate_api_key(key.token) is None
    at = list_api_keys(tenant=acme)[0].revoked_at
    client.post(f"{URL}{key.key_id}/revoke/")
    assert list_api_keys(tenant=acme)[0].revoked_at == at
    assert client.post(f"{URL}{key.key_id}/rotate/", {"overlap_s": 0}).status_code == 404


def test_another_company_sees_and_ends_nothing(acme: TenantRef, globex: TenantRef):
    key = create_api_key(tenant=acme, name="secret import", scopes=["read:orders"])
    stranger = log_in(globex)
    assert b"secret import" not in stranger.get(URL).content
    assert stranger.post(f"{URL}{key.key_id}/revoke/").status_code == 404
    credentials.forget_all()
    assert authenticate_api_key(key.token) is not None


def test_who_may_not_read_keys_is_told(acme: TenantRef):
    assert log_in(acme, Role.AGENT).get(URL).status_code == 403


def test_the_page_asks_as_little_for_fifty_keys_as_for_one(acme: TenantRef, django_assert_max_num_queries):
    for number in range(55):
        create_api_key(tenant=acme, name=f"key {number}", scopes=["api:read"])
    client = log_in(acme)
    client.get(URL)
    with django_assert_max_num_queries(7):
        page = client.get(URL)
    assert len(page.context["rows"]) == 50
    following = client.get(URL, {"cursor": page.context["page"].next_cursor})
    assert len(following.context["rows"]) == 5


def test_only_what_its_maker_holds_is_offered(acme: TenantRef):
    def offered(role: Role) -> set[str]:
        return set(re.findall(r'name="scopes" value="([^"]+)"', log_in(acme, role).get(URL).content.decode()))

    owner, admin = offered(Role.OWNER), offered(Role.ADMIN)
    assert owner >= {"api:read", "api:write", "read:orders", "write:company"}
    assert admin == owner & expand_scopes(admin) | {"api:read", "api:write"}
    assert "write:company" not in admin
    refused = log_in(acme, Role.ADMIN).post(URL, {"name": "x", "scopes": ["write:company"]})
    assert refused.status_code == 422
    assert "You do not hold write:company yourself." in refused.content.decode()

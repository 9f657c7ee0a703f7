"""API keys: what they may be, who may make them, when they were used, how soon they end everywhere."""

import datetime as dt
import os
import subprocess
import sys
import time

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from apps.gateway.tokens import issue_tokens
from apps.resilience.errors import InvalidInput, NotAllowed
from apps.tenants import credentials, key_uses, services
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role
from apps.tenants.identity.services import authenticate_user
from apps.tenants.models import ApiKey
from apps.tenants.selectors import list_api_keys
from tests.gateway.conftest import key_client

URL = "/api/v1/api-keys"
SOON = timezone.now() + dt.timedelta(days=1)
LATER = timezone.now() + dt.timedelta(days=30)


def make(client: Client, **fields):
    body = {"name": "made", "scopes": ["read:usage"]} | fields
    return client.post(URL, body, content_type="application/json")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 101),
        ("name", "a\x00b"),
        ("scopes", []),
        ("scopes", ["fly"]),
        ("rate_limits", {"requests_per_minute": 0}),
        ("rate_limits", {"requests_per_minute": -5}),
        ("rate_limits", {"requests_per_minute": 1.5}),
        ("rate_limits", {"requests_per_minute": True}),
        ("rate_limits", {"requests_per_minute": 10**9}),
        ("rate_limits", {"requests_per_second": 5}),
        ("expires_at", timezone.now() - dt.timedelta(seconds=1)),
    ],
)
def test_no_doorway_makes_a_key_that_makes_no_sense(acme, field, value):
    given = {"name": "x", "scopes": ["read:usage"], field: value}
    with pytest.raises(InvalidInput) as refusal:
        services.create_api_key(tenant=acme, **given)
    assert set(refusal.value.errors) == {field}
    assert list_api_keys(tenant=acme) == []


def test_a_key_makes_none_that_may_do_more(acme):
    maker = key_client(acme, "write:api_keys", "read:usage")
    for scopes in (["api:write"], ["api:read"], ["read:usage", "read:orders"]):
        answer = make(maker, scopes=scopes)
        assert answer.status_code == 403
        assert "You do not hold" in answer.json()["detail"]
    assert make(maker, scopes=["read:usage"]).status_code == 201


def test_a_key_makes_none_that_may_call_more_often(acme):
    maker = key_client(acme, rate_limits={"requests_per_minute": 60})
    assert make(maker, rate_limits={"requests_per_minute": 61}).status_code == 403
    assert make(maker, rate_limits={"requests_per_minute": 5}).status_code == 201
    unsaid = make(maker).json()["key_id"]
    with in_tenant(acme):
        assert ApiKey.objects.get(key_id=unsaid).rate_limits == {"requests_per_minute": 60}


def test_a_key_makes_none_that_lives_longer(acme):
    maker = key_client(acme, expires_at=SOON)
    assert make(maker, expires_at=LATER.isoformat()).status_code == 403
    unsaid = make(maker).json()["key_id"]
    with in_tenant(acme):
        assert ApiKey.objects.get(key_id=unsaid).expires_at == SOON


@pytest.mark.parametrize(
    "stronger",
    [{"scopes": ["api:write"], "rate_limits": {"requests_per_minute": 5}, "expires_at": SOON},
     {"rate_limits": {"requests_per_minute": 61}, "expires_at": SOON},
     {"expires_at": SOON},
     {"rate_limits": {"requests_per_minute": 5}, "expires_at": LATER},
     {"rate_limits": {"requests_per_minute": 5}}],
)  # fmt: skip
def test_rotating_a_stronger_key_is_no_way_to_its_rights(acme, stronger):
    limits = {"requests_per_minute": 60}
    maker = key_client(acme, "write:api_keys", "read:usage", rate_limits=limits, expires_at=SOON)
    key = services.create_api_key(tenant=acme, name="x", **{"scopes": ["read:usage"], **stronger})
    answer = maker.post(f"{URL}/{key.key_id}/rotate", {}, content_type="application/json")
    assert answer.status_code == 403
    credentials.forget_all()
    assert services.authenticate_api_key(key.token) is not None


@pytest.mark.parametrize("role", [Role.AGENT, Role.ANALYST, Role.VIEWER])
def test_who_may_not_manage_keys_makes_none(acme, role):
    services.add_member(tenant=acme, email="a@acme.example", role=role, password="a long password")
    member = authenticate_user(email="a@acme.example", password="a long password")
    client = Client(headers={"Authorization": f"Bearer {issue_tokens(member).access}"})
    assert make(client).status_code == 403
    with pytest.raises(NotAllowed):
        services.create_api_key(tenant=acme, name="x", scopes=["api:write"], maker=member)


def test_the_last_use_is_noted_once_a_minute_and_in_one_batch(acme, globex, django_assert_num_queries):
    keys = [services.create_api_key(tenant=t, name="x", scopes=["read:usage"]) for t in (acme, globex)]
    for key in keys:
        for _ in range(20):
            services.authenticate_api_key(key.token)
    assert services.authenticate_api_key(f"{keys[0].key_id}.wrong") is None
    with django_assert_num_queries(1):
        key_uses.write_uses()
    first = {tenant.slug: list_api_keys(tenant=tenant)[0].last_used_at for tenant in (acme, globex)}
    assert all(timezone.now() - moment < dt.timedelta(minutes=1) for moment in first.values())
    with django_assert_num_queries(0):
        services.authenticate_api_key(keys[0].token)
        key_uses.write_uses()
    key_uses.forget_all()  # another process notes it too: still one write a minute
    services.authenticate_api_key(keys[0].token)
    key_uses.write_uses()
    assert list_api_keys(tenant=acme)[0].last_used_at == first["acme"]
    with in_tenant(acme):
        ApiKey.objects.update(last_used_at=timezone.now() - dt.timedelta(minutes=2))
    key_uses.forget_all()
    services.authenticate_api_key(keys[0].token)
    key_uses.write_uses()
    assert timezone.now() - list_api_keys(tenant=acme)[0].last_used_at < dt.timedelta(minutes=1)


def test_a_key_that_was_never_used_or_only_guessed_at_says_so(api, acme):
    key = services.create_api_key(tenant=acme, name="idle", scopes=["read:usage"])
    services.authenticate_api_key(f"{key.key_id}.guess")
    key_uses.write_uses()
    listed = {each["key_id"]: each for each in api.get(URL).json()["results"]}
    assert listed[key.key_id]["last_used_at"] is None
    assert listed[key.key_id]["made_by"] == "platform"


def test_keys_are_listed_page_by_page_newest_first(acme, globex):
    for number in range(5):
        services.create_api_key(tenant=acme, name=f"k{number}", scopes=["read:usage"], rate_limits={})
    services.create_api_key(tenant=globex, name="theirs", scopes=["read:usage"])
    api, names, url = key_client(acme), [], f"{URL}?page_size=2"
    while url:
        page = api.get(url).json()
        assert len(page["results"]) <= 2
        names += [key["name"] for key in page["results"]]
        url = page["next"]
    assert names[-5:] == [f"k{number}" for number in range(4, -1, -1)]
    assert len(names) == len(set(names)) == 6, "with the caller's own"
    assert set(page["results"][0]) >= {"last_used_at", "expires_at", "rate_limits", "made_by"}
    assert api.get(f"{URL}?cursor=nonsense").status_code == 400


def test_a_use_is_written_by_itself(live_db, acme, monkeypatch):
    monkeypatch.setattr(key_uses, "WRITTEN_AFTER_S", 0.05)
    key = services.create_api_key(tenant=acme, name="x", scopes=["read:usage"])
    services.authenticate_api_key(key.token)
    ends_at = time.monotonic() + 5
    while list_api_keys(tenant=acme)[0].last_used_at is None:
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def test_the_command_rotates_with_an_overlap(acme, capsys):
    old = services.create_api_key(tenant=acme, name="x", scopes=["read:usage"])
    call_command("rotate_api_key", old.key_id, "--tenant", "acme", "--overlap", "3600")
    token = capsys.readouterr().out.split()[2]
    credentials.forget_all()
    for each in (old.token, token):
        principal = services.authenticate_api_key(each)
        assert principal is not None
        assert principal.permissions == {"read:usage"}
    with in_tenant(acme):
        left = ApiKey.objects.get(key_id=old.key_id).revoked_at - timezone.now()
    assert dt.timedelta(minutes=59) < left <= dt.timedelta(hours=1)


@pytest.mark.parametrize("arguments", [("ak_none", "--tenant", "acme"), ("ak_none", "--tenant", "nobody")])
def test_the_command_says_what_it_did_not_find(acme, arguments):
    with pytest.raises(CommandError):
        call_command("rotate_api_key", *arguments)


@pytest.mark.parametrize("overlap", ["-1", "1e9", "604801", "x"])
def test_the_command_refuses_an_overlap_that_is_none(acme, overlap):
    with pytest.raises(CommandError):
        call_command("rotate_api_key", "ak_none", "--tenant", "acme", "--overlap", overlap)


def test_a_later_rotation_never_lengthens_an_overlap(acme):
    old = services.create_api_key(tenant=acme, name="x", scopes=["read:usage"])
    services.rotate_api_key(tenant=acme, key_id=old.key_id, overlap_s=60)
    services.rotate_api_key(tenant=acme, key_id=old.key_id, overlap_s=86_400)
    with in_tenant(acme):
        left = ApiKey.objects.get(key_id=old.key_id).revoked_at - timezone.now()
    assert left <= dt.timedelta(seconds=60)


# A process that believes both credentials, says so, and tells after how long it does no more.
OTHER_PROCESS = """
import sys, time, django
django.setup()
from apps.gateway.credentials import BadCredentials, find_principal
headers = sys.argv[1:]
for header in headers:
    find_principal(header)
print("believes", flush=True)
sys.stdin.readline()
begin, left = time.time(), set(headers)
while left and time.time() - begin < 20:
    for header in tuple(left):
        try:
            find_principal(header)
        except BadCredentials:
            left.discard(header)
    time.sleep(0.01)
print("gone" if not left else "still there", time.time(), flush=True)
"""


def test_two_other_processes_honour_a_revocation_within_a_second(live_db, acme):
    key = services.create_api_key(tenant=acme, name="x", scopes=["api:read"])
    services.add_member(tenant=acme, email="a@acme.example", role=Role.OWNER, password="a long password")
    member = authenticate_user(email="a@acme.example", password="a long password")
    pair = issue_tokens(member)
    headers = [f"Api-Key {key.token}", f"Bearer {pair.access}"]
    with _start(live_db, headers) as first, _start(live_db, headers) as second:
        for other in (first, second):
            assert other.stdout.readline().strip() == "believes", other.stderr.read()
        for other in (first, second):
            print(file=other.stdin, flush=True)
        time.sleep(0.1)
        services.revoke_api_key(tenant=acme, key_id=key.key_id)
        body = {"token": pair.refresh}
        answer = Client().post("/api/v1/auth/token/revoke", body, content_type="application/json")
        assert answer.status_code == 204
        revoked_at = time.time()
        for other in (first, second):
            word, _, ended_at = other.stdout.readline().strip().rpartition(" ")
            assert word == "gone"
            assert float(ended_at) - revoked_at <= 1.5  # the second, and what a busy machine takes


def _start(live_db, headers: list[str]) -> subprocess.Popen:
    settings_of = {"DJANGO_SETTINGS_MODULE": "aiaas.settings.local", "PUBLIC_URL": settings.PUBLIC_URL}
    environment = {**os.environ, **live_db.environment(), **settings_of}
    return subprocess.Popen(
        [sys.executable, "-c", OTHER_PROCESS, *headers],
        cwd=settings.ROOT, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip

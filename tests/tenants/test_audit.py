"""The audit trail: what goes in, that nothing goes out, and how it is searched and exported."""

import csv
import datetime as dt
import io
import json
from types import SimpleNamespace

import pytest
from allauth.account import signals as account
from django.db import DatabaseError, connections, transaction
from django.test import Client
from django.utils import timezone
from uuid_utils.compat import uuid7

from apps.accounts import trail
from apps.gateway.tokens import issue_tokens
from apps.tenants import audit
from apps.tenants.acting import acting_as
from apps.tenants.context import OWNER, PLATFORM, in_tenant
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.models import AuditEvent, User
from apps.tenants.pages.audit import describe_change
from apps.tenants.paging import _beyond
from apps.tenants.selectors import list_audit_events
from apps.tenants.services import create_api_key, principal_of, record_audit
from tests.live import LiveDatabase
from tests.pages import PASSWORD, log_in, member_of


def record(tenant: TenantRef, **fields) -> None:
    with in_tenant(tenant):
        record_audit(tenant=tenant, **{"actor": "ann@x.example", "action": "thing.changed"} | fields)


def newest(tenant: TenantRef) -> AuditEvent:
    return list_audit_events(tenant=tenant, limit=1)[0]


def found(tenant: TenantRef, **filters) -> list[str]:
    with in_tenant(tenant):
        rows = audit.filter_audit_events(**filters).order_by("-occurred_at", "-id")
        return list(rows.values_list("target", flat=True))


def test_secrets_are_masked_and_long_texts_cut(acme: TenantRef):
    given = {
        "before": {"settings": {"bot_token": "xoxb-1", "port": 25, "secret_version": 3}, "list": ["a" * 600]},
        "password": "hunter2",
        "api_key_id": "",
    }
    record(acme, data=given)
    kept = newest(acme).data
    assert kept["before"]["settings"] == {"bot_token": audit.MASK, "port": 25, "secret_version": 3}
    assert kept["password"] == audit.MASK
    assert len(kept["before"]["list"][0]) == audit.MAX_TEXT_CHARS + 1
    assert "hunter2" not in json.dumps(kept)


def test_the_doorway_says_who_acts(acme: TenantRef):
    user = User.objects.get(email=member_of(acme, Role.ADMIN))
    for inside, told in ((f"user:{user.id}", user.email), ("ak_1", "ak_1"), ("staff:s@x.example",) * 2):
        with acting_as(inside):
            record(acme, actor="somebody else")
        assert newest(acme).actor == told
    record(acme, actor=f"user:{uuid7()}")
    assert newest(acme).actor.startswith("user:")


def test_api_and_page_name_the_same_person(acme: TenantRef):
    user = User.objects.get(email=member_of(acme, Role.ADMIN))
    token = issue_tokens(principal_of(user_id=user.id, name="", tenant=acme, role=Role.ADMIN)).access
    by_token = Client(headers={"Authorization": f"Bearer {token}"})
    body = {"title": "Returns", "text": "Within 30 days."}
    assert by_token.post("/api/v1/documents", body, content_type="application/json").status_code in (201, 202)
    assert (newest(acme).action, newest(acme).actor) == ("document.added", user.email)
    key = create_api_key(tenant=acme, name="k", scopes=["api:write"])
    by_key = Client(headers={"Authorization": f"Api-Key {key.token}"})
    by_key.post("/api/v1/router/intents", {"name": "parcels"}, content_type="application/json")
    assert (newest(acme).action, newest(acme).actor) == ("router.intent_created", key.key_id)


CHANGES = (
    "UPDATE tenants_auditevent SET actor = 'nobody'",
    "DELETE FROM tenants_auditevent",
    "TRUNCATE tenants_auditevent",
)


@pytest.mark.parametrize("sql", CHANGES)
@pytest.mark.parametrize("alias", ["default", PLATFORM])
def test_no_role_of_the_product_changes_what_is_recorded(live_db: LiveDatabase, acme, alias: str, sql: str):
    record(acme)
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic(using=alias):
        if alias == "default":
            with in_tenant(acme), connections[alias].cursor() as cursor:
                cursor.execute(sql)
        else:
            connections[alias].cursor().execute(sql)
    assert newest(acme).actor == "ann@x.example"


@pytest.mark.parametrize("sql", CHANGES)
def test_a_grant_by_mistake_changes_nothing(live_db: LiveDatabase, acme: TenantRef, sql: str):
    record(acme)
    with connections[OWNER].cursor() as owner:
        owner.execute("GRANT UPDATE, DELETE, TRUNCATE ON tenants_auditevent TO aiaas_app")
    with (
        pytest.raises(DatabaseError, match="append-only"),
        in_tenant(acme),
        connections["default"].cursor() as app,
    ):
        app.execute(sql)
    with pytest.raises(DatabaseError, match="append-only"), connections[OWNER].cursor() as owner:
        owner.execute(CHANGES[0])
    assert newest(acme).actor == "ann@x.example"


def test_what_is_old_is_purged_but_never_what_is_younger_than_a_year(live_db: LiveDatabase, acme, settings):
    for days in (10, 400):
        with in_tenant(acme):
            AuditEvent.objects.create(tenant_id=acme.id, actor="x", action=f"age.{days}")
    with connections[OWNER].cursor() as owner:
        owner.execute("ALTER TABLE tenants_auditevent DISABLE TRIGGER append_only")
        owner.execute(
            "UPDATE tenants_auditevent SET occurred_at = now() - interval '1 day' * substr(action, 5)::int "
            "WHERE action LIKE 'age.%%'"
        )
        owner.execute("ALTER TABLE tenants_auditevent ENABLE TRIGGER append_only")
    settings.AUDIT_KEPT_DAYS = 0
    assert audit.purge_audit_events() == 0
    settings.AUDIT_KEPT_DAYS = 1
    assert audit.purge_audit_events() == 1
    assert "age.10" in [event.action for event in list_audit_events(tenant=acme)]


def test_acts_are_found_by_each_filter_and_their_words(acme: TenantRef, globex: TenantRef):
    record(acme, target="one", actor="ann@x.example", data={"after": {"name": "Blue Parrots"}})
    record(acme, target="two", actor="bob@x.example", action="thing.removed")
    record(globex, target="theirs", actor="ann@x.example", data={"after": {"name": "Blue Parrots"}})
    assert found(acme, actor="ann@x.example") == ["one"]
    assert found(acme, action="thing.removed") == ["two"]
    assert found(acme, target="two", action="thing.removed") == ["two"]
    assert found(acme, words="blue parr") == ["one"]
    assert found(acme, words="thing X.EXAMPLE") == ["two", "one"]
    assert found(acme, words="parrots", actor="bob@x.example") == []
    assert found(acme, words="'); DROP & | ! <-> :*") == []
    assert found(acme, since=timezone.now() + dt.timedelta(hours=1)) == []
    assert found(acme, until=timezone.now() - dt.timedelta(hours=1)) == []
    with in_tenant(acme):
        known = audit.list_known_actions()
    assert known == sorted({event.action for event in list_audit_events(tenant=acme, limit=10_000)})


def test_without_a_tenant_nothing_is_found(acme: TenantRef):
    record(acme, data={"word": "parrots"})
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT set_config('app.current_tenant_id', '', true)")
        cursor.execute("SELECT count(*) FROM search_audit('parrots')")
        assert cursor.fetchone() == (0,)


def test_a_deep_page_starts_in_an_index(live_db: LiveDatabase, acme: TenantRef):
    with in_tenant(acme):
        names = map(str, range(1000))
        rows = (AuditEvent(tenant_id=acme.id, actor=n, action=n, target=n) for n in names)
        AuditEvent.objects.bulk_create(rows)
        connections[OWNER].cursor().execute("ANALYZE tenants_auditevent")
    at = newest(acme)
    bound = _beyond(["-occurred_at", "-id"], [at.occurred_at, str(at.id)])
    for name in ("time", "actor", "action", "target"):
        filters = {} if name == "time" else {name: "7"}
        with in_tenant(acme):
            # A thousand rows are few enough to sort; what is asked here is whether they need not be.
            for way in ("seqscan", "sort", "incremental_sort"):
                connections["default"].cursor().execute(f"SET LOCAL enable_{way} = off")
            rows = audit.filter_audit_events(**filters).order_by("-occurred_at", "-id")
            plan = rows.filter(bound)[:51].explain()
        assert f"using audit_by_{name}" in plan
        assert "occurred_at <=" in plan.partition("Filter")[0], plan


def test_the_page_filters_and_tells_before_and_after(acme: TenantRef):
    record(
        acme,
        target="one",
        data={"before": {"role": "agent", "same": 1}, "after": {"role": "admin", "same": 1}},
    )
    record(acme, target="two", action="other.act")
    client = log_in(acme)
    page = client.get("/app/audit/", {"words": "agent one"}).content.decode()
    assert "<del>agent</del>" in page
    assert "other.act</a>" not in page
    assert '<option value="other.act">' in page
    assert client.get("/app/audit/", {"since": "9999-12-31", "until": "9999-12-31"}).status_code == 422
    assert describe_change({"before": 1, "after": 2, "why": "x"}) == [("", "1", "2"), ("why", None, "x")]
    said = {
        "scopes": ["read:a", "write:a"],
        "limits": {},
        "is_on": False,
        "at": {"from": "9:00", "days": [1, 2]},
    }
    assert [after for _, _, after in describe_change(said)] == [
        "read:a, write:a",
        "nothing",
        "no",
        "from: 9:00; days: 1, 2",
    ]


@pytest.mark.parametrize("door", ["/app/audit/export/?as=", "/api/v1/audit-events/export?format="])
def test_exports_are_whole_and_leave_a_trace(acme: TenantRef, monkeypatch, door: str):
    monkeypatch.setattr(audit, "EXPORT_BATCH", 3)
    for n in range(8):
        record(acme, target=f"=cmd{n}", action="export.me")
    token = create_api_key(tenant=acme, name="k", scopes=["read:audit"]).token
    client = (
        log_in(acme) if door.startswith("/app/") else Client(headers={"Authorization": f"Api-Key {token}"})
    )
    lines = b"".join(client.get(f"{door}jsonl&action=export.me").streaming_content).decode().splitlines()
    assert [json.loads(line)["target"] for line in lines] == [f"=cmd{n}" for n in reversed(range(8))]
    assert newest(acme).action == "data.exported"
    text = b"".join(client.get(f"{door}csv&action=export.me").streaming_content).decode()
    rows = list(csv.DictReader(io.StringIO(text.lstrip("\ufeff"))))
    assert [row["target"] for row in rows] == [f"'=cmd{n}" for n in reversed(range(8))]
    assert json.loads(rows[0]["data"]) == {}


def test_the_api_lists_filters_and_pages(acme: TenantRef, globex: TenantRef):
    for n in range(5):
        record(acme, target=f"t{n}", action="api.act")
    record(globex, target="theirs", action="api.act")
    token = create_api_key(tenant=acme, name="k", scopes=["read:audit"]).token
    client = Client(headers={"Authorization": f"Api-Key {token}"})
    seen, url = [], "/api/v1/audit-events?action=api.act&page_size=2"
    while url:
        page = client.get(url).json()
        seen += [event["target"] for event in page["results"]]
        url = page["next"]
    assert seen == ["t4", "t3", "t2", "t1", "t0"]
    assert client.get("/api/v1/audit-events?since=yesterday").status_code == 400
    assert client.get("/api/v1/audit-events?words=t3").json()["results"][0]["target"] == "t3"
    weak = create_api_key(tenant=acme, name="k", scopes=["read:orders"]).token
    refused = Client(headers={"Authorization": f"Api-Key {weak}"}).get("/api/v1/audit-events")
    assert (refused.status_code, refused.json()["missing_permission"]) == (403, "read:audit")
    assert refused.json()["roles_with_it"] == ["owner", "admin"]


def test_what_happens_at_the_door_is_recorded(acme: TenantRef, globex: TenantRef, valkey):
    email = member_of(acme, Role.AGENT)
    form = {"login": email, "password": PASSWORD}
    Client().post("/accounts/login/", form | {"password": "wrong"}, REMOTE_ADDR="203.0.113.9")
    failed = newest(acme)
    assert (failed.action, failed.actor, failed.address) == ("login.failed", email, "203.0.113.9")
    Client().post("/accounts/login/", form)
    assert (newest(acme).action, newest(acme).target) == ("login.succeeded", email)
    body = {"email": email, "password": PASSWORD}
    Client().post("/api/v1/auth/token", body, content_type="application/json")
    done = newest(acme)
    assert (done.action, done.data) == ("login.succeeded", {"via": "api", "second_factor": False})
    Client().post("/api/v1/auth/token", body | {"password": "no"}, content_type="application/json")
    assert newest(acme).action == "login.failed"
    assert not [e for e in list_audit_events(tenant=globex) if e.action.startswith("login.")]


def test_factors_and_passwords_are_recorded(acme: TenantRef):
    user = User.objects.get(email=member_of(acme, Role.AGENT))
    for signal, action in trail.ACTS.items():  # called itself: the signals' other listeners want a session
        trail.record_act(signal=signal, user=user, authenticator=SimpleNamespace(type="totp"))
        assert (newest(acme).action, newest(acme).actor) == (action, user.email)
        assert newest(acme).data == {"factor": "totp"}
    before, after = SimpleNamespace(email="a@x.example"), SimpleNamespace(email="b@x.example")
    account.email_changed.send(
        User, request=None, user=user, from_email_address=before, to_email_address=after
    )
    assert newest(acme).data == {"before": "a@x.example", "after": "b@x.example"}

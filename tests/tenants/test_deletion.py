"""A company goes for good, but not at once; what is left is what the books need, and a signed record."""

import asyncio
import datetime as dt
import uuid

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.core import mail
from django.db import connections
from django.urls import reverse
from django.utils import timezone

from apps.conversations.services import start_conversation
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants import selectors
from apps.tenants.context import OWNER, in_tenant
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.deletion import carrying_out, services
from apps.tenants.deletion.carrying_out import carry_out_deletion
from apps.tenants.erasing.manifest import is_genuine
from apps.tenants.exporting.services import path_of
from apps.tenants.models import TenantDeletion
from apps.tenants.notices import mail_notices
from apps.tenants.selectors import get_tenant, list_all_tenants, list_audit_events
from apps.tenants.services import add_member, create_api_key, provision_tenant
from apps.webhooks.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from tests.billing.invoices import make_invoice
from tests.pages import log_in
from tests.staff.test_admin import staff
from tests.tenants.traces import dump, publish_all, read_streams

pytestmark = pytest.mark.usefixtures("live_db")
OWNER_EMAIL = "owner@acme.example"


def ask(tenant: TenantRef) -> TenantDeletion:
    return services.request_deletion(tenant=tenant, typed_name="Acme", actor=OWNER_EMAIL)


def let_time_pass(what: str = "due_at") -> None:
    with connections[OWNER].cursor() as cursor:
        cursor.execute(f"UPDATE tenants_tenantdeletion SET {what} = now() - interval '1 s'")


def tables() -> dict[str, int]:
    """Count the rows of each public table with a tenant, acme's only."""
    counts = {}
    with connections[OWNER].cursor() as cursor:
        for model in carrying_out._public_models():
            table = model._meta.db_table
            column = "id" if table == "tenants_tenant" else "tenant_id"
            acme = "SELECT id FROM tenants_tenant WHERE slug = 'acme'"
            cursor.execute(f'SELECT count(*) FROM "{table}" WHERE "{column}" = ({acme})')
            counts[model._meta.label] = cursor.fetchone()[0]
    return {label: total for label, total in counts.items() if total}


def test_an_owner_types_the_name_waits_and_may_change_their_mind(acme: TenantRef):
    owner, admin = log_in(acme), log_in(acme, Role.ADMIN)
    url = "/app/settings/delete/"
    assert admin.post(url, {"typed_name": "Acme"}).status_code == 403
    assert "This is not" in owner.post(url, {"typed_name": "acme"}).content.decode()
    assert not get_tenant(slug="acme").is_suspended
    assert owner.post(url, {"typed_name": "Acme"}).status_code == 302
    assert "Keep the company" in owner.get(url).content.decode()
    assert "will be deleted" in owner.get("/app/customers/").content.decode()
    assert owner.post("/app/customers/new/", {"name": "A"}).status_code == 403, "it is read only"
    assert owner.post("/app/exports/").status_code == 302, "it can be exported"
    assert admin.post("/app/settings/delete/cancel/").status_code == 403
    assert owner.post("/app/settings/delete/cancel/").status_code == 302
    assert owner.post("/app/customers/new/", {"name": "A"}).status_code == 302
    assert owner.post("/app/settings/delete/cancel/").status_code == 404
    assert services.list_due_deletions() == []
    actions = [event.action for event in list_audit_events(tenant=acme) if "deletion" in event.action]
    assert actions == ["tenant.deletion_cancelled", "tenant.deletion_requested"]


def test_what_was_suspended_is_suspended_again(acme: TenantRef):
    with connections[OWNER].cursor() as cursor:
        cursor.execute("UPDATE tenants_tenant SET status = 'suspended' WHERE slug = 'acme'")
    ask(acme)
    with pytest.raises(ConflictError):
        ask(acme)
    services.cancel_deletion(tenant=acme, actor=OWNER_EMAIL)
    assert get_tenant(slug="acme").is_suspended
    assert not get_tenant(slug="acme").is_closing
    with pytest.raises(InvalidInput):
        services.request_deletion(tenant=acme, typed_name="Globex", actor=OWNER_EMAIL)


def test_nothing_goes_before_its_time(acme: TenantRef):
    deletion = ask(acme)
    grace = dt.timedelta(days=django_settings.TENANT_DELETION_GRACE_DAYS)
    assert timezone.now() + grace - deletion.due_at < dt.timedelta(minutes=1)
    assert services.list_due_deletions() == []
    assert not carry_out_deletion(deletion_id=deletion.id)
    services.cancel_deletion(tenant=acme, actor=OWNER_EMAIL)
    let_time_pass()
    assert not carry_out_deletion(deletion_id=deletion.id), "it was taken back"


def test_owners_are_reminded_once_a_week_and_a_day_before(acme: TenantRef):
    log_in(acme)
    deletion = ask(acme)
    mail_notices()
    for days, told in ((8, 0), (6.5, 1), (6, 0), (0.9, 1), (0.5, 0)):
        with in_tenant(acme):
            TenantDeletion.objects.update(due_at=timezone.now() + dt.timedelta(days=days))
        services.remind_owners()
        assert mail_notices() == told, days
    assert "can take it back" in mail.outbox[-1].body
    assert deletion.requested_by in mail.outbox[-1].body


def furnish(tenant: TenantRef) -> str:
    start_conversation(tenant=tenant, channel="api", text="zyxmark")
    make_invoice(tenant)
    path = path_of(tenant.id, uuid.uuid4())
    path.parent.mkdir(parents=True)
    path.write_bytes(b"zyxmark")
    with in_tenant(tenant):
        endpoint = WebhookEndpoint.objects.create(
            url="https://zyxmark.example/in", secret_hint="abcd", secret_created_at=timezone.now()
        )
        delivery = WebhookDelivery.objects.create(endpoint=endpoint, event_id=uuid.uuid4(), body="zyxmark")
        WebhookAttempt.objects.create(delivery=delivery, number=1)
    return create_api_key(tenant=tenant, name="zyxmark", scopes=["api:read"]).token


def test_everything_goes_but_what_the_books_need(live_db, acme, globex, nats_server, valkey, client):
    owner = log_in(acme)
    add_member(tenant=acme, email="both@x.example", role=Role.VIEWER)
    add_member(tenant=globex, email="both@x.example", role=Role.VIEWER)
    add_member(tenant=acme, email="only@zyxmark.example", role=Role.VIEWER)
    token = furnish(acme)
    valkey.set(f"limit:{acme.id}:x", 1)
    valkey.set(f"limit:{globex.id}:x", 1)
    start_conversation(tenant=globex, channel="api", text="theirs")
    asyncio.run(publish_all())
    deletion = ask(acme)
    mail_notices()
    let_time_pass()
    assert services.list_due_deletions() == [deletion.id]
    assert carry_out_deletion(deletion_id=deletion.id)
    done = TenantDeletion.objects.using(OWNER).get(id=deletion.id)
    assert done.status == "done", done.error
    assert is_genuine({"manifest": done.manifest, "signature": done.signature})
    assert set(tables()) == set(carrying_out.KEPT), "what is left, and nothing else"
    assert "zyxmark" not in dump(live_db.name)
    stream = asyncio.run(read_streams())
    assert str(acme.id) not in stream
    assert str(globex.id) in stream
    assert not path_of(acme.id, acme.id).parent.exists()
    assert [key for key in valkey.keys("*") if str(acme.id).encode() in key] == []
    assert valkey.exists(f"limit:{globex.id}:x")
    people = set(get_user_model().objects.values_list("email", flat=True))
    assert "both@x.example" in people
    assert "only@zyxmark.example" not in people
    assert owner.get("/app/").status_code == 302
    assert client.get("/api/v1/customers", headers={"Authorization": f"Api-Key {token}"}).status_code == 401
    assert mail_notices() == 1
    assert "is deleted" in mail.outbox[-1].subject
    assert log_in(globex).get("/app/").status_code == 200


def test_the_address_is_nobody_elses(acme: TenantRef):
    deletion = ask(acme)
    let_time_pass()
    carry_out_deletion(deletion_id=deletion.id)
    selectors.forget_all()
    with pytest.raises(NotFoundError):
        get_tenant(slug="acme")
    assert "acme" not in [tenant.slug for tenant in list_all_tenants()]
    with pytest.raises(ConflictError, match="was deleted"):
        provision_tenant(slug="acme", name="Acme again")
    assert selectors.is_slug_taken("acme")
    assert not selectors.is_slug_taken("acme-2")


def test_a_kill_after_any_step_is_gone_on_from(acme: TenantRef, monkeypatch):
    furnish(acme)
    deletion = ask(acme)
    let_time_pass()
    noted = carrying_out._note

    def dies(*given: object) -> None:
        raise KeyboardInterrupt  # the step has committed, the note has not

    for step in range(len(carrying_out.STEPS) - 1):
        monkeypatch.setattr(carrying_out, "_note", dies)
        with pytest.raises(KeyboardInterrupt):
            carry_out_deletion(deletion_id=deletion.id)
        assert not carry_out_deletion(deletion_id=deletion.id), "the dead one's lease holds"
        let_time_pass("leased_until")
        calls = []

        def once(*given: object, calls: list = calls) -> None:
            if calls:
                raise KeyboardInterrupt
            calls.append(given)
            noted(*given)  # type: ignore[arg-type]

        monkeypatch.setattr(carrying_out, "_note", once)
        with pytest.raises(KeyboardInterrupt):
            carry_out_deletion(deletion_id=deletion.id)
        let_time_pass("leased_until")
        done = TenantDeletion.objects.using(OWNER).get(id=deletion.id)
        assert len(done.done_steps) == step + 1
    monkeypatch.setattr(carrying_out, "_note", noted)
    if TenantDeletion.objects.using(OWNER).get(id=deletion.id).status != "done":
        assert carry_out_deletion(deletion_id=deletion.id)
    assert TenantDeletion.objects.using(OWNER).get(id=deletion.id).status == "done"
    assert set(tables()) <= set(carrying_out.KEPT)


def test_staff_sees_what_waits_and_may_keep_it(live_db, acme: TenantRef):
    deletion, client = ask(acme), staff(live_db)
    assert "acme" in client.get(reverse("admin:tenants_tenantdeletion_changelist")).content.decode()
    page = reverse("admin:tenants_tenantdeletion_change", args=[deletion.id])
    assert "Keep the company" in client.get(page).content.decode()
    keep = reverse("admin:tenants_tenantdeletion_keep", args=[deletion.id])
    assert client.post(keep, {"reason": ""}).status_code == 422
    assert client.post(keep, {"reason": "They called"}).status_code == 302
    assert not get_tenant(slug="acme").is_suspended
    assert client.get(keep).status_code == 404
    assert list_audit_events(tenant=acme)[0].data == {"reason": "They called"}

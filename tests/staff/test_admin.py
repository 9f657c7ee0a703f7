"""The staff's admin sees all tenants, changes one at a time through services, and lets nobody else in."""

import datetime as dt
import uuid

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from aiaas.observability import pulse
from apps.billing.selectors import get_plan
from apps.conversations.services import open_conversation, receive_message
from apps.events.contracts import Envelope
from apps.events.models import DeadLetter
from apps.events.services import bury
from apps.orchestration.services import start_run
from apps.resilience.breaker import BreakerPolicy, Callee, Verb
from apps.resilience.errors import NotAllowed
from apps.resilience.shared_breakers import breakers
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import get_tenant, list_audit_events
from apps.tenants.services import create_api_key
from tests.pages import log_in
from workers import tasks

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
pytestmark = pytest.mark.usefixtures("valkey")


def staff(live_db: object) -> Client:
    user = get_user_model().objects.create_superuser(f"staff-{uuid.uuid4().hex[:6]}@platform.example", "x")
    client = Client()
    client.force_login(user, backend=BACKEND)
    return client


def tenant_page(tenant: TenantRef, action: str = "") -> str:
    url = reverse("admin:tenants_tenant_change", args=[tenant.id])
    return url.replace("change/", f"{action}/") if action else url


def act(client: Client, tenant: TenantRef, action: str, **values: str):
    name = {"visit": "visit", "suspend": "suspend", "resume": "resume", "plan": "change_plan"}[action]
    return client.post(reverse(f"admin:tenants_tenant_{name}", args=[tenant.id]), values)


def test_every_list_and_the_start_page_open(live_db, acme: TenantRef, globex: TenantRef):
    client = staff(live_db)
    start_run(tenant=acme, workflow_name="order_cancellation", input={"order_number": "1"})
    assert client.get("/admin/").status_code == 200
    for model in admin.site._registry:
        meta = model._meta
        url = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
        assert client.get(url).status_code == 200, url
        assert client.get(url, {"q": "x' OR 1=1 --"}).status_code == 200, url
        assert client.get(url, {"p": "99", "o": "9.9", "status__exact": "<b>"}).status_code in (200, 302), url
    page = client.get(reverse("admin:tenants_tenant_changelist")).content.decode()
    assert "Acme" in page
    assert "Globex" in page
    assert (
        "order_cancellation"
        in client.get(reverse("admin:orchestration_agentrun_changelist")).content.decode()
    )


def test_only_staff_gets_in(live_db, acme: TenantRef):
    owner = log_in(acme)
    for url in ("/admin/", reverse("admin:tenants_tenant_changelist"), tenant_page(acme)):
        answer = owner.get(url)
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/admin/login/")
    assert act(owner, acme, "suspend", reason="mine").status_code == 302
    assert not get_tenant(tenant_id=acme.id).is_suspended


def test_staff_without_permissions_sees_no_rows(live_db, acme: TenantRef):
    user = get_user_model().objects.create(email="new@platform.example", is_staff=True)
    client = Client()
    client.force_login(user, backend=BACKEND)
    assert client.get(reverse("admin:tenants_tenant_changelist")).status_code == 403
    assert client.get(reverse("admin:tenants_tenant_visit", args=[acme.id])).status_code == 403
    assert act(client, acme, "suspend", reason="try").status_code == 403


def test_a_suspended_tenant_reads_and_begins_nothing(live_db, acme: TenantRef, globex: TenantRef):
    client, owner = staff(live_db), log_in(acme)
    conversation = open_conversation(tenant=acme, channel="api", customer=None)
    token = create_api_key(tenant=acme, name="all", scopes=["api:write"]).token
    assert act(client, acme, "suspend", reason="Unpaid").status_code == 302
    suspended = get_tenant(tenant_id=acme.id)
    with pytest.raises(NotAllowed):
        receive_message(tenant=suspended, conversation_id=conversation.id, text="hello")
    with pytest.raises(NotAllowed):
        start_run(tenant=suspended, workflow_name="order_cancellation", input={"order_number": "1"})
    api = Client(headers={"Authorization": f"Api-Key {token}"})
    assert api.post("/api/v1/customers", {"name": "A"}, "application/json").status_code == 403
    assert api.get("/api/v1/customers").status_code == 200
    assert owner.get("/app/").status_code == 200
    assert not get_tenant(tenant_id=globex.id).is_suspended
    assert list_audit_events(tenant=acme)[0].action == "tenant.suspended"
    act(client, acme, "resume", reason="Paid")
    receive_message(tenant=get_tenant(tenant_id=acme.id), conversation_id=conversation.id, text="hello")


def test_a_visit_is_announced_limited_and_recorded(live_db, acme: TenantRef):
    client = staff(live_db)
    assert client.get("/app/").headers["Location"] == "/accounts/start/"
    assert act(client, acme, "visit", role="viewer", reason="").status_code == 422
    assert act(client, acme, "visit", role="owner", reason="look").status_code == 422
    assert act(client, acme, "visit", role="viewer", reason="Ticket 7").status_code == 302
    page = client.get("/app/").content.decode()
    assert "You are visiting" in page
    began = list_audit_events(tenant=acme)[0]
    assert (began.action, began.data) == ("staff.visit_began", {"role": "viewer", "reason": "Ticket 7"})
    session = client.session
    session["acting"] = {**session["acting"], "until": (timezone.now() - dt.timedelta(1)).isoformat()}
    session.save()
    assert client.get("/app/").headers["Location"] == "/accounts/start/"


def test_the_plan_changes_with_a_reason(live_db, acme: TenantRef):
    client = staff(live_db)
    assert act(client, acme, "plan", plan="nonsense", reason="x").status_code == 422
    assert act(client, acme, "plan", plan="business", reason="Upgrade by phone").status_code == 302
    assert get_plan(tenant=acme).code == "business"
    assert list_audit_events(tenant=acme)[0].data == {"plan": "business", "reason": "Upgrade by phone"}


def test_dead_letters_are_replayed(live_db, acme: TenantRef):
    client = staff(live_db)
    good, bad = usage_envelope(acme), usage_envelope(acme, quantity="many")
    with in_tenant(acme):
        for envelope in (good, bad):
            bury(consumer="usage_projection", envelope=envelope, cause="ValueError: x", deliveries=3)
    letters = {letter.event_id: letter for letter in DeadLetter.objects.using("owner")}
    page = client.get("/admin/").content.decode()
    assert "2 dead letters wait" in page
    url = reverse("admin:events_deadletter_replay", args=[letters[good.id].id])
    assert client.get(url).status_code == 200
    assert client.post(url).status_code == 422, "a reason is needed"
    assert client.post(url, {"reason": "Mended"}).status_code == 302
    again = reverse("admin:events_deadletter_replay", args=[letters[bad.id].id])
    assert client.post(again, {"reason": "Perhaps"}).status_code == 422
    acts = [(e.action, e.data["reason"], e.data["failed"]) for e in list_audit_events(tenant=acme)[:2]]
    assert acts == [("staff.event_replayed", "Perhaps", True), ("staff.event_replayed", "Mended", False)]
    waiting = DeadLetter.objects.using("owner").filter(replayed_at=None).values_list("event_id", flat=True)
    assert list(waiting) == [bad.id]


def test_several_dead_letters_are_replayed_with_one_reason(live_db, acme: TenantRef, globex: TenantRef):
    client, url = staff(live_db), reverse("admin:events_deadletter_changelist")
    for tenant in (acme, globex):
        with in_tenant(tenant):
            letter = usage_envelope(tenant)
            bury(consumer="usage_projection", envelope=letter, cause="ValueError: x", deliveries=3)
    ids = [str(letter.id) for letter in DeadLetter.objects.using("owner")]
    asked = client.post(url, {"action": "replay_selected", "_selected_action": ids})
    assert asked.status_code == 200
    assert all(f'value="{key}"' in asked.content.decode() for key in ids)
    empty = {"action": "replay_selected", "_selected_action": ids, "reason": ""}
    assert client.post(url, empty).status_code == 422
    assert DeadLetter.objects.using("owner").filter(replayed_at=None).count() == 2
    assert client.post(url, {**empty, "reason": "Mended"}).status_code == 302
    assert not DeadLetter.objects.using("owner").filter(replayed_at=None).exists()
    for tenant in (acme, globex):
        assert list_audit_events(tenant=tenant)[0].data["reason"] == "Mended"


def usage_envelope(tenant: TenantRef, quantity: object = 2) -> Envelope:
    data = {"kind": "message", "quantity": quantity, "source_id": "1", "detail": {}}
    return Envelope(
        id=uuid.uuid4(),
        type="billing.usage.recorded",
        version=1,
        tenant_id=tenant.id,
        occurred_at=timezone.now(),
        data=data,
        run_id=None,
        conversation_id=None,
        trace="",
    )


def test_missing_processes_are_named(live_db):
    client = staff(live_db)
    assert "No worker process gives a sign of life." in client.get("/admin/").content.decode()
    for role in pulse.ROLES:
        pulse.beat(role)
    page = client.get("/admin/").content.decode()
    assert "sign of life." not in page
    assert page.count(">background<") == 1


def test_what_companies_tools_leave_alone_is_named(live_db, acme: TenantRef):
    assert "leaves alone" not in staff(live_db).get("/admin/").content.decode()
    breakers().tell(Callee("http_request", "shop.example", str(acme.id)), Verb.FAILED, BreakerPolicy(1))
    page = staff(live_db).get("/admin/").content.decode()
    assert "Acme leaves alone what fails: http_request shop.example." in page


def test_schemas_that_differ_are_shown_as_they_were_found_last(live_db, acme: TenantRef, monkeypatch):
    client, url = staff(live_db), reverse("admin:compare_schemas")
    assert "were not compared" in client.get("/admin/").content.decode()
    sent = []
    monkeypatch.setattr("celery.current_app.send_task", lambda name, **_: sent.append(name))
    assert client.get(url).status_code == 405
    assert client.post(url).status_code == 302
    assert sent == ["workers.tasks.report_drift"]
    tasks.report_drift()
    page = client.get("/admin/").content.decode()
    assert "2 tenants, none differs" in page
    with connections["owner"].cursor() as cursor:
        cursor.execute("ALTER TABLE t_acme.crm_customer ADD COLUMN odd int")
    assert "none differs" in client.get("/admin/").content.decode(), "a look costs no comparison"
    tasks.report_drift()
    page = client.get("/admin/").content.decode()
    assert "1 of 2 tenants" in page
    assert "acme: column crm_customer.odd is not expected" in page


def test_who_may_not_change_companies_has_no_schemas_compared(live_db, acme: TenantRef):
    user = get_user_model().objects.create(email="new@platform.example", is_staff=True)
    client = Client()
    client.force_login(user, backend=BACKEND)
    assert "Compare now" not in client.get("/admin/").content.decode()
    assert client.post(reverse("admin:compare_schemas")).status_code == 403
    assert log_in(acme).post(reverse("admin:compare_schemas")).status_code == 302


@pytest.mark.parametrize("object_id", ["nonsense", "00000000-0000-0000-0000-000000000000"])
def test_a_tenant_that_is_not_there(live_db, object_id: str):
    answer = staff(live_db).post(reverse("admin:tenants_tenant_suspend", args=[object_id]), {"reason": "x"})
    assert answer.status_code == 404


def test_lists_cost_the_same_for_many_tenants(live_db, acme: TenantRef, django_assert_max_num_queries):
    client = staff(live_db)
    client.get(reverse("admin:tenants_tenant_changelist"))
    with django_assert_max_num_queries(4):  # session, user: the rows are read on the platform's connection
        client.get(reverse("admin:tenants_tenant_changelist"))

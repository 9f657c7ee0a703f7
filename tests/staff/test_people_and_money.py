"""What belongs to no company: changed with a reason that is kept, by those alone whose group permits it."""

import json
import uuid

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse

from apps.accounts.models import SignUp
from apps.billing.models import Plan, PlanPrice
from apps.billing.selectors import get_plan
from apps.orchestration.services import start_run
from apps.tenants.context import in_platform, in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.models import AuditEvent
from apps.tenants.selectors import list_audit_events
from apps.tenants.services import record_audit
from tests.billing.invoices import make_invoice
from tests.pages import member_of
from tests.staff.test_admin import BACKEND, act, staff

pytestmark = pytest.mark.usefixtures("valkey")


def staff_with(*codenames: str) -> Client:
    group = Group.objects.create(name=uuid.uuid4().hex[:8])
    group.permissions.set(Permission.objects.filter(codename__in=codenames))
    email = f"plain-{uuid.uuid4().hex[:6]}@platform.example"
    user = get_user_model().objects.create(email=email, is_staff=True)
    user.groups.add(group)
    client = Client()
    client.force_login(user, backend=BACKEND)
    return client


def change(model: str, key: object) -> str:
    return reverse(f"admin:{model}_change", args=[key])


def values_of(answer) -> dict[str, object]:
    """Return what the page's form would send as it is."""
    form = answer.context["adminform"].form
    values = {name: form[name].value() for name in form.fields}
    return {name: value for name, value in values.items() if value not in (None, False)}


def test_a_person_is_deactivated_with_a_reason(live_db, acme: TenantRef):
    client, user = staff(live_db), get_user_model().objects.get(email=member_of(acme))
    url = change("tenants_user", user.id)
    values = values_of(client.get(url))
    values.pop("is_active")
    assert client.post(url, {**values, "reason": ""}).status_code == 200
    assert get_user_model().objects.get(id=user.id).is_active
    assert client.post(url, {**values, "reason": "Left the company"}).status_code == 302
    assert not get_user_model().objects.get(id=user.id).is_active
    entry = LogEntry.objects.get()
    assert entry.get_change_message() == "Changed (is_active: True → False). Left the company"
    assert "Left the company" in client.get(reverse("admin:admin_logentry_changelist")).content.decode()


def test_staff_gets_what_its_group_permits(live_db, acme: TenantRef):
    reader = staff_with("view_tenant", "view_user")
    page = reader.get(change("tenants_tenant", acme.id)).content.decode()
    assert "Acme" in page
    for name in ("Suspend…", "Log in as…", "Change the plan…"):
        assert name not in page
    assert act(reader, acme, "suspend", reason="x").status_code == 403
    user = get_user_model().objects.get(email=member_of(acme))
    assert reader.post(change("tenants_user", user.id), {"reason": "x"}).status_code == 403
    for model in ("billing_invoice", "events_deadletter", "auth_group", "admin_logentry", "accounts_signup"):
        assert reader.get(reverse(f"admin:{model}_changelist")).status_code == 403, model
    doer = staff_with("view_tenant", "change_tenant")
    page = doer.get(change("tenants_tenant", acme.id)).content.decode()
    assert "Suspend…" in page
    assert "Resume…" not in page
    assert act(doer, acme, "suspend", reason="x").status_code == 302
    assert "Resume…" in doer.get(change("tenants_tenant", acme.id)).content.decode()


def test_nobody_but_a_superuser_makes_staff(live_db, acme: TenantRef):
    client = staff_with("view_user", "change_user", "view_group", "change_group", "add_group")
    user = get_user_model().objects.get(email=member_of(acme))
    url = change("tenants_user", user.id)
    client.post(url, {"name": "New name", "is_staff": "on", "is_superuser": "on", "reason": "mine"})
    kept = get_user_model().objects.get(id=user.id)
    assert (kept.name, kept.is_staff, kept.is_superuser) == ("New name", False, False)
    group = Group.objects.first()
    assert client.get(change("auth_group", group.id)).status_code == 403
    assert client.get(reverse("admin:auth_group_add")).status_code == 403


def test_a_group_is_made_by_a_superuser(live_db):
    client, url = staff(live_db), reverse("admin:auth_group_add")
    page = client.get(url).content.decode()
    assert "Can change tenant" in page
    assert "Can delete" not in page
    view = Permission.objects.get(codename="view_tenant")
    assert client.post(url, {"name": "Support", "permissions": [view.id], "reason": ""}).status_code == 200
    assert not Group.objects.exists()
    good = {"name": "Support", "permissions": [view.id], "reason": "First line"}
    assert client.post(url, good).status_code == 302
    assert list(Group.objects.get().permissions.all()) == [view]
    assert "First line" in LogEntry.objects.get().get_change_message()


@pytest.mark.parametrize(
    "tiers",
    ["message", "nonsense 0 1", "message x 1", "message 0 NaN", "message -1 1", "message 0 1\nmessage 0 2"],
)
def test_prices_that_are_none_are_told(live_db, tiers: str):
    plan = Plan.objects.get(code="business")
    url = reverse("admin:billing_plan_publish_prices", args=[plan.pk])
    before = PlanPrice.objects.count()
    answer = staff(live_db).post(url, {"base_fee_cents": 100, "tiers": tiers, "reason": "x"})
    assert answer.status_code == 422
    assert PlanPrice.objects.count() == before


def test_new_prices_are_a_version(live_db, acme: TenantRef):
    client, plan = staff(live_db), Plan.objects.get(code="business")
    url = reverse("admin:billing_plan_publish_prices", args=[plan.pk])
    assert "message 50000 0.004" in client.get(url).content.decode()
    good = {
        "base_fee_cents": 12_300,
        "tiers": "message 50000 0.005\nsearch 1000 0.0001",
        "reason": "Costs rose",
    }
    assert client.post(url, {**good, "reason": ""}).status_code == 422
    assert client.post(url, good).status_code == 302
    assert plan.prices.order_by("-version").first().base_fee_cents == 12_300
    page = client.get(change("billing_plan", plan.pk)).content.decode()
    assert "Version 2" in page
    assert "search 1000 0.0001" in page
    assert "Costs rose" in LogEntry.objects.get().get_change_message()
    assert staff_with("view_plan").post(url, good).status_code == 403


def test_a_new_plan_has_prices_and_checked_amounts(live_db, acme: TenantRef):
    client, url = staff(live_db), reverse("admin:billing_plan_add")
    good = {
        "name": "Team", "code": "team", "price_cents": "4900", "currency": "USD", "requests_per_minute": "60",
        "max_concurrent_runs": "5", "run_weight": "2",
        "included": '{"message": 5000}', "reason": "Asked for",
    }  # fmt: skip
    for included in ('{"nonsense": 1}', '{"message": -1}', '{"message": "x"}', "[1]", "{"):
        assert client.post(url, {**good, "included": included}).status_code == 200
    assert not Plan.objects.filter(code="team").exists()
    assert client.post(url, good).status_code == 302
    assert Plan.objects.get(code="team").prices.get().base_fee_cents == 4900
    assert act(client, acme, "plan", plan="team", reason="x").status_code == 302
    assert get_plan(tenant=acme).code == "team"


def test_invoices_of_all_companies_with_their_lines(live_db, acme: TenantRef, globex: TenantRef):
    mine, theirs = make_invoice(acme), make_invoice(globex)
    client, url = staff(live_db), reverse("admin:billing_invoice_changelist")
    page = client.get(url).content.decode()
    assert str(mine) in page
    assert str(theirs) in page
    found = client.get(url, {"q": "acme"}).content.decode()
    assert str(mine) in found
    assert str(theirs) not in found
    shown = client.get(change("billing_invoice", mine)).content.decode()
    assert "Quantity" in shown
    assert "None yet" not in shown


def test_runs_are_found_by_company(live_db, acme: TenantRef, globex: TenantRef):
    runs = [
        start_run(tenant=t, workflow_name="order_cancellation", input={"order_number": "SECRET-1"}).id
        for t in (acme, globex)
    ]
    client, url = staff(live_db), reverse("admin:orchestration_agentrun_changelist")
    page = client.get(url, {"q": "globex"}).content.decode()
    assert str(runs[1]) in page
    assert str(runs[0]) not in page
    assert "SECRET-1" not in client.get(change("orchestration_agentrun", runs[0])).content.decode()


def test_staffs_acts_are_listed_and_a_companys_own_are_not(live_db, acme: TenantRef):
    client = staff(live_db)
    record_audit_of(acme)
    act(client, acme, "visit", role="viewer", reason="Ticket 7")
    client.post("/app/leave-tenant/")
    assert list_audit_events(tenant=acme)[0].action == "staff.visit_ended"
    page = client.get(reverse("admin:tenants_auditevent_changelist")).content.decode()
    assert "Ticket 7" in page
    assert "a.secret.act" not in page
    with in_platform() as alias:
        acts = AuditEvent.objects.using(alias)
        assert acts.exists()
        assert not acts.exclude(actor__startswith="staff:").exists()


def record_audit_of(tenant: TenantRef) -> None:
    with in_tenant(tenant):
        record_audit(tenant=tenant, actor="ann@acme.example", action="a.secret.act")


def test_a_company_that_could_not_be_made_is_tried_again(live_db):
    client, user = staff(live_db), get_user_model().objects.create(email="new@x.example")
    failed = SignUp.objects.create(user=user, company="Late", slug="late", status="failed", due_at=None)
    assert "1 companies could not be made" in client.get("/admin/").content.decode()
    url = reverse("admin:accounts_signup_retry", args=[failed.id])
    assert client.post(url, {"reason": ""}).status_code == 422
    assert client.post(url, {"reason": "The disk is free again"}).status_code == 302
    assert SignUp.objects.get().status == "waiting"
    assert client.post(url, {"reason": "Again"}).status_code == 422
    assert "disk is free" in LogEntry.objects.get().get_change_message()


def test_guessing_at_the_admins_door_is_guessing_at_everybodys(db: None, acme: TenantRef):
    answer = Client().get("/admin/login/?next=/admin/")
    assert answer.headers["Location"].startswith("/accounts/login/?next=")
    assert Client().post("/admin/login/", {"username": "a", "password": "b"}).status_code == 302
    member = Client()
    member.force_login(get_user_model().objects.get(email=member_of(acme)), backend=BACKEND)
    assert member.get("/admin/login/?next=/admin/").status_code == 403


def test_the_staffs_acts_are_taken_along_and_no_others(live_db, acme: TenantRef, monkeypatch):
    monkeypatch.setattr("aiaas.staff.log.EXPORT_BATCH", 2)
    record_audit_of(acme)
    with in_tenant(acme):
        for n in range(5):
            record_audit(tenant=acme, actor="staff:ann@x.example", action=f"act.{n}", data={"reason": "Why"})
    answer = staff(live_db).get(reverse("admin:tenants_auditevent_export"))
    told = [json.loads(line) for line in b"".join(answer.streaming_content).decode().splitlines()]
    assert [act["what"] for act in told] == [f"act.{n}" for n in reversed(range(5))]
    assert {act["tenant"] for act in told} == {str(acme.id)}

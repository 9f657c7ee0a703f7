"""Changing the plan: seen before it is done, at once or at the period's end, taken back until then."""

import datetime as dt

import pytest
from django.utils import timezone

from apps.billing import selectors, services
from apps.billing.models import Plan, Subscription
from apps.events.models import OutboxEvent
from apps.resilience.errors import ConflictError, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role
from apps.tenants.selectors import list_audit_events
from tests.billing.generated import deliver, usage
from tests.gateway.conftest import key_client
from tests.pages import log_in

NOW = dt.datetime(2026, 3, 15, tzinfo=dt.UTC)
START, NEXT = dt.datetime(2026, 3, 5, tzinfo=dt.UTC), dt.datetime(2026, 4, 5, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def clock(monkeypatch):
    """Let it be another time for everybody."""

    def go(moment: dt.datetime) -> None:
        monkeypatch.setattr("django.utils.timezone.now", lambda: moment)

    go(NOW)
    return go


@pytest.fixture
def business(acme, clock):
    services.subscribe_tenant(tenant=acme, plan_code="business")
    services.begin_billing_on(tenant=acme, day=START.date())
    return acme


def fees(tenant) -> list[tuple[str, int]]:
    lines = selectors.get_draft(tenant=tenant).lines
    return [(line.description, line.amount_cents) for line in lines if line.type == "base_fee"]


def told(tenant) -> list[tuple[str, str]]:
    with in_tenant(tenant):
        rows = OutboxEvent.objects.filter(type="billing.plan.changed").values_list("envelope", flat=True)
        return [(row["data"]["was"], row["data"]["plan"]) for row in rows]


def test_a_dearer_plan_begins_at_once_as_the_preview_said(business, globex):
    deliver(business, usage(business, NOW, quantity=60_000))
    preview = selectors.preview_plan_change(tenant=business, plan_code="enterprise")
    before = selectors.get_draft(tenant=business)
    assert (preview.is_immediate, preview.draft_cents) == (True, before.total_cents)
    changed = services.change_plan(tenant=business, plan_code="enterprise", actor="user:1")
    assert (changed.plan.code, changed.next_plan, changed.period.start) == ("enterprise", None, START)
    after = selectors.get_draft(tenant=business)
    assert after.total_cents == preview.draft_then_cents
    # A third of the period on the one fee, the rest on the other; usage by the new plan's tiers is free.
    assert [cents for _, cents in fees(business)] == [3_194, 67_674]
    assert told(business)[1:] == [("business", "enterprise")]
    acts = [event for event in list_audit_events(tenant=business) if event.action == "plan.changed"]
    assert [(act.actor, act.data["to"]) for act in acts] == [("user:1", "enterprise")]
    assert selectors.get_plan(tenant=globex).code == "starter"


def test_a_cheaper_plan_follows_when_the_period_ends(business, clock):
    draft = selectors.get_draft(tenant=business).total_cents
    preview = selectors.preview_plan_change(tenant=business, plan_code="starter")
    assert (preview.is_immediate, preview.effective_at) == (False, NEXT)
    assert preview.draft_then_cents == preview.draft_cents == draft
    changed = services.change_plan(tenant=business, plan_code="starter", actor="user:1")
    assert (changed.plan.code, changed.next_plan.code, changed.next_plan_at) == ("business", "starter", NEXT)
    assert selectors.get_draft(tenant=business).total_cents == draft
    assert told(business)[1:] == []
    clock(NEXT - dt.timedelta(microseconds=1))
    assert selectors.get_plan(tenant=business).code == "business"
    clock(NEXT)  # to the moment, though no job has run
    assert selectors.get_plan(tenant=business).code == "starter"
    assert selectors.get_quota(tenant=business, kind="message").limit == 2_000
    clock(NEXT + HOUR)
    [invoice_id] = services.finalise_invoices(tenant=business)
    invoice = selectors.get_invoice(tenant=business, invoice_id=invoice_id)
    assert (invoice.plan_name, invoice.total_cents) == ("Business", 9_900)
    assert fees(business) == [("Starter, base fee", 0)]
    assert told(business)[1:] == [("business", "starter")]
    assert selectors.get_subscription(tenant=business).next_plan is None


def test_taken_back_before_it_takes_effect(business, clock):
    services.change_plan(tenant=business, plan_code="starter", actor="user:1")
    assert services.keep_plan(tenant=business, actor="user:1").next_plan is None
    services.keep_plan(tenant=business, actor="user:1")
    services.change_plan(tenant=business, plan_code="starter", actor="user:1")
    services.change_plan(tenant=business, plan_code="business", actor="user:1")
    clock(NEXT + HOUR)
    services.finalise_invoices(tenant=business)
    assert selectors.get_plan(tenant=business).code == "business"
    actions = [event.action for event in list_audit_events(tenant=business)]
    assert actions.count("plan.change_taken_back") == actions.count("plan.change_planned") == 2


def test_a_change_in_the_hour_before_the_invoice_counts_for_its_own_period(business, clock):
    services.change_plan(tenant=business, plan_code="starter", actor="user:1")
    clock(NEXT + HOUR / 2)  # starter holds already, its period's predecessor is not invoiced yet
    changed = services.change_plan(tenant=business, plan_code="enterprise", actor="user:1")
    assert changed.plan.code == "enterprise"
    with in_tenant(business):
        rows = Subscription.objects.order_by("created_at").values_list("plan__code", "created_at", "ended_at")
        assert list(rows)[1:] == [
            ("starter", NEXT, NEXT + HOUR / 2),
            ("enterprise", rows.last()[1], None),
        ]
    clock(NEXT + HOUR)
    [invoice_id] = services.finalise_invoices(tenant=business)
    assert selectors.get_invoice(tenant=business, invoice_id=invoice_id).total_cents == 9_900


def test_what_cannot_be_chosen_is_refused(business, clock):
    Plan.objects.create(code="euro", name="Euro", currency="EUR", price_cents=1, requests_per_minute=60)
    Plan.objects.create(code="secret", name="Secret", is_public=False, requests_per_minute=60)
    for code, error in (("euro", ConflictError), ("secret", ConflictError), ("gold", NotFoundError)):
        with pytest.raises(error):
            services.change_plan(tenant=business, plan_code=code, actor="user:1")
    services.publish_price(plan_code="business", base_fee_cents=1, tiers={}, for_tenant=business)
    with pytest.raises(ConflictError, match="agreed"):
        services.change_plan(tenant=business, plan_code="starter", actor="user:1")


def test_an_owner_sees_what_it_costs_changes_it_and_takes_it_back(acme, globex):
    services.subscribe_tenant(tenant=acme, plan_code="business")
    deliver(acme, usage(acme, timezone.now(), quantity=3_000))
    owner = log_in(acme)
    page = owner.get("/app/plans/").content.decode()
    assert "Change to Enterprise" in page
    assert "Used beyond it already: Messages" in page
    preview = owner.get("/app/plans/starter/").content.decode()
    assert "which does not change" in preview
    done = owner.post("/app/plans/starter/", follow=True).content.decode()
    assert "until then nothing changes" in done
    assert "Stay on Business" in done
    assert "Stay on Business" not in owner.post("/app/plans/keep/", follow=True).content.decode()
    assert selectors.get_subscription(tenant=acme).next_plan is None
    assert owner.get("/app/plans/business/").status_code == 409
    assert owner.get("/app/plans/gold/").status_code == 404


def test_others_see_plans_and_change_none(acme, globex):
    analyst = log_in(acme, Role.ANALYST)
    page = analyst.get("/app/plans/").content.decode()
    assert "Change to" not in page
    assert analyst.get("/app/plans/business/").status_code == 403
    assert analyst.post("/app/plans/business/").status_code == 403
    assert log_in(acme, Role.VIEWER).get("/app/plans/").status_code == 403
    assert selectors.get_plan(tenant=acme).code == "starter"


def test_over_the_api_it_is_changed_planned_taken_back_and_refused(business, globex, valkey):
    api = key_client(business, "read:billing", "write:billing")
    url, sent = "/api/v1/subscription", {"content_type": "application/json"}
    an_admins = key_client(business, "api:read", "api:write")
    assert an_admins.patch(url, {"plan": "enterprise"}, **sent).status_code == 403, "owners alone may"
    assert api.patch(url, {"plan": "nothing"}, **sent).status_code == 404
    assert api.patch(url, {}, **sent).status_code == 400
    planned = api.patch(url, {"plan": "starter"}, **sent).json()
    assert (planned["plan"]["code"], planned["next_plan"]["code"]) == ("business", "starter")
    assert planned["next_plan_at"] == planned["period"]["end"]
    assert api.patch(url, {"plan": "business"}, **sent).json()["next_plan"] is None
    assert api.patch(url, {"plan": "enterprise"}, **sent).json()["plan"]["code"] == "enterprise"
    assert api.get(url).json()["plan"]["code"] == "enterprise"
    acts = [act.action for act in list_audit_events(tenant=business) if act.action.startswith("plan.")]
    assert acts == ["plan.changed", "plan.change_taken_back", "plan.change_planned"]
    assert selectors.get_subscription(tenant=globex).plan.code == "starter"

"""A trial: a paid plan's limits for some days, never charged, ended once by whoever comes first."""

import datetime as dt
import threading

import pytest
from django.core import mail
from django.db import connections
from django.urls import reverse

from apps.accounts import services as accounts
from apps.accounts.models import SignUp
from apps.billing import selectors, services
from apps.billing.contracts import TRIAL
from apps.billing.models import BillingAccount, Invoice, Plan, Subscription
from apps.billing.services import subscriptions, trials
from apps.resilience.errors import ConflictError, InvalidInput
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role
from apps.tenants.models import AuditEvent, Notice
from apps.tenants.notices import mail_notices
from apps.tenants.selectors import get_tenant, list_audit_events
from tests.accounts.test_sign_up import sign_up
from tests.billing.generated import deliver, usage
from tests.gateway.conftest import key_client
from tests.pages import log_in, member_of
from tests.staff.test_admin import staff
from workers import tasks

NOW = dt.datetime(2026, 3, 10, 10, 7, tzinfo=dt.UTC)
MIDNIGHT = NOW.replace(hour=0, minute=0)
ENDS = dt.datetime(2026, 3, 25, tzinfo=dt.UTC)
DAY, HOUR, TICK = dt.timedelta(days=1), dt.timedelta(hours=1), dt.timedelta(microseconds=1)


@pytest.fixture
def clock(monkeypatch):
    """Let it be another time for everybody."""

    def go(moment: dt.datetime) -> None:
        monkeypatch.setattr("django.utils.timezone.now", lambda: moment)

    go(NOW)
    return go


@pytest.fixture
def trying(acme, clock):
    """A company that begins now, as if it had just signed up."""
    begin_anew(acme)
    return acme


def begin_anew(tenant) -> None:
    with in_tenant(tenant):
        Subscription.objects.all().delete()
        BillingAccount.objects.all().delete()
        services.start_trial(tenant=tenant)


def notices(tenant) -> list[str]:
    with in_tenant(tenant):
        return list(Notice.objects.order_by("created_at").values_list("key", flat=True))


def invoices(tenant) -> list[tuple[str, int, dt.datetime, dt.datetime]]:
    with in_tenant(tenant):
        rows = Invoice.objects.order_by("number")
        return [(row.plan_name, row.total_cents, row.period_start, row.period_end) for row in rows]


def acts(tenant, action: str) -> list[AuditEvent]:
    return [event for event in list_audit_events(tenant=tenant) if event.action == action]


def plan_of(tenant) -> str:
    return selectors.get_plan(tenant=tenant).code


def test_a_trial_has_a_paid_plans_limits_until_a_midnight_there(trying, globex, clock):
    found = selectors.get_subscription(tenant=trying)
    assert (found.plan.code, found.trial_ends_at, found.next_plan.code) == (TRIAL, ENDS, "starter")
    assert (found.period.start, found.period.end) == (MIDNIGHT, ENDS)
    business = Plan.objects.get(code="business")
    assert found.plan.included == business.included
    assert selectors.get_quota(tenant=trying, kind="message").limit == business.included["message"]
    assert selectors.get_subscription(tenant=globex).trial_ends_at is None
    clock(ENDS - TICK)
    assert plan_of(trying) == TRIAL
    clock(ENDS)  # to the moment, though no job has run
    assert plan_of(trying) == "starter"
    assert selectors.get_quota(tenant=trying, kind="message").limit == 2_000


def test_it_ends_by_itself_and_nothing_is_charged(trying, clock):
    member_of(trying)
    deliver(trying, usage(trying, NOW + HOUR, quantity=3_000_000))
    clock(ENDS + HOUR)
    services.follow_trial(tenant=trying)
    [first] = services.finalise_invoices(tenant=trying)
    assert selectors.get_invoice(tenant=trying, invoice_id=first).total_cents == 0
    assert invoices(trying) == [("Trial", 0, MIDNIGHT, ENDS)]
    assert plan_of(trying) == "starter"
    period = selectors.get_subscription(tenant=trying).period
    assert (period.start, period.end) == (ENDS, dt.datetime(2026, 4, 25, tzinfo=dt.UTC))
    assert selectors.get_quota(tenant=trying, kind="message").used == 0
    late = usage(trying, NOW + 2 * HOUR, quantity=9_000_000)  # of the trial, told after its invoice
    deliver(trying, late)
    clock(period.end + HOUR)
    services.finalise_invoices(tenant=trying)
    assert [total for _, total, _, _ in invoices(trying)] == [0, 0]
    assert selectors.list_changed_invoices(tenant=trying) == []


def test_owners_are_told_three_days_before_and_at_the_end_once_each(trying, globex, clock):
    member_of(trying)
    member_of(trying, Role.AGENT)
    for moment in (ENDS - 4 * DAY, ENDS - 3 * DAY, ENDS - 2 * DAY):
        clock(moment)
        services.follow_trial(tenant=trying)
    assert notices(trying) == ["trial-ends:2026-03-25T00:00"]
    clock(ENDS)
    for _ in range(2):
        services.follow_trial(tenant=trying)
    assert notices(trying) == ["trial-ends:2026-03-25T00:00", "trial-ended"]
    services.follow_trial(tenant=globex)
    assert notices(globex) == []
    with in_tenant(trying):
        assert {len(row.recipients) for row in Notice.objects.all()} == {1}


def test_whoever_ends_it_tells_of_it(trying, clock):
    member_of(trying)
    clock(ENDS + 2 * HOUR)
    services.finalise_invoices(tenant=trying)  # the job of trials was away
    services.follow_trial(tenant=trying)
    assert notices(trying) == ["trial-ended"]
    assert plan_of(trying) == "starter"


@pytest.mark.parametrize("later", [dt.timedelta(minutes=1), HOUR, 5 * DAY])
def test_choosing_a_plan_ends_the_trial_and_begins_a_paid_period(trying, clock, later):
    deliver(trying, usage(trying, NOW, quantity=4_000_000))
    clock(NOW + later)
    since = services.subscriptions.bucket_start(NOW + later)
    preview = selectors.preview_plan_change(tenant=trying, plan_code="business")
    assert (preview.ends_trial, preview.draft_cents, preview.draft_then_cents) == (True, 0, 9_900)
    changed = services.change_plan(tenant=trying, plan_code="business", actor="user:1")
    assert (changed.plan.code, changed.trial_ends_at, changed.next_plan) == ("business", None, None)
    assert (changed.period.start, changed.period) == (since, preview.period)
    assert selectors.get_quota(tenant=trying, kind="message").used == (4_000_000 if since <= NOW else 0)
    clock(changed.period.end + HOUR)
    services.finalise_invoices(tenant=trying)
    assert invoices(trying)[0] == ("Trial", 0, MIDNIGHT, since)
    assert invoices(trying)[1][:1] == ("Business",)
    assert invoices(trying)[1][2:] == (since, changed.period.end)
    if since > NOW:
        assert invoices(trying)[1][1] == 9_900
    assert selectors.list_changed_invoices(tenant=trying) == []
    [act] = acts(trying, "plan.changed")
    assert act.data == {"from": TRIAL, "to": "business"}


def test_a_plan_chosen_within_the_first_minutes_of_a_day_leaves_no_empty_period(acme, clock):
    clock(MIDNIGHT + dt.timedelta(minutes=3))
    begin_anew(acme)
    clock(MIDNIGHT + dt.timedelta(minutes=5))
    changed = services.change_plan(tenant=acme, plan_code="business", actor="user:1")
    assert changed.period.start == MIDNIGHT
    clock(changed.period.end + HOUR)
    services.finalise_invoices(tenant=acme)
    assert invoices(acme) == [("Business", 9_900, MIDNIGHT, changed.period.end)]


def test_the_free_plan_follows_and_a_trial_is_never_kept(trying, clock):
    for change in (
        lambda: services.change_plan(tenant=trying, plan_code="starter", actor="user:1"),
        lambda: services.change_plan(tenant=trying, plan_code=TRIAL, actor="user:1"),
        lambda: services.keep_plan(tenant=trying, actor="user:1"),
    ):
        found = change()
        assert (found.plan.code, found.next_plan.code, found.next_plan_at) == (TRIAL, "starter", ENDS)
    clock(ENDS)
    assert plan_of(trying) == "starter"


def test_there_is_no_second_trial(trying, globex, clock):
    clock(ENDS + DAY)
    services.follow_trial(tenant=trying)
    for tenant in (trying, globex):
        with pytest.raises(ConflictError, match="begins with"):
            services.start_trial(tenant=tenant)
        with pytest.raises(ConflictError, match="begins with"):
            services.subscribe_tenant(tenant=tenant, plan_code=TRIAL)
        with pytest.raises(ConflictError):
            services.change_plan(tenant=tenant, plan_code=TRIAL, actor="user:1")
        with pytest.raises(ConflictError, match="no trial"):
            services.extend_trial(tenant=tenant, days=3, reason="x", actor="staff:1")
        assert plan_of(tenant) == "starter"


def test_staff_extends_it_and_owners_are_reminded_of_the_new_end(trying, clock):
    member_of(trying)
    clock(ENDS - DAY)
    services.follow_trial(tenant=trying)
    found = services.extend_trial(tenant=trying, days=7, reason="Asked by phone", actor="staff:1")
    later = ENDS + 7 * DAY
    assert (found.trial_ends_at, found.period.end) == (later, later)
    [act] = acts(trying, "plan.trial_extended")
    assert (act.data["before"], act.data["after"]) == (ENDS.isoformat(), later.isoformat())
    clock(later - DAY)
    services.follow_trial(tenant=trying)
    assert notices(trying) == ["trial-ends:2026-03-25T00:00", "trial-ends:2026-04-01T00:00"]
    clock(later + HOUR)
    services.finalise_invoices(tenant=trying)
    assert invoices(trying) == [("Trial", 0, MIDNIGHT, later)]
    for days in (0, -1, 91):
        with pytest.raises(InvalidInput):
            services.extend_trial(tenant=trying, days=days, reason="x", actor="staff:1")


def test_a_zone_west_of_greenwich_gets_whole_days(acme, clock, monkeypatch):
    monkeypatch.setattr(trials, "get_time_zone", lambda *, tenant: "America/Los_Angeles")
    clock(dt.datetime(2026, 3, 1, 3, tzinfo=dt.UTC))  # there it is still February
    begin_anew(acme)
    ends_at = selectors.get_subscription(tenant=acme).trial_ends_at
    assert ends_at == dt.datetime(2026, 3, 15, 7, tzinfo=dt.UTC)  # and summer time has begun meanwhile


def test_a_killed_job_leaves_nothing_half_done(trying, clock, monkeypatch):
    member_of(trying)
    clock(ENDS)

    class Killed(BaseException): ...

    def die(**_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(subscriptions, "tell_that_trial_ended", die)
        with pytest.raises(Killed):
            services.follow_trial(tenant=trying)
    with in_tenant(trying):
        assert Subscription.objects.get().next_plan_at == ENDS, "untold, hence not done"
    services.follow_trial(tenant=trying)
    assert notices(trying) == ["trial-ended"]
    assert plan_of(trying) == "starter"


def test_sign_up_begins_a_trial_and_the_job_ends_it(live_db, acme, clock, monkeypatch):
    sign_up()
    accounts.sweep_due_sign_ups()
    assert SignUp.objects.get().status == SignUp.Status.DONE
    tenant = get_tenant(slug="new-company")
    ends_at = selectors.get_subscription(tenant=tenant).trial_ends_at
    assert ends_at == dt.datetime(2026, 3, 24, 23, tzinfo=dt.UTC)  # midnight in Berlin
    tasks.follow_trials()
    assert notices(tenant) == []
    clock(ends_at)

    def work() -> None:
        tasks.follow_trials()
        tasks.finalise_invoices()
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert notices(tenant) == ["trial-ended"]
    with in_tenant(tenant):
        rows = Subscription.objects.order_by("created_at").values_list("plan__code", "ended_at")
        assert list(rows) == [(TRIAL, ends_at), ("starter", None)]
    monkeypatch.undo()
    mail_notices()
    told = [message.to for message in mail.outbox if "trial has ended" in message.subject]
    assert told == [["nora@new.example"]]
    assert plan_of(acme) == "starter"


def test_without_days_a_sign_up_is_on_the_default_plan(live_db, settings):
    settings.TRIAL_DAYS = 0
    sign_up()
    accounts.sweep_due_sign_ups()
    found = selectors.get_subscription(tenant=get_tenant(slug="new-company"))
    assert (found.plan.code, found.trial_ends_at) == ("starter", None)


def test_pages_and_api_tell_how_many_days_are_left(trying, globex, clock, valkey):
    clock(ENDS - 2 * DAY - HOUR)
    browser = log_in(trying)
    for url in ("/app/", "/app/usage/", "/app/plans/"):
        page = browser.get(url).content.decode()
        assert "2 days are left of your trial" in page, url
        assert "Stay on Trial" not in page
        assert "days are left" not in log_in(globex).get(url).content.decode()
    page = browser.get("/app/plans/business/").content.decode()
    assert "nothing is charged for it" in page
    api = key_client(trying, "read:billing")
    assert api.get("/api/v1/subscription").json()["trial_ends_at"] == "2026-03-25T00:00:00Z"
    assert key_client(globex, "read:billing").get("/api/v1/subscription").json()["trial_ends_at"] is None
    assert browser.post("/app/plans/business/").status_code == 302
    assert "your trial" not in browser.get("/app/plans/").content.decode()


def test_staff_extends_in_the_admin_where_there_is_a_trial(live_db, acme, globex):
    begin_anew(acme)
    client, url = staff(live_db), "admin:tenants_tenant_change"
    assert "Extend the trial" in client.get(reverse(url, args=[acme.id])).content.decode()
    assert "Extend the trial" not in client.get(reverse(url, args=[globex.id])).content.decode()
    extend = reverse("admin:tenants_tenant_extend_trial", args=[acme.id])
    before = selectors.get_subscription(tenant=acme).trial_ends_at
    for values in ({"days": 7, "reason": ""}, {"days": 0, "reason": "x"}, {"days": 91, "reason": "x"}):
        assert client.post(extend, values).status_code == 422
    assert client.post(extend, {"days": 7, "reason": "Asked"}).status_code == 302
    assert selectors.get_subscription(tenant=acme).trial_ends_at == before + 7 * DAY
    assert [act.data["reason"] for act in acts(acme, "plan.trial_extended")] == ["Asked"]
    none = reverse("admin:tenants_tenant_extend_trial", args=[globex.id])
    assert client.post(none, {"days": 7, "reason": "Asked"}).status_code == 422

"""Decide who is on which plan, and what a plan costs."""

import datetime as dt
from collections.abc import Mapping, Sequence
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from apps.billing.contracts import TRIAL, SubscriptionView, Tier, UsageKind
from apps.billing.events import PlanChanged
from apps.billing.models import BillingAccount, Invoice, Plan, PlanPrice, PriceTier, Subscription
from apps.billing.periods import bucket_start, period_after, period_at
from apps.billing.selectors.usage import get_subscription
from apps.billing.services.trial_notices import tell_that_trial_ended
from apps.events.services import publish
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import get_time_zone


def subscribe_tenant(*, tenant: TenantRef, plan_code: str, anchor: dt.date | None = None) -> SubscriptionView:
    """Put a tenant on a plan from now on; the period's anchor stays when the plan only changes.

    Raises NotFoundError for a code that is no plan, ConflictError for one in another currency and for a
    trial, which only a new company gets. Already on it: changes nothing.
    """
    with in_tenant(tenant):
        plan = find_plan(plan_code)
        if plan.code == TRIAL:
            raise ConflictError("A trial is what a company begins with. One that runs can be extended.")
        current = lock_subscription(tenant)
        if current is None or current.plan_id != plan.id:
            begin(tenant, plan, current, anchor)
        return get_subscription(tenant=tenant)


def begin_billing_on(*, tenant: TenantRef, day: dt.date) -> None:
    """Bill a tenant from an earlier day on, for one that was with us before; the day becomes its anchor.

    Raises ConflictError once it has an invoice.
    """
    with in_tenant(tenant):
        account = BillingAccount.objects.select_for_update().get()
        if Invoice.objects.exists():
            raise ConflictError("This company has been invoiced already, so its billing began before.")
        Subscription.objects.filter(ended_at__isnull=False).delete()  # none of them was billed
        current = Subscription.objects.get(ended_at__isnull=True)
        current.anchor = day
        current.save(update_fields=["anchor"])
        _move_account(account, current, dt.datetime.combine(day, dt.time(12), ZoneInfo(current.time_zone)))


def publish_price(
    *,
    plan_code: str,
    base_fee_cents: int,
    tiers: Mapping[str, Sequence[Tier]],
    valid_from: dt.datetime | None = None,
    for_tenant: TenantRef | None = None,
) -> int:
    """Add a version to a plan's prices and return its number; it rates the periods that begin from then on.

    `for_tenant` makes it a price of that tenant's subscription only. Raises NotFoundError, InvalidInput.
    """
    _check_prices(base_fee_cents, tiers)
    with in_tenant(for_tenant) if for_tenant else transaction.atomic():
        plan = find_plan(plan_code)
        Plan.objects.select_for_update().get(id=plan.id)
        newest = plan.prices.order_by("-version").first()
        price = PlanPrice.objects.create(
            plan=plan,
            version=newest.version + 1 if newest else 1,
            base_fee_cents=base_fee_cents,
            valid_from=valid_from or timezone.now(),
            is_custom=for_tenant is not None,
        )
        PriceTier.objects.bulk_create(
            PriceTier(price=price, kind=kind, starts_after=tier.starts_after, unit_price=tier.unit_price)
            for kind, steps in tiers.items()
            for tier in steps
        )
        if for_tenant is None:
            Plan.objects.filter(id=plan.id).update(price_cents=base_fee_cents)
        elif not Subscription.objects.filter(ended_at__isnull=True, plan=plan).update(price=price):
            raise ConflictError("This company is not on that plan.")
    return price.version


def lock_subscription(tenant: TenantRef) -> Subscription | None:
    """Return the current subscription, locked; a plan that was to follow by now has followed.

    The account is locked before it, as by whoever closes a period.
    """
    BillingAccount.objects.select_for_update().first()
    rows = Subscription.objects.select_for_update(of=("self",)).select_related("plan", "next_plan")
    current = rows.filter(ended_at__isnull=True).first()
    return take_up_next_plan(tenant, current, timezone.now()) if current is not None else None


def take_up_next_plan(tenant: TenantRef, current: Subscription, moment: dt.datetime) -> Subscription:
    """Return the subscription that holds at a moment, made here where another plan was to follow by then."""
    following, since = current.next_plan, current.next_plan_at
    if following is None or since is None or since > moment:
        return current
    current.ended_at, current.next_plan, current.next_plan_at = since, None, None
    current.save(update_fields=["ended_at", "next_plan", "next_plan_at"])
    made = Subscription.objects.create(plan=following, anchor=current.anchor, time_zone=current.time_zone)
    made.created_at = since
    made.save(update_fields=["created_at"])
    _tell(tenant, current.plan, following, since)
    if current.plan.code == TRIAL:
        tell_that_trial_ended(tenant=tenant, plan=following.name)
    return made


def find_plan(code: str) -> Plan:
    plan = Plan.objects.filter(code=code).first()
    if plan is None:
        offers = ", ".join(Plan.objects.order_by("price_cents").values_list("code", flat=True))
        raise NotFoundError(f"There is no plan {code!r}; choose one of {offers}.")
    return plan


def begin(tenant: TenantRef, plan: Plan, current: Subscription | None, anchor: dt.date | None = None) -> None:
    """Put a tenant on a plan now, instead of the locked subscription that it has. Raises ConflictError."""
    now = timezone.now()
    if current is not None:
        if current.plan.currency != plan.currency:
            raise ConflictError(
                f"This company is billed in {current.plan.currency}; that plan is in {plan.currency}."
            )
        if current.plan.code == TRIAL:
            _begin_after_trial(tenant, plan, current)
            return
        current.ended_at, current.next_plan, current.next_plan_at = now, None, None
        current.save(update_fields=["ended_at", "next_plan", "next_plan_at"])
        _tell(tenant, current.plan, plan, now)
    zone = current.time_zone if current else get_time_zone(tenant=tenant)
    kept = current.anchor if current else now.astimezone(ZoneInfo(zone)).date()
    made = Subscription.objects.create(plan=plan, anchor=anchor or kept, time_zone=zone)
    if current is None or anchor:
        account, _ = BillingAccount.objects.get_or_create(defaults={"open_from": now, "closes_at": now})
        if not Invoice.objects.exists():
            _move_account(account, made, now)


def _begin_after_trial(tenant: TenantRef, plan: Plan, trial: Subscription) -> None:
    """Let the trial's period end with the last full quarter of an hour, and the first paid one begin."""
    account = BillingAccount.objects.get()
    since = max(bucket_start(timezone.now()), account.open_from)
    trial.ended_at, trial.next_plan, trial.next_plan_at = since, None, None
    trial.save(update_fields=["ended_at", "next_plan", "next_plan_at"])
    anchor = since.astimezone(ZoneInfo(trial.time_zone)).date()
    made = Subscription.objects.create(plan=plan, anchor=anchor, time_zone=trial.time_zone)
    made.created_at = since
    made.save(update_fields=["created_at"])
    is_first = since == account.open_from  # chosen at once: there is no trial's period
    account.closes_at = period_after(since, anchor, trial.time_zone).end if is_first else since
    account.save(update_fields=["closes_at"])
    _tell(tenant, trial.plan, plan, since)


def _tell(tenant: TenantRef, was: Plan, plan: Plan, effective_at: dt.datetime) -> None:
    publish(PlanChanged(tenant_id=tenant.id, was=was.code, plan=plan.code, effective_at=effective_at))


def _move_account(account: BillingAccount, subscription: Subscription, moment: dt.datetime) -> None:
    period = period_at(subscription.anchor, moment, subscription.time_zone)
    account.open_from, account.closes_at = period.start, period.end
    account.save(update_fields=["open_from", "closes_at"])


def _check_prices(base_fee_cents: int, tiers: Mapping[str, Sequence[Tier]]) -> None:
    errors: dict[str, list[str]] = {}
    if base_fee_cents < 0:
        errors["base_fee_cents"] = ["Give 0 or more."]
    for kind, steps in tiers.items():
        starts = [tier.starts_after for tier in steps]
        if kind not in set(UsageKind):
            errors["tiers"] = [f"{kind!r} is not metered."]
        elif len(set(starts)) < len(starts) or min(starts, default=0) < 0:
            errors["tiers"] = [f"The tiers of {kind} must begin at different amounts from 0 up."]
        elif any(not tier.unit_price.is_finite() or tier.unit_price < 0 for tier in steps):
            errors["tiers"] = [f"The unit prices of {kind} must be 0 or more."]
    if errors:
        raise InvalidInput(errors)

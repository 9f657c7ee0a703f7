"""Let a company change its plan: a dearer one at once, a cheaper one when the period ends."""

from apps.billing.contracts import TRIAL, SubscriptionView
from apps.billing.models import Plan, Subscription
from apps.billing.selectors.usage import get_subscription
from apps.billing.services.alerts import forget_distances
from apps.billing.services.quotas import forget_quotas
from apps.billing.services.subscriptions import begin, find_plan, lock_subscription
from apps.resilience.errors import ConflictError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.services import record_audit


def change_plan(*, tenant: TenantRef, plan_code: str, actor: str) -> SubscriptionView:
    """Put a tenant on a dearer plan now, or on a cheaper one from the next period on; audited.

    Choosing the present plan takes back a change that was to follow; choosing a dearer one during a trial
    ends that. Raises NotFoundError, and ConflictError
    for a plan that is not on sale, is in another currency, or where prices were agreed on.
    """
    with in_tenant(tenant):
        plan, current = find_plan(plan_code), lock_subscription(tenant)
        if current is None:
            raise ConflictError("This company is on no plan yet; ask the platform's support.")
        if current.plan_id == plan.id:
            _stay(tenant, current, actor)
            return get_subscription(tenant=tenant)
        _check(plan, current)
        facts = {"from": current.plan.code, "to": plan.code}
        if is_immediate(plan, current.plan):
            begin(tenant, plan, current)
            record_audit(tenant=tenant, actor=actor, action="plan.changed", data=facts)
            forget_distances()
            forget_quotas()
        else:
            current.next_plan, current.next_plan_at = plan, get_subscription(tenant=tenant).period.end
            current.save(update_fields=["next_plan", "next_plan_at"])
            facts["at"] = current.next_plan_at.isoformat()
            record_audit(tenant=tenant, actor=actor, action="plan.change_planned", data=facts)
        return get_subscription(tenant=tenant)


def keep_plan(*, tenant: TenantRef, actor: str) -> SubscriptionView:
    """Take a change back that has not taken effect; there is none: changes nothing."""
    with in_tenant(tenant):
        current = lock_subscription(tenant)
        if current is not None:
            _stay(tenant, current, actor)
        return get_subscription(tenant=tenant)


def is_immediate(plan: Plan, current: Plan) -> bool:
    """Tell whether changing to a plan takes effect at once: nobody pays less for what was used."""
    return plan.price_cents > current.price_cents


def _stay(tenant: TenantRef, current: Subscription, actor: str) -> None:
    if current.next_plan is None or current.plan.code == TRIAL:  # a trial ends, whatever follows it
        return
    facts = {"from": current.plan.code, "to": current.next_plan.code}
    current.next_plan, current.next_plan_at = None, None
    current.save(update_fields=["next_plan", "next_plan_at"])
    record_audit(tenant=tenant, actor=actor, action="plan.change_taken_back", data=facts)


def _check(plan: Plan, current: Subscription) -> None:
    if not plan.is_public:
        raise ConflictError(f"The plan {plan.name} is not on sale; ask the platform's support.")
    if plan.currency != current.plan.currency:
        raise ConflictError(
            f"This company is billed in {current.plan.currency}; that plan is in {plan.currency}."
        )
    if current.price_id is not None:
        raise ConflictError("Your prices were agreed on with us: ask the platform's support to change them.")

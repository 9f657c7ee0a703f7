"""Read plans, usage, quotas and invoices."""

from apps.billing.selectors.invoices import (
    count_invoices,
    final_invoices,
    get_draft,
    get_invoice,
    get_last_check,
    list_billed_tenants,
    list_changed_invoices,
    list_tenants_to_bill,
    rate_again,
    view_of,
)
from apps.billing.selectors.plans import list_offers, preview_plan_change
from apps.billing.selectors.trials import choose_first_plan, get_trial, list_trials_to_follow
from apps.billing.selectors.usage import (
    get_plan,
    get_quota,
    get_subscription,
    get_usage,
    list_periods,
    list_plans,
    list_quota_alerts,
    list_quotas,
)

__all__ = [
    "choose_first_plan",
    "count_invoices",
    "final_invoices",
    "get_draft",
    "get_invoice",
    "get_last_check",
    "get_plan",
    "get_quota",
    "get_subscription",
    "get_trial",
    "get_usage",
    "list_billed_tenants",
    "list_changed_invoices",
    "list_offers",
    "list_periods",
    "list_plans",
    "list_quota_alerts",
    "list_quotas",
    "list_tenants_to_bill",
    "list_trials_to_follow",
    "preview_plan_change",
    "rate_again",
    "view_of",
]

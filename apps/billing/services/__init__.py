"""Record usage, decide who is on which plan, bill."""

from apps.billing.services.alerts import check_quotas, forget_distances, mail_quota_alerts
from apps.billing.services.checks import check_draft, request_draft_check
from apps.billing.services.invoices import finalise_invoices
from apps.billing.services.plans import change_plan, keep_plan
from apps.billing.services.quotas import forget_quotas, hold_quota, release_quota, reserving
from apps.billing.services.subscriptions import begin_billing_on, publish_price, subscribe_tenant
from apps.billing.services.trials import extend_trial, follow_trial, start_trial
from apps.billing.services.usage import record_usage, record_usages

__all__ = [
    "begin_billing_on",
    "change_plan",
    "check_draft",
    "check_quotas",
    "extend_trial",
    "finalise_invoices",
    "follow_trial",
    "forget_distances",
    "forget_quotas",
    "hold_quota",
    "keep_plan",
    "mail_quota_alerts",
    "publish_price",
    "record_usage",
    "record_usages",
    "release_quota",
    "request_draft_check",
    "reserving",
    "start_trial",
    "subscribe_tenant",
]

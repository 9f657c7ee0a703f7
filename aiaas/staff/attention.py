"""The start page: what needs somebody's attention, and how the platform is."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from celery import current_app
from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from redis import Redis
from redis.exceptions import RedisError

from aiaas.observability.pulse import ROLES, ProcessView, list_processes
from apps.accounts.models import SignUp
from apps.billing.models import Invoice
from apps.events import outbox
from apps.events.models import DeadLetter
from apps.gateway.health import failing_checks
from apps.orchestration.models import AgentRun
from apps.resilience.breaker import LeftAlone
from apps.resilience.shared_breakers import breakers
from apps.tenants.context import PLATFORM
from apps.tenants.drift_report import DriftReport, read_report
from apps.tenants.models import Tenant

LAG_LIMIT_S = 30.0
SIGN_UP_LIMIT, INVOICE_LIMIT = dt.timedelta(minutes=2), dt.timedelta(hours=1)
QUEUE_LIMIT = 1000
FAILING_SHOWN = 20
COUNTED_TO = 1000  # "1000" then means that many or more: counting on would cost and tell nothing
TROUBLED_RUNS = {
    "waiting": "wait for a person: an effect's outcome is unknown",
    "compensation_failed": "could not be undone completely",
}


@dataclass(frozen=True)
class Matter:
    text: str
    url: str = ""


def describe_platform() -> dict[str, Any]:
    """Return the start page's context: matters, figures and processes."""
    processes = _processes()
    lag_s, queue = outbox.get_lag_s(), _queue_depth()
    figures = [
        ("Tenants", Tenant.objects.using(PLATFORM).count(), reverse("admin:tenants_tenant_changelist")),
        ("Outbox lag", f"{lag_s:.1f} s", reverse("admin:events_outboxevent_changelist")),
        ("Tasks waiting", "unknown" if queue is None else queue, ""),
        ("Dead letters", _dead_letters(), reverse("admin:events_deadletter_changelist")),
    ]
    matters = [
        *_broken_servers(),
        *_missing_processes(processes),
        *_slow(lag_s, queue),
        *_stuck(),
        *_left_alone(),
        *_unmade_companies(),
        *_late_invoices(),
        *_drifted(drift := read_report()),
    ]
    return {"matters": matters, "figures": figures, "processes": processes, "drift": drift}


def _broken_servers() -> list[Matter]:
    return [Matter(f"The check of the {name} fails.") for name in failing_checks()]


def _processes() -> list[ProcessView]:
    try:
        return list_processes()
    except RedisError:
        return []


def _missing_processes(processes: list[ProcessView]) -> list[Matter]:
    running = {process.role for process in processes}
    return [Matter(f"No {role} process gives a sign of life.") for role in ROLES if role not in running]


def _slow(lag_s: float, queue: int | None) -> list[Matter]:
    matters = []
    if lag_s > LAG_LIMIT_S:
        url = reverse("admin:events_outboxevent_changelist")
        matters.append(Matter(f"Events wait for {lag_s:.0f} s to be published.", url))
    if queue is not None and queue > QUEUE_LIMIT:
        matters.append(Matter(f"{queue} tasks wait for a worker."))
    return matters


def _stuck() -> list[Matter]:
    matters = []
    if letters := _dead_letters():
        url = reverse("admin:events_deadletter_changelist") + "?replayed_at__isempty=1"
        matters.append(Matter(f"{letters} dead letters wait to be replayed.", url))
    for status, what in TROUBLED_RUNS.items():
        total = _count(AgentRun.objects.using(PLATFORM).filter(status=status))
        url = reverse("admin:orchestration_agentrun_changelist") + f"?status__exact={status}"
        matters += [Matter(f"{total} runs {what}.", url)] if total else []
    return matters


def _left_alone() -> list[Matter]:
    """Tell which companies' tools and models fail, and are left alone meanwhile."""
    owners = breakers().list_owners()[:FAILING_SHOWN]
    failing = {owner: breakers().list_left_alone(owner) for owner in owners}
    names = dict(
        Tenant.objects.using(PLATFORM).filter(id__in=[o for o in owners if o]).values_list("id", "name")
    )
    return [
        Matter(
            f"{name} leaves alone what fails: {_named(failing[str(tenant_id)])}.",
            reverse("admin:tenants_tenant_change", args=[tenant_id]),
        )
        for tenant_id, name in names.items()
        if failing[str(tenant_id)]
    ]


def _named(failing: list[LeftAlone]) -> str:
    return ", ".join(str(one.callee) for one in failing)


def _unmade_companies() -> list[Matter]:
    url = reverse("admin:accounts_signup_changelist")
    failed = _count(SignUp.objects.filter(status=SignUp.Status.FAILED))
    late = SignUp.objects.filter(due_at__lt=timezone.now() - SIGN_UP_LIMIT)
    matters = []
    if failed:
        matters.append(Matter(f"{failed} companies could not be made.", f"{url}?status__exact=failed"))
    if waiting := _count(late):
        matters.append(Matter(f"{waiting} companies wait to be made.", f"{url}?status__exact=waiting"))
    return matters


def _late_invoices() -> list[Matter]:
    closing = Invoice.objects.using(PLATFORM).filter(
        status=Invoice.Status.CLOSING, created_at__lt=timezone.now() - INVOICE_LIMIT
    )
    total = _count(closing)
    url = reverse("admin:billing_invoice_changelist") + "?status__exact=closing"
    return [Matter(f"{total} invoices are not finished.", url)] if total else []


def _drifted(report: DriftReport | None) -> list[Matter]:
    if report is None or not report.drifted:
        return []
    return [Matter(f"{report.drifted} of {report.tenants} tenants' schemas differ from this release.")]


def _dead_letters() -> int:
    return _count(DeadLetter.objects.using(PLATFORM).filter(replayed_at__isnull=True))


def _count(rows: Any) -> int:
    return rows.order_by()[:COUNTED_TO].count()


def _queue_depth() -> int | None:
    try:
        with Redis.from_url(settings.REDIS_URL, socket_timeout=1.0, socket_connect_timeout=1.0) as client:
            return int(client.llen(current_app.conf.task_default_queue))
    except RedisError:
        return None

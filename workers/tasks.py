"""Celery's doorways: load, call a service."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable
from functools import partial
from uuid import UUID

import structlog
from celery import shared_task
from celery.signals import worker_ready, worker_shutdown

from apps.accounts import services as accounts
from apps.analytics import services as analytics
from apps.billing import selectors as billing_selectors
from apps.billing import services as billing
from apps.conversations import services as conversations
from apps.events import outbox
from apps.gateway.families import purge_families
from apps.gateway.idempotency import purge_records
from apps.gateway.signing import ROTATED_AFTER, purge_signing_keys
from apps.gateway.signing import rotate_signing_key as rotate_key
from apps.ingestion import services as ingestion
from apps.ingestion.questions import group_questions
from apps.orchestration import retention, triggers
from apps.orchestration import services as orchestration
from apps.orchestration.adapters.celery_hint import take_hint
from apps.orchestration.hooks import services as hooks
from apps.orchestration.notices.services import send_slack_notices
from apps.orchestration.rehearsals import services as rehearsals
from apps.routing import services as routing
from apps.tenants import notices
from apps.tenants.audit import purge_audit_events
from apps.tenants.deletion import services as deletions
from apps.tenants.deletion.carrying_out import carry_out_deletion
from apps.tenants.domains.selectors import list_due_domains
from apps.tenants.domains.services import verify_domain
from apps.tenants.drift_report import make_report
from apps.tenants.erasing import services as erasing
from apps.tenants.exporting import services as exports
from apps.tenants.selectors import get_tenant, list_active_tenants
from apps.webhooks import services as webhooks
from workers.dispatcher import Dispatcher
from workers.sweeper import Sweeper

IDEMPOTENCY_KEPT = dt.timedelta(days=2)
# Webhooks wait for others most of the time; those that fail or are slow have threads of their own.
_dispatcher = Dispatcher()
_sweepers = (
    Sweeper(12, look=partial(webhooks.sweep_due_deliveries, suspect=False), name="webhooks"),
    Sweeper(4, look=partial(webhooks.sweep_due_deliveries, suspect=True), name="slow-webhooks"),
)
# Threads here mostly wait for others; one that comes back gets its turn sooner than after Python's own 5 ms.
SWITCH_S = 0.001
log = structlog.get_logger(__name__)


@shared_task(name="workers.tasks.wake_runs")
def wake_runs(tenant_id: str) -> None:
    """Look for a tenant's due runs; the message is only a hint, a lost one costs a second."""
    tenant = get_tenant(tenant_id=UUID(tenant_id))
    take_hint(tenant.id)
    _dispatcher.offer(tenant.id)


@shared_task(name="workers.tasks.start_scheduled_runs")
def start_scheduled_runs() -> None:
    """Start the runs of every tenant whose scheduled moment has come."""
    triggers.start_due_schedules()


@shared_task(name="workers.tasks.process_document")
def process_document(tenant_id: str, document_id: str) -> None:
    """Turn a stored document into searchable chunks."""
    ingestion.process_document(tenant=get_tenant(tenant_id=UUID(tenant_id)), document_id=UUID(document_id))


@shared_task(name="workers.tasks.train_candidate")
def train_candidate(tenant_id: str, training_id: str) -> None:
    """Train a router's candidate and compare it with what routes."""
    routing.train_candidate(tenant=get_tenant(tenant_id=UUID(tenant_id)), training_id=UUID(training_id))


@shared_task(name="workers.tasks.sweep_trainings")
def sweep_trainings() -> None:
    """Take up trainings whose hint or worker was lost."""
    for tenant in list_active_tenants():
        routing.sweep_due_trainings(tenant=tenant)


@shared_task(name="workers.tasks.run_simulation")
def run_simulation(tenant_id: str, rehearsal_id: str) -> None:
    """Go on with a simulation of a workflow."""
    rehearsals.run_simulation(tenant=get_tenant(tenant_id=UUID(tenant_id)), rehearsal_id=UUID(rehearsal_id))


@shared_task(name="workers.tasks.sweep_simulations")
def sweep_simulations() -> None:
    """Take up simulations whose hint or worker was lost."""
    for tenant in list_active_tenants():
        rehearsals.sweep_due_simulations(tenant=tenant)


@shared_task(name="workers.tasks.provision_company")
def provision_company(sign_up_id: str) -> None:
    """Make the company that somebody has signed up for."""
    accounts.provision_company(sign_up_id=UUID(sign_up_id))


@shared_task(name="workers.tasks.sweep_sign_ups")
def sweep_sign_ups() -> None:
    """Make companies whose hint or worker was lost."""
    accounts.sweep_due_sign_ups()


@shared_task(name="workers.tasks.sweep")
def sweep() -> None:
    """Take up every tenant's documents whose hint or worker was lost; runs have their own sweep."""
    for tenant in list_active_tenants():
        ingestion.sweep_due_documents(tenant=tenant)
        group_questions(tenant=tenant)


@shared_task(name="workers.tasks.mail_escalations")
def mail_escalations() -> None:
    """Mail those who answer customers that one waits."""
    _for_each([tenant.id for tenant in list_active_tenants()], conversations.mail_escalations)


@shared_task(name="workers.tasks.tell_slack")
def tell_slack() -> None:
    """Tell companies' Slack that a customer waits."""
    _for_each([tenant.id for tenant in list_active_tenants()], send_slack_notices)


@shared_task(name="workers.tasks.write_export")
def write_export(tenant_id: str, export_id: str) -> None:
    """Write the archive of everything that an owner has asked for."""
    exports.write_export(tenant=get_tenant(tenant_id=UUID(tenant_id)), export_id=UUID(export_id))


@shared_task(name="workers.tasks.sweep_exports")
def sweep_exports() -> None:
    """Take up exports whose hint or worker was lost."""
    for tenant_id, export_id in exports.list_due_exports():
        exports.write_export(tenant=get_tenant(tenant_id=tenant_id), export_id=export_id)


@shared_task(name="workers.tasks.erase_customer")
def erase_customer(tenant_id: str, erasure_id: str) -> None:
    """Forget a customer everywhere."""
    erasing.carry_out_erasure(tenant=get_tenant(tenant_id=UUID(tenant_id)), erasure_id=UUID(erasure_id))


@shared_task(name="workers.tasks.sweep_erasures")
def sweep_erasures() -> None:
    """Go on with erasures whose hint or worker was lost."""
    for tenant_id, erasure_id in erasing.list_due_erasures():
        erasing.carry_out_erasure(tenant=get_tenant(tenant_id=tenant_id), erasure_id=erasure_id)


@shared_task(name="workers.tasks.delete_tenants")
def delete_tenants() -> None:
    """Delete the companies whose time has come, and remind the owners of those whose time is near."""
    deletions.remind_owners()
    for deletion_id in deletions.list_due_deletions():
        carry_out_deletion(deletion_id=deletion_id)


@shared_task(name="workers.tasks.mail_notices")
def mail_notices() -> None:
    """Mail owners what happened to their company."""
    notices.mail_notices()


@shared_task(name="workers.tasks.check_domains")
def check_domains() -> None:
    """Ask the companies' own domains for their proof again."""
    for tenant_id, domain_id in list_due_domains():
        try:
            verify_domain(tenant=get_tenant(tenant_id=tenant_id), domain_id=domain_id, actor="platform")
        except Exception:
            log.exception("domain_not_checked", tenant_id=str(tenant_id), domain_id=str(domain_id))


@shared_task(name="workers.tasks.mail_webhook_notices")
def mail_webhook_notices() -> None:
    """Mail those who run a company that one of its webhook endpoints was stopped."""
    _for_each([tenant.id for tenant in list_active_tenants()], webhooks.mail_notices)


@shared_task(name="workers.tasks.settle_silences")
def settle_silences() -> None:
    """Count silent conversations as resolved, in every tenant."""
    for tenant in list_active_tenants():
        analytics.settle_silences(tenant=tenant)


@shared_task(name="workers.tasks.mail_reports")
def mail_reports() -> None:
    """Mail last week's figures to the owners of every tenant that wants them."""
    _for_each([tenant.id for tenant in list_active_tenants()], analytics.mail_weekly_report)


@shared_task(name="workers.tasks.ensure_partitions")
def ensure_partitions() -> None:
    """Make the partitions of the months to come, and remove the runs' histories that are too old."""
    analytics.ensure_partitions()
    retention.ensure_partitions()
    retention.remove_old_histories()


@shared_task(name="workers.tasks.finalise_invoices")
def finalise_invoices() -> None:
    """Finalise the invoices of periods that have ended; one company's trouble keeps no other waiting."""
    _for_each(billing_selectors.list_tenants_to_bill(), billing.finalise_invoices)


@shared_task(name="workers.tasks.follow_trials")
def follow_trials() -> None:
    """Tell owners that their trial ends soon, and end what has come to its end."""
    _for_each(billing_selectors.list_trials_to_follow(), billing.follow_trial)


@shared_task(name="workers.tasks.check_draft")
def check_draft(tenant_id: str) -> None:
    """Compute one company's draft from the raw events, because somebody asked."""
    billing.check_draft(tenant=get_tenant(tenant_id=UUID(tenant_id)), only_if_asked=True)


@shared_task(name="workers.tasks.check_figures")
def check_figures() -> None:
    """Compare every company's KPIs, draft and invoices with the raw events."""
    _for_each(billing_selectors.list_billed_tenants(), analytics.check_figures)


@shared_task(name="workers.tasks.check_quotas")
def check_quotas() -> None:
    """Raise the quota alerts that nobody saw when the usage was counted, and mail those that were not."""
    _for_each(billing_selectors.list_billed_tenants(), billing.check_quotas)
    _for_each(billing_selectors.list_billed_tenants(), billing.mail_quota_alerts)


def _for_each(tenant_ids: list[UUID], act: Callable[..., object]) -> None:
    for tenant_id in tenant_ids:
        try:
            act(tenant=get_tenant(tenant_id=tenant_id))
        except Exception:
            log.exception("job_failed_for_tenant", tenant_id=str(tenant_id), job=act.__name__)


@shared_task(name="workers.tasks.report_drift")
def report_drift() -> None:
    """Compare every tenant's schema with what this release makes, because the staff has asked."""
    make_report()


@shared_task(name="workers.tasks.rotate_signing_key")
def rotate_signing_key() -> None:
    """Publish the next key that signs tokens once the present one is old enough."""
    rotate_key(only_after=ROTATED_AFTER)


@shared_task(name="workers.tasks.purge")
def purge() -> None:
    """Delete events that no stream would hold any more, and what nobody repeats or looks at any more."""
    outbox.purge_published()
    purge_records(older_than=IDEMPOTENCY_KEPT)
    notices.purge_notices()
    exports.purge_exports()
    purge_families()
    purge_signing_keys()
    purge_audit_events()
    for tenant in list_active_tenants():
        ingestion.purge_deleted_documents(tenant=tenant)
        hooks.purge_deliveries(tenant=tenant)
        rehearsals.purge_rehearsals(tenant=tenant)
        webhooks.purge_deliveries(tenant=tenant)


@worker_ready.connect
def begin_sweeping(**_: object) -> None:
    """Sweep for due runs and webhooks as long as the worker lives."""
    sys.setswitchinterval(SWITCH_S)
    for sweeper in (_dispatcher, *_sweepers):
        sweeper.start()
    orchestration.warm_up()


@worker_shutdown.connect
def end_sweeping(**_: object) -> None:
    """Let go of the sweep; what it has claimed goes back by its lease."""
    for sweeper in (_dispatcher, *_sweepers):
        sweeper.stop()

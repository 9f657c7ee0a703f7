"""Celery's doorways: load, call a service."""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from celery import shared_task
from celery.signals import worker_ready, worker_shutdown

from apps.accounts import services as accounts
from apps.analytics import services as analytics
from apps.events import outbox
from apps.gateway.idempotency import purge_records
from apps.ingestion import services as ingestion
from apps.ingestion.questions import group_questions
from apps.orchestration import services as orchestration
from apps.tenants.selectors import get_tenant, list_active_tenants
from workers.sweeper import Sweeper

IDEMPOTENCY_KEPT = dt.timedelta(days=2)
_sweeper = Sweeper()


@shared_task(name="workers.tasks.execute_run")
def execute_run(tenant_id: str, run_id: str) -> None:
    """Execute a run that is due; the message is only a hint, a lost one costs a second."""
    orchestration.execute_run(tenant=get_tenant(tenant_id=UUID(tenant_id)), run_id=UUID(run_id))


@shared_task(name="workers.tasks.process_document")
def process_document(tenant_id: str, document_id: str) -> None:
    """Turn a stored document into searchable chunks."""
    ingestion.process_document(tenant=get_tenant(tenant_id=UUID(tenant_id)), document_id=UUID(document_id))


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


@shared_task(name="workers.tasks.settle_silences")
def settle_silences() -> None:
    """Count silent conversations as resolved, in every tenant."""
    for tenant in list_active_tenants():
        analytics.settle_silences(tenant=tenant)


@shared_task(name="workers.tasks.ensure_partitions")
def ensure_partitions() -> None:
    """Make the partitions of the months to come."""
    analytics.ensure_partitions()


@shared_task(name="workers.tasks.purge")
def purge() -> None:
    """Delete events that no stream would hold any more, and answers to writes that nobody repeats."""
    outbox.purge_published()
    purge_records(older_than=IDEMPOTENCY_KEPT)
    for tenant in list_active_tenants():
        ingestion.purge_deleted_documents(tenant=tenant)


@worker_ready.connect
def begin_sweeping(**_: object) -> None:
    """Sweep for due runs as long as the worker lives."""
    _sweeper.start()
    orchestration.warm_up()


@worker_shutdown.connect
def end_sweeping(**_: object) -> None:
    """Let go of the sweep; what it has claimed goes back by its lease."""
    _sweeper.stop()

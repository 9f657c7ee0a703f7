"""Carry a deletion out, with the owner's connection: for workers only. Every step may be repeated."""

import datetime as dt
from collections.abc import Callable
from graphlib import TopologicalSorter
from typing import Any
from uuid import UUID

import structlog
from django.apps import apps
from django.conf import settings
from django.db import connections, transaction
from django.db.models import Exists, Model, OuterRef
from django.utils import timezone
from redis import Redis

from apps.events.erasing.services import forget_in_streams
from apps.tenants.context import OWNER
from apps.tenants.db.compiler import tenant_tables
from apps.tenants.erasing.manifest import sign_manifest
from apps.tenants.exporting.services import forget_archives
from apps.tenants.models import AuditEvent, Membership, Notice, Tenant, TenantDeletion, User
from apps.tenants.schemas import drop_schema
from apps.tenants.selectors import forget_tenant

LEASE = dt.timedelta(minutes=30)
RETRY = dt.timedelta(minutes=5)
Counts = dict[str, int]
# What is left, and why. Everything else that belongs to the tenant goes.
KEPT = {
    "billing.Invoice": "amounts that were owed, as bookkeeping demands",
    "billing.InvoiceLine": "amounts that were owed, as bookkeeping demands",
    "tenants.Tenant": "the bare address, so that nobody gets it by accident",
    "tenants.TenantDeletion": "this record",
    "tenants.AuditEvent": "who asked for the deletion, and nothing else of the trail",
    "tenants.Notice": "the mail that says that it is done",
}
UNPUBLISHED = "DELETE FROM events_outboxevent WHERE tenant_id = %s AND published_at IS NULL"
PUBLISHED = "SELECT id::text FROM events_outboxevent WHERE tenant_id = %s"
log = structlog.get_logger(__name__)


def carry_out_deletion(*, deletion_id: UUID) -> bool:
    """Delete a company whose time has come; False when it was taken back, is done or somebody has it."""
    deletion = _claim(deletion_id)
    if deletion is None:
        return False
    try:
        for step in STEPS:
            if step.__name__ not in deletion.done_steps:
                _note(deletion, step.__name__, step(deletion))
    except Exception as error:
        log.exception("deletion_failed", deletion_id=str(deletion_id))
        _rows(deletion).update(
            leased_until=timezone.now() + RETRY, error=f"{type(error).__name__}: {error}"[:500]
        )
    return True


def _claim(deletion_id: UUID) -> TenantDeletion | None:
    now = timezone.now()
    with transaction.atomic(using=OWNER):
        rows = TenantDeletion.objects.using(OWNER).select_for_update().select_related("tenant")
        row = rows.filter(id=deletion_id, status__in=["pending", "running"], due_at__lte=now).first()
        if row is None or (row.leased_until is not None and row.leased_until > now):
            return None
        row.status, row.leased_until = TenantDeletion.Status.RUNNING, now + LEASE
        row.lease_epoch, row.attempts = row.lease_epoch + 1, row.attempts + 1
        row.save(using=OWNER)
        return row


def _note(deletion: TenantDeletion, step: str, rows: Counts) -> None:
    deletion.done_steps = [*deletion.done_steps, step]
    deletion.rows = {**deletion.rows, **{name: total for name, total in rows.items() if total}}
    values = {
        "done_steps": deletion.done_steps,
        "rows": deletion.rows,
        "leased_until": timezone.now() + LEASE,
    }
    if not _rows(deletion).update(**values):
        raise RuntimeError("another worker has taken the deletion over")


def _rows(deletion: TenantDeletion) -> Any:
    return TenantDeletion.objects.using(OWNER).filter(id=deletion.id, lease_epoch=deletion.lease_epoch)


def _forget_events(deletion: TenantDeletion) -> Counts:
    """Delete the streams' copies; what was not published yet never will be."""
    with transaction.atomic(using=OWNER), connections[OWNER].cursor() as cursor:
        cursor.execute(UNPUBLISHED, [deletion.tenant_id])
        cursor.execute(PUBLISHED, [deletion.tenant_id])
        published = [row[0] for row in cursor.fetchall()]
    return {"jetstream": forget_in_streams(published)}


def _forget_keys(deletion: TenantDeletion) -> Counts:
    total = 0
    with Redis.from_url(settings.REDIS_URL, socket_timeout=5.0, socket_connect_timeout=5.0) as client:
        for name in (str(deletion.tenant_id), deletion.tenant_id.hex):
            for key in client.scan_iter(match=f"*{name}*", count=1000):
                total += int(client.delete(key))
    return {"valkey": total}


def _remove_files(deletion: TenantDeletion) -> Counts:
    return {"archives": forget_archives(tenant_id=deletion.tenant_id)}


def _drop_schema(deletion: TenantDeletion) -> Counts:
    with transaction.atomic(using=OWNER):
        drop_schema(deletion.tenant.schema_name)
    return {"schema": 1}


def _delete_people(deletion: TenantDeletion) -> Counts:
    """Delete the accounts of those who belong to no other company and are no staff."""
    mine = Membership.objects.using(OWNER).filter(user=OuterRef("pk"), tenant_id=deletion.tenant_id)
    others = Membership.objects.using(OWNER).filter(user=OuterRef("pk")).exclude(tenant_id=deletion.tenant_id)
    people = User.objects.using(OWNER).filter(
        Exists(mine), ~Exists(others), is_staff=False, is_superuser=False
    )
    with transaction.atomic(using=OWNER):
        total = people.count()
        people.delete()
    return {"tenants.User": total}


def _delete_rows(deletion: TenantDeletion) -> Counts:
    """Delete the rows of every public table with a tenant, each table in a transaction of its own."""
    counts: Counts = {}
    for model in _public_models():
        if model._meta.label not in KEPT:
            counts[model._meta.label] = _delete_from(model, deletion.tenant_id)
    trail = AuditEvent.objects.using(OWNER).filter(tenant_id=deletion.tenant_id)
    counts["tenants.AuditEvent"] = trail.exclude(action__startswith="tenant.deletion_").delete()[0]
    Notice.objects.using(OWNER).filter(tenant_id=deletion.tenant_id).delete()
    return counts


def _delete_from(model: type[Model], tenant_id: UUID) -> int:
    with transaction.atomic(using=OWNER), connections[OWNER].cursor() as cursor:
        cursor.execute(f'DELETE FROM "{model._meta.db_table}" WHERE tenant_id = %s', [tenant_id])  # noqa: S608
        return int(cursor.rowcount)


def _public_models() -> list[type[Model]]:
    """Return the models of `public` that have a tenant, each before those that it refers to."""
    shared = set(settings.SHARED_APPS)
    models = [
        model
        for model in apps.get_models(include_auto_created=True)
        if model._meta.db_table in tenant_tables() and model._meta.app_config.name in shared
    ]
    referring: dict[type[Model], set[type[Model]]] = {model: set() for model in models}
    for model in models:
        for field in model._meta.concrete_fields:
            if field.related_model in referring and field.related_model is not model:
                referring[field.related_model].add(model)
    return list(TopologicalSorter(referring).static_order())


def _finish(deletion: TenantDeletion) -> Counts:
    """Leave the bare address, sign the record and tell who was an owner; all at once."""
    now = timezone.now()
    manifest = {
        "format": "aiaas-deletion",
        "version": 1,
        "deletion_id": str(deletion.id),
        "tenant": {"id": str(deletion.tenant_id), "slug": deletion.tenant.slug},
        "requested_at": deletion.created_at.isoformat(),
        "finished_at": now.isoformat(),
        "deleted": dict(sorted(deletion.rows.items())),
        "kept": KEPT,
    }
    with transaction.atomic(using=OWNER):
        blank = {"status": Tenant.Status.DELETED, "name": "", "config": {}, "time_zone": "UTC"}
        Tenant.objects.using(OWNER).filter(id=deletion.tenant_id).update(**blank)
        text = f"Your company {deletion.tenant.slug} is deleted. Its invoices are kept as the law demands.\n"
        notice = Notice(tenant_id=deletion.tenant_id, key=f"deleted:{deletion.id}", text=text)
        notice.subject, notice.recipients = "Your company is deleted", deletion.recipients
        Notice.objects.using(OWNER).bulk_create([notice], ignore_conflicts=True)
        values = {"manifest": manifest, "signature": sign_manifest(manifest), "recipients": []}
        _rows(deletion).update(status=TenantDeletion.Status.DONE, finished_at=now, error="", **values)
    forget_tenant(deletion.tenant.ref)
    return {}


STEPS: tuple[Callable[[TenantDeletion], Counts], ...] = (
    _forget_events,
    _remove_files,
    _drop_schema,
    _delete_people,
    _delete_rows,
    _forget_keys,
    _finish,
)

"""Exports on their way: asked for, written by whoever holds the lease, fetched, forgotten.

A worker that dies leaves a lease that runs out. Its archive is written anew from a new snapshot: one that
went on where it broke off would show two moments.
"""

import datetime as dt
import shutil
import time
from functools import partial
from pathlib import Path
from uuid import UUID

import structlog
from celery import current_app
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from kombu.exceptions import KombuError

from apps.resilience.errors import ConflictError, NotFoundError
from apps.tenants.context import in_platform, in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.exporting.archive import Written, write_archive
from apps.tenants.models import TenantExport
from apps.tenants.notices import tell_owners
from apps.tenants.services import record_audit

HINT = "workers.tasks.write_export"
LEASE = dt.timedelta(minutes=3)
HINT_GRACE = dt.timedelta(seconds=15)
REPORT_EVERY_S = 1.0
MAX_ATTEMPTS = 5
KEPT = dt.timedelta(days=7)
OPEN = (TenantExport.Status.QUEUED, TenantExport.Status.RUNNING)
log = structlog.get_logger(__name__)


class LeaseLost(Exception):
    """Another worker has the export."""


def request_export(*, tenant: TenantRef, actor: str) -> TenantExport:
    """Ask for an archive of everything; raises ConflictError while another one is on its way."""
    try:
        with in_tenant(tenant), transaction.atomic():
            export = TenantExport.objects.create(tenant_id=tenant.id, requested_by=actor[:100])
            record_audit(tenant=tenant, actor=actor, action="export.requested", target=str(export.id))
            transaction.on_commit(partial(_hint, tenant.id, export.id), robust=True)
    except IntegrityError as error:
        raise ConflictError("An export is being made already; wait until it is ready.") from error
    return export


def write_export(*, tenant: TenantRef, export_id: UUID) -> bool:
    """Write the archive of an export that is due; False when there was nothing to do."""
    epoch = _claim(tenant, export_id)
    if epoch is None:
        return False
    try:
        path = path_of(tenant.id, export_id)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        written = write_archive(tenant=tenant, path=path, report=_reporter(export_id, epoch))
        _finish(tenant, export_id, epoch, written)
    except LeaseLost:
        log.info("export_lease_lost", export_id=str(export_id))
    except Exception as error:
        log.exception("export_failed", export_id=str(export_id))
        _give_up_or_wait(tenant, export_id, epoch, error)
    return True


def list_due_exports() -> list[tuple[UUID, UUID]]:
    """Return what lost its hint or its worker, as (tenant id, export id); of suspended companies too."""
    with in_platform() as alias:
        rows = TenantExport.objects.using(alias).filter(status__in=OPEN)
        free = Q(leased_until__isnull=True, created_at__lt=Now() - HINT_GRACE) | Q(leased_until__lt=Now())
        return list(rows.filter(free).order_by("created_at").values_list("tenant_id", "id")[:20])


def open_archive(*, tenant: TenantRef, export_id: UUID, actor: str) -> Path:
    """Return where a ready archive lies, audited; raises NotFoundError once it has expired."""
    with in_tenant(tenant):
        ready = TenantExport.objects.filter(status=TenantExport.Status.READY, expires_at__gt=timezone.now())
        found, path = ready.filter(id=export_id).first(), path_of(tenant.id, export_id)
        if found is None or not path.is_file():
            raise NotFoundError("This archive has expired or is not ready; ask for a new one.")
        record_audit(tenant=tenant, actor=actor, action="export.downloaded", target=str(export_id))
    return path


def purge_exports() -> int:
    """Remove archives whose time is over, and files that no export knows; returns how many expired."""
    with in_platform() as alias:
        rows = TenantExport.objects.using(alias)
        over = rows.filter(status=TenantExport.Status.READY, expires_at__lt=timezone.now())
        total = over.update(status=TenantExport.Status.EXPIRED)
        kept = {
            str(export_id)
            for export_id in rows.filter(status__in=[*OPEN, "ready"]).values_list("id", flat=True)
        }
    for file in settings.EXPORT_DIR.glob("*/*"):
        if file.name.partition(".")[0] not in kept:
            file.unlink(missing_ok=True)
    return total


def forget_archives(*, tenant_id: UUID) -> int:
    """Remove every archive of a tenant from the disk; returns how many files went."""
    folder = path_of(tenant_id, tenant_id).parent
    total = sum(1 for _ in folder.glob("*"))
    shutil.rmtree(folder, ignore_errors=True)
    return total


def path_of(tenant_id: UUID, export_id: UUID) -> Path:
    """Name an archive's file: in its tenant's folder, by an id that nobody guesses."""
    return Path(settings.EXPORT_DIR) / str(tenant_id) / f"{export_id}.zip"


def _claim(tenant: TenantRef, export_id: UUID) -> int | None:
    with in_tenant(tenant):
        row = TenantExport.objects.select_for_update().filter(id=export_id, status__in=OPEN).first()
        if row is None or (row.leased_until is not None and row.leased_until > timezone.now()):
            return None
        row.status, row.progress_percent = TenantExport.Status.RUNNING, 0
        row.lease_epoch, row.attempts = row.lease_epoch + 1, row.attempts + 1
        row.leased_until = timezone.now() + LEASE
        row.save()
        return row.lease_epoch


def _reporter(export_id: UUID, epoch: int):  # type: ignore[no-untyped-def]
    said_at = 0.0

    def report(done: int, total: int) -> None:
        """Renew the lease and say how far we are, by a transaction that is not the snapshot's."""
        nonlocal said_at
        if time.monotonic() - said_at < REPORT_EVERY_S:
            return
        said_at = time.monotonic()
        with in_platform() as alias:
            held = TenantExport.objects.using(alias).filter(id=export_id, lease_epoch=epoch)
            if not held.update(progress_percent=99 * done // max(total, 1), leased_until=Now() + LEASE):
                raise LeaseLost

    return report


def _finish(tenant: TenantRef, export_id: UUID, epoch: int, written: Written) -> None:
    now = timezone.now()
    with in_tenant(tenant):
        held = TenantExport.objects.filter(id=export_id, lease_epoch=epoch)
        if not held.update(
            status=TenantExport.Status.READY,
            progress_percent=100,
            rows=written.rows,
            files=written.files,
            size_bytes=written.size_bytes,
            sha256=written.sha256,
            finished_at=now,
            expires_at=now + KEPT,
            leased_until=None,
            error="",
        ):
            raise LeaseLost
        data = {"rows": written.rows, "files": written.files, "sha256": written.sha256}
        record_audit(
            tenant=tenant, actor="platform", action="export.finished", target=str(export_id), data=data
        )
        tell_owners(
            tenant=tenant,
            key=f"export:{export_id}",
            subject="The archive of your company is ready",
            text=f"It can be fetched for {KEPT.days} days by an owner who is logged in:\n\n"
            f"{settings.PUBLIC_URL.rstrip('/')}/app/exports/\n\nSHA-256: {written.sha256}\n",
        )


def _give_up_or_wait(tenant: TenantRef, export_id: UUID, epoch: int, error: Exception) -> None:
    with in_tenant(tenant):
        held = TenantExport.objects.filter(id=export_id, lease_epoch=epoch)
        held.update(leased_until=timezone.now() + dt.timedelta(seconds=30), error=type(error).__name__)
        held.filter(attempts__gte=MAX_ATTEMPTS).update(status=TenantExport.Status.FAILED, leased_until=None)


def _hint(tenant_id: UUID, export_id: UUID) -> None:
    try:
        current_app.send_task(HINT, args=[str(tenant_id), str(export_id)], retry=False, ignore_result=True)
    except (KombuError, OSError) as error:
        log.info("hint_not_sent", export_id=str(export_id), cause=type(error).__name__)

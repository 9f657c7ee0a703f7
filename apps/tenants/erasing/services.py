"""Carry an erasure out: a step commits with the note that it is done, so a kill repeats one at most."""

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from typing import Any
from uuid import UUID

import structlog
from celery import current_app
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.module_loading import import_string
from kombu.exceptions import KombuError

from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_platform, in_tenant
from apps.tenants.contracts import Erased, Eraser, Subject, TenantRef
from apps.tenants.erasing.manifest import FORMAT, sign_manifest
from apps.tenants.erasing.manifest import is_genuine as is_genuine
from apps.tenants.models import Erasure as Erasure  # for those who begin one
from apps.tenants.secrets import pseudonym, seal, unseal
from apps.tenants.services import record_audit

HINT = "workers.tasks.erase_customer"
LEASE = dt.timedelta(minutes=5)
HINT_GRACE = dt.timedelta(seconds=15)
log = structlog.get_logger(__name__)


def begin_erasure(
    *, tenant: TenantRef, customer_id: UUID, identifiers: tuple[str, ...], actor: str
) -> Erasure:
    """Note that a customer is to be forgotten, in the caller's transaction; again returns the first."""
    with in_tenant(tenant):
        erasure, is_new = Erasure.objects.get_or_create(
            customer_hash=pseudonym(str(customer_id)),
            defaults={
                "tenant_id": tenant.id,
                "requested_by": actor[:100],
                "sealed": _seal(tenant.id, Subject(customer_id, identifiers)),
            },
        )
        if is_new:
            record_audit(
                tenant=tenant, actor=actor, action="customer.erasure_requested", target=str(erasure.id)
            )
            transaction.on_commit(partial(_hint, tenant.id, erasure.id), robust=True)
        return erasure


def find_erasure(*, tenant: TenantRef, customer_id: UUID) -> Erasure | None:
    """Return the erasure of a customer, who need not be known any more."""
    with in_tenant(tenant):
        return Erasure.objects.filter(customer_hash=pseudonym(str(customer_id))).first()


def get_erasure(*, tenant: TenantRef, erasure_id: UUID) -> Erasure:
    """Return an erasure; raises NotFoundError."""
    with in_tenant(tenant):
        found = Erasure.objects.filter(id=erasure_id).first()
    if found is None:
        raise NotFoundError("There is no such erasure.")
    return found


def carry_out_erasure(*, tenant: TenantRef, erasure_id: UUID) -> bool:
    """Do what is left of an erasure; False when it is done or another worker has it.

    A step that fails is tried again by the sweep. Must not run inside a transaction.
    """
    epoch = _claim(tenant, erasure_id)
    if epoch is None:
        return False
    try:
        for eraser in list_erasers():
            if not _take_step(tenant, erasure_id, epoch, eraser):
                return False
        _finish(tenant, erasure_id, epoch)
    except Exception as error:
        log.exception("erasure_failed", erasure_id=str(erasure_id))
        with in_tenant(tenant):
            held = Erasure.objects.filter(id=erasure_id, lease_epoch=epoch)
            held.update(leased_until=Now() + dt.timedelta(seconds=30), error=type(error).__name__[:100])
    return True


def list_due_erasures() -> list[tuple[UUID, UUID]]:
    """Return what lost its hint or its worker, as (tenant id, erasure id); of suspended companies too."""
    with in_platform() as alias:
        running = Erasure.objects.using(alias).filter(status=Erasure.Status.RUNNING)
        free = Q(leased_until__isnull=True, created_at__lt=Now() - HINT_GRACE) | Q(leased_until__lt=Now())
        return list(running.filter(free).order_by("created_at").values_list("tenant_id", "id")[:20])


@cache
def list_erasers() -> tuple[Eraser, ...]:
    """Return the steps, in their order."""
    return tuple(import_module(settings.EVENT_SUBSCRIPTIONS).ERASERS)


def collect_rules() -> dict[str, str]:
    """Return what becomes of each model's rows: "erased", "emptied", or "kept: " and why."""
    rules: dict[str, str] = {}
    for path in import_module(settings.EVENT_SUBSCRIPTIONS).ERASURE_RULES:
        rules |= import_string(path)
    return rules


def _claim(tenant: TenantRef, erasure_id: UUID) -> int | None:
    with in_tenant(tenant):
        row = Erasure.objects.select_for_update().filter(id=erasure_id, status=Erasure.Status.RUNNING).first()
        if row is None or (row.leased_until is not None and row.leased_until > timezone.now()):
            return None
        row.lease_epoch, row.attempts, row.leased_until = (
            row.lease_epoch + 1,
            row.attempts + 1,
            timezone.now() + LEASE,
        )
        row.save(update_fields=["lease_epoch", "attempts", "leased_until"])
        return row.lease_epoch


def _take_step(tenant: TenantRef, erasure_id: UUID, epoch: int, eraser: Eraser) -> bool:
    erase: Callable[..., Erased] = import_string(eraser.path)
    with in_tenant(tenant):
        row = _held(erasure_id, epoch)
        if row is None:
            return False
        if eraser.path in row.done_steps:
            return True
        if eraser.in_transaction:
            _note(row, eraser, erase(tenant=tenant, subject=_open(row)))
            return True
    erased = erase(tenant=tenant, subject=_open(row))
    with in_tenant(tenant):
        row = _held(erasure_id, epoch)
        if row is not None:
            _note(row, eraser, erased)
        return row is not None


def _held(erasure_id: UUID, epoch: int) -> Erasure | None:
    return Erasure.objects.select_for_update().filter(id=erasure_id, lease_epoch=epoch).first()


def _note(row: Erasure, eraser: Eraser, erased: Erased) -> None:
    subject = _open(row)
    found = Subject(
        subject.customer_id,
        subject.identifiers,
        subject.conversation_ids | erased.conversation_ids,
        subject.run_ids | erased.run_ids,
    )
    row.rows = dict(Counter(row.rows) + Counter({name: n for name, n in erased.rows.items() if n}))
    row.sealed, row.done_steps, row.error = _seal(row.tenant_id, found), [*row.done_steps, eraser.path], ""
    row.leased_until = timezone.now() + LEASE
    row.save(update_fields=["sealed", "done_steps", "rows", "error", "leased_until"])


def _finish(tenant: TenantRef, erasure_id: UUID, epoch: int) -> None:
    with in_tenant(tenant):
        row = _held(erasure_id, epoch)
        if row is None or row.status == Erasure.Status.DONE:
            return
        row.finished_at = timezone.now()
        row.manifest = _describe(tenant, row)
        row.signature = sign_manifest(row.manifest)
        row.status, row.sealed, row.leased_until = Erasure.Status.DONE, "", None
        row.save()
        record_audit(
            tenant=tenant, actor=row.requested_by, action="customer.erased", target=str(row.id), data=row.rows
        )


def _describe(tenant: TenantRef, row: Erasure) -> dict[str, Any]:
    assert row.finished_at is not None
    rules = collect_rules()
    return {
        "format": FORMAT,
        "version": 1,
        "erasure_id": str(row.id),
        "tenant": {"id": str(tenant.id), "slug": tenant.slug},
        "customer_hash": row.customer_hash,
        "requested_at": row.created_at.isoformat(),
        "requested_by": row.requested_by,
        "finished_at": row.finished_at.isoformat(),
        "erased": dict(sorted(row.rows.items())),
        "kept": {name: rule for name, rule in sorted(rules.items()) if rule.startswith("kept: ")},
    }


def _seal(tenant_id: UUID, subject: Subject) -> str:
    facts = {
        "customer_id": str(subject.customer_id),
        "identifiers": list(subject.identifiers),
        "conversation_ids": sorted(map(str, subject.conversation_ids)),
        "run_ids": sorted(map(str, subject.run_ids)),
    }
    return seal(json.dumps(facts), tenant_id)


def _open(row: Erasure) -> Subject:
    facts = json.loads(unseal(row.sealed, row.tenant_id))
    return Subject(
        UUID(facts["customer_id"]),
        tuple(facts["identifiers"]),
        frozenset(map(UUID, facts["conversation_ids"])),
        frozenset(map(UUID, facts["run_ids"])),
    )


def _hint(tenant_id: UUID, erasure_id: UUID) -> None:
    try:
        current_app.send_task(HINT, args=[str(tenant_id), str(erasure_id)], retry=False, ignore_result=True)
    except (KombuError, OSError) as error:
        log.info("hint_not_sent", erasure_id=str(erasure_id), cause=type(error).__name__)

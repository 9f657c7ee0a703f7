"""Claim a domain, prove it, prove it again and again, and let go of it.

A claim costs nobody anything: any company may hold one, and only a proven domain leads anywhere. No network
call happens inside a transaction: what was found is settled in one of its own, unless the domain is gone.
"""

import datetime as dt
import secrets as random
from typing import cast
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.http.request import validate_host
from django.utils import timezone
from django.utils.module_loading import import_string

from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.domains.contracts import FindProof, Proof
from apps.tenants.domains.selectors import forget_hosts, get_domain
from apps.tenants.models import Domain
from apps.tenants.notices import tell_owners
from apps.tenants.origins import clean_host
from apps.tenants.services import record_audit

MAX_DOMAINS = 10
PROVEN_FOR = dt.timedelta(hours=6)
ASKED_AGAIN_AFTER = dt.timedelta(minutes=15)
PATIENCE = dt.timedelta(days=3)  # with a domain that cannot be asked; one that says no is lost at once
TAKEN = "Another company has proven {}, which can belong to one only. Write to the platform's support."


def add_domain(*, tenant: TenantRef, name: str, actor: str) -> Domain:
    """Claim a domain and return it with the token that proves it; again changes nothing; audited.

    Raises InvalidInput, and ConflictError for too many.
    """
    name = _clean(name)
    with in_tenant(tenant):
        present = list(Domain.objects.select_for_update().order_by("id"))
        known = next((domain for domain in present if domain.name == name), None)
        if known is not None:
            return known
        if len(present) >= MAX_DOMAINS:
            raise ConflictError(f"A company has {MAX_DOMAINS} domains at most; remove one first.")
        token = f"aiaas-domain={random.token_hex(16)}"
        made = Domain(tenant_id=tenant.id, name=name, token=token, added_by=actor[:100])
        made.save(force_insert=True)
        record_audit(tenant=tenant, actor=actor, action="domain.added", target=name)
        return made


def verify_domain(*, tenant: TenantRef, domain_id: UUID, actor: str) -> Domain:
    """Look for the proof now and return the domain as it stands then; audited where that changes it.

    Raises NotFoundError, and ConflictError for a domain that another company has proven.
    """
    known = get_domain(tenant=tenant, domain_id=domain_id)
    proof = _find_proof()(name=known.name, token=known.token)
    with in_tenant(tenant):
        row = Domain.objects.select_for_update().filter(id=domain_id).first()
        if row is None:
            raise NotFoundError("This domain was removed meanwhile.")
        _settle(tenant, row, proof, actor)
    forget_hosts()
    return row


def remove_domain(*, tenant: TenantRef, domain_id: UUID, actor: str, reason: str = "") -> str:
    """Let go of a domain and return its name: at once it leads nowhere; audited. Raises NotFoundError."""
    with in_tenant(tenant):
        row = Domain.objects.select_for_update().filter(id=domain_id).first()
        if row is None:
            raise NotFoundError("There is no such domain.")
        row.delete()
        data = {"was_proven": row.verified_at is not None} | ({"reason": reason} if reason else {})
        record_audit(tenant=tenant, actor=actor, action="domain.removed", target=row.name, data=data)
    forget_hosts()
    return row.name


def _settle(tenant: TenantRef, row: Domain, proof: Proof, actor: str) -> None:
    now = timezone.now()
    row.checked_at, row.problem, row.due_at = now, proof.problem[:300], now + PROVEN_FOR
    if proof.is_found:
        row.failing_since = None
        if row.verified_at is None:
            _prove(tenant, row, now, actor)
    elif row.verified_at is not None:
        row.failing_since = row.failing_since or now
        row.due_at = now + ASKED_AGAIN_AFTER
        if proof.is_certain or now - row.failing_since >= PATIENCE:
            _lapse(tenant, row, actor)
    row.save()


def _prove(tenant: TenantRef, row: Domain, now: dt.datetime, actor: str) -> None:
    row.verified_at = now
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        raise ConflictError(TAKEN.format(row.name)) from None
    record_audit(tenant=tenant, actor=actor, action="domain.verified", target=row.name)


def _lapse(tenant: TenantRef, row: Domain, actor: str) -> None:
    row.verified_at = row.failing_since = None
    data = {"problem": row.problem}
    record_audit(tenant=tenant, actor=actor, action="domain.lapsed", target=row.name, data=data)
    tell_owners(
        tenant=tenant,
        key=f"domain-lapsed:{row.id}:{row.checked_at:%Y-%m-%dT%H:%M:%S}",
        subject=f"{row.name} no longer leads to your company",
        text=f"The proof that {row.name} is yours was not found any more, so it leads nowhere now and may "
        f"not show your widget.\n\n{row.problem}\n\nPut the proof back and check the domain again:\n"
        f"{settings.PUBLIC_URL.rstrip('/')}/app/settings/domains/\n",
    )


def _find_proof() -> FindProof:
    return cast(FindProof, import_string(settings.DOMAIN_PROOF))


def _clean(name: str) -> str:
    try:
        cleaned = clean_host(name)
    except ValueError as error:
        raise InvalidInput({"name": [str(error)]}) from None
    ours = [*settings.ALLOWED_HOSTS, f".{urlsplit(settings.PUBLIC_URL).hostname}"]
    if validate_host(cleaned, [host for host in ours if host != "*"]):
        raise InvalidInput({"name": ["This is the platform's own domain; give one of yours."]})
    return cleaned

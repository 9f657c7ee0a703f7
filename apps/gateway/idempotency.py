"""Answer a repeated write from memory instead of doing it again.

A claim is one statement: it inserts the record, or takes over one whose holder died (its lease ended
without an answer). Only answers that had an effect (2xx, 3xx) are remembered; a refusal changed
nothing, so the same key may be used again once its cause is gone.
"""

import datetime as dt
import hashlib
from dataclasses import dataclass
from enum import Enum, auto
from operator import itemgetter
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from uuid_utils.compat import uuid7

from apps.gateway.models import IdempotencyRecord
from apps.tenants.context import in_platform, in_tenant
from apps.tenants.contracts import TenantRef

KEPT_HEADERS = ("Content-Type", "Location", "Content-Disposition", "X-Conversation-ID")

CLAIM_SQL = """
INSERT INTO gateway_idempotencyrecord AS record
  (id, created_at, principal, key, fingerprint, lease_token, lease_until, headers)
VALUES (%(id)s, statement_timestamp(), %(principal)s, %(key)s, %(fingerprint)s, %(token)s,
        statement_timestamp() + %(lease)s, '{}'::jsonb)
ON CONFLICT (tenant_id, principal, key) DO UPDATE
SET lease_token = EXCLUDED.lease_token, lease_until = EXCLUDED.lease_until
WHERE record.answered_at IS NULL AND record.lease_until < statement_timestamp()
  AND record.fingerprint = EXCLUDED.fingerprint
RETURNING record.id
"""


class Standing(Enum):
    """Where a repeated write stands."""

    CLAIMED = auto()
    ANSWERED = auto()
    RUNNING = auto()
    OTHER_REQUEST = auto()


@dataclass(frozen=True)
class Claim:
    """The right to execute a write, until the lease ends or it is answered or given back."""

    tenant: TenantRef
    record_id: UUID
    token: UUID


@dataclass(frozen=True)
class Outcome:
    """What became of an attempt to claim; `claim` or `answer` where the standing has one."""

    standing: Standing
    claim: Claim | None = None
    answer: HttpResponse | None = None


def claim_write(*, tenant: TenantRef, principal: str, key: str, fingerprint: str) -> Outcome:
    """Claim a write for this attempt, or say what became of an earlier one."""
    token = uuid7()
    parameters: dict[str, Any] = {
        "id": uuid7(),
        "principal": principal,
        "key": key,
        "fingerprint": fingerprint,
        "token": token,
        "lease": dt.timedelta(seconds=settings.IDEMPOTENCY_LEASE_S),
    }
    with in_tenant(tenant), connection.cursor() as cursor:
        cursor.execute(CLAIM_SQL, parameters)
        claimed = cursor.fetchone()
        if claimed:
            return Outcome(Standing.CLAIMED, Claim(tenant, claimed[0], token))
        record = IdempotencyRecord.objects.filter(principal=principal, key=key).first()
    if record is None:  # given back between the two statements
        return Outcome(Standing.RUNNING)
    if record.fingerprint != fingerprint:
        return Outcome(Standing.OTHER_REQUEST)
    if record.answered_at is None:
        return Outcome(Standing.RUNNING)
    return Outcome(Standing.ANSWERED, answer=_rebuild(record))


def has_effect(response: HttpResponse) -> bool:
    """Tell whether an answer is one to remember: a refusal changed nothing, a stream cannot be kept."""
    return not response.streaming and 200 <= response.status_code < 400


def settle_write(claim: Claim, response: HttpResponse) -> bool:
    """Remember an answer in the caller's transaction; False where the claim is not held any more."""
    keeps_body = "no-store" not in response.get("Cache-Control", "")
    with in_tenant(claim.tenant):
        settled = _held_by(claim).update(
            answered_at=timezone.now(),
            status=response.status_code,
            headers={name: response[name] for name in KEPT_HEADERS if name in response},
            body=response.content if keeps_body else None,
        )
    return bool(settled)


def release_write(claim: Claim) -> None:
    """Give the key back, unless the write was answered: it did not happen."""
    with in_tenant(claim.tenant):
        _held_by(claim).delete()


def purge_records(*, older_than: dt.timedelta) -> int:
    """Forget answers of every tenant that nobody will ask for again; return how many."""
    with in_platform() as alias:
        old = IdempotencyRecord.objects.using(alias).filter(created_at__lt=timezone.now() - older_than)
        return old._raw_delete(alias)


def fingerprint_of(request: HttpRequest) -> str:
    """Hash what makes two writes the same: method, path, query, body; of a form its fields and files."""
    digest = hashlib.sha256()
    for part in (request.method, request.path, request.META.get("QUERY_STRING", "")):
        digest.update(f"{part}\n".encode())
    if request.content_type == "multipart/form-data":
        _hash_form(request, digest)
    else:
        digest.update(request.body)
    return digest.hexdigest()


def _hash_form(request: HttpRequest, digest: Any) -> None:
    digest.update(orjson.dumps(sorted((name, request.POST.getlist(name)) for name in request.POST)))
    uploads: list[tuple[str, Any]] = sorted(request.FILES.items(), key=itemgetter(0))
    for name, file in uploads:
        digest.update(orjson.dumps([name, file.name, file.size]))
        for chunk in file.chunks():
            digest.update(chunk)
        file.seek(0)


def _held_by(claim: Claim) -> Any:
    return IdempotencyRecord.objects.filter(
        id=claim.record_id, lease_token=claim.token, answered_at__isnull=True
    )


def _rebuild(record: IdempotencyRecord) -> HttpResponse | None:
    if record.body is None:
        return None
    headers = {**record.headers, "Idempotent-Replayed": "true"}
    return HttpResponse(bytes(record.body), status=record.status, headers=headers)

"""Writes: documents come, are made findable, change and go."""

import datetime as dt
from dataclasses import replace
from uuid import UUID

import structlog
from celery import current_app
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from kombu.exceptions import KombuError
from uuid_utils.compat import uuid7

from apps.events.services import publish
from apps.ingestion.claims import Claim, LeaseLost, claim_document, due_documents
from apps.ingestion.contracts import DocumentStatus, DocumentView, SearchHit, UploadedFile
from apps.ingestion.events import DocumentAccepted, DocumentDeleted, KnowledgeSearched
from apps.ingestion.fetching import fetch_page
from apps.ingestion.indexing import build_index
from apps.ingestion.intake import Intake, check_intake
from apps.ingestion.models import Chunk, Document, Original
from apps.ingestion.parsing.contracts import Unreadable
from apps.ingestion.selectors import search_knowledge
from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import is_active
from apps.tenants.services import record_audit

KEPT_AFTER_DELETION = dt.timedelta(days=1)
HINT = "workers.tasks.process_document"
log = structlog.get_logger(__name__)


def add_document(
    *,
    tenant: TenantRef,
    title: str | None = None,
    text: str | None = None,
    file: UploadedFile | None = None,
    url: str | None = None,
) -> DocumentView:
    """Accept a document for processing; the very same one again is answered with the first.

    Raises InvalidInput, and QuotaExceeded where the plan includes no more. After the commit a worker gets a
    hint; without one the sweep finds the document.
    """
    intake = check_intake(title=title, text=text, file=file, url=url)
    with in_tenant(tenant):
        known = (
            Document.objects.kept().filter(content_sha256=intake.digest).exclude(status=DocumentStatus.FAILED)
        )
        document = known.order_by("created_at").first()
        if document is not None:
            return document.to_view()
        made = _create(tenant, intake)
        data = {"title": made.title, "kind": made.kind, "url": made.url, "size_bytes": made.size_bytes}
        record_audit(tenant=tenant, action="document.added", target=str(made.id), data=data)
        return replace(made.to_view(), is_new=True)


def _create(tenant: TenantRef, intake: Intake) -> Document:
    file = intake.file
    document = Document.objects.create(
        title=intake.title or (file.name if file else intake.url)[:300],
        is_title_given=bool(intake.title),
        kind=intake.kind,
        file_name=file.name if file else "",
        url=intake.url,
        size_bytes=len(file.content) if file else 0,
        content_sha256=intake.digest,
    )
    if file:
        Original.objects.create(document=document, content=file.content)
    publish(DocumentAccepted(tenant_id=tenant.id, document_id=document.id))
    _hint(tenant, document.id)
    return document


def search_and_tell(*, tenant: TenantRef, query: str, top_k: int) -> list[SearchHit]:
    """Search for a caller outside and tell of it, so that it can be metered."""
    hits = search_knowledge(tenant=tenant, query=query, top_k=top_k)
    with in_tenant(tenant):
        publish(KnowledgeSearched(tenant_id=tenant.id, search_id=uuid7(), result_count=len(hits)))
    return hits


def process_document(*, tenant: TenantRef, document_id: UUID) -> DocumentStatus | None:
    """Make a document findable; None when there was nothing to do. Must not run inside a transaction.

    Safe to repeat and to kill: passages are replaced in one transaction by whoever holds the lease. A
    suspended tenant's documents wait.
    """
    claim = claim_document(tenant=tenant, document_id=document_id) if is_active(tenant) else None
    if claim is None:
        return None
    try:
        return _process(claim)
    except LeaseLost:
        log.info("document_lease_lost", document_id=str(document_id))
        return None


def _process(claim: Claim) -> DocumentStatus:
    try:
        claim.report(DocumentStatus.PARSING, 1)
        file = claim.file or fetch_page(claim.url)
        index = build_index(file=file, title=claim.title, report=claim.report)
        claim.finish(index, size_bytes=len(file.content))
    except Unreadable as error:
        claim.fail(str(error))
        return DocumentStatus.FAILED
    except LeaseLost:
        raise
    except Exception:
        log.exception("document_processing_failed", document_id=str(claim.document_id))
        claim.release()
        return DocumentStatus.QUEUED
    log.info("document_indexed", document_id=str(claim.document_id), chunks=len(index.passages))
    return DocumentStatus.READY


def sweep_due_documents(*, tenant: TenantRef, limit: int = 10) -> int:
    """Process what lost its hint or its worker, oldest first; return how many were taken up."""
    with in_tenant(tenant):
        due = list(due_documents().order_by("queued_at").values_list("id", flat=True)[:limit])
    return sum(process_document(tenant=tenant, document_id=document_id) is not None for document_id in due)


def reindex_document(*, tenant: TenantRef, document_id: UUID) -> DocumentView:
    """Process a document again, an address from its site; its passages stay findable meanwhile.

    Raises NotFoundError, and QuotaExceeded where the plan includes no more.
    """
    with in_tenant(tenant):
        Document.objects.kept().filter(id=document_id).update(
            status=DocumentStatus.QUEUED,
            progress_percent=0,
            error="",
            revision=F("revision") + 1,
            attempts=0,
            lease_epoch=F("lease_epoch") + 1,
            leased_until=None,
            queued_at=Now(),
        )
        document = Document.objects.kept().filter(id=document_id).first()
        if document is None:
            raise NotFoundError("There is no such document.")
        publish(DocumentAccepted(tenant_id=tenant.id, document_id=document_id))
        _hint(tenant, document_id)
        record_audit(
            tenant=tenant,
            action="document.reindexed",
            target=str(document_id),
            data={"title": document.title},
        )
        return document.to_view()


def delete_document(*, tenant: TenantRef, document_id: UUID) -> None:
    """Delete a document: its passages at once, its bytes a day later, until when it can be restored.

    Raises NotFoundError.
    """
    with in_tenant(tenant):
        deleted = Document.objects.kept().filter(id=document_id)
        if not deleted.update(
            deleted_at=Now(), lease_epoch=F("lease_epoch") + 1, chunk_count=0, title_vector=None
        ):
            raise NotFoundError("There is no such document.")
        Chunk.objects.filter(document_id=document_id).delete()
        publish(DocumentDeleted(tenant_id=tenant.id, document_id=document_id))
        title = Document.objects.values_list("title", flat=True).get(id=document_id)
        record_audit(tenant=tenant, action="document.deleted", target=str(document_id), data={"title": title})


def restore_document(*, tenant: TenantRef, document_id: UUID) -> DocumentView:
    """Undo a deletion; the document is processed again. Raises NotFoundError once its bytes are gone."""
    with in_tenant(tenant):
        gone = Document.objects.filter(id=document_id, deleted_at__isnull=False)
        if not gone.update(deleted_at=None):
            raise NotFoundError("This document is gone; upload it again.")
        record_audit(tenant=tenant, action="document.restored", target=str(document_id))
        return reindex_document(tenant=tenant, document_id=document_id)


def purge_deleted_documents(*, tenant: TenantRef) -> int:
    """Delete for good what was deleted a day ago; return how many rows went."""
    with in_tenant(tenant):
        old = Document.objects.filter(deleted_at__lt=Now() - KEPT_AFTER_DELETION)
        return old.delete()[0]


def _hint(tenant: TenantRef, document_id: UUID) -> None:
    transaction.on_commit(lambda: _send_hint(tenant, document_id))


def _send_hint(tenant: TenantRef, document_id: UUID) -> None:
    try:
        current_app.send_task(HINT, args=[str(tenant.id), str(document_id)], retry=False)
    except (KombuError, OSError) as error:
        log.warning("hint_not_sent", document_id=str(document_id), cause=type(error).__name__)

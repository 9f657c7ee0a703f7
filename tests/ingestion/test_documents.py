"""Documents: accepted once, processed safely through kills and races, deleted with all they left."""

import datetime as dt
import os
import signal
import subprocess
import sys

import pytest
from django.db import transaction
from django.utils import timezone

from apps.events.models import OutboxEvent
from apps.inference.contracts import ModelUnavailable
from apps.ingestion import claims, indexing, services
from apps.ingestion.claims import LeaseLost, claim_document
from apps.ingestion.contracts import DocumentStatus, UploadedFile
from apps.ingestion.models import Chunk, Document
from apps.ingestion.selectors import get_document, list_documents, search_knowledge
from apps.resilience.errors import InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from tests.ingestion.conftest import AddDocument

TEXT = "# Returns\nSend it back within 30 days.\n## Fee\nThe fee is 4 euros."


def events(tenant: TenantRef) -> list[tuple[str, dict]]:
    """Return what processing has told."""
    with in_tenant(tenant):
        told = ["agent.document.indexed", "agent.document.failed"]
        rows = OutboxEvent.objects.filter(type__in=told).order_by("position")
        return [(row.type, row.envelope["data"]) for row in rows]


def age(tenant: TenantRef, **values: object) -> None:
    with in_tenant(tenant):
        Document.objects.update(**values)


def test_a_document_becomes_findable(acme: TenantRef) -> None:
    queued = services.add_document(tenant=acme, title="Returns", text=TEXT)
    assert (queued.status, queued.progress_percent, queued.chunk_count) == ("queued", 0, 0)
    assert services.process_document(tenant=acme, document_id=queued.id) == "ready"
    ready = get_document(tenant=acme, document_id=queued.id)
    assert (ready.status, ready.progress_percent, ready.chunk_count, ready.language) == (
        "ready",
        100,
        2,
        "en",
    )
    [hit] = search_knowledge(tenant=acme, query="what does a return cost", top_k=1)
    assert (hit.title, hit.heading, hit.text) == ("Returns", "Fee", "The fee is 4 euros.")
    [(name, data)] = events(acme)
    assert name == "agent.document.indexed"
    assert data["document_id"] == str(queued.id)
    assert (data["chunk_count"], data["revision"]) == (2, 1)


def test_a_file_names_itself(acme: TenantRef, add_ready: AddDocument) -> None:
    titled = add_ready(acme, file=UploadedFile("a.md", b"# Our shipping\nFast."))
    named = add_ready(acme, file=UploadedFile("folder/return_policy-2026.txt", b"Fast."))
    assert (titled.title, named.title, named.file_name) == (
        "Our shipping",
        "return policy 2026",
        "return_policy-2026.txt",
    )


def test_a_given_title_stays(acme: TenantRef, add_ready: AddDocument) -> None:
    assert add_ready(acme, title="Mine", file=UploadedFile("a.md", b"# Theirs\nFast.")).title == "Mine"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({}, "file"),
        ({"text": "x", "url": "https://example.com"}, "file"),
        ({"text": "x"}, "title"),
        ({"title": "t", "text": "  "}, "text"),
        ({"title": "t" * 301, "text": "x"}, "title"),
        ({"file": UploadedFile("a.txt", b"")}, "file"),
        ({"file": UploadedFile("", b"x")}, "file"),
        ({"url": "ftp://example.com/a"}, "url"),
        ({"url": "http://user:pw@example.com/"}, "url"),
        ({"url": "http://exa mple.com/"}, "url"),
        ({"url": "http://example.com:99999/"}, "url"),
        ({"url": "https:///nothing"}, "url"),
        ({"url": "javascript:alert(1)"}, "url"),
    ],
)
def test_bad_input_names_its_field_and_changes_nothing(acme: TenantRef, values: dict, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        services.add_document(tenant=acme, **values)
    assert list(refused.value.errors) == [field]
    assert list_documents(tenant=acme) == []


def test_a_huge_document_is_refused_at_the_door(acme: TenantRef, settings: object) -> None:
    settings.DOCUMENT_MAX_BYTES = 1024 * 1024  # type: ignore[attr-defined]
    with pytest.raises(InvalidInput, match="At most 1 MB"):
        services.add_document(tenant=acme, file=UploadedFile("a.txt", b"x" * 1024 * 1025))


def test_the_same_document_again_is_the_first(acme: TenantRef, globex: TenantRef) -> None:
    first = services.add_document(tenant=acme, title="T", text="Text.")
    assert services.add_document(tenant=acme, title="T", text="Text.").id == first.id
    assert services.add_document(tenant=acme, title="U", text="Text.").id != first.id


def test_a_bad_file_fails_with_advice_and_may_come_again(acme: TenantRef, add_ready: AddDocument) -> None:
    failed = add_ready(acme, file=UploadedFile("a.pdf", b"%PDF-1.7 broken"))
    assert failed.status == "failed"
    assert "save it again" in failed.error
    [(name, data)] = events(acme)
    assert (name, data["reason"]) == ("agent.document.failed", failed.error)
    assert add_ready(acme, file=UploadedFile("a.pdf", b"%PDF-1.7 broken")).id != failed.id


def test_processing_twice_changes_nothing(acme: TenantRef, add_ready: AddDocument) -> None:
    document = add_ready(acme, title="T", text=TEXT)
    assert services.process_document(tenant=acme, document_id=document.id) is None
    assert len(events(acme)) == 1


def test_only_one_worker_gets_a_document(acme: TenantRef) -> None:
    document = services.add_document(tenant=acme, title="T", text=TEXT)
    assert claim_document(tenant=acme, document_id=document.id) is not None
    assert claim_document(tenant=acme, document_id=document.id) is None


def test_a_worker_that_lost_its_lease_changes_nothing(acme: TenantRef) -> None:
    document = services.add_document(tenant=acme, title="T", text=TEXT)
    late = claim_document(tenant=acme, document_id=document.id)
    assert late is not None
    services.reindex_document(tenant=acme, document_id=document.id)
    for act in (lambda: late.report(DocumentStatus.PARSING, 50), lambda: late.fail("x"), late.release):
        with pytest.raises(LeaseLost), transaction.atomic():
            act()
    assert get_document(tenant=acme, document_id=document.id).status == "queued"


def test_a_document_deleted_while_it_is_processed_stays_deleted(
    acme: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = services.add_document(tenant=acme, title="T", text=TEXT)

    def delete_and_chunk(*args: object, **kwargs: object) -> object:
        services.delete_document(tenant=acme, document_id=document.id)
        return chunk_sections(*args, **kwargs)

    chunk_sections = indexing.chunk_sections
    monkeypatch.setattr(indexing, "chunk_sections", delete_and_chunk)
    assert services.process_document(tenant=acme, document_id=document.id) is None
    with in_tenant(acme):
        assert (Document.objects.kept().count(), Chunk.objects.count()) == (0, 0)
    assert events(acme) == []


def test_passages_stay_findable_while_a_document_is_processed_again(
    acme: TenantRef, add_ready: AddDocument
) -> None:
    document = add_ready(acme, title="T", text=TEXT)
    again = services.reindex_document(tenant=acme, document_id=document.id)
    assert (again.status, again.progress_percent) == ("queued", 0)
    assert search_knowledge(tenant=acme, query="fee")
    assert services.process_document(tenant=acme, document_id=document.id) == "ready"
    assert [data["revision"] for _, data in events(acme)] == [1, 2]
    with in_tenant(acme):
        assert Chunk.objects.count() == 2


def test_what_breaks_is_tried_again_and_then_given_up(
    acme: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = services.add_document(tenant=acme, title="T", text=TEXT)

    def fail(*args: object, **kwargs: object) -> None:
        raise ModelUnavailable("no model")

    monkeypatch.setattr(services, "build_index", fail)
    for _ in range(claims.MAX_ATTEMPTS):
        assert services.sweep_due_documents(tenant=acme) == 0
        age(acme, queued_at=timezone.now() - dt.timedelta(minutes=9), leased_until=None)
        assert services.sweep_due_documents(tenant=acme) == 1
    age(acme, leased_until=None)
    assert services.process_document(tenant=acme, document_id=document.id) is None
    final = get_document(tenant=acme, document_id=document.id)
    assert final.status == "failed"
    assert "reindex it" in final.error


def test_the_sweep_takes_up_what_lost_its_hint_and_nothing_else(acme: TenantRef, globex: TenantRef) -> None:
    document = services.add_document(tenant=acme, title="T", text=TEXT)
    assert services.sweep_due_documents(tenant=acme) == 0
    age(acme, queued_at=timezone.now() - dt.timedelta(minutes=1))
    assert services.sweep_due_documents(tenant=acme) == 1
    assert get_document(tenant=acme, document_id=document.id).status == "ready"
    assert services.sweep_due_documents(tenant=acme) == 0


def test_another_tenants_document_does_not_exist(acme: TenantRef, globex: TenantRef) -> None:
    with in_tenant(acme):
        document = Document.objects.create(title="T", kind="text", content_sha256="x")
    for act in (services.reindex_document, services.delete_document, get_document):
        with pytest.raises(NotFoundError):
            act(tenant=globex, document_id=document.id)


def test_a_lost_broker_does_not_refuse_a_document(
    acme: TenantRef, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: object
) -> None:
    from kombu.exceptions import OperationalError

    def refuse(*args: object, **kwargs: object) -> None:
        raise OperationalError("no broker")

    monkeypatch.setattr(services.current_app, "send_task", refuse)
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        services.add_document(tenant=acme, title="T", text=TEXT)
    assert len(list_documents(tenant=acme)) == 1


KILLED = """
import os, sys, django
django.setup()
from django.db import connections
for alias in connections:
    connections[alias].settings_dict["NAME"] = sys.argv[1]
from uuid import UUID
from apps.ingestion import indexing, services
from apps.tenants.selectors import get_tenant
def stop(*args):
    print("embedding", flush=True)
    sys.stdin.read()
indexing._embed = stop
services.process_document(tenant=get_tenant(slug="acme"), document_id=UUID(sys.argv[2]))
"""


@pytest.mark.fault
def test_a_killed_worker_costs_a_lease_not_a_document(live_db: object, acme: TenantRef) -> None:
    document = services.add_document(tenant=acme, title="T", text=TEXT)
    command = [sys.executable, "-W", "ignore", "-c", KILLED, live_db.name, str(document.id)]  # type: ignore[attr-defined]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ)
    ) as worker:
        assert worker.stdout is not None
        while b"embedding" not in (line := worker.stdout.readline()):
            assert line, "the worker ended early"
        worker.send_signal(signal.SIGKILL)
    assert services.process_document(tenant=acme, document_id=document.id) is None
    age(acme, leased_until=timezone.now() - dt.timedelta(seconds=1))
    assert services.sweep_due_documents(tenant=acme) == 1
    assert get_document(tenant=acme, document_id=document.id).status == "ready"
    assert len(events(acme)) == 1

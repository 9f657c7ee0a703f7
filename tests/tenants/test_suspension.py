"""A suspended company reads and begins nothing, at every door; what waited goes on when it is resumed."""

import pytest
from django.core import mail
from django.db import connections

from apps.conversations.services import open_conversation, receive_message
from apps.ingestion.services import add_document, process_document, sweep_due_documents
from apps.orchestration import dispatching
from apps.orchestration import services as orchestration
from apps.orchestration.contracts import RunStatus
from apps.orchestration.selectors import get_run
from apps.resilience.errors import ConflictError, NotAllowed
from apps.tenants import selectors
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.lifecycle import resume_tenant, suspend_tenant
from apps.tenants.notices import mail_notices, tell_owners
from apps.tenants.selectors import is_active, list_active_tenants, list_audit_events
from apps.tenants.services import create_api_key
from tests.orchestration.conftest import publish, sink  # noqa: F401 - fixtures
from tests.orchestration.test_execution import calls
from tests.pages import log_in, member_of
from tests.realtime.conftest import browse, hub, widget  # noqa: F401 - fixtures

STAFF = "staff:a@platform.example"


def suspend(tenant: TenantRef) -> None:
    suspend_tenant(tenant=tenant, reason="Unpaid", actor=STAFF)


def resume(tenant: TenantRef) -> None:
    resume_tenant(tenant=tenant, reason="Paid", actor=STAFF)


def test_every_http_door_reads_and_writes_nothing(live_db, acme: TenantRef, globex: TenantRef, client):
    owner = log_in(acme)
    keys = {t.slug: create_api_key(tenant=t, name="all", scopes=["api:write"]).token for t in (acme, globex)}
    suspend(acme)
    sent = {"headers": {"Authorization": f"Bearer {keys['acme']}"}, "content_type": "application/json"}
    assert client.get("/api/v1/customers", headers=sent["headers"]).status_code == 200
    assert client.post("/api/v1/customers", {"name": "A"}, **sent).status_code == 403
    chat = {"model": "default", "messages": [{"role": "user", "content": "hello"}]}
    refused = client.post("/v1/chat/completions", chat, **sent)
    assert refused.status_code == 403
    assert "suspended" in refused.json()["error"]["message"]
    assert owner.get("/app/settings/").status_code == 200
    changed = owner.post("/app/settings/", {"name": "New", "time_zone": "UTC", "silence_hours": 1})
    assert changed.status_code == 403
    other = {**sent, "headers": {"Authorization": f"Bearer {keys['globex']}"}}
    assert client.post("/api/v1/customers", {"name": "A"}, **other).status_code == 201


async def test_an_open_socket_is_refused_and_goes_on_later(browse, acme: TenantRef):  # noqa: F811
    from apps.realtime.threads import in_thread

    browser = await browse()
    await browser.hello()
    await in_thread(suspend, acme)
    await browser.send("message", text="hello", client_message_id="m1")
    error = await browser.hear("error")
    assert "suspended" in error["detail"]
    await in_thread(resume, acme)
    assert (await browser.say("hello", "m1"))["seq"] == 1


def test_runs_wait_between_two_steps_and_go_on(acme: TenantRef, live_db, publish, sink, monkeypatch):  # noqa: F811
    publish(acme, calls(sink, "a", "b"))
    waiting = orchestration.start_run(tenant=acme, workflow_name="w", input={})
    suspend(acme)
    assert not orchestration.execute_run(tenant=acme, run_id=waiting.id)
    assert dispatching.sweep_due_runs(limit=10) == 0
    resume(acme)
    answers = iter([True, True, False])
    monkeypatch.setattr(orchestration, "is_active", lambda tenant: next(answers, False))
    orchestration.execute_run(tenant=acme, run_id=waiting.id)
    monkeypatch.undo()
    assert get_run(tenant=acme, run_id=waiting.id).status == RunStatus.RUNNING, "it did not die"
    assert len(sink.requests) < 2
    assert dispatching.sweep_due_runs(limit=10) == 1
    assert get_run(tenant=acme, run_id=waiting.id).status == RunStatus.COMPLETED
    assert len(sink.requests) == 2


def test_documents_wait(live_db, acme: TenantRef):
    document = add_document(tenant=acme, title="Returns", text="Within 30 days.")
    suspend(acme)
    assert process_document(tenant=acme, document_id=document.id) is None
    assert acme not in list_active_tenants()
    resume(acme)
    with connections["owner"].cursor() as cursor:
        cursor.execute("UPDATE t_acme.ingestion_document SET queued_at = now() - interval '1 hour'")
    assert sweep_due_documents(tenant=acme) == 1


def test_another_process_follows_within_two_seconds(live_db, acme: TenantRef, monkeypatch):
    """A reference that is hours old does not matter, only for how long a process believes what it read."""
    conversation = open_conversation(tenant=acme, channel="api", customer=None)
    assert is_active(acme)
    with connections["owner"].cursor() as cursor:
        cursor.execute("UPDATE tenants_tenant SET status = 'suspended' WHERE slug = 'acme'")
    now = selectors.time.monotonic()
    monkeypatch.setattr(selectors.time, "monotonic", lambda: now + 2.01)
    with pytest.raises(NotAllowed):
        receive_message(tenant=acme, conversation_id=conversation.id, text="hello")


def test_owners_are_told_once_and_the_trail_knows(live_db, acme: TenantRef):
    owner, agent = member_of(acme), member_of(acme, Role.AGENT)
    suspend(acme)
    suspend(acme)
    assert mail_notices() == 1
    assert mail_notices() == 0
    assert mail.outbox[0].to == [owner]
    assert agent not in mail.outbox[0].to
    assert "Unpaid" in mail.outbox[0].body
    resume(acme)
    trail = [event for event in list_audit_events(tenant=acme) if event.action.startswith("tenant.")]
    assert [event.action for event in trail] == ["tenant.resumed", "tenant.suspended"]
    assert trail[0].data == {"reason": "Paid", "before": "suspended", "after": "active"}


def test_a_notice_with_the_same_key_is_written_once(live_db, acme: TenantRef):
    member_of(acme)
    for _ in range(2):
        tell_owners(tenant=acme, key="trial:3", subject="Three days", text="Left.")
    assert mail_notices() == 1


def test_a_company_that_is_about_to_be_deleted_is_not_resumed(live_db, acme: TenantRef):
    with connections["owner"].cursor() as cursor:
        cursor.execute("UPDATE tenants_tenant SET status = 'closing' WHERE slug = 'acme'")
    with pytest.raises(ConflictError):
        resume(acme)

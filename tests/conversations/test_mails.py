"""Those who answer are mailed that a customer waits: once, where the workflow asks for it."""

import contextlib
import smtplib
import uuid

import pytest
from django.conf import settings as django_settings
from django.core import mail as django_mail
from django.core.mail.backends.locmem import EmailBackend

from apps.conversations import services
from apps.conversations.models import EscalationMail
from apps.conversations.services import mails
from apps.orchestration.services import execute_run
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role, TenantRef
from tests.conversations.test_concurrency import at_once
from tests.pages import log_in, member_of


def escalate(tenant: TenantRef, *, by_mail: bool = True, talk: object = None) -> object:
    talk = talk or services.open_conversation(tenant=tenant, channel="api").id
    return services.open_escalation(
        tenant=tenant, conversation_id=talk, reason="angry", effect_key=str(uuid.uuid4()), by_mail=by_mail
    )


def state(tenant: TenantRef) -> list[tuple[str, int]]:
    with in_tenant(tenant):
        return list(EscalationMail.objects.order_by("id").values_list("status", "attempts"))


def make_due(tenant: TenantRef) -> None:
    with in_tenant(tenant):
        EscalationMail.objects.update(due_at="2026-01-01T00:00:00Z")


@pytest.fixture
def agent(acme: TenantRef, globex: TenantRef) -> str:
    member_of(acme, Role.VIEWER)
    member_of(globex, Role.AGENT)
    return member_of(acme, Role.AGENT)


def test_those_who_answer_are_mailed_once(acme, agent, mailoutbox):
    owner = member_of(acme, Role.OWNER)
    waiting = escalate(acme)
    escalate(acme, talk=waiting.conversation_id)  # joins the one that waits
    escalate(acme, by_mail=False)
    assert [services.mail_escalations(tenant=acme) for _ in range(2)] == [1, 0]
    [sent] = mailoutbox
    assert sorted(sent.to) == sorted([agent, owner])
    assert f"/app/inbox/{waiting.id}/" in sent.body
    assert "angry" in sent.body
    assert state(acme) == [("sent", 1)]


def test_one_companys_mail_is_not_anothers(acme, globex, agent, mailoutbox):
    escalate(globex)
    assert services.mail_escalations(tenant=acme) == 0
    assert services.mail_escalations(tenant=globex) == 1
    assert agent not in mailoutbox[0].to


def test_who_will_not_be_mailed_is_not(acme, agent, mailoutbox):
    client = log_in(acme, Role.AGENT)
    page = client.get("/app/profile/").content.decode()
    assert 'name="wants_mail"' in page
    assert "checked" in page
    assert client.post("/app/profile/", {"name": "Ada"}).status_code == 302
    assert "checked" not in client.get("/app/profile/").content.decode()
    escalate(acme)
    services.mail_escalations(tenant=acme)
    assert mailoutbox[0].to == [agent]


def test_a_viewer_is_not_asked(acme, mailoutbox):
    viewer = log_in(acme, Role.VIEWER)
    assert 'name="wants_mail"' not in viewer.get("/app/profile/").content.decode()
    assert viewer.post("/app/profile/", {"name": "Vi", "wants_mail": "on"}).status_code == 302
    escalate(acme)
    assert services.mail_escalations(tenant=acme) == 0
    assert state(acme) == [("skipped", 0)]


def test_nobody_is_called_to_what_somebody_has(acme, agent, mailoutbox):
    claimed = escalate(acme)
    services.claim_escalation(tenant=acme, escalation_id=claimed.id, agent="user:1")
    assert services.mail_escalations(tenant=acme) == 0
    assert (state(acme), mailoutbox) == ([("skipped", 0)], [])


def test_a_server_that_is_away_is_tried_again_and_in_the_end_no_more(acme, agent, mailoutbox, monkeypatch):
    def refuse(self):
        raise ConnectionRefusedError("nobody listens")

    monkeypatch.setattr(EmailBackend, "open", refuse)
    escalate(acme)
    assert services.mail_escalations(tenant=acme) == 0
    assert state(acme) == [("waiting", 1)]
    assert services.mail_escalations(tenant=acme) == 0
    assert state(acme) == [("waiting", 1)], "not before its time"
    with monkeypatch.context() as given_up:
        given_up.setattr(mails, "MAX_ATTEMPTS", 3)
        for _ in range(4):
            make_due(acme)
            services.mail_escalations(tenant=acme)
    assert state(acme) == [("failed", 3)]
    monkeypatch.undo()
    escalate(acme)
    assert services.mail_escalations(tenant=acme) == 1


@pytest.mark.parametrize("error", [smtplib.SMTPServerDisconnected("gone"), SystemExit(9)])
def test_a_mail_whose_outcome_was_lost_is_never_sent_again(acme, agent, mailoutbox, monkeypatch, error):
    """The connection breaks, or the process dies, after the server has it."""
    real = EmailBackend.send_messages

    def send(self, messages):
        real(self, messages)
        raise error

    monkeypatch.setattr(EmailBackend, "send_messages", send)
    escalate(acme)
    with contextlib.suppress(SystemExit):
        services.mail_escalations(tenant=acme)
    monkeypatch.undo()
    make_due(acme)
    assert services.mail_escalations(tenant=acme) == 0
    assert len(mailoutbox) == 1


def test_many_workers_send_each_mail_once(live_db, acme, mailoutbox):
    member_of(acme, Role.AGENT)
    for _ in range(12):
        escalate(acme)
    at_once([lambda: services.mail_escalations(tenant=acme)] * 8)
    assert len(django_mail.outbox) == 12
    assert state(acme) == [("sent", 1)] * 12


def test_the_shipped_workflow_mails(live_db, acme, mailoutbox):
    agent = member_of(acme, Role.AGENT)
    started = services.start_conversation(
        tenant=acme, channel="api", text="I want to complain about my order!"
    )
    execute_run(tenant=acme, run_id=started.received.run_id)
    assert services.mail_escalations(tenant=acme) == 1
    assert mailoutbox[0].to == [agent]
    assert "complain about my order" not in mailoutbox[0].body


def test_a_laptops_mails_are_files_in_its_data_folder():
    assert django_settings.EMAIL_CONFIG["EMAIL_FILE_PATH"] == f"{django_settings.DATA_DIR}/mail"

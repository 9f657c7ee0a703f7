import smtplib

import pytest
from django.core import mail

from apps.crm import services as crm
from apps.orchestration import services
from apps.orchestration.contracts import RunStatus
from apps.orchestration.definitions import services as definitions
from apps.tenants.selectors import list_member_emails
from tests.orchestration.engine import Crash, differences, dying_at, expire, show, start, states
from tests.orchestration.fake_slack import CHANNEL, TOKEN, FakeSlack
from tests.pages import log_in

pytestmark = pytest.mark.usefixtures("no_hints", "valkey")
MAIL = """
  - id: "tell"
    type: "tool"
    tool: "email_send"
    config: {{subject: "{subject}", text: "It is on its way.", {more}}}
    retry: {{max_attempts: 2, initial_delay_s: 0.01, backoff_factor: 1}}"""
SLACK = """
  - id: "tell"
    type: "tool"
    tool: "slack_send"
    config: {text: "A refund of ${input.amount} cents"}
    retry: {max_attempts: 2, initial_delay_s: 0.01, backoff_factor: 1}"""
INPUTS = "inputs: {amount: {type: int, default: 500}}"


def set_up(tenant, tool: str, **config) -> None:
    definitions.update_tool_setting(tenant=tenant, tool=tool, config=config)


def run(tenant, **given):
    run_id = start(tenant, **given)
    services.execute_run(tenant=tenant, run_id=run_id)
    return run_id


@pytest.fixture
def ann(acme) -> str:
    return str(crm.create_customer(tenant=acme, name="Ann", email="ann@shop.example").id)


def test_the_customer_is_mailed_once_with_the_effects_key(acme, publish, ann) -> None:
    publish(acme, MAIL.format(subject="Your order", more=""))
    run_id = run(acme, customer_id=ann)
    [sent] = mail.outbox
    assert (sent.to, sent.subject, sent.body) == (["ann@shop.example"], "Your order", "It is on its way.")
    message_id = show(acme, run_id).steps[0].output["message_id"]
    assert sent.message()["Message-ID"] == message_id
    assert differences(acme, run_id) == []


def test_a_mail_whose_outcome_was_lost_is_left_to_a_person(acme, publish, ann, monkeypatch) -> None:
    publish(acme, MAIL.format(subject="Your order", more=""))
    run_id = start(acme, customer_id=ann)
    with dying_at(monkeypatch, "effect", 0), pytest.raises(Crash):
        services.execute_run(tenant=acme, run_id=run_id)
    expire(acme, run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert (len(mail.outbox), states(acme, run_id)) == (1, {"tell": "unknown"})


@pytest.mark.parametrize(
    ("to", "is_allowed"),
    [
        ("ann@shop.example", True), ("billing@acme.example", True), ("Anyone@Partner.example", True),
        ("stranger@evil.example", False), ("x@notpartner.example", False),
    ],
)  # fmt: skip
def test_only_the_customer_the_team_and_whom_the_tenant_names_can_be_mailed(
    acme, publish, ann, to, is_allowed
) -> None:
    set_up(acme, "email_send", allowed_recipients=["billing@acme.example", "@partner.example"])
    publish(acme, MAIL.format(subject="Hi", more=f'to: "{to}"'))
    run_id = run(acme, customer_id=ann)
    assert (len(mail.outbox) == 1) is is_allowed
    assert is_allowed or "allowed_recipients" in show(acme, run_id).error


def test_a_member_of_the_team_can_be_mailed_and_anothers_cannot(acme, globex, publish) -> None:
    for tenant in (acme, globex):
        log_in(tenant, "agent")
    theirs = set(list_member_emails(tenant=globex)) - set(list_member_emails(tenant=acme))
    for to in (list_member_emails(tenant=acme)[0], *theirs):
        publish(acme, MAIL.format(subject="Hi", more=f'to: "{to}"'), name="w")
        run(acme)
    assert theirs
    assert [sent.to for sent in mail.outbox] == [[list_member_emails(tenant=acme)[0]]]


def test_a_subject_cannot_carry_headers(acme, publish, ann) -> None:
    publish(acme, MAIL.format(subject="${input.text}", more=""), "inputs: {text: {type: string}}")
    run_id = run(acme, customer_id=ann, text="Hi\nBcc: all@evil.example")
    assert mail.outbox == []
    assert "one line" in show(acme, run_id).error


def test_a_company_mails_no_more_than_it_may_in_an_hour(acme, globex, publish, ann) -> None:
    set_up(acme, "email_send", max_per_hour=2)
    publish(acme, MAIL.format(subject="Hi", more=""))
    for _ in range(3):
        last = run(acme, customer_id=ann)
    assert len(mail.outbox) == 2
    assert "2 mails have left" in show(acme, last).error
    other = crm.create_customer(tenant=globex, name="Bob", email="bob@shop.example")
    publish(globex, MAIL.format(subject="Hi", more=""))
    run(globex, customer_id=str(other.id))
    assert len(mail.outbox) == 3


@pytest.mark.parametrize(
    ("at", "error", "state", "tries"),
    [
        ("open", ConnectionRefusedError(), "failed", 2),
        ("send", smtplib.SMTPRecipientsRefused({}), "failed", 1),
        ("send", smtplib.SMTPDataError(451, b"later"), "failed", 2),
        ("send", smtplib.SMTPServerDisconnected(), "unknown", 1),
        ("send", TimeoutError(), "unknown", 1),
    ],
)
def test_a_mail_is_sent_again_only_where_it_surely_did_not_leave(
    acme, publish, ann, monkeypatch, at, error, state, tries
) -> None:
    asked = []

    class Server:
        def open(self) -> None:
            asked.append(1)
            if at == "open":
                raise error

        def send_messages(self, messages) -> None:
            raise error

        def close(self) -> None: ...

    monkeypatch.setattr("apps.orchestration.adapters.mail_server.get_connection", Server)
    publish(acme, MAIL.format(subject="Hi", more=""))
    run_id = run(acme, customer_id=ann)
    assert (states(acme, run_id), len(asked)) == ({"tell": state}, tries)


@pytest.fixture
def slack(settings):
    with FakeSlack.open() as opened:
        settings.SLACK_API_URL, settings.OUTBOUND_ALLOW = opened.url, [opened.address]
        yield opened


def test_slack_gets_the_message_with_its_effects_key(acme, publish, slack) -> None:
    set_up(acme, "slack_send", token=TOKEN, channel=CHANNEL)
    publish(acme, SLACK, INPUTS)
    run_id = run(acme)
    [message] = slack.messages
    assert (message["text"], message["channel"]) == ("A refund of 500 cents", CHANNEL)
    output = show(acme, run_id).steps[0].output
    assert output == {"is_sent": True, "channel": CHANNEL, "ts": message["ts"]}
    assert TOKEN not in str(show(acme, run_id))
    assert differences(acme, run_id) == []


@pytest.mark.parametrize("point", ["effect", "intent"])
def test_a_message_whose_outcome_was_lost_is_looked_for_in_the_channel(
    acme, publish, slack, monkeypatch, point
) -> None:
    set_up(acme, "slack_send", token=TOKEN, channel=CHANNEL)
    publish(acme, SLACK, INPUTS)
    slack.messages += [{"text": str(n), "channel": CHANNEL, "ts": f"{n}.1"} for n in range(3)]
    run_id = start(acme)
    with dying_at(monkeypatch, point, 0), pytest.raises(Crash):
        services.execute_run(tenant=acme, run_id=run_id)
    slack.messages += [{"text": str(n), "channel": CHANNEL, "ts": f"{n}.2"} for n in range(3)]
    expire(acme, run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPLETED
    ours = [message for message in slack.messages if "metadata" in message]
    assert len(ours) == 1, "written once"
    assert slack.asked.count("chat.postMessage") == 1
    assert "conversations.history" in slack.asked
    assert differences(acme, run_id) == []


def test_an_answer_that_got_lost_is_looked_for_and_a_refusal_is_tried_again(acme, publish, slack) -> None:
    set_up(acme, "slack_send", token=TOKEN, channel=CHANNEL)
    publish(acme, SLACK, INPUTS)
    slack.fails = ["ratelimited", "after"]
    run_id = run(acme)
    assert show(acme, run_id).status is RunStatus.RUNNING
    expire(acme, run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert (show(acme, run_id).status, len(slack.messages)) == (RunStatus.COMPLETED, 1)


def test_an_incoming_webhook_writes_too_but_cannot_be_asked(acme, publish, slack, monkeypatch) -> None:
    set_up(acme, "slack_send", incoming_webhook_secret=slack.webhook)
    publish(acme, SLACK, INPUTS)
    run_id = start(acme)
    with dying_at(monkeypatch, "effect", 0), pytest.raises(Crash):
        services.execute_run(tenant=acme, run_id=run_id)
    expire(acme, run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert (slack.hooked, states(acme, run_id)) == ([{"text": "A refund of 500 cents"}], {"tell": "unknown"})


def test_slacks_no_is_told_and_nothing_set_up_as_well(acme, publish, slack) -> None:
    publish(acme, SLACK, INPUTS)
    assert "Slack is not set up" in show(acme, run(acme)).error
    set_up(acme, "slack_send", token="xoxb-wrong", channel=CHANNEL)
    assert "invalid_auth" in show(acme, run(acme)).error

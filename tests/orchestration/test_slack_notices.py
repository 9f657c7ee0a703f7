"""Slack hears that a customer waits: once, where the workflow asks for it and Slack is set up."""

import pytest

from apps.conversations.services import cancel_escalation, open_conversation
from apps.orchestration import services
from apps.orchestration.definitions import services as definitions
from apps.orchestration.notices import services as notices
from apps.orchestration.notices.models import SlackNotice
from apps.tenants.context import in_tenant
from tests.orchestration.engine import show, start
from tests.orchestration.fake_slack import CHANNEL, TOKEN, FakeSlack

pytestmark = pytest.mark.usefixtures("no_hints", "valkey")
ASK = """
  - id: "ask"
    type: "escalation"
    config: {escalation_queue: "vip", reason: "angry", notification_channels: ["email", "slack"]}"""


@pytest.fixture
def slack(settings):
    with FakeSlack.open() as opened:
        settings.SLACK_API_URL, settings.OUTBOUND_ALLOW = opened.url, [opened.address]
        yield opened


def set_up(tenant, **config) -> None:
    given = config or {"token": TOKEN, "channel": CHANNEL}
    definitions.update_tool_setting(tenant=tenant, tool="slack_send", config=given)


def escalate(tenant, publish) -> str:
    publish(tenant, ASK)
    talk = open_conversation(tenant=tenant, channel="api").id
    run_id = start(tenant, conversation_id=str(talk))
    services.execute_run(tenant=tenant, run_id=run_id)
    return show(tenant, run_id).steps[0].output["escalation_id"]


def state(tenant) -> list[tuple[str, int]]:
    with in_tenant(tenant):
        return list(SlackNotice.objects.order_by("id").values_list("status", "attempts"))


def make_due(tenant) -> None:
    with in_tenant(tenant):
        SlackNotice.objects.update(due_at="2026-01-01T00:00:00Z")


def test_slack_is_told_once_with_no_word_of_the_customers(acme, globex, publish, slack) -> None:
    set_up(acme)
    waiting = escalate(acme, publish)
    assert slack.messages == [], "not in the escalation's transaction"
    assert [notices.send_slack_notices(tenant=tenant) for tenant in (acme, acme, globex)] == [1, 0, 0]
    [message] = slack.messages
    assert f"/app/inbox/{waiting}/" in message["text"]
    assert "angry" in message["text"]
    assert state(acme) == [("sent", 1)]


def test_where_slack_is_not_set_up_or_off_nothing_is_kept(acme, publish, slack) -> None:
    escalate(acme, publish)
    set_up(acme)
    definitions.update_tool_setting(tenant=acme, tool="slack_send", is_enabled=False)
    escalate(acme, publish)
    assert state(acme) == []


def test_a_notice_whose_answer_was_lost_is_looked_for(acme, publish, slack) -> None:
    set_up(acme)
    escalate(acme, publish)
    slack.fails = ["after"]
    notices.send_slack_notices(tenant=acme)
    assert state(acme) == [("sending", 1)]
    make_due(acme)
    notices.send_slack_notices(tenant=acme)
    assert (state(acme), len(slack.messages)) == ([("sent", 2)], 1)


def test_a_notice_whose_process_died_before_it_was_sent_is_sent(acme, publish, slack, monkeypatch) -> None:
    set_up(acme)
    escalate(acme, publish)
    with monkeypatch.context() as patched:
        patched.setattr(notices, "_deliver", lambda *_asked, **_more: False)
        notices.send_slack_notices(tenant=acme)
    make_due(acme)
    notices.send_slack_notices(tenant=acme)
    assert (state(acme), len(slack.messages)) == ([("sent", 2)], 1)


def test_what_slack_refuses_for_now_is_tried_again_and_for_good_is_not(acme, publish, slack) -> None:
    set_up(acme)
    escalate(acme, publish)
    slack.fails = ["ratelimited", "channel_not_found"]
    states = []
    for _ in range(3):
        notices.send_slack_notices(tenant=acme)
        states += state(acme)
        make_due(acme)
    assert states == [("waiting", 1), ("failed", 2), ("failed", 2)]
    assert slack.messages == []


def test_an_escalation_that_is_over_is_not_told(acme, publish, slack) -> None:
    set_up(acme)
    cancel_escalation(tenant=acme, escalation_id=escalate(acme, publish))
    notices.send_slack_notices(tenant=acme)
    assert (state(acme), slack.messages) == ([("skipped", 1)], [])

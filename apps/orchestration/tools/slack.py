"""Slack tool: writes into a channel of the tenant's workspace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from apps.orchestration.adapters import slack_api as slack
from apps.orchestration.selectors import get_started_at
from apps.orchestration.steps.context import OutcomeUnknown, Output, StepContext, StepFailed
from apps.orchestration.tools.setup import read_setup
from apps.resilience import outbound
from apps.resilience.outcomes import ResilienceError
from apps.tenants.contracts import TenantRef

TOOL = "slack_send"
NOT_SET_UP = "Slack is not set up: give the tool slack_send a `token` and a `channel`, or an incoming webhook"
CLOCKS_DIFFER_S = 60.0


def slack_send(context: StepContext) -> Output:
    """Write the message, the effect's key in its metadata."""
    arguments = context.arguments
    return send_to_slack(
        context.tenant, str(arguments["text"]), context.effect_key, channel=str(arguments.get("channel", ""))
    )


def look_up(context: StepContext) -> Output | None:
    """Look for the message in its channel, by the effect's key in its metadata, since the run began."""
    started_at = get_started_at(tenant=context.tenant, run_id=context.run_id)
    channel = str(context.arguments.get("channel", ""))
    return find_in_slack(context.tenant, context.effect_key, since=started_at.timestamp(), channel=channel)


def send_to_slack(tenant: TenantRef, text: str, effect_key: str, *, channel: str = "") -> Output:
    """Write into the channel, else the one that is set up. Raises StepFailed, OutcomeUnknown."""
    setup = read_setup(tenant, TOOL)
    token, wanted = str(setup.get("token", "")), channel or str(setup.get("channel", ""))
    with _told_as_failures():
        if token and wanted:
            posted = slack.post_message(
                owner=str(tenant.id), token=token, channel=wanted, text=text, effect_key=effect_key
            )
            return {"is_sent": True, "channel": posted.channel, "ts": posted.ts}
        if webhook := str(setup.get("incoming_webhook_secret", "")):
            slack.post_to_webhook(owner=str(tenant.id), url=webhook, text=text)
            return {"is_sent": True, "channel": "", "ts": ""}
    raise StepFailed(NOT_SET_UP, is_retryable=False)


def find_in_slack(tenant: TenantRef, effect_key: str, *, since: float, channel: str = "") -> Output | None:
    """Look for a message of ours. Raises StepFailed where nobody can tell."""
    setup = read_setup(tenant, TOOL)
    token, wanted = str(setup.get("token", "")), channel or str(setup.get("channel", ""))
    if not token or not wanted:
        raise StepFailed("a message sent by an incoming webhook cannot be looked for", is_retryable=False)
    with _told_as_failures():
        posted = slack.find_message(
            owner=str(tenant.id),
            token=token,
            channel=wanted,
            effect_key=effect_key,
            oldest=since - CLOCKS_DIFFER_S,
        )
    return {"is_sent": True, "channel": posted.channel, "ts": posted.ts} if posted else None


@contextmanager
def _told_as_failures() -> Iterator[None]:
    try:
        yield
    except slack.SlackRefused as error:
        raise StepFailed(str(error), is_retryable=error.is_retryable) from None
    except outbound.Refused as error:
        raise StepFailed(str(error), is_retryable=False) from None
    except (outbound.NotReached, ResilienceError) as error:
        raise StepFailed(str(error)) from None
    except (slack.SlackBroken, outbound.OutboundError) as error:
        raise OutcomeUnknown(str(error)) from None

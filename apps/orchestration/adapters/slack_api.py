"""Slack's Web API and incoming webhooks, through the guard against requests into our own network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
from django.conf import settings

from apps.resilience import outbound
from apps.resilience.breaker import BreakerPolicy
from apps.resilience.bulkhead import BulkheadPolicy
from apps.resilience.policies import Resilience

TIMEOUT_S = 10.0
MAX_BYTES = 1024 * 1024
PAGES, PAGE_SIZE = 10, 200
EVENT = "aiaas_effect"
# Slack says with these that it has done nothing and may do it later.
LATER = frozenset({"ratelimited", "rate_limited", "service_unavailable", "request_timeout"})


class SlackRefused(Exception):
    """Slack has done nothing, and says why."""

    def __init__(self, code: str) -> None:
        super().__init__(f"Slack refused the message: {code}")
        self.is_retryable = code in LATER


class SlackBroken(Exception):
    """Slack did not say whether it has done anything."""


@dataclass(frozen=True)
class Posted:
    channel: str
    ts: str


GUARD = Resilience(
    "slack",
    breaker=BreakerPolicy(failure_threshold=5, recovery_timeout_s=30),
    bulkhead=BulkheadPolicy(max_concurrent=5, max_wait_s=1),
    attempt_timeout_s=TIMEOUT_S,
    is_failure=lambda error: not isinstance(error, SlackRefused | outbound.Refused),
)


def post_message(*, owner: str, token: str, channel: str, text: str, effect_key: str) -> Posted:
    """Write into a channel, the effect's key in the message's metadata.

    Raises SlackRefused, SlackBroken, OutboundError, ResilienceError.
    """
    metadata = {"event_type": EVENT, "event_payload": {"effect_key": effect_key}}
    body = {"channel": channel, "text": text, "metadata": metadata, "unfurl_links": False}
    answer = _call("POST", f"{settings.SLACK_API_URL}/chat.postMessage", owner, token, body)
    return Posted(str(answer["channel"]), str(answer["ts"]))


def find_message(*, owner: str, token: str, channel: str, effect_key: str, oldest: float) -> Posted | None:
    """Look for the message of an effect among what was written since `oldest`.

    Raises as `post_message`, SlackBroken also where there is more than can be looked through.
    """
    cursor = ""
    for _ in range(PAGES):
        asked = {
            "channel": channel, "limit": str(PAGE_SIZE), "oldest": f"{oldest:.6f}",
            "include_all_metadata": "true",
            **({"cursor": cursor} if cursor else {}),
        }  # fmt: skip
        url = f"{settings.SLACK_API_URL}/conversations.history?{urlencode(asked)}"
        answer = _call("GET", url, owner, token, None)
        for message in answer.get("messages", []):
            if _key_of(message) == effect_key:
                return Posted(channel, str(message["ts"]))
        cursor = str((answer.get("response_metadata") or {}).get("next_cursor") or "")
        if not cursor:
            return None
    raise SlackBroken("too much was written since to find the message")


def post_to_webhook(*, owner: str, url: str, text: str) -> None:
    """Write by an incoming webhook, which cannot be asked afterwards. Raises as `post_message`."""
    _call("POST", url, owner, "", {"text": text})


def _key_of(message: Mapping[str, Any]) -> str:
    metadata = message.get("metadata") or {}
    return str((metadata.get("event_payload") or {}).get("effect_key", ""))


def _call(method: str, url: str, owner: str, token: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
    return GUARD.call(
        lambda timeout_s: _send(method, url, token, body, timeout_s or TIMEOUT_S),
        key=httpx.URL(url).host,
        owner=owner,
    )


def _send(
    method: str, url: str, token: str, body: Mapping[str, Any] | None, timeout_s: float
) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    content = b"" if body is None else json.dumps(body).encode()
    if content:
        headers["Content-Type"] = "application/json; charset=utf-8"
    limits = outbound.Limits(total_s=timeout_s, step_s=timeout_s, max_bytes=MAX_BYTES)
    answer = outbound.send(method, url, headers=headers, content=content, limits=limits)
    if answer.status == httpx.codes.TOO_MANY_REQUESTS:
        raise SlackRefused("ratelimited")
    if answer.status >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise SlackBroken(f"Slack answered {answer.status}")
    return _read(answer)


def _read(answer: outbound.Answer) -> dict[str, Any]:
    """Return what Slack says; an incoming webhook says `ok`, or in one word why not."""
    text = answer.content.decode(errors="replace").strip()
    if text == "ok":
        return {}
    try:
        said = json.loads(text)
    except ValueError:
        raise SlackRefused(text[:100] or str(answer.status)) from None
    if not isinstance(said, dict) or not said.get("ok"):
        raise SlackRefused(str(said.get("error", "unknown") if isinstance(said, dict) else "unknown")[:100])
    return said

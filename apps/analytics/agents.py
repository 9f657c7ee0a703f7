"""What each person of the team did in a conversation, from its facts; pure."""

import datetime as dt
from dataclasses import asdict, dataclass

from apps.analytics.facts import Facts


@dataclass
class AgentShare:
    """One person's part in one conversation; `first_reply_ms` runs from when they first had it."""

    agent: str
    claims: int = 0
    replies: int = 0
    resolutions: int = 0
    first_reply_ms: int | None = None


def shares_of(facts: Facts) -> list[dict[str, str | int | None]]:
    """Return the part of everybody who had the conversation; a reply is whose it is at that moment."""
    shares: dict[str, AgentShare] = {}
    holders = sorted([*facts.taken, *facts.claimed])
    for _, agent in sorted(facts.claimed):
        _of(shares, agent).claims += 1
    for _, agent in sorted(facts.resolved):
        if any(agent == holder for _, holder in holders):  # closing resolves too, and may be the system's
            _of(shares, agent).resolutions += 1
    for sent_at in sorted(facts.human_sent):
        _count_reply(shares, holders, sent_at)
    return [asdict(share) for share in sorted(shares.values(), key=lambda share: share.agent)]


def _count_reply(
    shares: dict[str, AgentShare], holders: list[tuple[dt.datetime, str]], sent_at: dt.datetime
) -> None:
    before = [agent for at, agent in holders if at <= sent_at]
    if not before:
        return
    share = _of(shares, before[-1])
    share.replies += 1
    if share.first_reply_ms is None:
        since = min(at for at, agent in holders if agent == share.agent)
        share.first_reply_ms = (sent_at - since) // dt.timedelta(milliseconds=1)


def _of(shares: dict[str, AgentShare], agent: str) -> AgentShare:
    return shares.setdefault(agent, AgentShare(agent))

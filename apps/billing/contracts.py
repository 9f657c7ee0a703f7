"""What may leave the billing app."""

import datetime as dt
from dataclasses import dataclass, field
from enum import StrEnum


class UsageKind(StrEnum):
    """What is metered; the unit is one of what the name says."""

    RUN = "run"
    MESSAGE = "message"
    PROMPT_TOKEN = "prompt_token"  # noqa: S105  a unit of usage, not a secret
    COMPLETION_TOKEN = "completion_token"  # noqa: S105
    DOCUMENT = "document"
    SEARCH = "search"


@dataclass(frozen=True)
class PlanView:
    """A plan on sale: `included` amounts by kind for one period, a missing kind is unlimited."""

    code: str
    name: str
    price_cents: int
    currency: str
    requests_per_minute: int
    has_hard_limits: bool
    included: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Period:
    """A half-open stretch of time in UTC: `start` belongs to it, `end` to the next one."""

    start: dt.datetime
    end: dt.datetime


@dataclass(frozen=True)
class SubscriptionView:
    """The plan that a tenant is on now, and the period that its usage counts in."""

    plan: PlanView
    started_on: dt.date
    period: Period


@dataclass(frozen=True)
class QuotaState:
    """How much of a kind is spent; `limit` None is unlimited, `is_hard` refuses what exceeds it."""

    kind: str
    used: int
    limit: int | None
    resets_at: dt.datetime
    is_hard: bool

    @property
    def remaining(self) -> int | None:
        return None if self.limit is None else max(0, self.limit - self.used)

    @property
    def is_spent(self) -> bool:
        return self.is_hard and self.remaining == 0


@dataclass(frozen=True)
class DailyUsage:
    """The quantity of one kind on one UTC day."""

    date: dt.date
    kind: str
    quantity: int

"""What may leave the billing app."""

import datetime as dt
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from apps.resilience.errors import QuotaExceeded


class UsageKind(StrEnum):
    """What is metered; the unit is one of what the name says."""

    RUN = "run"
    MESSAGE = "message"
    PROMPT_TOKEN = "prompt_token"  # noqa: S105  a unit of usage, not a secret
    COMPLETION_TOKEN = "completion_token"  # noqa: S105
    DOCUMENT = "document"
    SEARCH = "search"


TRIAL = "trial"  # the plan of companies that have just signed up; it is on no sale

MAX_EXTENSION_DAYS = 90  # of a trial, at once

LABELS = {
    UsageKind.RUN: "Workflow runs",
    UsageKind.MESSAGE: "Messages",
    UsageKind.PROMPT_TOKEN: "Prompt tokens",
    UsageKind.COMPLETION_TOKEN: "Completion tokens",
    UsageKind.DOCUMENT: "Documents",
    UsageKind.SEARCH: "Searches",
}


@dataclass(frozen=True)
class PlanView:
    """A plan on sale: `included` amounts by kind for one period, a missing kind is unlimited."""

    code: str
    name: str
    price_cents: int
    currency: str
    requests_per_minute: int
    has_hard_limits: bool
    max_concurrent_runs: int = 20
    run_weight: int = 1
    included: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Period:
    """A half-open stretch of time in UTC: `start` belongs to it, `end` to the next one."""

    start: dt.datetime
    end: dt.datetime


@dataclass(frozen=True)
class SubscriptionView:
    """The plan that a tenant is on now, and the period that its usage counts in.

    `next_plan` follows at `next_plan_at`, unless that is taken back before.
    """

    plan: PlanView
    started_on: dt.date
    period: Period
    time_zone: str = "UTC"
    next_plan: PlanView | None = None
    next_plan_at: dt.datetime | None = None

    @property
    def trial_ends_at(self) -> dt.datetime | None:
        """When the trial ends that the tenant is on; None on every other plan."""
        return self.next_plan_at if self.plan.code == TRIAL else None


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
    def label(self) -> str:
        return label_of(self.kind)

    @property
    def used_percent(self) -> int:
        """Whole percent of the limit, rounded down, so that 100 means that it is reached."""
        return 0 if self.limit is None else self.used * 100 // self.limit if self.limit else 100

    @property
    def is_spent(self) -> bool:
        return self.is_hard and self.remaining == 0


class QuotaSpent(QuotaExceeded):
    """A hard quota has not enough left for what was asked."""

    def __init__(self, quota: QuotaState) -> None:
        kinds = f"{quota.kind.replace('_', ' ')}s"
        super().__init__(
            f"Your plan includes {quota.limit} {kinds} in this period and they are used up. "
            f"Move to a larger plan, or wait until {quota.resets_at:%Y-%m-%d %H:%M} UTC."
        )
        self.quota = quota
        self.members = {
            "kind": quota.kind,
            "used": quota.used,
            "limit": quota.limit,
            "resets_at": quota.resets_at.isoformat(),
        }


@dataclass(frozen=True)
class DailyUsage:
    """The quantity of one kind on one day of the time zone that was asked for."""

    date: dt.date
    kind: str
    quantity: int


@dataclass(frozen=True)
class Tier:
    """Units above the first `starts_after`, up to the next tier, cost `unit_price` each."""

    starts_after: int
    unit_price: Decimal


@dataclass(frozen=True)
class TierShare:
    """The part of a line that falls into one tier; `amount` is exact."""

    quantity: int
    unit_price: Decimal
    amount: Decimal


@dataclass(frozen=True)
class PlanOffer:
    """A plan on sale beside what the tenant has: what its usage so far would cost there.

    `beyond` are the kinds of which more is used already than the plan includes.
    """

    plan: PlanView
    tiers: dict[str, list[Tier]]
    is_current: bool
    usage_cents: int
    beyond: tuple[str, ...]


@dataclass(frozen=True)
class PlanChange:
    """What changing to a plan does: at once, or at the end of the period without touching its invoice.

    Out of a trial it begins a `period` of its own.
    """

    offer: PlanOffer
    is_immediate: bool
    effective_at: dt.datetime
    period: Period
    draft_cents: int
    draft_then_cents: int
    ends_trial: bool = False


class LineType(StrEnum):
    BASE_FEE = "base_fee"
    USAGE = "usage"
    LATE_USAGE = "late_usage"  # of a period whose invoice was final when the event came


@dataclass(frozen=True)
class LineView:
    """A line of an invoice, rounded once: `amount` is exact, `amount_cents` is what is owed."""

    type: LineType
    kind: str
    description: str
    period: Period
    quantity: int
    amount: Decimal
    amount_cents: int
    price_version: int
    shares: tuple[TierShare, ...] = ()


@dataclass(frozen=True)
class InvoiceView:
    """An invoice; a draft has neither id nor number and changes with every event."""

    currency: str
    period: Period
    time_zone: str
    plan_name: str
    total_cents: int
    lines: tuple[LineView, ...] = ()
    id: UUID | None = None
    number: str = ""
    finalised_at: dt.datetime | None = None
    stored_until: dt.datetime | None = None
    event_count: int = 0
    checksum: str = ""


@dataclass(frozen=True)
class QuotaAlertView:
    """A quota that has passed a share of its limit in the current period, and is still beyond it."""

    kind: str
    threshold_percent: int
    used: int
    limit: int
    reached_at: dt.datetime
    resets_at: dt.datetime
    is_hard: bool

    @property
    def label(self) -> str:
        return label_of(self.kind)


@dataclass(frozen=True)
class DraftCheckView:
    """How the draft from the read model compared with the one from the raw events, at one moment."""

    requested_at: dt.datetime
    finished_at: dt.datetime | None
    event_count: int
    read_model_cents: int
    events_cents: int
    differing_kinds: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        return self.read_model_cents == self.events_cents and not self.differing_kinds


def label_of(kind: str) -> str:
    """Return what people call a kind; a kind that is not known any more is called by its name."""
    return LABELS[UsageKind(kind)] if kind in set(UsageKind) else kind.replace("_", " ").capitalize()

"""Periods of whole days in a company's zone, and the steps that they fall into."""

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from apps.resilience.errors import InvalidInput

GRANULARITIES = ("hour", "day", "week", "month")
MAX_DAYS, MAX_DAYS_BY_HOUR = 400, 7  # more hours than that are finer than a chart can show
ONE_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Span:
    """Whole days of a time zone: half-open in UTC, `start` and `end` are midnights there."""

    start: dt.datetime
    end: dt.datetime
    zone: ZoneInfo

    @property
    def first_day(self) -> dt.date:
        return self.start.astimezone(self.zone).date()

    @property
    def last_day(self) -> dt.date:
        return self.end.astimezone(self.zone).date() - ONE_DAY

    @property
    def days(self) -> int:
        return (self.last_day - self.first_day).days + 1

    @property
    def before(self) -> "Span":
        """Return as many days right before."""
        first = self.first_day - self.days * ONE_DAY
        return Span(midnight(first, self.zone), self.start, self.zone)


def span_between(first: dt.date, last: dt.date, zone: ZoneInfo) -> Span:
    """Return the span of whole days, both inclusive."""
    return Span(midnight(first, zone), midnight(last + ONE_DAY, zone), zone)


def midnight(day: dt.date, zone: ZoneInfo) -> dt.datetime:
    """Return the first moment of a day, in UTC."""
    return dt.datetime.combine(day, dt.time(), zone).astimezone(dt.UTC)


def usual_granularity(span: Span) -> str:
    """Return the step that shows a span's course best."""
    if span.days <= 2:
        return "hour"
    return "day" if span.days <= 92 else "week"


def check_granularity(granularity: str, days: int) -> None:
    """Raise InvalidInput where so many days would fall into too many steps."""
    if granularity == "hour" and days > MAX_DAYS_BY_HOUR:
        raise InvalidInput({"granularity": [f"Hours are told for at most {MAX_DAYS_BY_HOUR} days."]})


def steps_of(span: Span, granularity: str) -> list[dt.datetime]:
    """Return the beginnings of a span's steps, the first one cut to the span's own beginning."""
    if granularity == "hour":
        hours = int((span.end - span.start) / dt.timedelta(hours=1))
        return [span.start + dt.timedelta(hours=number) for number in range(hours)]
    floors = set()
    for number in range(span.days):
        day = span.first_day + number * ONE_DAY
        monday, first = day - day.weekday() * ONE_DAY, day.replace(day=1)
        floors.add({"week": monday, "month": first}.get(granularity, day))
    return [max(midnight(floor, span.zone), span.start) for floor in sorted(floors)]

"""When a schedule starts runs: a pure function of what is written and of the time before."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import ZoneInfo

from celery.schedules import ParseException, crontab_parser

from apps.orchestration.definitions.contracts import TriggerDefinition
from apps.orchestration.definitions.durations import duration_s

SHORTEST_S = 60.0
FARTHEST_DAYS = 8 * 366  # until the next 29 February, at the latest
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}")


@dataclass(frozen=True)
class Cron:
    """The five fields of a cron line, in a time zone."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday
    is_either_day: bool  # both kinds of day are given: one of them has to fit
    zone: ZoneInfo

    def matches(self, day: dt.date) -> bool:
        """Tell whether anything is to happen on a day."""
        fits = (day.day in self.days, day.isoweekday() % 7 in self.weekdays)
        return day.month in self.months and (any(fits) if self.is_either_day else all(fits))


@lru_cache(maxsize=1024)
def read_cron(text: str, zone: str = "") -> Cron:
    """Read a cron line; raises ValueError with what is wrong with it."""
    fields = text.lower().split()
    if len(fields) != 5:
        raise ValueError(f"{text!r} has {len(fields)} fields, not 5: minute hour day month weekday")
    fields[4] = re.sub(r"(?<![0-9/])7(?![0-9])", "0", fields[4])
    ranges = [(60, 0), (24, 0), (31, 1), (12, 1), (7, 0)]
    parsed: list[frozenset[int]] = []
    for field, (size, first) in zip(fields, ranges, strict=True):
        try:
            parsed.append(frozenset(crontab_parser(size, first).parse(field)))
        except (ParseException, ValueError, KeyError) as error:
            raise ValueError(f"{field!r} is no field of a cron line: {error}") from None
    is_either_day = not any(field.startswith("*") for field in (fields[2], fields[4]))
    minutes, hours, days, months, weekdays = parsed
    return Cron(minutes, hours, days, months, weekdays, is_either_day, read_zone(zone))


def read_zone(name: str) -> ZoneInfo:
    """Find a time zone, UTC unless one is named; raises ValueError."""
    try:
        if name and not _ZONE.fullmatch(name):
            raise ValueError
        return ZoneInfo(name or "UTC")
    except (ValueError, KeyError, OSError):
        raise ValueError(f"there is no time zone {name!r}") from None


def moments_after(trigger: TriggerDefinition, after: dt.datetime) -> Iterator[dt.datetime]:
    """Yield a schedule's moments after a moment, in UTC, for as long as there are any in sight.

    An hour that a change of clocks leaves out comes right after it; one that comes twice counts once.
    """
    if trigger.every:
        step = duration_s(trigger.every)
        number = math.floor(after.timestamp() / step)
        while True:
            number += 1
            yield dt.datetime.fromtimestamp(number * step, dt.UTC)
    cron = read_cron(trigger.cron, trigger.timezone)
    first = after.astimezone(cron.zone).date()
    for offset in range(FARTHEST_DAYS):
        day = first + dt.timedelta(days=offset)
        if cron.matches(day):
            yield from sorted(moment for moment in _of_day(cron, day) if moment > after)


def _of_day(cron: Cron, day: dt.date) -> set[dt.datetime]:
    return {
        dt.datetime(day.year, day.month, day.day, hour, minute, tzinfo=cron.zone).astimezone(dt.UTC)
        for hour in cron.hours
        for minute in cron.minutes
    }

"""Opening hours: whether somebody is there, and when they are back."""

import datetime as dt
import itertools
import re
from collections.abc import Iterator
from zoneinfo import ZoneInfo

from apps.realtime.widget_settings.contracts import WidgetSettings

DAY_MINUTES = 24 * 60
EN_DASH = "\u2013"
MAX_INTERVALS = 4
LOOK_AHEAD_DAYS = 370
HINT = "Write hours like 09:00-17:00 or 09:00-12:00, 13:00-17:00; leave it empty where you are closed."
_INTERVAL = re.compile(r"([01]?\d|2[0-4])[:.]([0-5]\d)\s*-\s*([01]?\d|2[0-4])[:.]([0-5]\d)")


def clean_day(text: str) -> str:
    """Return a day's hours as they are kept; raises ValueError with what to write instead."""
    pieces = [piece.strip() for piece in text.split(",") if piece.strip()]
    found = sorted(_read(piece) for piece in pieces)
    if len(found) > MAX_INTERVALS:
        raise ValueError(f"{len(found)} intervals in one day are too many; {MAX_INTERVALS} is the most.")
    for begin, end in found:
        if begin >= end or end > DAY_MINUTES:
            raise ValueError("An interval must end after it begins, at 24:00 at the latest.")
    if any(before[1] > after[0] for before, after in itertools.pairwise(found)):
        raise ValueError("These intervals overlap; write each hour once.")
    return ", ".join(f"{_clock(begin)}-{_clock(end)}" for begin, end in found)


def next_opening(settings: WidgetSettings, *, now: dt.datetime, time_zone: str) -> dt.datetime | None:
    """Return when the team is back, in UTC; None while it is there.

    Where it is never back within a year, the year's end.
    """
    if not settings.has_hours:
        return None
    zone = ZoneInfo(time_zone)
    today = now.astimezone(zone).date()
    for begin, end in _openings(settings, today, zone):
        if begin <= now < end:
            return None
        if begin > now:
            return begin
    return now + dt.timedelta(days=LOOK_AHEAD_DAYS)


def _openings(
    settings: WidgetSettings, first_day: dt.date, zone: ZoneInfo
) -> Iterator[tuple[dt.datetime, dt.datetime]]:
    for offset in range(LOOK_AHEAD_DAYS):
        day = first_day + dt.timedelta(days=offset)
        if day.isoformat() in settings.closed_dates:
            continue
        for piece in filter(None, settings.hours[day.weekday()].split(", ")):
            begin, end = _read(piece)
            yield _moment(day, begin, zone), _moment(day, end, zone)


def _moment(day: dt.date, minutes: int, zone: ZoneInfo) -> dt.datetime:
    days, minute = divmod(minutes, DAY_MINUTES)
    clock = dt.time(minute // 60, minute % 60)
    return dt.datetime.combine(day + dt.timedelta(days=days), clock, zone).astimezone(dt.UTC)


def _read(piece: str) -> tuple[int, int]:
    found = _INTERVAL.fullmatch(piece.replace(EN_DASH, "-"))
    if found is None:
        raise ValueError(HINT)
    hour, minute, end_hour, end_minute = map(int, found.groups())
    return hour * 60 + minute, end_hour * 60 + end_minute


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"

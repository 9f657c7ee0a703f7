"""Monthly periods that tile time without gap or overlap, whatever zone and day they are counted from."""

import calendar
import datetime as dt
from zoneinfo import ZoneInfo

from apps.billing.contracts import Period

BUCKET_S = 15 * 60
GRACE = dt.timedelta(hours=1)  # from a period's end to its invoice, for events that are still on their way
SHORTEST = dt.timedelta(days=14)


def period_at(anchor: dt.date, moment: dt.datetime, zone: str = "UTC") -> Period:
    """Return the period that contains `moment`: whole months from the anchor, midnight to midnight there.

    Each boundary is derived from the anchor itself: from the 31st it is the last day of a short
    month and the 31st again after it, where adding a month to the previous boundary would drift.
    A midnight that a zone skips is the moment at which it does; of two, the first counts.
    """
    day = moment.astimezone(ZoneInfo(zone)).date()
    months = (day.year - anchor.year) * 12 + day.month - anchor.month
    while _boundary(anchor, months, zone) > moment:
        months -= 1
    while _boundary(anchor, months + 1, zone) <= moment:
        months += 1
    return Period(_boundary(anchor, months, zone), _boundary(anchor, months + 1, zone))


def period_after(start: dt.datetime, anchor: dt.date, zone: str) -> Period:
    """Return the period that follows the one that ended at `start`.

    Where anchor and zone have stayed, it is the next month of theirs. Where the zone was changed
    meanwhile, this one is longer or shorter by some hours: periods tile whatever happens.
    """
    return Period(start, period_at(anchor, start + SHORTEST, zone).end)


def bucket_start(moment: dt.datetime) -> dt.datetime:
    """Return the start of the 15-minute UTC bucket that contains `moment`."""
    seconds = int(moment.timestamp())
    return dt.datetime.fromtimestamp(seconds - seconds % BUCKET_S, dt.UTC)


def _boundary(anchor: dt.date, months: int, zone: str) -> dt.datetime:
    years, month0 = divmod(anchor.month - 1 + months, 12)
    year, month = anchor.year + years, month0 + 1
    day = min(anchor.day, calendar.monthrange(year, month)[1])
    return dt.datetime(year, month, day, tzinfo=ZoneInfo(zone)).astimezone(dt.UTC)

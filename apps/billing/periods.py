"""Monthly periods that tile time without gap or overlap, whatever day a subscription began."""

import calendar
import datetime as dt

from apps.billing.contracts import Period

BUCKET_S = 15 * 60


def period_at(anchor: dt.date, moment: dt.datetime) -> Period:
    """Return the period that contains `moment`, counted in whole months from the anchor.

    Each boundary is derived from the anchor itself: from the 31st it is the last day of a short
    month and the 31st again after it, where adding a month to the previous boundary would drift.
    """
    day = moment.astimezone(dt.UTC).date()
    months = (day.year - anchor.year) * 12 + day.month - anchor.month
    if _boundary(anchor, months) > day:
        months -= 1
    return Period(_midnight(_boundary(anchor, months)), _midnight(_boundary(anchor, months + 1)))


def bucket_start(moment: dt.datetime) -> dt.datetime:
    """Return the start of the 15-minute UTC bucket that contains `moment`."""
    seconds = int(moment.timestamp())
    return dt.datetime.fromtimestamp(seconds - seconds % BUCKET_S, dt.UTC)


def _boundary(anchor: dt.date, months: int) -> dt.date:
    years, month0 = divmod(anchor.month - 1 + months, 12)
    year, month = anchor.year + years, month0 + 1
    return dt.date(year, month, min(anchor.day, calendar.monthrange(year, month)[1]))


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)

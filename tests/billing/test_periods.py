import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from apps.billing.periods import bucket_start, period_at

anchors = st.dates(dt.date(2020, 1, 1), dt.date(2030, 12, 31))
moments = st.datetimes(
    dt.datetime(2020, 1, 1),  # noqa: DTZ001  hypothesis wants its bounds naive
    dt.datetime(2035, 12, 31),  # noqa: DTZ001
    timezones=st.just(dt.UTC),
)


@given(anchors, moments)
def test_a_period_contains_its_moment(anchor, moment):
    period = period_at(anchor, moment)
    assert period.start <= moment < period.end


@given(anchors, moments)
def test_periods_tile_time_without_gap_or_overlap(anchor, moment):
    period = period_at(anchor, moment)
    assert period_at(anchor, period.end).start == period.end
    assert period_at(anchor, period.start - dt.timedelta(microseconds=1)).end == period.start


@given(anchors, moments)
def test_a_period_is_one_month_and_keeps_to_the_anchors_day(anchor, moment):
    period = period_at(anchor, moment)
    assert 28 <= (period.end - period.start).days <= 31
    next_day = period.start + dt.timedelta(days=1)
    assert period.start.day == anchor.day or (period.start.day < anchor.day and next_day.day == 1)


def test_the_31st_comes_back_after_a_short_month():
    at = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    period = period_at(dt.date(2026, 1, 31), at)
    assert (period.start.date(), period.end.date()) == (dt.date(2026, 2, 28), dt.date(2026, 3, 31))


@given(moments)
def test_buckets_are_quarters_of_an_hour(moment):
    start = bucket_start(moment)
    assert start <= moment < start + dt.timedelta(minutes=15)
    assert (start.minute % 15, start.second, start.microsecond) == (0, 0, 0)

import datetime as dt
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import given
from hypothesis import strategies as st

from apps.billing.periods import BUCKET_S, bucket_start, period_after, period_at

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


zones = st.sampled_from(sorted(available_timezones() - {"Factory", "localtime"}))


@given(anchors, moments, zones)
def test_in_every_zone_periods_tile_and_begin_on_the_anchors_day_there(anchor, moment, zone):
    period = period_at(anchor, moment, zone)
    assert period.start <= moment < period.end
    assert period_at(anchor, period.end, zone).start == period.end
    assert period_at(anchor, period.start - dt.timedelta(microseconds=1), zone).end == period.start
    there = period.start.astimezone(ZoneInfo(zone))
    assert there.day == anchor.day or (there + dt.timedelta(days=1)).day == 1
    assert (there - dt.timedelta(microseconds=1)).date() < there.date() or there.hour == 0


@given(anchors, moments, zones)
def test_in_every_zone_a_boundary_is_a_buckets(anchor, moment, zone):
    """So the sum of a period's buckets is the sum of its events."""
    period = period_at(anchor, moment, zone)
    assert int(period.start.timestamp()) % BUCKET_S == 0
    assert period.start.microsecond == 0


@given(anchors, moments, zones, zones)
def test_after_a_move_to_another_zone_the_next_period_joins_on(anchor, moment, old, new):
    period = period_at(anchor, moment, old)
    assert period_after(period.end, anchor, old) == period_at(anchor, period.end, old)
    moved = period_after(period.end, anchor, new)
    assert moved.start == period.end
    assert dt.timedelta(days=14) < moved.end - moved.start < dt.timedelta(days=46)
    assert period_after(moved.end, anchor, new) == period_at(anchor, moved.end, new)


def test_a_midnight_that_a_zone_skips_is_the_moment_at_which_it_does():
    at = dt.datetime(2017, 10, 20, tzinfo=dt.UTC)
    period = period_at(dt.date(2017, 1, 15), at, "America/Sao_Paulo")
    assert period.start == dt.datetime(2017, 10, 15, 3, tzinfo=dt.UTC)

from hypothesis import given
from hypothesis import strategies as st

from apps.realtime.pace import TokenBucket


def test_a_burst_then_a_steady_pace():
    bucket = TokenBucket(burst=2, per_s=1)
    assert [bucket.wait_s(100.0) for _ in range(3)] == [0, 0, 1]
    assert bucket.wait_s(100.5) == 0.5
    assert bucket.wait_s(101.0) == 0


@given(st.lists(st.floats(0, 5), min_size=1, max_size=50))
def test_never_lets_more_through_than_burst_and_pace(pauses):
    bucket, now, passed = TokenBucket(burst=3, per_s=2), 0.0, 0
    for pause in pauses:
        now += pause
        passed += bucket.wait_s(now) == 0
    assert passed <= 3 + 2 * now + 1e-6

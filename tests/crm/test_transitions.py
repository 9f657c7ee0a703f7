from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.crm.contracts import OrderStatus as S
from apps.crm.transitions import FROM, OrderActionKind, Standing, TransitionRefused, next_standing

ACTIONS = st.lists(st.sampled_from(list(OrderActionKind)), max_size=12)


def walk(actions, start=S.PLACED):
    """Every standing passed through, refused actions left out."""
    passed = [(None, Standing(start))]
    for action in actions:
        try:
            passed.append((action, next_standing(action, passed[-1][1])))
        except TransitionRefused:
            continue
    return passed


@given(ACTIONS, st.sampled_from([S.PLACED, S.SHIPPED]))
def test_a_release_leads_back_to_exactly_what_was_held(actions, start):
    before_hold = None
    passed = walk(actions, start)
    for (_, before), (action, after) in pairwise(passed):
        if action is OrderActionKind.HOLD:
            before_hold = before
        if action is OrderActionKind.RELEASE:
            assert after.status is before_hold.status


@given(ACTIONS)
def test_a_reinstatement_leads_back_to_exactly_what_was_cancelled(actions):
    before_cancel = None
    passed = walk(actions)
    for (_, before), (action, after) in pairwise(passed):
        if action is OrderActionKind.CANCEL:
            before_cancel = before
        if action is OrderActionKind.REINSTATE:
            assert after == before_cancel


def test_cancelling_a_held_order_can_be_undone_step_by_step():
    steps = [
        OrderActionKind.HOLD, OrderActionKind.CANCEL, OrderActionKind.REINSTATE, OrderActionKind.RELEASE,
    ]  # fmt: skip
    assert [standing.status for _, standing in walk(steps)] == [
        S.PLACED,
        S.HELD,
        S.CANCELLED,
        S.HELD,
        S.PLACED,
    ]


@pytest.mark.parametrize("action", list(OrderActionKind))
@pytest.mark.parametrize("status", list(S))
def test_what_does_not_fit_is_refused_with_what_would(action, status):
    if status in FROM[action]:
        next_standing(action, Standing(status))
        return
    with pytest.raises(TransitionRefused, match=f"It is {status}; only an order that is {FROM[action][0]}"):
        next_standing(action, Standing(status))


def test_a_refund_is_final():
    refunded = Standing(S.REFUNDED)
    for action in OrderActionKind:
        with pytest.raises(TransitionRefused):
            next_standing(action, refunded)

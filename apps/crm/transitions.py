"""The life of an order: which action leads from which status to which."""

from dataclasses import dataclass
from enum import StrEnum

from apps.crm.contracts import OrderStatus as S


class OrderActionKind(StrEnum):
    HOLD = "hold"
    RELEASE = "release"
    CANCEL = "cancel"
    REINSTATE = "reinstate"
    SHIP = "ship"
    DELIVER = "deliver"
    REFUND = "refund"


@dataclass(frozen=True)
class Standing:
    """Where an order stands, and what a release or a reinstatement leads back to."""

    status: S
    held_from: S | None = None
    cancelled_from: S | None = None


class TransitionRefused(ValueError):
    """The action does not fit the order's status; the message says which would."""


FROM: dict[OrderActionKind, tuple[S, ...]] = {
    OrderActionKind.HOLD: (S.PLACED, S.SHIPPED),
    OrderActionKind.RELEASE: (S.HELD,),
    OrderActionKind.CANCEL: (S.PLACED, S.HELD),
    OrderActionKind.REINSTATE: (S.CANCELLED,),
    OrderActionKind.SHIP: (S.PLACED,),
    OrderActionKind.DELIVER: (S.SHIPPED,),
    OrderActionKind.REFUND: (S.SHIPPED, S.DELIVERED, S.CANCELLED),
}
PAST_TENSE = {
    OrderActionKind.HOLD: "held",
    OrderActionKind.RELEASE: "released",
    OrderActionKind.CANCEL: "cancelled",
    OrderActionKind.REINSTATE: "reinstated",
    OrderActionKind.SHIP: "shipped",
    OrderActionKind.DELIVER: "delivered",
    OrderActionKind.REFUND: "refunded",
}


def next_standing(action: OrderActionKind, now: Standing) -> Standing:
    """Return where an action leads; raises TransitionRefused.

    A release, or a reinstatement, leads back to exactly what was held, or cancelled.
    """
    if now.status not in FROM[action]:
        allowed = " or ".join(FROM[action])
        raise TransitionRefused(
            f"It is {now.status}; only an order that is {allowed} can be {PAST_TENSE[action]}."
        )
    match action:
        case OrderActionKind.HOLD:
            return Standing(S.HELD, held_from=now.status)
        case OrderActionKind.RELEASE:
            return Standing(now.held_from or S.PLACED)
        case OrderActionKind.CANCEL:
            return Standing(S.CANCELLED, held_from=now.held_from, cancelled_from=now.status)
        case OrderActionKind.REINSTATE:
            return Standing(now.cancelled_from or S.PLACED, held_from=now.held_from)
        case OrderActionKind.SHIP:
            return Standing(S.SHIPPED)
        case OrderActionKind.DELIVER:
            return Standing(S.DELIVERED)
        case OrderActionKind.REFUND:
            return Standing(S.REFUNDED)

"""What `order_refund` takes and promises."""

from apps.orchestration.definitions.contracts import Effect
from apps.orchestration.definitions.language import types as t
from apps.orchestration.tools.contract import ToolSpec, arguments

_TEXT = {"type": "string", "maxLength": 2000}

ORDER_REFUND = ToolSpec(
    name="order_refund",
    summary=(
        "Record that an order's money, or a part of it, went back: never more than was paid. A refund cannot "
        "be undone, so put it after what may still fail."
    ),
    effect=Effect.TRANSACTIONAL,
    arguments=arguments(
        order_number=_TEXT,
        order_id=_TEXT,
        amount_cents={"type": "integer", "minimum": 1},
        currency={"type": "string", "pattern": "^[A-Z]{3}$"},
        reason={"type": "string", "maxLength": 500},
    ),
    outputs={
        "is_refunded": t.BOOL, "amount_cents": t.INT, "refunded_cents": t.INT, "left_cents": t.INT,
        "currency": t.STRING, "order_id": t.STRING, "order_number": t.STRING, "status": t.STRING,
    },
)  # fmt: skip

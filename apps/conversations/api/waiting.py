"""Wait for the reply to a message, where the caller asks for it."""

import time
from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from apps.conversations import selectors
from apps.conversations.contracts import MessageView, ReceivedMessage
from apps.conversations.ports import run_doorway
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

MAX_WAIT_S = 30.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 0.5
AT_WORK = frozenset({"running", "compensating"})


def read_wait_s(request: Request) -> float | None:
    """Read `?wait=SECONDS`; None without it. Raises ValidationError unless 0 < wait <= 30."""
    given = request.query_params.get("wait")
    if given is None:
        return None
    try:
        wait_s = float(given)
    except ValueError:
        wait_s = 0.0
    if not 0 < wait_s <= MAX_WAIT_S:
        raise ValidationError({"wait": [f"Give seconds: more than 0, at most {MAX_WAIT_S:.0f}."]})
    return wait_s


def answer(tenant: TenantRef, received: ReceivedMessage, wait_s: float | None) -> dict[str, Any]:
    """Return the message, its run, and the reply when it was waited for and came in time."""
    if received.run_id is None:
        return {"message": received.message, "run": None}
    if wait_s is None:
        run = run_doorway().get_run(tenant=tenant, run_id=received.run_id)
        return {"message": received.message, "run": run}
    run, reply = _wait(tenant, received, wait_s)
    return {"message": received.message, "run": run} | ({"reply": reply} if reply else {})


def _wait(
    tenant: TenantRef, received: ReceivedMessage, wait_s: float
) -> tuple[dict[str, Any] | None, MessageView | None]:
    deadline = time.monotonic() + wait_s
    assert received.run_id is not None
    written = None
    if received.is_new:
        written = run_doorway().execute_now(tenant=tenant, run_id=received.run_id, wait_s=wait_s)
    pause_s = FIRST_PAUSE_S
    while True:
        with in_tenant(tenant):
            reply = written or selectors.find_reply(tenant=tenant, message=received.message)
            run = run_doorway().get_run(tenant=tenant, run_id=received.run_id)
        is_over = reply is not None or run is None or run["status"] not in AT_WORK
        if is_over or time.monotonic() + pause_s > deadline:
            return run, reply
        # The run is in another process's hands: a repeated request, or a worker that took it over.
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)

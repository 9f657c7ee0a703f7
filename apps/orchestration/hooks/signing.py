"""Judge the signatures of deliveries that come in."""

import hmac
import re
from collections.abc import Sequence

from apps.orchestration.hooks.contracts import SignedDelivery
from apps.tenants.signing import new_secret, sign

__all__ = ["find_fault", "is_signed", "new_secret", "sign"]

TOLERANCE_S = 300
# No dot: it separates what is signed, and one in an id would let the parts be shifted.
WEBHOOK_ID = re.compile(r"[!-\-/-~]{1,255}")
TIMESTAMP = re.compile(r"[0-9]{1,12}")
MISSING = "Send the headers webhook-id, webhook-timestamp and webhook-signature (standardwebhooks.com)."
BAD_ID = "webhook-id takes 1 to 255 visible ASCII characters without a dot."
BAD_TIME = "webhook-timestamp takes whole seconds since 1970."
FAR = (
    f"webhook-timestamp is more than {TOLERANCE_S // 60} minutes away from our clock: sign each attempt anew."
)


def find_fault(delivery: SignedDelivery, now_s: float) -> str:
    """Return what is wrong with the headers themselves, whoever signed them; empty when nothing is."""
    if not (delivery.webhook_id and delivery.timestamp and delivery.signature):
        return MISSING
    if not WEBHOOK_ID.fullmatch(delivery.webhook_id):
        return BAD_ID
    if not TIMESTAMP.fullmatch(delivery.timestamp):
        return BAD_TIME
    return FAR if abs(now_s - int(delivery.timestamp)) > TOLERANCE_S else ""


def is_signed(delivery: SignedDelivery, known: Sequence[str]) -> bool:
    """Tell whether a signature is of one of the secrets; every pair is compared, in constant time."""
    expected = [sign(secret, delivery.webhook_id, delivery.timestamp, delivery.body) for secret in known]
    given = delivery.signature.split(" ")
    matches = [hmac.compare_digest(e.encode(), g.encode()) for e in expected for g in given]
    return any(matches)

"""Signatures as Standard Webhooks define them: HMAC-SHA256 over `id.timestamp.body`."""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence

from apps.orchestration.hooks.contracts import SignedDelivery

PREFIX = "whsec_"
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


def new_secret() -> str:
    """Make a signing secret of 256 random bits."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def sign(secret: str, webhook_id: str, timestamp: str, body: bytes) -> str:
    """Return the signature as it stands in the header."""
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    digest = hmac.new(base64.b64decode(secret.removeprefix(PREFIX)), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


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

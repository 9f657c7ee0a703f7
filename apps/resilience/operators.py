"""Who may look at what is for the operators of an installation only."""

import hmac
import ipaddress

from django.conf import settings


def may_see_metrics(*, authorization: str, peer: str) -> bool:
    """Tell whether METRICS_TOKEN was sent, or, without one, whether a process of this machine asks.

    `peer` is empty where a proxy has passed the request on: that one is always on this side.
    """
    if settings.METRICS_TOKEN:
        wanted = f"Bearer {settings.METRICS_TOKEN}"
        return hmac.compare_digest(authorization.encode(), wanted.encode())
    if settings.TRUSTED_PROXY_COUNT:
        return False
    try:
        return ipaddress.ip_address(peer).is_loopback
    except ValueError:
        return False

"""The one way out to addresses that a tenant can influence: only public ones, bounded in time and size."""

from apps.resilience.outbound.addresses import is_public, read_url
from apps.resilience.outbound.client import Answer, Limits, check_address, send
from apps.resilience.outbound.errors import (
    NotReached,
    OutboundError,
    Refused,
    TimedOut,
    TooLarge,
    TooManyRedirects,
    Unreachable,
)

__all__ = [
    "Answer",
    "Limits",
    "NotReached",
    "OutboundError",
    "Refused",
    "TimedOut",
    "TooLarge",
    "TooManyRedirects",
    "Unreachable",
    "check_address",
    "is_public",
    "read_url",
    "send",
]

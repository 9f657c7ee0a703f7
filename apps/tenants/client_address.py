"""Where the present request comes from, for the audit trail."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from ipaddress import ip_address

_address: ContextVar[str | None] = ContextVar("request_address", default=None)


@contextmanager
def coming_from(address: str) -> Iterator[None]:
    """Remember the address for the block; what is no IP address is not remembered."""
    try:
        known: str | None = str(ip_address(address))
    except ValueError:
        known = None
    token = _address.set(known)
    try:
        yield
    finally:
        _address.reset(token)


def find_client_address(*, peer: str, forwarded_for: str, trusted_proxies: int) -> str:
    """Return the caller's address; only as many forwarded hops are believed as proxies are ours."""
    hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
    if not trusted_proxies or not hops:
        return peer
    return hops[-min(trusted_proxies, len(hops))]


def request_address() -> str | None:
    """Return the present request's address; None outside of one."""
    return _address.get()

"""Which addresses may be called: public ones, and what the installation allows by `OUTBOUND_ALLOW`."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

import httpx
from django.conf import settings

from apps.resilience.outbound.errors import Refused

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_URL_CHARS = 2048
# What the standard library, in one release or another, calls global though it is not for everybody.
REFUSED = [
    ipaddress.ip_network(text)
    for text in (
        "168.63.129.16/32",  # Azure's metadata, at an address that looks public
        "192.0.0.0/24",  # protocol assignments, Oracle's metadata among them
        "192.88.99.0/24",  # 6to4 relays
        "2001::/23",  # Teredo and other special purposes
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
]
UNICAST = ipaddress.IPv6Network("2000::/3")
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
ISATAP = (0x00005EFE, 0x02005EFE)
ENDS_IN_NUMBER = re.compile(r"(^|\.)([0-9]+|0[xX][0-9a-fA-F]*)\.?$")


@dataclass(frozen=True)
class Target:
    """An address as it was understood, once: what is checked is what is called."""

    url: httpx.URL
    host: str
    port: int


def read_url(url: str) -> Target:
    """Understand an address without asking anybody; raises Refused with advice."""
    try:
        parsed = httpx.URL(url)
        host = parsed.raw_host.decode("ascii").lower()
    except (httpx.InvalidURL, UnicodeError, TypeError):
        raise Refused("The address is not valid: give one like https://example.com/help.") from None
    if len(url) > MAX_URL_CHARS or "\\" in url:
        raise Refused("The address is not valid: give one like https://example.com/help.")
    if parsed.scheme not in DEFAULT_PORTS or not host:
        raise Refused("Only web addresses can be called: give one that starts with https://.")
    if parsed.userinfo:
        raise Refused("The address holds a login: give one without it.")
    if ":" not in host and ENDS_IN_NUMBER.search(host) and not _is_plain_ipv4(host):
        raise Refused("The address writes an IP address in an unusual way: write it like 192.0.2.1.")
    port = parsed.port or DEFAULT_PORTS[parsed.scheme]
    if port not in settings.OUTBOUND_PORTS and not _names(host, port):
        raise Refused(f"The address names a port that may not be called: use {_ports()}.")
    return Target(parsed, host, port)


def require_public(host: str, port: int, addresses: Iterable[str]) -> None:
    """Refuse a host that leads, if only by one of its addresses, where the installation does not allow."""
    if _names(host, port) or all(is_public(one) or _is_allowed(one) for one in addresses):
        return
    raise Refused(
        f"{host} leads into a private network: give a public address, or ask whoever runs this installation "
        "to allow it."
    )


def is_public(address: str) -> bool:
    """Return whether an IP address is reachable by everyone, also when it wraps another."""
    if "%" in address:
        return False
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or (ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in NAT64 else None)
        if inner is not None:
            return is_public(str(inner))
        if ip not in UNICAST or int(ip) >> 32 & 0xFFFFFFFF in ISATAP:
            return False
    is_refused = any(ip in network for network in REFUSED if network.version == ip.version)
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not is_refused


def _is_plain_ipv4(host: str) -> bool:
    try:
        return str(ipaddress.IPv4Address(host)) == host
    except ValueError:
        return False


def _names(host: str, port: int) -> bool:
    """Tell whether the installation allows this host by name, at this port or at any."""
    bare = host.rstrip(".")
    shown = f"[{bare}]" if ":" in bare else bare
    return any(entry.lower() in (bare, f"{shown}:{port}") for entry in settings.OUTBOUND_ALLOW)


def _is_allowed(address: str) -> bool:
    """Tell whether the installation allows this IP address, alone or by its network."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    for entry in settings.OUTBOUND_ALLOW:
        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError:
            continue
        if network.version == ip.version and ip in network:
            return True
    return False


def _ports() -> str:
    return " or ".join(str(port) for port in settings.OUTBOUND_PORTS)

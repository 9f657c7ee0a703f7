"""Origins of web pages as browsers send them: scheme, host and, unless it is the scheme's own, port.

In a list of sites `*.` before a host stands for its subdomains, however deep, and not for itself.
"""

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import urlsplit

MAX_ORIGINS = 100
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_PORTS = {"http": 80, "https": 443}
WILD = "*."
HINT = "write a domain such as https://shop.example or *.shop.example"


def clean_origin(text: str) -> str:
    """Reduce an address or a bare domain to its origin; raises ValueError with what to write instead."""
    given = text.strip()
    before, wild, after = given.partition(WILD)
    if wild and before in ("", "https://", "http://"):
        return _clean_wildcard(before or "https://", after)
    try:
        parts = urlsplit(given if "://" in given else f"https://{given}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(f"{_short(given)} is no domain; {HINT}.") from None
    if parts.scheme not in _PORTS or parts.username is not None or not _is_host(_ascii(host)):
        raise ValueError(f"{_short(given)} is no domain; {HINT}.")
    shown = f"[{host}]" if ":" in host else _ascii(host)
    return f"{parts.scheme}://{shown}" + ("" if port in (None, _PORTS[parts.scheme]) else f":{port}")


def clean_host(text: str) -> str:
    """Reduce a bare domain or an address to its host name; raises ValueError for what is none."""
    host = urlsplit(clean_origin(text)).hostname or ""
    if "." not in host or ":" in host or host.rpartition(".")[2].isdigit() or WILD in host:
        raise ValueError(f"{_short(text.strip())} is no domain; write one such as help.shop.example.")
    return host


def allows_origin(origin: str, allowed: Collection[str]) -> bool:
    """Tell whether one of the entries of a list names an origin, letter by letter or by its wildcard."""
    sent = origin.lower()
    if sent in allowed:
        return True
    scheme, separator, host = sent.partition("://")
    return bool(separator) and any(
        entry.partition(f"{scheme}://{WILD}")[0] == ""
        and host.endswith(f".{entry.removeprefix(f'{scheme}://{WILD}')}")
        for entry in allowed
        if WILD in entry
    )


def _clean_wildcard(scheme: str, rest: str) -> str:
    origin = clean_origin(f"{scheme}{rest}")
    host = urlsplit(origin).hostname or ""
    if "." not in host or ":" in host or host.rpartition(".")[2].isdigit() or WILD in host:
        raise ValueError(f"{_short(f'{WILD}{rest}')} is no domain; {HINT}.")
    return origin.replace("://", f"://{WILD}", 1)


def clean_origins(lines: list[str]) -> list[str]:
    """Return each origin once, in the order given; raises ValueError naming every line that is none."""
    found, wrong = dict[str, None](), []
    for line in filter(str.strip, lines):
        try:
            found[clean_origin(line)] = None
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError(" ".join(wrong[:5]))
    if len(found) > MAX_ORIGINS:
        raise ValueError(f"These are {len(found)} domains; {MAX_ORIGINS} is the most.")
    return list(found)


def _ascii(host: str) -> str:
    try:
        return host.encode("idna").decode().lower()
    except UnicodeError:
        return ""


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        labels = host.split(".")
        is_name = len(host) <= 253 and all(_LABEL.fullmatch(label) for label in labels)
        return is_name and (len(labels) > 1 or host == "localhost") and not labels[-1].isdigit()
    return True


def _short(text: str) -> str:
    return f"“{text[:60]}…”" if len(text) > 60 else f"“{text}”"

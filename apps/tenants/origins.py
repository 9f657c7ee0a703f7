"""Origins of web pages as browsers send them: scheme, host and, unless it is the scheme's own, port."""

import ipaddress
import re
from urllib.parse import urlsplit

MAX_ORIGINS = 100
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_PORTS = {"http": 80, "https": 443}
HINT = "write a domain such as https://shop.example"


def clean_origin(text: str) -> str:
    """Reduce an address or a bare domain to its origin; raises ValueError with what to write instead."""
    given = text.strip()
    try:
        parts = urlsplit(given if "://" in given else f"https://{given}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(f"{_short(given)} is no domain; {HINT}.") from None
    if parts.scheme not in _PORTS or parts.username is not None or not _is_host(_ascii(host)):
        raise ValueError(f"{_short(given)} is no domain; {HINT}.")
    shown = f"[{host}]" if ":" in host else _ascii(host)
    return f"{parts.scheme}://{shown}" + ("" if port in (None, _PORTS[parts.scheme]) else f":{port}")


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

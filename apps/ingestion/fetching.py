"""Fetches a page that a tenant names, from public addresses only.

Every host is resolved by us, each of its addresses is checked, and the connection goes to the address that
was checked: a name that changes its mind between the check and the call gains nothing. Redirects are
followed by hand, each through the same gate.
"""

import ipaddress
import mimetypes
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urljoin, urlsplit

import httpx
from django.conf import settings

from apps.ingestion.contracts import UploadedFile
from apps.ingestion.parsing.contracts import Unreadable

MAX_REDIRECTS = 5
TIMEOUT_S = 20.0
TOTAL_S = 40.0
PORTS = {"http": 80, "https": 443}
USER_AGENT = "AIaaS-Knowledge/1.0"
ACCEPT = "text/html, text/markdown, text/plain, text/csv, application/pdf;q=0.9, */*;q=0.5"
PRIVATE = "The address leads into a private network: give the address of a public page."
TRANSLATED = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
ADVICE = {
    401: "The page asks for a login: upload its content as a file.",
    403: "The page refuses to be read by programs: upload its content as a file.",
    404: "There is no page at this address: check it.",
    410: "The page was removed: check the address.",
    429: "The site asks us to slow down: reindex the document later.",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect: an address that was checked, and the name that was asked for."""

    url: httpx.URL
    host: str
    address: str


def fetch_page(url: str) -> UploadedFile:
    """Return the page's bytes, named so that its format can be told.

    Raises Unreadable with advice: wrong or private address, too large, too slow, refused, gone.
    """
    deadline = time.monotonic() + TOTAL_S
    timeout = httpx.Timeout(TIMEOUT_S, connect=5.0)
    with httpx.Client(timeout=timeout, trust_env=False, follow_redirects=False) as client:
        for _ in range(MAX_REDIRECTS + 1):
            try:
                answer = _get(client, resolve_target(url), deadline)
            except httpx.TimeoutException:
                raise Unreadable("The site does not answer in time: reindex the document later.") from None
            except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
                message = f"The site cannot be reached ({type(error).__name__}): check the address."
                raise Unreadable(message) from None
            if isinstance(answer, UploadedFile):
                return answer
            url = urljoin(url, answer)
    raise Unreadable("The address redirects too often: give the final address.")


def resolve_target(url: str) -> Target:
    """Check an address and everything it resolves to; raises Unreadable."""
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:
        raise Unreadable("The address is not valid: give one like https://example.com/help.") from None
    if parts.scheme not in PORTS or not parts.hostname:
        raise Unreadable("Only web addresses can be read: give one that starts with https://.")
    if parts.username or parts.password:
        raise Unreadable("The address holds a login: give one without it.")
    is_allowed = f"{parts.hostname}:{port}" in settings.INGESTION_ALLOWED_HOSTS
    if port not in PORTS.values() and not is_allowed:
        raise Unreadable("The address names a port that is not the web's: use 80 or 443.")
    addresses = _resolve(parts.hostname, port)
    if not is_allowed and not all(is_public(address) for address in addresses):
        raise Unreadable(PRIVATE)
    return Target(httpx.URL(url), parts.hostname, addresses[0])


def is_public(address: str) -> bool:
    """Return whether an IP address is reachable by everyone, also when it wraps another."""
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and any(ip in network for network in TRANSLATED):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _resolve(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Unreadable(f"The site {host} cannot be found: check the address.") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _get(client: httpx.Client, target: Target, deadline: float) -> UploadedFile | str:
    """Return the page, or the address it redirects to."""
    headers = {"Host": target.url.netloc.decode(), "User-Agent": USER_AGENT, "Accept": ACCEPT}
    request = client.build_request(
        "GET",
        target.url.copy_with(host=target.address),
        headers=headers,
        extensions={"sni_hostname": target.host},
    )
    response = client.send(request, stream=True)
    try:
        if response.is_redirect:
            return response.headers["Location"]
        if response.status_code != 200:
            default = f"The site answered with an error ({response.status_code}): check the address."
            raise Unreadable(ADVICE.get(response.status_code, default))
        return UploadedFile(_name(target.url, response), _read(response, deadline))
    finally:
        response.close()


def _read(response: httpx.Response, deadline: float) -> bytes:
    content = bytearray()
    for piece in response.iter_bytes():
        content += piece
        if len(content) > settings.DOCUMENT_MAX_BYTES:
            raise Unreadable("The page is too large: upload the part that matters as a file.")
        if time.monotonic() > deadline:
            raise Unreadable("The site sends too slowly: reindex the document later.")
    return bytes(content)


def _name(url: httpx.URL, response: httpx.Response) -> str:
    """Name the page by its declared type: web addresses rarely end in the right extension."""
    declared = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
    stem = PurePosixPath(url.path).stem or "page"
    if declared in {"text/html", "application/xhtml+xml"}:
        return f"{stem}.html"
    if declared in {"", "application/octet-stream", "text/plain"}:
        return PurePosixPath(url.path).name or "page"
    return stem + (mimetypes.guess_extension(declared) or PurePosixPath(url.path).suffix)

"""What leads out of the house: the address that is checked is called, and nothing takes for ever."""

import gzip
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.resilience import outbound
from apps.resilience.outbound import client
from tests.resilience.certificates import write_certificate

LIMITS = outbound.Limits(total_s=5, max_bytes=10_000)
PRIVATE_V4 = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
]  # fmt: skip
PRIVATE_V6 = [
    "::/128", "::1/128", "::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "100::/64", "2001::/32",
    "2001:db8::/32",
    "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
]  # fmt: skip
Answering = Callable[[BaseHTTPRequestHandler], None]


class Site(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        self.pages: dict[str, Answering] = {"/": page(b"hello")}
        self.seen: list[dict[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.seen.append({"path": self.path, **{k.lower(): v for k, v in self.headers.items()}})
                site.pages[self.path](self)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *args: object) -> None: ...

        site = self
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def port(self) -> int:
        return self.server_address[1]

    def handle_error(self, *args: object) -> None:
        """A client that hangs up is expected."""


def page(content: bytes, status: int = 200, **headers: str) -> Answering:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def serve(site: Site) -> Iterator[Site]:
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield site
    site.shutdown()
    site.server_close()
    thread.join()


@pytest.fixture
def site(settings: Any, resolver: dict[str, list[str]]) -> Iterator[Site]:
    """A site on loopback, also known as shop.example, which the installation allows."""
    site = Site()
    resolver["shop.example"] = ["127.0.0.1"]
    settings.OUTBOUND_ALLOW = [f"127.0.0.1:{site.port}", f"shop.example:{site.port}"]
    yield from serve(site)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Names and their addresses; every lookup is written down under the name `asked`."""
    names: dict[str, list[str]] = {"asked": []}
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        names["asked"].append(host)
        if host in names:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in names[host]]
        if not any(character.isalpha() for character in host) or ":" in host or host == "localhost":
            return real(host, port, *args, **kwargs)
        raise socket.gaierror("unknown")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return names


def get(url: str, limits: outbound.Limits = LIMITS, **headers: str) -> outbound.Answer:
    return outbound.send("GET", url, headers=headers, limits=limits)


@settings(max_examples=500)
@given(st.sampled_from(PRIVATE_V4).flatmap(lambda net: st.ip_addresses(network=net)))
def test_no_private_ipv4_is_public_in_whatever_wrapping(ip: ipaddress.IPv4Address) -> None:
    number = int(ip)
    wrapped = [
        number + int(ipaddress.IPv6Address(prefix))
        for prefix in ("::", "::ffff:0:0", "64:ff9b::", "::ffff:0:0:0")
    ]
    wrapped.append(int(ipaddress.IPv6Address("2002::")) | number << 80)
    wrapped.append(int(ipaddress.IPv6Address("2a00::5efe:0:0")) | number)
    assert not outbound.is_public(str(ip))
    assert [
        str(ipaddress.IPv6Address(one))
        for one in wrapped
        if outbound.is_public(str(ipaddress.IPv6Address(one)))
    ] == []


@settings(max_examples=500)
@given(st.sampled_from(PRIVATE_V6).flatmap(lambda net: st.ip_addresses(network=net)))
def test_no_special_ipv6_is_public(ip: ipaddress.IPv6Address) -> None:
    assert not outbound.is_public(str(ip))
    assert not outbound.is_public(f"{ip}%eth0")


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "64:ff9b::808:808"]
)
def test_public_addresses_pass(address: str) -> None:
    assert outbound.is_public(address)


def spellings(ip: ipaddress.IPv4Address) -> list[str]:
    number, parts = int(ip), str(ip).split(".")
    return [
        str(number), hex(number), f"0{number:o}",
        ".".join(hex(int(part)) for part in parts), ".".join(f"0{int(part):o}" for part in parts),
        f"{parts[0]}.{int(parts[1]) << 16 | int(parts[2]) << 8 | int(parts[3])}",
        f"{parts[0]}.{parts[1]}.{int(parts[2]) << 8 | int(parts[3])}",
        f"{ip}.", f"00{ip}", str(ip).translate({ord(str(d)): chr(0xFF10 + d) for d in range(10)}),
        str(ip).replace(".", "。"),
    ]  # fmt: skip


@given(ip=st.ip_addresses(v=4), spelling=st.integers(0, 10), scheme=st.sampled_from(["http", "https"]))
def test_an_ip_address_is_written_plainly_or_not_called(ip: Any, spelling: int, scheme: str) -> None:
    url = f"{scheme}://{spellings(ip)[spelling]}/x"
    try:
        understood = outbound.read_url(url).host
    except outbound.Refused:
        return
    assert understood == str(ip), "it was made plain before it is checked"


@given(st.text(max_size=60))
def test_whatever_is_written_is_understood_or_refused(text: str) -> None:
    for url in (text, f"http://{text}", f"https://example.com{text}"):
        try:
            understood = outbound.read_url(url)
        except outbound.Refused:
            continue
        assert understood.host, "somebody is to be called"
        assert understood.port in (80, 443)
        assert not understood.url.userinfo


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("http://127.0.0.1/", "private network"),
        ("http://localhost/", "private network"),
        ("http://[::1]/", "private network"),
        ("http://[::ffff:10.0.0.1]/", "private network"),
        ("http://169.254.169.254/latest/meta-data", "private network"),
        ("http://2130706433/", "unusual way"),
        ("http://0x7f.1/", "unusual way"),
        ("http://127.1/", "unusual way"),
        ("http://8.8.8.8:22/", "use 80 or 443"),
        ("http://8.8.8.8:99999/", "use 80 or 443"),
        ("file:///etc/passwd", "starts with https"),
        ("gopher://8.8.8.8/", "starts with https"),
        ("//8.8.8.8/", "starts with https"),
        ("http:///x", "starts with https"),
        ("http://user:pw@8.8.8.8/", "login"),
        ("http://8.8.8.8\\@127.0.0.1/", "not valid"),
        ("http://8.8.8.8/\r\nHost: x", "not valid"),
        ("http://8.8.8.8/" + "x" * 3000, "not valid"),
    ],
)
def test_dangerous_addresses_are_refused(url: str, advice: str, resolver: dict[str, list[str]]) -> None:
    with pytest.raises(outbound.Refused, match=advice):
        get(url)
    with pytest.raises(outbound.Refused, match=advice):
        outbound.check_address(url)


def test_one_private_address_among_public_ones_is_enough(resolver: dict[str, list[str]]) -> None:
    resolver["mixed.example"] = ["8.8.8.8", "10.0.0.7"]
    with pytest.raises(outbound.Refused, match="private network"):
        get("http://mixed.example/")


def test_a_name_that_changes_its_mind_gains_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Public when it is first asked, private ever after: it is asked once, and what was checked is called."""
    answers = iter(["8.8.8.8"])
    asked: list[str] = []
    connected: list[str] = []

    def resolve(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers, "127.0.0.1"), port))]

    def connect(address: tuple[str, int], *args: Any, **kwargs: Any) -> socket.socket:
        connected.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(outbound.Unreachable):
        get("http://rebinding.example/")
    assert (asked, connected) == (["rebinding.example"], ["8.8.8.8"])


def test_the_name_that_was_asked_for_stays_in_the_request(site: Site, resolver: dict[str, list[str]]) -> None:
    answer = get(f"http://shop.example:{site.port}/")
    assert (answer.status, answer.content) == (200, b"hello")
    assert site.seen[0]["host"] == f"shop.example:{site.port}"
    assert resolver["asked"].count("shop.example") == 1


def test_neither_a_proxy_nor_a_password_file_is_taken_from_the_environment(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login joe password pw")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert get(f"http://127.0.0.1:{site.port}/").status == 200
    assert "authorization" not in site.seen[0]


def test_an_installation_allows_by_name_address_or_network(site: Site, settings: Any) -> None:
    url = f"http://127.0.0.1:{site.port}/"
    for entry in (f"127.0.0.1:{site.port}", "127.0.0.1"):
        settings.OUTBOUND_ALLOW = [entry]
        assert get(url).status == 200
    settings.OUTBOUND_ALLOW, settings.OUTBOUND_PORTS = ["127.0.0.0/8"], [site.port]
    assert get(url).status == 200
    for others in (["127.0.0.1:1"], ["10.0.0.0/8"], ["shop.example"]):
        settings.OUTBOUND_ALLOW = others
        with pytest.raises(outbound.Refused, match="private network"):
            get(url)


def test_every_redirect_is_checked(site: Site, resolver: dict[str, list[str]]) -> None:
    limits = outbound.Limits(total_s=5, max_bytes=100, max_redirects=5)
    resolver["inside.example"] = ["10.0.0.1"]
    for target in (
        "http://169.254.169.254/", "http://127.0.0.1:1/", "file:///etc/passwd",
        "http://inside.example/", "//[::1]/",
    ):  # fmt: skip
        site.pages["/away"] = page(b"", 302, Location=target)
        with pytest.raises(outbound.Refused):
            get(f"http://127.0.0.1:{site.port}/away", limits)


def test_a_redirect_carries_neither_credentials_nor_cookies(site: Site) -> None:
    limits = outbound.Limits(total_s=5, max_bytes=100, max_redirects=5)
    site.pages["/old"] = page(b"", 302, Location=f"http://shop.example:{site.port}/", Set_Cookie="a=b")
    get(
        f"http://127.0.0.1:{site.port}/old",
        limits,
        Authorization="Bearer x",
        Accept="text/html",
        Cookie="c=d",
    )
    before, after = site.seen
    assert (before["authorization"], before["cookie"]) == ("Bearer x", "c=d")
    assert after["accept"] == "text/html"
    assert not {"authorization", "cookie"} & set(after)
    assert get(f"http://127.0.0.1:{site.port}/old").status == 302, "unless asked, none is followed"


def test_redirects_end(site: Site) -> None:
    site.pages["/loop"] = page(b"", 302, Location="/loop")
    with pytest.raises(outbound.TooManyRedirects):
        get(f"http://127.0.0.1:{site.port}/loop", outbound.Limits(total_s=5, max_bytes=9, max_redirects=2))
    assert len(site.seen) == 3


def test_too_much_is_refused_also_when_it_comes_compressed(site: Site) -> None:
    site.pages["/big"] = page(b"x" * 20_000)
    site.pages["/bomb"] = page(gzip.compress(b"x" * 50_000_000), Content_Encoding="gzip")
    for path in ("/big", "/bomb"):
        with pytest.raises(outbound.TooLarge):
            get(f"http://127.0.0.1:{site.port}{path}")
    cut = outbound.Limits(total_s=5, max_bytes=100, cuts=True)
    assert get(f"http://127.0.0.1:{site.port}/bomb", cut).content == b"x" * 100
    site.pages["/small"] = page(gzip.compress(b"small"), Content_Encoding="gzip")
    assert get(f"http://127.0.0.1:{site.port}/small").content == b"small"


def drip(*, headers: bool) -> Answering:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"X-Long: " if headers else b"\r\n"))
        for _ in range(100):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.02)

    return answer


@pytest.mark.parametrize("headers", [True, False], ids=["headers", "body"])
def test_the_deadline_is_for_the_whole_call(site: Site, headers: bool) -> None:
    """Each byte comes well within the time of a single read."""
    site.pages["/drip"] = drip(headers=headers)
    begun = time.monotonic()
    with pytest.raises(outbound.TimedOut):
        get(f"http://127.0.0.1:{site.port}/drip", outbound.Limits(total_s=0.2, step_s=0.2, max_bytes=1000))
    assert time.monotonic() - begun < 1


def test_a_status_that_came_in_time_counts_where_the_rest_is_cut(site: Site) -> None:
    site.pages["/drip"] = drip(headers=False)
    answer = get(f"http://127.0.0.1:{site.port}/drip", outbound.Limits(total_s=0.2, max_bytes=999, cuts=True))
    assert answer.status == 200


def test_a_name_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: never.wait(5))
    with pytest.raises(outbound.TimedOut, match="name server"):
        get("http://silent.example/", outbound.Limits(total_s=0.1, max_bytes=1))
    never.set()


def test_a_header_cannot_smuggle_another(site: Site) -> None:
    with pytest.raises(outbound.Refused, match="header"):
        get(f"http://127.0.0.1:{site.port}/", **{"X-Note": "a\r\nX-Admin: 1"})
    assert site.seen == []


@pytest.fixture
def secure_site(
    settings: Any, resolver: dict[str, list[str]], tmp_path: Path, monkeypatch: Any
) -> Iterator[Site]:
    """A site with a certificate for shop.example, on loopback."""
    site = Site()
    authority, certificate = write_certificate(tmp_path, "shop.example")
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate)
    site.socket = served.wrap_socket(site.socket, server_side=True)
    trusted = ssl.create_default_context(cafile=str(authority))
    monkeypatch.setattr(client, "tls_context", lambda: trusted)
    for name in ("shop.example", "other.example"):
        resolver[name] = ["127.0.0.1"]
    settings.OUTBOUND_ALLOW = ["127.0.0.1/32"]
    settings.OUTBOUND_PORTS = [site.port]
    yield from serve(site)


def test_the_certificate_is_checked_for_the_name_not_for_the_address(secure_site: Site) -> None:
    assert get(f"https://shop.example:{secure_site.port}/").content == b"hello"
    with pytest.raises(outbound.Unreachable):
        get(f"https://other.example:{secure_site.port}/")

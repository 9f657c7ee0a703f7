"""Pages from the web: public ones only, whatever a name or a redirect says."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from apps.ingestion.fetching import fetch_page
from apps.ingestion.parsing.contracts import Unreadable
from apps.tenants.contracts import TenantRef
from tests.ingestion.conftest import AddDocument


class Site(ThreadingHTTPServer):
    daemon_threads = True
    pages: dict[str, Callable[[BaseHTTPRequestHandler], None]]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *args: object) -> None:
        """A client that hangs up is expected."""


class Handler(BaseHTTPRequestHandler):
    server: Site

    def log_message(self, *args: object) -> None:
        """Stay quiet."""

    def do_GET(self) -> None:
        self.server.pages[self.path](self)


def page(content: bytes, kind: str = "text/html", status: int = 200, **headers: str) -> Callable:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


@pytest.fixture
def site(settings: object) -> Iterator[Site]:
    server = Site(("127.0.0.1", 0), Handler)
    server.pages = {"/": page(b"<title>Help</title><body><h1>Help</h1><p>Call us at noon.</p>")}
    settings.OUTBOUND_ALLOW = [f"127.0.0.1:{server.server_address[1]}"]  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_page_becomes_a_document(acme: TenantRef, add_ready: AddDocument, site: Site) -> None:
    document = add_ready(acme, url=site.url + "/")
    assert (document.status, document.title, document.url) == ("ready", "Help", site.url + "/")


def test_a_page_that_is_gone_fails_with_advice(acme: TenantRef, add_ready: AddDocument, site: Site) -> None:
    site.pages["/gone"] = page(b"", status=404)
    document = add_ready(acme, url=site.url + "/gone")
    assert (document.status, document.error) == ("failed", "There is no page at this address: check it.")


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("http://127.0.0.1/", "private network"),
        ("http://localhost/", "private network"),
        ("http://[::1]/", "private network"),
        ("http://2130706433/", "unusual way"),
        ("http://169.254.169.254/latest/meta-data", "private network"),
        ("http://8.8.8.8:22/", "port"),
        ("file:///etc/passwd", "starts with https"),
        ("http://user:pw@8.8.8.8/", "login"),
        ("http://no.such.host.invalid/", "cannot be found"),
    ],
)
def test_dangerous_addresses_are_refused(url: str, advice: str) -> None:
    with pytest.raises(Unreadable, match=advice):
        fetch_page(url)


def test_a_redirect_into_a_private_network_is_refused(site: Site) -> None:
    for target in ("http://169.254.169.254/", "http://127.0.0.1:1/", "file:///etc/passwd"):
        site.pages["/away"] = page(b"", status=302, Location=target)
        with pytest.raises(Unreadable):
            fetch_page(site.url + "/away")


def test_redirects_are_followed_but_not_for_ever(site: Site) -> None:
    site.pages["/old"] = page(b"", status=301, Location="/")
    assert b"Call us" in fetch_page(site.url + "/old").content
    site.pages["/loop"] = page(b"", status=302, Location="/loop")
    with pytest.raises(Unreadable, match="redirects too often"):
        fetch_page(site.url + "/loop")


def test_too_much_is_refused_also_when_it_comes_compressed(site: Site, settings: object) -> None:
    settings.DOCUMENT_MAX_BYTES = 100_000  # type: ignore[attr-defined]
    site.pages["/big"] = page(b"x" * 200_000)
    site.pages["/bomb"] = page(gzip.compress(b"x" * 5_000_000), Content_Encoding="gzip")
    for path in ("/big", "/bomb"):
        with pytest.raises(Unreadable, match="too large"):
            fetch_page(site.url + path)


def test_a_site_that_trickles_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        page(b"")(handler)
        for _ in range(50):
            handler.wfile.write(b"x" * 100)
            handler.wfile.flush()
            time.sleep(0.02)

    site.pages["/slow"] = trickle
    monkeypatch.setattr("apps.ingestion.fetching.TOTAL_S", 0.1)
    with pytest.raises(Unreadable, match="too slowly"):
        fetch_page(site.url + "/slow")


@pytest.mark.parametrize(
    ("path", "kind", "name"),
    [
        ("/a", "text/html; charset=utf-8", "a.html"),
        ("/a.php", "text/html", "a.html"),
        ("/a.md", "text/plain", "a.md"),
        ("/download", "application/pdf", "download.pdf"),
        ("/t.csv", "text/csv", "t.csv"),
    ],
)
def test_the_declared_type_names_the_page(site: Site, path: str, kind: str, name: str) -> None:
    site.pages[path] = page(b"x", kind)
    assert fetch_page(site.url + path).name == name

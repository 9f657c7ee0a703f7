"""The file that proves a domain: where it lies, and how it is fetched."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from apps.resilience import outbound
from apps.tenants.domains import well_known
from apps.tenants.domains.contracts import Proof, places_of

HELP = "help.shop.example"


@pytest.mark.parametrize(
    ("host", "places"),
    [(HELP, (HELP, "shop.example")), ("shop.example", ("shop.example",)), ("a.b.c.d", ("a.b.c.d", "b.c.d"))],
)
def test_the_proof_lies_on_the_domain_or_the_one_above_it(host, places):
    assert places_of(host) == places


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Stay quiet."""

    def do_GET(self) -> None:
        status, body = self.server.pages.get(self.path, (404, b""))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server(settings) -> Iterator[ThreadingHTTPServer]:
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.pages = {}
    settings.OUTBOUND_ALLOW = [f"127.0.0.1:{made.server_address[1]}"]
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


def test_the_file_is_fetched_through_the_guard(server, monkeypatch):
    here, path = f"127.0.0.1:{server.server_address[1]}", "/.well-known/aiaas-domain.txt"
    monkeypatch.setattr(well_known, "places_of", lambda name: (here,))

    def look(status: int, body: bytes) -> Proof:
        server.pages[path] = (status, body)
        return well_known.find_proof(name=HELP, token="aiaas-domain=1")

    assert look(200, b"other\n aiaas-domain=1 \r\n").is_found
    assert look(200, b"aiaas-domain=12") == Proof(
        False, True, f"The file on {here} does not hold this domain's line."
    )
    assert (look(404, b"").is_found, look(404, b"").is_certain) == (False, True)
    assert look(503, b"aiaas-domain=1").is_certain is False
    assert look(200, b"x" * 20_000).is_certain is False
    monkeypatch.undo()
    private = well_known.find_proof(name="127.0.0.1", token="aiaas-domain=1")
    assert (private.is_found, private.is_certain) == (False, False)


def test_either_place_is_enough_and_only_both_together_say_no(monkeypatch):
    def send(method: str, url: str, *, limits: object) -> outbound.Answer:
        host = url.split("/")[2]
        if answers[host] is None:
            raise outbound.Unreachable(f"{host} cannot be reached.")
        return outbound.Answer(status=answers[host][0], headers={}, content=answers[host][1], url=url)

    monkeypatch.setattr(outbound, "send", send)
    token, line = "aiaas-domain=1", b"aiaas-domain=1"
    for mine, above, found, certain in [
        ((404, b""), (200, line), True, True),
        (None, (200, line), True, True),
        ((404, b""), None, False, False),
        ((404, b""), (404, b""), False, True),
        ((200, b"no"), (500, line), False, False),
    ]:
        answers = {HELP: mine, "shop.example": above}
        proof = well_known.find_proof(name=HELP, token=token)
        assert (proof.is_found, proof.is_certain) == (found, certain), answers


def test_a_host_that_lets_us_wait_is_asked_once(monkeypatch):
    asked = []

    def send(method: str, url: str, *, limits: object) -> outbound.Answer:
        asked.append(url)
        raise outbound.TimedOut("It does not answer in time.")

    monkeypatch.setattr(outbound, "send", send)
    assert well_known.find_proof(name=HELP, token="aiaas-domain=1").is_certain is False
    assert [url.split("/")[:3] for url in asked] == [["https:", "", HELP], ["https:", "", "shop.example"]]

"""Bodies against the real web process: who is slow, breaks off or sends too much holds no thread."""

import socket
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from aiaas.serving import build_environ
from apps.crm.models import Customer
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.services import create_api_key
from tests.live import LiveDatabase
from tests.product import Product, running

SLOW, GRACE_S = 60, 2.0  # far more clients than threads


def open_post(product: Product, token: str, *headers: str) -> socket.socket:
    """Send the head of a request, and the beginning of its body."""
    connection = socket.create_connection(("127.0.0.1", product.port), timeout=20)
    head = "\r\n".join(
        (
            "POST /api/v1/customers HTTP/1.1",
            "Host: localhost",
            f"Authorization: Api-Key {token}",
            "Content-Type: application/json",
            *headers,
        )
    )
    connection.sendall(f"{head}\r\n\r\n".encode())
    return connection


def read_to_end(connection: socket.socket) -> bytes:
    """Return what comes until the server closes."""
    told = b""
    while chunk := connection.recv(65536):
        told += chunk
    connection.close()
    return told


def names(tenant: TenantRef) -> set[str | None]:
    with in_tenant(tenant):
        return set(Customer.objects.values_list("name", flat=True))


@pytest.fixture
def token(live_db: LiveDatabase, acme: TenantRef) -> str:
    return create_api_key(tenant=acme, name="slow", scopes=["api:read", "api:write"]).token


def test_bodies_cost_no_thread_until_they_are_whole(
    live_db: LiveDatabase, acme: TenantRef, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BODY_GRACE_S", str(GRACE_S))
    with running(live_db, tmp_path, "web") as product, product.client(token) as client:
        client.get("/api/v1/me")
        check_slow_ones(product, token, client)
        check_broken_off(product, token)
        check_chunks(client)
        told = client.post("/api/v1/customers", content=iter([b" " * 2**20] * 3), headers=JSON)
        assert (told.status_code, told.headers["Connection"]) == (413, "close")
        assert client.get("/widget.js").content == httpx.get(f"{product.url}/widget.js").content
        assert httpx.get(f"{product.url}/readyz").status_code == 200
    assert names(acme) >= {"Quick", "In pieces"}
    assert not names(acme) & {"Slow", "Broken off"}


JSON = {"Content-Type": "application/json"}


def check_slow_ones(product: Product, token: str, client: httpx.Client) -> None:
    slow = [open_post(product, token, "Content-Length: 500") for _ in range(SLOW)]
    for connection in slow:
        connection.sendall(b'{"name": "Slow"')
    began = time.monotonic()
    assert client.get("/api/v1/me").status_code == 200
    assert client.post("/api/v1/customers", json={"name": "Quick"}).status_code == 201
    assert time.monotonic() - began < GRACE_S, "others waited for the slow ones"
    answers = [read_to_end(connection) for connection in slow]
    assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers)
    assert b"too slowly" in answers[0]
    assert b"application/problem+json" in answers[0]
    assert time.monotonic() - began < GRACE_S + 10


def check_broken_off(product: Product, token: str) -> None:
    connection = open_post(product, token, "Content-Length: 500")
    connection.sendall(b'{"name": "Broken off"}')  # whole by itself, but not what was announced
    connection.shutdown(socket.SHUT_WR)
    assert b" 201 " not in read_to_end(connection)


def check_chunks(client: httpx.Client) -> None:
    told = client.post("/api/v1/customers", content=iter([b'{"name": ', b'"In pieces"}']), headers=JSON)
    assert told.status_code == 201, told.text


def scope(headers: list[tuple[str, str]], **changed: str) -> SimpleNamespace:
    usual = {
        "server": "[::1]:8000",
        "client": "[2001:db8::1]:5050",
        "scheme": "http",
        "method": "GET",
        "path": "/é",
        "query_string": "a=%C3%A9",
        "http_version": "1.1",
    }
    values = SimpleNamespace(items=lambda: headers)
    return SimpleNamespace(**usual | changed, headers=values)


def test_the_environment_is_as_wsgi_says():
    given = [("cookie", "a=1"), ("cookie", "b=2"), ("x-a", "1"), ("x-a", "2"), ("content-type", "text/plain")]
    environ = build_environ(scope(given))
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/é"
    assert (environ["REMOTE_ADDR"], environ["SERVER_NAME"], environ["SERVER_PORT"]) == (
        "2001:db8::1",
        "::1",
        "8000",
    )
    assert (environ["HTTP_COOKIE"], environ["HTTP_X_A"]) == ("a=1; b=2", "1,2")
    assert environ["CONTENT_TYPE"] == "text/plain"


def test_a_header_cannot_pass_for_one_that_only_a_proxy_sets():
    forged = [
        ("x_forwarded_for", "10.0.0.1"),
        ("x_forwarded_proto", "https"),
        ("x-forwarded-for", "203.0.113.9"),
    ]
    environ = build_environ(scope(forged))
    assert environ["HTTP_X_FORWARDED_FOR"] == "203.0.113.9"
    assert "HTTP_X_FORWARDED_PROTO" not in environ

import socket
from uuid import uuid4

import pytest

from apps.orchestration.steps.context import StepContext, StepFailed
from apps.orchestration.tools import http
from apps.tenants.contracts import TenantRef

pytestmark = pytest.mark.usefixtures("closed_breakers")
ACME = TenantRef(uuid4(), "acme", "t_acme")


def context(**arguments) -> StepContext:
    return StepContext(ACME, uuid4(), "s", "key-1", {}, {"method": "POST", **arguments})


def resolve_to(monkeypatch, *addresses: str) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in addresses]
    monkeypatch.setattr("socket.getaddrinfo", lambda *args, **kwargs: found)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x", "http://localhost/", "http://10.0.0.1/", "http://169.254.169.254/latest/meta-data",
        "http://192.168.1.1/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://0.0.0.0/",
        "http://100.64.0.1/", "http://224.0.0.1/",
    ],
)  # fmt: skip
def test_private_addresses_are_refused(url) -> None:
    with pytest.raises(StepFailed, match="private network") as refused:
        http.http_request(context(url=url))
    assert not refused.value.is_retryable


@pytest.mark.parametrize(
    "url", ["ftp://example.com/", "file:///etc/passwd", "example.com", "http://", "http://x:99999/"]
)
def test_what_is_no_web_address_is_refused(url) -> None:
    with pytest.raises(StepFailed) as refused:
        http.http_request(context(url=url))
    assert not refused.value.is_retryable


def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch) -> None:
    resolve_to(monkeypatch, "93.184.216.34", "10.0.0.7")
    with pytest.raises(StepFailed, match="private network"):
        http.http_request(context(url="http://rebinding.example/"))


def test_the_name_is_resolved_once_and_the_checked_address_is_called(monkeypatch, sink) -> None:
    port = int(sink.address.rpartition(":")[2])
    sink_name = f"shop.example:{port}"
    monkeypatch.setattr("django.conf.settings.OUTBOUND_ALLOW", [sink_name])
    asked = []

    def resolve(host, *args, **kwargs):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr("socket.getaddrinfo", resolve)
    answer = http.http_request(context(url=f"http://{sink_name}/hook", json={"a": 1}))
    assert answer == {"status": 200, "body": {"n": 1}}
    assert sink.requests[0]["headers"]["Host"] == sink_name
    assert (sink.requests[0]["key"], sink.requests[0]["body"]) == ("key-1", {"a": 1})
    assert asked.count("shop.example") == 1


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(500, True), (503, True), (429, True), (408, True), (400, False), (404, False), (302, False)],
)
def test_what_the_service_says_decides_about_a_retry(sink, status, retryable) -> None:
    sink.answer = lambda path, number: status
    with pytest.raises(StepFailed, match=str(status)) as failed:
        http.http_request(context(url=f"{sink.url}/x"))
    assert failed.value.is_retryable is retryable


def test_expected_statuses_are_the_callers_choice(sink) -> None:
    sink.answer = lambda path, number: 404
    assert http.http_request(context(url=f"{sink.url}/x", expected_status=[404]))["status"] == 404


def test_headers_that_would_forge_the_request_are_refused(sink) -> None:
    for name in ("Host", "Idempotency-Key", "Transfer-Encoding"):
        with pytest.raises(StepFailed, match="cannot be set"):
            http.http_request(context(url=sink.url, headers={name: "x"}))
    assert sink.requests == []


def test_a_failing_service_is_left_alone(sink) -> None:
    sink.answer = lambda path, number: 500
    for _ in range(8):
        with pytest.raises(StepFailed):
            http.http_request(context(url=f"{sink.url}/x"))
    assert len(sink.requests) == 5

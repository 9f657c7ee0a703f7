"""Bodies that no client should send: each is a 400 (or 413) that says why, on every JSON doorway."""

import pytest

from tests.gateway.conftest import key_client

DOORS = ["/api/v1/customers", "/v1/chat/completions", "/api/v1/search", "/api/v1/conversations"]
BODIES = {
    "nested objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "nested lists": b"[" * 200_000,
    "33 levels": b'{"a":' * 33 + b"1" + b"}" * 33,
    "not a number": b'{"name": NaN}',
    "infinity": b'{"name": -Infinity}',
    "a float beyond all": b'{"name": 1e999}',
    "an integer beyond all": b'{"name": ' + b"9" * 10_000 + b"}",
    "a name twice": b'{"name": "a", "name": "b"}',
    "a name twice inside": b'{"metadata": {"x": 1, "x": 2}}',
    "no UTF-8": b'{"name": "\xff\xfe"}',
    "cut UTF-8": b'{"name": "\xc3"}',
    "a NUL": b'{"name": "a\\u0000b"}',
    "a NUL in a name": b'{"na\\u0000me": 1}',
    "half a surrogate": b'{"name": "\\ud800"}',
    "a raw control character": b'{"name": "a\x01b"}',
    "half": b'{"name": ',
    "rest": b'{"name": "a"} x',
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_bad_body_is_refused_and_told_why(acme, door, body):
    answer = key_client(acme).post(door, body, content_type="application/json")
    assert answer.status_code == 400, answer.content[:300]
    told = answer.json()
    assert told.get("detail") or told["error"]["message"]


def test_the_reasons_help(api):
    def detail(body: bytes) -> str:
        answer = api.post("/api/v1/customers", body, content_type="application/json")
        assert answer.status_code == 400
        return answer.json()["detail"]

    assert "'name' comes twice" in detail(BODIES["a name twice"])
    assert "not utf-8: byte 10" in detail(BODIES["no UTF-8"])
    assert "NaN is not JSON" in detail(BODIES["not a number"])
    assert "32 levels" in detail(BODIES["33 levels"])


@pytest.mark.parametrize("name", ["limit", "offset", "x"])
def test_a_number_beyond_all_in_the_address_is_no_500(api, name):
    assert api.get(f"/api/v1/customers?{name}={'9' * 5000}").status_code < 500


def test_a_body_beyond_the_limit_is_413_also_for_strangers(api, stranger, settings, db):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    for client in (api, stranger):
        answer = client.post("/api/v1/customers", b"x" * 1001, content_type="application/json")
        assert answer.status_code == 413
        assert "1000 bytes" in answer.json()["detail"]

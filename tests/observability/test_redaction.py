import string
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiaas.observability.redaction import redact_event, redact_text, redact_value

SURVIVES = [
    "Where is my order 1042?",
    "order #4111111111111111 is not a card here",
    "ORD-2026-000123 shipped at 2026-11-22 21:48:55.123456",
    "run 01935c1e-7d5a-7c33-8f00-123456789012 took 12.5 ms",
    "order 100042001234567",
    "tracking 1Z999AA10123456784",
    "listening on 127.0.0.1:8000 and 192.168.100.200",
    "version 5.2.19, request took 0.123456789 s",
    "total 1,234,567.89 USD, 2026-11-22T21:48:55Z",
    "20261122 214855 1732312135123",
]
HIDDEN = {
    "write to ada.lovelace+shop@mail.example.co.uk today": "ada.lovelace",
    "müller@exämple.de asked": "müller",
    "call +49 (0)30 901820-77": "901820",
    "call +1 555 123 4567.": "4567",
    "call 555-123-4567 or": "4567",
    "ring (030) 123 4567": "4567",
    "card 4111 1111 1111 1111 exp 10/27": "4111",
    "card 5500-0000-0000-0004": "5500",
    "Authorization: Bearer abc.def-ghi_jkl": "ghi_jkl",
    "Authorization: Api-Key ak_1234567890abcdef": "1234567890abcdef",
    "key ak_1234567890.s3cr3tpart leaked": "1234567890",
    "sk-proj-abcdefghijklmnop": "abcdefghijkl",
    "postgres://app:hunter22@db/app": "hunter22",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.sflKxwRJSMeKKF2QT4fwpM": "sflKx",
}


@pytest.mark.parametrize("text", SURVIVES)
def test_order_numbers_ids_and_times_survive(text):
    assert redact_text(text) == text


@pytest.mark.parametrize(("text", "private"), HIDDEN.items())
def test_personal_data_and_secrets_do_not(text, private):
    redacted = redact_text(text)
    assert private not in redacted
    assert "[" in redacted


@given(st.uuids())
def test_every_uuid_survives(value: UUID):
    assert redact_text(f"run {value} done") == f"run {value} done"


@given(st.integers(0, 999_999_999_999), st.sampled_from(["order {}", "#{}", "ORD-{}", "order no. {}"]))
def test_every_order_number_survives(number, shape):
    assert redact_text(shape.format(number)) == shape.format(number)


@given(
    st.text(string.ascii_letters + string.digits + "._+-", min_size=1, max_size=20).map(lambda t: "a" + t),
    st.text(string.ascii_lowercase, min_size=1, max_size=12),
)
def test_every_address_is_hidden(user, host):
    assert f"{user}@{host}.com" not in redact_text(f"mail from {user}@{host}.com.")


@given(st.text(max_size=300))
def test_redaction_is_idempotent(text):
    assert redact_text(redact_text(text)) == redact_text(text)


def test_secret_keys_are_hidden_whatever_they_hold():
    event = {"event": "login", "password": "hunter2", "headers": {"Authorization": "x", "X-Request-ID": "r1"}}
    redacted = redact_event(None, "info", event)
    assert redacted == {
        "event": "login",
        "password": "[secret]",
        "headers": {"Authorization": "[secret]", "X-Request-ID": "r1"},
    }


def test_values_inside_containers_are_redacted_and_depth_is_bounded():
    nested: list = ["a@b.example"]
    for _ in range(50):
        nested = [nested]
    assert redact_value({"to": ["a@b.example", 7]}) == {"to": ["[email]", 7]}
    assert "a@b" not in str(redact_value(nested))

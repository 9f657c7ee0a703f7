import io
import json
import logging

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider

from aiaas.observability import logging as ours


@pytest.fixture
def lines():
    """Configure logging as a process would, into memory; afterwards put pytest's back."""
    root, kept = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()

    def configure(style):
        ours.configure_logging({"format": style, "level": "INFO"})
        root.handlers[0].setStream(stream)
        return lambda: stream.getvalue().splitlines()

    yield configure
    root.handlers[:], root.level = handlers, level
    structlog.configure(**kept)


def test_our_events_and_the_libraries_records_are_one_json_format(lines):
    read = lines("json")
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        structlog.get_logger("apps.x").info("order_held", order_number="1042", email="ada@shop.example")
        logging.getLogger("some.library").warning("sent to %s", "ada@shop.example", extra={"token": "abc"})
    ours_, theirs = (json.loads(line) for line in read())
    assert ours_["event"] == "order_held"
    assert ours_["order_number"] == "1042"
    assert ours_["email"] == "[secret]"
    assert theirs["event"] == "sent to [email]"
    assert theirs["token"] == "[secret]"
    assert {ours_["request_id"], theirs["request_id"]} == {"r-1"}
    assert theirs["logger"] == "some.library"


def test_exceptions_are_logged_without_personal_data(lines):
    read = lines("json")
    try:
        raise ValueError("no such user ada@shop.example")
    except ValueError:
        structlog.get_logger("apps.x").exception("lookup_failed")
    entry = json.loads(read()[0])
    assert "ValueError: no such user [email]" in entry["exception"]


def test_for_people_a_line_is_key_value(lines):
    read = lines("text")
    structlog.get_logger("apps.x").info("order_held", order_number="1042")
    assert "event=order_held" in read()[0]
    assert "order_number=1042" in read()[0]


def test_what_is_below_the_level_is_not_written(lines):
    read = lines("json")
    structlog.get_logger("apps.x").debug("noise")
    logging.getLogger("httpx").info("noise")
    assert read() == []


def test_a_line_within_a_span_names_it(lines):
    read = lines("json")
    with TracerProvider().get_tracer("t").start_as_current_span("work") as span:
        structlog.get_logger("apps.x").info("inside")
    structlog.get_logger("apps.x").info("outside")
    inside, outside = (json.loads(line) for line in read())
    assert inside["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert "trace_id" not in outside


def test_values_that_json_does_not_know_are_written_as_text(lines):
    read = lines("json")
    structlog.get_logger("apps.x").info("odd", value=object, raw=b"abc", numbers={1: {2}})
    entry = json.loads(read()[0])
    assert entry["raw"] == "[3 bytes]"
    assert entry["numbers"] == {"1": [2]}

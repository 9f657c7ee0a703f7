from uuid import uuid4

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.realtime.frames import (
    PARSERS,
    FrameError,
    Hello,
    Offline,
    Profile,
    Rating,
    Read,
    Say,
    Typing,
    error_frame,
    parse_frame,
)

ID = uuid4()
NAMES = ["client_message_id", "text", "seq", "score", "comment", "last_seq", "epoch", "session", "active"]

texts = st.text(max_size=5)
scalars = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | texts
json_values = scalars | st.lists(scalars, max_size=2) | st.dictionaries(texts, scalars, max_size=2)


@pytest.mark.parametrize(
    ("raw", "frame"),
    [
        ({"type": "hello"}, Hello(None, 0, None, None)),
        (
            {"type": "hello", "conversation_id": str(ID), "last_seq": 3, "epoch": "e", "session": "s"},
            Hello(ID, 3, "e", "s"),
        ),
        ({"type": "message", "client_message_id": "m1", "text": " Hi\n"}, Say("m1", " Hi\n")),
        ({"type": "typing"}, Typing(True)),
        ({"type": "typing", "active": False}, Typing(False)),
        ({"type": "read", "seq": 9}, Read(9)),
        ({"type": "rating", "score": 5, "comment": "fine"}, Rating(5, "fine")),
        ({"type": "rating", "score": 1}, Rating(1, "")),
        ({"type": "profile", "name": "Vera"}, Profile("Vera", "", False)),
        (
            {
                "type": "offline",
                "client_message_id": "o",
                "email": "v@x.example",
                "text": "Hi",
                "consent": True,
            },
            Offline("o", "", "v@x.example", "Hi", True),
        ),
    ],
)
def test_reads_what_the_contract_names(raw, frame):
    assert parse_frame(orjson.dumps(raw)) == frame


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("", "bad_json"),
        ("{", "bad_json"),
        ("[]", "bad_json"),
        ("3", "bad_json"),
        (b"\xff\xfe", "bad_json"),
        ('{"type":"message","client_message_id":"m","text":"\\ud800"}', "bad_json"),
        ("{}", "unknown_type"),
        ('{"type":["hello"]}', "unknown_type"),
        ('{"type":"delete"}', "unknown_type"),
        ('{"type":"hello","conversation_id":"1"}', "invalid"),
        ('{"type":"hello","conversation_id":7}', "invalid"),
        ('{"type":"hello","last_seq":-1}', "invalid"),
        ('{"type":"hello","last_seq":"3"}', "invalid"),
        ('{"type":"hello","last_seq":1e400}', "bad_json"),
        ('{"type":"message","text":"hi"}', "invalid"),
        ('{"type":"message","client_message_id":"m","text":"  "}', "invalid"),
        ('{"type":"message","client_message_id":"m","text":"a\\u0000b"}', "invalid"),
        ('{"type":"read"}', "invalid"),
        ('{"type":"read","seq":true}', "invalid"),
        ('{"type":"rating","score":6}', "invalid"),
        ('{"type":"rating","score":4.5}', "invalid"),
        ('{"type":"rating","score":4,"comment":["x"]}', "invalid"),
        ('{"type":"message","client_message_id":"m","text":"' + "x" * 4001 + '"}', "too_long"),
        ('{"type":"message","client_message_id":"m","text":"' + "x" * 70_000 + '"}', "too_large"),
    ],
)
def test_refuses_anything_else_and_says_what_to_do(raw, code):
    with pytest.raises(FrameError) as refusal:
        parse_frame(raw)
    assert refusal.value.code == code
    assert refusal.value.detail


def test_a_refused_message_is_named():
    with pytest.raises(FrameError) as refusal:
        parse_frame('{"type":"message","client_message_id":"m1","text":""}')
    frame = error_frame(refusal.value)
    assert frame["client_message_id"] == "m1"
    assert frame["field"] == "text"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from([*NAMES, "name", "email", "consent"]),
        json_values,
    ),
    st.sampled_from(sorted(PARSERS)),
)
def test_any_json_is_read_or_refused(fields, kind):
    try:
        parse_frame(orjson.dumps({"type": kind, **fields}))
    except FrameError as refusal:
        orjson.dumps(error_frame(refusal))

"""The frames of the socket: what a client may say, checked, and what it hears."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from apps.conversations.contracts import MessageView
from apps.tenants.contracts import OPEN

MAX_TEXT_CHARS = 4_000
MAX_COMMENT_CHARS = 2_000
MAX_ID_CHARS = 64
MAX_NAME_CHARS = 200
MAX_EMAIL_CHARS = 254
MAX_FRAME_BYTES = 64 * 1024
MAX_SEQ = 2**53 - 1  # what every JavaScript client can count to

Frame = dict[str, Any]


@dataclass(frozen=True)
class Hello:
    conversation_id: UUID | None
    last_seq: int
    epoch: str | None
    session: str | None


@dataclass(frozen=True)
class Say:
    client_message_id: str
    text: str


@dataclass(frozen=True)
class Typing:
    active: bool


@dataclass(frozen=True)
class Read:
    seq: int


@dataclass(frozen=True)
class Rating:
    score: int
    comment: str


@dataclass(frozen=True)
class Profile:
    """What an unsigned visitor says about themselves before they write."""

    name: str
    email: str
    consent: bool


@dataclass(frozen=True)
class Offline:
    """A message for later, while nobody is there."""

    client_message_id: str
    name: str
    email: str
    text: str
    consent: bool


ClientFrame = Hello | Say | Typing | Read | Rating | Profile | Offline


class FrameError(Exception):
    """Refuse one frame: `code` for programs, `detail` tells a person what to do."""

    def __init__(self, code: str, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.code, self.detail, self.more = code, detail, more


def parse_frame(raw: str | bytes) -> ClientFrame:
    """Read one client frame; raises FrameError for everything the contract does not know."""
    if len(raw) > MAX_FRAME_BYTES:
        raise FrameError("too_large", f"Send frames of at most {MAX_FRAME_BYTES // 1024} KiB.")
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise FrameError("bad_json", f"Send one JSON object per frame ({error}).") from None
    if not isinstance(fields, dict):
        raise FrameError("bad_json", "Send one JSON object per frame.")
    kind = fields.get("type")
    parser = PARSERS.get(kind) if isinstance(kind, str) else None
    if parser is None:
        raise FrameError("unknown_type", f"Set `type` to one of: {', '.join(PARSERS)}.")
    return parser(fields)


def _parse_hello(fields: Mapping[str, Any]) -> Hello:
    raw_id = fields.get("conversation_id")
    try:
        conversation_id = None if raw_id is None else UUID(_string(fields, "conversation_id"))
    except ValueError:
        raise FrameError(
            "invalid", "`conversation_id` must be the UUID that a `welcome` carried.", field="conversation_id"
        ) from None
    epoch = fields.get("epoch")
    return Hello(
        conversation_id=conversation_id,
        last_seq=_integer(fields, "last_seq", low=0, high=MAX_SEQ, default=0),
        epoch=None if epoch is None else str(epoch),
        session=None if fields.get("session") is None else _string(fields, "session", max_chars=2_000),
    )


def _parse_message(fields: Mapping[str, Any]) -> Say:
    client_message_id = _string(fields, "client_message_id", max_chars=MAX_ID_CHARS)
    with _naming(client_message_id):
        return Say(client_message_id, _string(fields, "text", max_chars=MAX_TEXT_CHARS))


def _parse_profile(fields: Mapping[str, Any]) -> Profile:
    return Profile(
        name=_optional(fields, "name", max_chars=MAX_NAME_CHARS),
        email=_optional(fields, "email", max_chars=MAX_EMAIL_CHARS),
        consent=_flag(fields, "consent"),
    )


def _parse_offline(fields: Mapping[str, Any]) -> Offline:
    client_message_id = _string(fields, "client_message_id", max_chars=MAX_ID_CHARS)
    with _naming(client_message_id):
        return Offline(
            client_message_id,
            name=_optional(fields, "name", max_chars=MAX_NAME_CHARS),
            email=_string(fields, "email", max_chars=MAX_EMAIL_CHARS),
            text=_string(fields, "text", max_chars=MAX_TEXT_CHARS),
            consent=_flag(fields, "consent"),
        )


@contextmanager
def _naming(client_message_id: str) -> Iterator[None]:
    """Let a refusal say which message it is about: the widget must mark it."""
    try:
        yield
    except FrameError as error:
        raise FrameError(
            error.code, error.detail, client_message_id=client_message_id, **error.more
        ) from None


def _parse_typing(fields: Mapping[str, Any]) -> Typing:
    return Typing(active=fields.get("active", True) is not False)


def _parse_read(fields: Mapping[str, Any]) -> Read:
    return Read(_integer(fields, "seq", low=1, high=MAX_SEQ))


def _parse_rating(fields: Mapping[str, Any]) -> Rating:
    return Rating(
        score=_integer(fields, "score", low=1, high=5),
        comment=_optional(fields, "comment", max_chars=MAX_COMMENT_CHARS),
    )


# Every frame is open to whoever the door admitted: a visitor with a widget's key on an allowed page.
PERMISSION = OPEN
PARSERS: dict[str, Callable[[Mapping[str, Any]], ClientFrame]] = {
    "hello": _parse_hello,
    "message": _parse_message,
    "typing": _parse_typing,
    "read": _parse_read,
    "rating": _parse_rating,
    "profile": _parse_profile,
    "offline": _parse_offline,
}


def _string(fields: Mapping[str, Any], name: str, *, max_chars: int = MAX_ID_CHARS) -> str:
    text = fields.get(name)
    if not isinstance(text, str) or not text.strip():
        raise FrameError("invalid", f"`{name}` must be a text that is not empty.", field=name)
    if len(text) > max_chars:
        raise FrameError("too_long", f"`{name}` may have at most {max_chars} characters.", field=name)
    if "\x00" in text:
        raise FrameError("invalid", f"`{name}` must not contain NUL characters.", field=name)
    return text


def _optional(fields: Mapping[str, Any], name: str, *, max_chars: int) -> str:
    return "" if fields.get(name) in (None, "") else _string(fields, name, max_chars=max_chars)


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise FrameError("invalid", f"`{name}` must be true or false.", field=name)
    return value


def _integer(fields: Mapping[str, Any], name: str, *, low: int, high: int, default: int | None = None) -> int:
    number = fields.get(name)
    if number is None and default is not None:
        return default
    if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
        raise FrameError("invalid", f"`{name}` must be a whole number from {low} to {high}.", field=name)
    return number


def message_frame(message: MessageView) -> Frame:
    return {
        "type": "message",
        "seq": message.seq,
        "author": message.author,
        "text": message.text,
        "sources": message.sources,
        "receipt": message.receipt,
        "client_message_id": message.client_message_id,
        "created_at": message.created_at,
    }


def error_frame(error: FrameError) -> Frame:
    return {"type": "error", "code": error.code, "detail": error.detail, **error.more}

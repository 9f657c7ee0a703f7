"""JSON that the rest of the product can take: bounded, and storable as it is."""

from collections.abc import Mapping
from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

MAX_DEPTH = 32
MAX_NODES = 100_000


class LimitedJSONParser(JSONParser):
    """Refuse JSON that is too deep, too wide, or holds characters that PostgreSQL cannot store."""

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            data = super().parse(stream, media_type, parser_context)
        except RecursionError as exc:
            raise ParseError(f"The JSON is nested deeper than {MAX_DEPTH} levels.") from exc
        check_json(data)
        return data


def check_json(data: Any) -> None:
    """Walk parsed JSON without recursion; raises ParseError."""
    pending: list[tuple[Any, int]] = [(data, 1)]
    nodes = 0
    while pending:
        value, depth = pending.pop()
        nodes += 1
        if depth > MAX_DEPTH or nodes > MAX_NODES:
            limit = f"{MAX_DEPTH} levels deep" if depth > MAX_DEPTH else f"{MAX_NODES} values"
            raise ParseError(f"The JSON is too large: at most {limit}.")
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, dict):
            for key in value:
                _check_text(key)
            pending.extend((item, depth + 1) for item in value.values())
        elif isinstance(value, list):
            pending.extend((item, depth + 1) for item in value)


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise ParseError("The JSON holds a NUL character (\\u0000), which cannot be stored.")
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise ParseError("The JSON holds half of a surrogate pair, which is no character.") from exc

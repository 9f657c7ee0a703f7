"""JSON that the rest of the product can take: bounded, unambiguous, and storable as it is."""

import json
import math
from collections.abc import Mapping
from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

MAX_DEPTH = 32
MAX_NODES = 100_000


class LimitedJSONParser(JSONParser):
    """Refuse JSON that is too deep or too wide, says something twice, or holds what cannot be stored."""

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        encoding = (parser_context or {}).get("encoding") or "utf-8"
        try:
            text = stream.read().decode(encoding)
            data = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_without_repeats)
        except UnicodeDecodeError as exc:
            raise ParseError(f"The body is not {encoding}: byte {exc.start} fits no character.") from exc
        except RecursionError as exc:
            raise ParseError(f"The JSON is nested deeper than {MAX_DEPTH} levels.") from exc
        except ValueError as exc:  # also of a number with more digits than Python reads
            raise ParseError(f"JSON parse error - {exc}") from exc
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
        elif isinstance(value, float) and not math.isfinite(value):
            raise ParseError("The JSON holds a number that is larger than any that can be stored.")
        elif isinstance(value, dict):
            for key in value:
                _check_text(key)
            pending.extend((item, depth + 1) for item in value.values())
        elif isinstance(value, list):
            pending.extend((item, depth + 1) for item in value)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that comes twice: two readers may not take two different values from one body."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ParseError(f"The name {twice[:100]!r} comes twice in one object of the JSON.")
    return fields


def _refuse_constant(name: str) -> None:
    raise ParseError(f"{name} is not JSON; leave the field out or send null.")


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise ParseError("The JSON holds a NUL character (\\u0000), which cannot be stored.")
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise ParseError("The JSON holds half of a surrogate pair, which is no character.") from exc

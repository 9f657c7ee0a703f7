"""CEL as the engine uses it: conditions, and `${…}` inside a step's texts."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import cel

from apps.orchestration.definitions.language.tokens import Token, tokenize, translate
from apps.orchestration.definitions.language.typecheck import ExpressionError


class EvaluationError(Exception):
    """An expression that could not be computed from the values at hand."""


@dataclass(frozen=True)
class Hole:
    """An expression inside a text; `offset` is where it begins."""

    expression: str
    offset: int


@functools.lru_cache(maxsize=4096)
def compile_expression(text: str) -> cel.Program:
    """Compile an expression as written; raises ExpressionError."""
    try:
        return cel.compile(translate(text))
    except ValueError as error:
        detail = str(error).partition("Syntax error: ")[2].partition("\n")[0].partition(", expecting")[0]
        message = (
            f"this is not a valid expression: {detail.partition(' expecting')[0] or 'it cannot be read'}"
        )
        fix = "write it like: confidence < 0.7 OR intent == 'complaint'"
        raise ExpressionError(message, fix, 0) from None


def evaluate(text: str, variables: Mapping[str, Any]) -> Any:
    """Compute an expression; raises EvaluationError."""
    try:
        return compile_expression(text).execute(dict(variables))
    except ExpressionError as error:
        raise EvaluationError(f"`{text}`: {error.message}") from None
    except KeyError as error:
        raise EvaluationError(f"`{text}`: there is no {error}") from None
    except (TypeError, ValueError, RuntimeError, ArithmeticError, IndexError, AttributeError) as error:
        raise EvaluationError(f"`{text}`: {str(error).partition('. ')[0]}") from None


def evaluate_condition(text: str, variables: Mapping[str, Any]) -> bool:
    """Compute a condition; raises EvaluationError when it is not true or false."""
    result = evaluate(text, variables)
    if not isinstance(result, bool):
        raise EvaluationError(f"`{text}` is {result!r}, which is neither true nor false")
    return result


def inputs_of(text: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Collect the values that an expression reads, by their paths, for the record."""
    return {".".join(path): _at(variables, path) for path in _paths(text)}


@functools.lru_cache(maxsize=4096)
def _paths(text: str) -> tuple[tuple[str, ...], ...]:
    known = set(compile_expression(text).references()["variables"])
    tokens = tokenize(text)
    found = [
        tuple(_chain(tokens, at))
        for at, token in enumerate(tokens)
        if token.kind == "name" and token.text in known and (at == 0 or tokens[at - 1].text != ".")
    ]
    return tuple(dict.fromkeys(found))


def _chain(tokens: list[Token], at: int) -> Iterator[str]:
    yield tokens[at].text
    while tokens[at + 1].text == "." and tokens[at + 2].kind == "name" and tokens[at + 3 : at + 4]:
        if tokens[at + 3].text == "(":
            return
        at += 2
        yield tokens[at].text


def _at(variables: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = variables
    for part in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


@functools.lru_cache(maxsize=4096)
def parse_text(text: str) -> tuple[str | Hole, ...]:
    """Split a text at its `${…}`; `$${` stands for a literal `${`. Raises ExpressionError."""
    parts: list[str | Hole] = []
    at = 0
    while (start := text.find("${", at)) >= 0:
        if start > 0 and text[start - 1] == "$":
            parts.append(text[at : start - 1] + "${")
            at = start + 2
            continue
        parts.append(text[at:start])
        end = _closing(text, start + 2)
        parts.append(Hole(text[start + 2 : end], start + 2))
        at = end + 1
    parts.append(text[at:])
    return tuple(part for part in parts if part != "")


def _closing(text: str, start: int) -> int:
    depth = 0
    for token in tokenize(text[start:]):
        if token.kind == "sign":
            if token.text == "}" and depth == 0:
                return start + token.offset
            depth += {"{": 1, "}": -1}.get(token.text, 0)
    raise ExpressionError("`${` is not closed", "add the missing }, or write $${ for a literal ${", start)


def render(value: Any, variables: Mapping[str, Any]) -> Any:
    """Fill every `${…}` of a config; a text that is one hole only keeps the value's type.

    Raises EvaluationError.
    """
    if isinstance(value, Mapping):
        return {key: render(item, variables) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [render(item, variables) for item in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    parts = parse_text(value)
    if len(parts) == 1 and isinstance(parts[0], Hole):
        return evaluate(parts[0].expression, variables)
    return "".join(part if isinstance(part, str) else _written(part, variables) for part in parts)


def _written(hole: Hole, variables: Mapping[str, Any]) -> str:
    result = evaluate(hole.expression, variables)
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=str)

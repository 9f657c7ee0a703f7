"""The language's JSON Schema, and its errors in words."""

from __future__ import annotations

import difflib
import functools
import json
from pathlib import Path
from typing import Any, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from apps.orchestration.definitions.contracts import Problem
from apps.orchestration.definitions.language.source import Source

SCHEMA_FILE = Path(__file__).with_name("workflow.schema.json")
SHOWN_CHARS = 80  # of a value that is wrong: enough to know a long name again
_KINDS = {
    "object": "a mapping (key: value lines)",
    "array": "a list (lines that begin with -)",
    "string": "text; put it in quotes",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


@functools.cache
def workflow_schema() -> dict[str, Any]:
    """Read the published JSON Schema of the language."""
    schema: dict[str, Any] = json.loads(SCHEMA_FILE.read_text())
    return schema


@functools.cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(workflow_schema())


def check_schema(source: Source) -> list[Problem]:
    """Check the source's shape; returns its problems."""
    return [
        problem
        for error in _validator().iter_errors(source.data)
        for problem in schema_problems(source, error, ())
    ]


def schema_problems(source: Source, error: ValidationError, base: tuple[str | int, ...]) -> list[Problem]:
    """Put a JSON Schema error below the path `base` into words: what is wrong, and what to write instead."""
    path, instance = (*base, *error.absolute_path), cast("Any", error.instance)
    if error.validator == "additionalProperties":
        schema: Any = error.schema
        known = sorted(schema.get("properties", {}))
        unknown = [key for key in instance if key not in known]
        return [
            source.problem((*path, key), f"`{key}` is not known here", _suggest(key, known), at_key=True)
            for key in unknown
        ]
    message, fix = _words(error)
    return [source.problem(path, message, fix)]


def _words(error: ValidationError) -> tuple[str, str]:
    value, rule = cast("Any", error.instance), cast("Any", error.validator_value)
    match error.validator:
        case "required":
            missing = next((key for key in rule if key not in value), "?")
            return f"`{missing}` is missing", f"add a line: {missing}: …"
        case "enum":
            return f"{value!r} is not one of the possible values", _suggest(
                str(value), [str(x) for x in rule]
            )
        case "type":
            return f"{_show(value)} is not allowed here", f"write {_KINDS.get(str(rule), rule)}"
        case "pattern":
            return f"{_show(value)} is not a valid name here", f"it must match {rule}"
        case "oneOf" | "anyOf":
            told = cast("dict[str, Any]", error.schema).get("description", "")
            return f"{_show(value)} does not fit here", str(told) or "change the value to fit"
        case "minItems" | "minLength":
            return "this must not be empty", "add at least one entry"
        case "propertyNames":
            return error.message, "use lower-case letters, digits and _"
    return error.message, "change the value to fit"


def _show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"


def _suggest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean `{close[0]}`?" if close else f"use one of: {', '.join(known)}"

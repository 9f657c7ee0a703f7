"""JSON Schemas of strangers, made safe to check with: nothing to fetch, to follow or to compute for ever."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

MAX_BYTES, MAX_NODES, MAX_DEPTH = 64 * 1024, 2000, 24
# A regular expression of a stranger's may take for ever; the server checks its own.
DROPPED = frozenset(
    {"pattern", "patternProperties", "format", "$schema", "$id", "$comment", "$defs", "definitions"}
)
REFUSED = frozenset({"$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor"})
# Below these stand names of the tool's own, not words of the language.
NAMES = frozenset({"properties", "dependentSchemas", "dependentRequired"})
DATA = frozenset({"const", "enum", "default", "examples"})


class UnusableSchema(ValueError):
    """A schema that arguments cannot be checked with; the message says why."""


def make_safe(schema: Any) -> dict[str, Any]:
    """Return an object's schema with its references filled in; raises UnusableSchema."""
    if not isinstance(schema, Mapping) or len(json.dumps(schema)) > MAX_BYTES:
        raise UnusableSchema(f"its schema is no object of at most {MAX_BYTES // 1024} KiB")
    if schema.get("type", "object") != "object":
        raise UnusableSchema("its arguments are no object")
    safe: dict[str, Any] = {"properties": {}, **_Filler(schema).fill(schema, 0), "type": "object"}
    try:
        Draft202012Validator.check_schema(safe)
    except SchemaError as error:
        raise UnusableSchema(f"its schema is not valid: {error.message}"[:300]) from None
    return safe


class _Filler:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root, self.nodes = root, 0

    def fill(self, node: Any, depth: int) -> Any:
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            raise UnusableSchema("its schema is too deep or refers to itself")
        if isinstance(node, list):
            return [self.fill(item, depth + 1) for item in node]
        if not isinstance(node, Mapping):
            return node
        if refused := REFUSED & node.keys():
            raise UnusableSchema(f"its schema uses {sorted(refused)[0]}")
        if "$ref" in node:
            rest = {key: value for key, value in node.items() if key != "$ref"}
            return {**self.fill(self._find(node["$ref"]), depth + 1), **self.fill(rest, depth + 1)}
        return {key: self._below(key, value, depth) for key, value in node.items() if key not in DROPPED}

    def _below(self, key: str, value: Any, depth: int) -> Any:
        if key in DATA:
            return value
        if key in NAMES and isinstance(value, Mapping):
            return {name: self.fill(item, depth + 1) for name, item in value.items()}
        return self.fill(value, depth + 1)

    def _find(self, reference: Any) -> Mapping[str, Any]:
        if not isinstance(reference, str) or not reference.startswith("#/"):
            raise UnusableSchema("its schema refers to somewhere else")
        found: Any = self.root
        for part in reference[2:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or name not in found:
                raise UnusableSchema(f"its schema refers to {reference[:100]}, which is not there")
            found = found[name]
        if not isinstance(found, Mapping):
            raise UnusableSchema(f"its schema refers to {reference[:100]}, which is no schema")
        return found

"""Schemas of events: made of their classes, kept beside them, and never changed under a consumer's feet."""

import dataclasses
import json
from collections.abc import Iterable
from typing import Any, get_type_hints

from apps.events.contracts import CARRIED, DomainEvent
from apps.events.selectors import schema_path

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class BrokenContract(Exception):
    """A type of event was changed in a way that its version has to tell."""


def make_schema(fact: type[DomainEvent]) -> dict[str, Any]:
    """Return the JSON Schema of an event's data; fields with a default came later, old events lack them."""
    from pydantic import TypeAdapter  # here, because no process of the product needs it

    hints = get_type_hints(fact)
    fields = [field for field in dataclasses.fields(fact) if field.name not in CARRIED]
    missing = dataclasses.MISSING
    return {
        "$schema": DIALECT,
        "$id": f"{fact.type}.v{fact.version}",
        "title": fact.type,
        "type": "object",
        "properties": {field.name: TypeAdapter(hints[field.name]).json_schema() for field in fields},
        "required": [f.name for f in fields if f.default is missing and f.default_factory is missing],
    }


def find_breaks(kept: dict[str, Any], made: dict[str, Any]) -> list[str]:
    """Return what a consumer of the kept schema could trip over in the one that was made now."""
    before, after = kept["properties"], made["properties"]
    removed = [f"{name} was removed" for name in before if name not in after]
    retyped = [
        f"{name} was {_shown(before[name])} and is {_shown(after[name])}"
        for name in before
        if name in after and before[name] != after[name]
    ]
    required = [f"{name} is required, but older events lack it" for name in made["required"]
                if name not in kept["required"]]  # fmt: skip
    optional = [f"{name} was always there and is optional now" for name in kept["required"]
                if name in after and name not in made["required"]]  # fmt: skip
    return removed + retyped + required + optional


def check_contract(fact: type[DomainEvent]) -> None:
    """Raise BrokenContract unless the kept schema allows what the class tells, and every version leads on."""
    path = schema_path(fact.type, fact.version)
    if path.exists() and (breaks := find_breaks(json.loads(path.read_text()), make_schema(fact))):
        raise BrokenContract(
            f"{fact.type}: {'; '.join(breaks)}. Raise `version` and add an upcaster from {fact.version}, "
            "or give a new field a default."
        )
    for version in range(1, fact.version):
        if version not in fact.upcasters or not schema_path(fact.type, version).exists():
            raise BrokenContract(
                f"{fact.type}: version {version} needs its schema kept and an upcaster to {version + 1}"
            )


def write_schemas(facts: Iterable[type[DomainEvent]]) -> int:
    """Keep every type's schema and return how many changed; raises BrokenContract before writing anything."""
    known = list(facts)
    for fact in known:
        check_contract(fact)
    changed = 0
    for fact in known:
        path, text = schema_path(fact.type, fact.version), show_schema(fact)
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            changed += 1
    return changed


def show_schema(fact: type[DomainEvent]) -> str:
    """Return the schema as it is written down."""
    return json.dumps(make_schema(fact), indent=2) + "\n"


def _shown(schema: dict[str, Any]) -> str:
    return json.dumps(schema, separators=(",", ":"))

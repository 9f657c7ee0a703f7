"""The types of events that the product tells, their schemas, and old events as consumers are shown them."""

import dataclasses
import json
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.apps import apps

from apps.events.contracts import DomainEvent, Envelope

SCHEMAS = Path(__file__).with_name("schemas")


class UnknownVersion(ValueError):
    """An event of a release that is newer than this process, or one that no upcaster leads on from."""


@cache
def list_event_types() -> dict[str, type[DomainEvent]]:
    """Return the class of every type of event, by type."""
    modules = [f"{app.name}.events" for app in apps.get_app_configs() if app.name.startswith("apps.")]
    found = [
        each
        for module in modules
        if find_spec(module)
        for each in vars(import_module(module)).values()
        if isinstance(each, type) and issubclass(each, DomainEvent) and "type" in vars(each)
    ]
    return {each.type: each for each in sorted(found, key=lambda each: each.type)}


@cache
def read_schema(event_type: str, version: int) -> dict[str, Any]:
    """Return the JSON Schema of a type's data, as it is kept; raises FileNotFoundError where none is."""
    schema: dict[str, Any] = json.loads(schema_path(event_type, version).read_text())
    return schema


def schema_path(event_type: str, version: int) -> Path:
    """Return where the schema of a version is kept, for good."""
    return SCHEMAS / f"{event_type}.v{version}.json"


def bring_up_to_date(envelope: Envelope) -> Envelope:
    """Return an event as the newest version of its type tells it; raises UnknownVersion."""
    fact = list_event_types().get(envelope.type)
    if fact is None or envelope.version == fact.version:
        return envelope
    if envelope.version > fact.version:
        raise UnknownVersion(
            f"{envelope.type} has version {envelope.version}, but this release knows {fact.version}: "
            "replay it once all processes run the newer release"
        )
    data = envelope.data
    for version in range(envelope.version, fact.version):
        if version not in fact.upcasters:
            raise UnknownVersion(f"nothing leads from version {version} of {envelope.type} to the next")
        data = fact.upcasters[version](data)
    return dataclasses.replace(envelope, version=fact.version, data=data)

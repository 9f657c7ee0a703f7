"""Pytest plugin: whatever a test has the product tell is what the kept schema of its type says."""

from functools import cache
from typing import Any

import jsonschema
import pytest

from apps.events import services
from apps.events.contracts import DomainEvent, Envelope
from apps.events.selectors import list_event_types, read_schema


@pytest.fixture(autouse=True)
def _told_as_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    make = services._envelope

    def checked(event: DomainEvent, *given: Any) -> Envelope:
        envelope = make(event, *given)
        check_told(envelope.type, envelope.version, envelope.data)
        return envelope

    monkeypatch.setattr(services, "_envelope", checked)


def check_told(event_type: str, version: int, data: dict[str, Any]) -> None:
    """Fail unless the data is what the type's schema says; types of tests' own have none."""
    if event_type in list_event_types():
        _validator(event_type, version).validate(data)


@cache
def _validator(event_type: str, version: int) -> jsonschema.Draft202012Validator:
    schema = read_schema(event_type, version)
    # What is told now has every field, and no other.
    whole = {"required": [*schema["properties"]], "additionalProperties": False}
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    return jsonschema.Draft202012Validator(schema | whole, format_checker=checker)

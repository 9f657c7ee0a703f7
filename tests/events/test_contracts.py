"""What every event says is kept, and changes only in ways that its consumers were told of."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from uuid import UUID, uuid4

import jsonschema
import pytest
from django.utils import timezone

from aiaas.event_page import write_events
from aiaas.management.commands.list_events import PAGE
from apps.events import selectors
from apps.events.compatibility import BrokenContract, check_contract, make_schema, show_schema, write_schemas
from apps.events.contracts import DomainEvent, Envelope
from apps.events.selectors import UnknownVersion, bring_up_to_date, list_event_types, schema_path
from apps.webhooks.catalog import PUBLIC_EVENTS

REMEDY = "run: manage.py list_events --write"


@dataclass(frozen=True, kw_only=True)
class ParcelSent(DomainEvent):
    type: ClassVar[str] = "agent.parcel.sent"
    parcel_id: UUID
    weight_g: int


@dataclass(frozen=True, kw_only=True)
class WithMore(ParcelSent):
    carrier: str = ""


@dataclass(frozen=True, kw_only=True)
class WithDemand(ParcelSent):
    carrier: str


@dataclass(frozen=True, kw_only=True)
class Retyped(DomainEvent):
    type: ClassVar[str] = "agent.parcel.sent"
    parcel_id: UUID
    weight_g: str


@dataclass(frozen=True, kw_only=True)
class Without(DomainEvent):
    type: ClassVar[str] = "agent.parcel.sent"
    parcel_id: UUID


@dataclass(frozen=True, kw_only=True)
class Optional(DomainEvent):
    type: ClassVar[str] = "agent.parcel.sent"
    parcel_id: UUID
    weight_g: int = 0


@dataclass(frozen=True, kw_only=True)
class Raised(Without):
    version: ClassVar[int] = 2


@dataclass(frozen=True, kw_only=True)
class Upcast(Raised):
    upcasters: ClassVar = {1: lambda data: {"parcel_id": data["parcel_id"]}}


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A release in which parcels were sent."""
    monkeypatch.setattr(selectors, "SCHEMAS", tmp_path)
    assert write_schemas([ParcelSent]) == 1


@pytest.mark.parametrize("name", list_event_types())
def test_what_an_event_says_is_kept(name: str) -> None:
    fact = list_event_types()[name]
    check_contract(fact)
    path = schema_path(name, fact.version)
    assert path.exists(), REMEDY
    assert path.read_text() == show_schema(fact), REMEDY


def test_nothing_else_is_kept_and_the_page_is_up_to_date() -> None:
    known = {
        schema_path(fact.type, version)
        for fact in list_event_types().values()
        for version in range(1, fact.version + 1)
    }
    assert set(selectors.SCHEMAS.iterdir()) == known
    assert PAGE.read_text() == write_events(), REMEDY


@pytest.mark.parametrize("changed", [ParcelSent, WithMore, Upcast])
def test_what_consumers_can_bear_may_change(kept: None, changed: type[DomainEvent]) -> None:
    write_schemas([changed])
    assert schema_path(changed.type, changed.version).read_text() == show_schema(changed)
    assert schema_path(changed.type, 1).exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (Without, "weight_g was removed"),
        (Retyped, 'weight_g was {"type":"integer"} and is {"type":"string"}'),
        (WithDemand, "carrier is required, but older events lack it"),
        (Optional, "weight_g was always there"),
        (Raised, "version 1 needs its schema kept and an upcaster to 2"),
    ],
)
def test_what_breaks_consumers_is_refused(kept: None, changed: type[DomainEvent], message: str) -> None:
    with pytest.raises(BrokenContract) as refused:
        write_schemas([changed])
    assert message in str(refused.value)
    assert schema_path(ParcelSent.type, 1).read_text() == show_schema(ParcelSent), "nothing was written"


def envelope(version: int, **data: object) -> Envelope:
    given = {"id": uuid4(), "tenant_id": uuid4(), "occurred_at": timezone.now()}
    return Envelope(type=ParcelSent.type, version=version, data=data, **given)


def release(fact: type[DomainEvent]) -> Callable[[], dict[str, type[DomainEvent]]]:
    return lambda: {fact.type: fact}


def test_consumers_are_shown_the_newest_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selectors, "list_event_types", release(Upcast))
    old = envelope(1, parcel_id="p", weight_g=3)
    assert bring_up_to_date(old) == dataclasses.replace(old, version=2, data={"parcel_id": "p"})
    new = envelope(2, parcel_id="p")
    assert bring_up_to_date(new) is new
    with pytest.raises(UnknownVersion, match="replay it once all processes run the newer release"):
        bring_up_to_date(envelope(3))
    monkeypatch.setattr(selectors, "list_event_types", release(Raised))
    with pytest.raises(UnknownVersion, match="nothing leads from version 1"):
        bring_up_to_date(old)


@pytest.mark.parametrize("event", PUBLIC_EVENTS, ids=lambda event: event.type)
def test_a_companys_systems_are_told_the_schema_of_what_they_get(event) -> None:
    validator = jsonschema.Draft202012Validator(event.schema)
    validator.validate(event.example)
    validator.validate(event.example | {"run_id": str(uuid4())})
    if event.schema["required"]:
        assert not validator.is_valid({})


def test_data_that_is_not_what_its_schema_says_is_seen() -> None:
    validator = jsonschema.Draft202012Validator(make_schema(ParcelSent))
    event = ParcelSent(tenant_id=uuid4(), parcel_id=uuid4(), weight_g=3)
    validator.validate(event.data())
    assert not validator.is_valid(event.data() | {"weight_g": "3"})

"""Types of the values that conditions read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Type:
    """A CEL type: a scalar's name, a list of `item`, or a map with known `fields`.

    A map that is not closed may hold further keys of any type.
    """

    name: str
    item: Type | None = None
    fields: Mapping[str, Type] = field(default_factory=dict)
    is_closed: bool = False

    def __str__(self) -> str:
        return f"list of {self.item}" if self.item and self.item.name != "dyn" else self.name

    def zero(self) -> object:
        """Make the value that stands for "nothing" where a step was skipped."""
        zeros: dict[str, object] = {"bool": False, "int": 0, "double": 0.0, "string": ""}
        if self.name == "list":
            return []
        if self.name == "map":
            return {key: kind.zero() for key, kind in self.fields.items()}
        return zeros.get(self.name)


BOOL, INT, DOUBLE, STRING = Type("bool"), Type("int"), Type("double"), Type("string")
NULL, DYN = Type("null"), Type("dyn")
ANY_LIST, ANY_MAP = Type("list", item=DYN), Type("map")
NUMBERS = frozenset({"int", "double"})


def list_of(item: Type) -> Type:
    """Make a list type."""
    return Type("list", item=item)


def record(**fields: Type) -> Type:
    """Make a map type whose keys are all known."""
    return Type("map", fields=fields, is_closed=True)


def named(name: str) -> Type:
    """Find a type by the name that workflows use for it; raises KeyError."""
    kinds = {"string": STRING, "int": INT, "double": DOUBLE, "bool": BOOL, "list": ANY_LIST, "map": ANY_MAP}
    return kinds[name]


_VALUES: Mapping[str, tuple[type, ...]] = {
    "string": (str,), "int": (int,), "double": (int, float), "bool": (bool,), "list": (list,), "map": (dict,),
}  # fmt: skip


def fits(value: object, name: str) -> bool:
    """Tell whether a plain value is of the type that workflows call by this name."""
    if isinstance(value, bool):
        return name == "bool"
    return isinstance(value, _VALUES[name])


def join(first: Type, second: Type) -> Type:
    """Find the type that both values have, `dyn` when there is none."""
    if first == second:
        return first
    if first.name == second.name == "list":
        return list_of(join(first.item or DYN, second.item or DYN))
    return DYN


def comparable(first: Type, second: Type) -> bool:
    """Tell whether == between them can ever be meant."""
    if "dyn" in (first.name, second.name) or "null" in (first.name, second.name):
        return True
    return first.name == second.name or {first.name, second.name} <= NUMBERS

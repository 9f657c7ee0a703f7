"""Rows of a CSV file beside what is stored: new, the same, or in conflict."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model, QuerySet

from apps.crm import validation
from apps.crm.contracts import CsvRow
from apps.resilience.errors import InvalidInput

MAX_REPORTED = 100
BATCH = 1000
Cleaner = Callable[[dict[str, str]], dict[str, Any]]


@dataclass(frozen=True)
class ImportRow:
    """A row whose cells are right: what it makes of them, and which columns it fills."""

    line: int
    fields: dict[str, Any]
    given: tuple[str, ...]


@dataclass
class Sorted:
    """The rows of a file that are to be added, and how many are stored already."""

    new: list[ImportRow] = field(default_factory=list)
    unchanged: int = 0
    skipped: int = 0


class BadRows:
    """Collects what is wrong, by line, and refuses the file when anything is."""

    def __init__(self) -> None:
        self._problems: dict[int, list[str]] = {}

    def add(self, line: int, problem: str) -> None:
        self._problems.setdefault(line, []).append(problem)

    def refuse_any(self) -> None:
        if not self._problems:
            return
        lines = sorted(self._problems)
        more = f" The first {MAX_REPORTED} are listed." if len(lines) > MAX_REPORTED else ""
        raise InvalidInput(
            {f"line {line}": self._problems[line] for line in lines[:MAX_REPORTED]},
            f"{len(lines)} rows are not right, so nothing was imported; mend them and send the file again."
            + more,
        )


def clean_rows(rows: Iterable[CsvRow], clean: Cleaner, bad: BadRows) -> list[ImportRow]:
    """Check each row by itself; empty cells are not given."""
    cleaned = []
    for row in rows:
        given = {name: cell for name, cell in row.values.items() if cell}
        try:
            cleaned.append(ImportRow(row.line, clean(given), tuple(given)))
        except InvalidInput as exc:
            for name, problems in exc.errors.items():
                bad.add(row.line, f"{name}: {' '.join(problems)}")
    return cleaned


def from_json(rule: validation.Rule) -> validation.Rule:
    """Read a cell as JSON where it is, before its rule is asked."""

    def parse(cell: str) -> Any:
        try:
            value = json.loads(cell)
        except (ValueError, RecursionError):
            value = cell
        return rule(value)

    return parse


def refuse_repeats(rows: list[ImportRow], keys: Sequence[str], bad: BadRows) -> None:
    """Note the rows that name what an earlier row of the file names."""
    for key in keys:
        seen: dict[str, int] = {}
        for row in rows:
            value = row.fields.get(key)
            if value and seen.setdefault(value, row.line) != row.line:
                bad.add(row.line, f"{key}: {value} is in line {seen[value]} already; keep one of the two.")


def sort_out(
    rows: list[ImportRow], stored: QuerySet[Any], keys: Sequence[str], bad: BadRows, *, skip_existing: bool
) -> Sorted:
    """Tell new rows from those that are stored; one that differs is bad, unless it is to be skipped."""
    known = {key: _find(stored, key, [row.fields.get(key) for row in rows]) for key in keys}
    found = Sorted()
    for row in rows:
        key = next((key for key in keys if row.fields.get(key) in known[key]), None)
        if key is None:
            found.new.append(row)
        elif not (others := _differing(row, known[key][row.fields[key]])):
            found.unchanged += 1
        elif skip_existing:
            found.skipped += 1
        else:
            hint = "remove the row, or import with existing=skip"
            bad.add(row.line, f"{key}: {row.fields[key]} is known with another {', '.join(others)}; {hint}.")
    return found


def batches(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (values[start : start + BATCH] for start in range(0, len(values), BATCH))


def _find(stored: QuerySet[Any], key: str, values: list[Any]) -> dict[Any, Model]:
    wanted = [value for value in values if value]
    found: dict[Any, Model] = {}
    for batch in batches(wanted):
        found.update({getattr(row, key): row for row in stored.filter(**{f"{key}__in": batch})})
    return found


def _differing(row: ImportRow, stored: Any) -> list[str]:
    return [name for name in row.given if row.fields.get(name) != getattr(stored, name)]

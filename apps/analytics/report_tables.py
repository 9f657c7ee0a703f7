"""A period's figures as tables of text: what the reports page, its CSV files and the weekly mail show."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO

from apps.analytics.kpis import KPIS
from apps.analytics.selectors import read_kpis
from apps.analytics.spans import Span
from apps.analytics.tables import AgentRow, GroupRow, read_agents, read_groups
from apps.analytics.writing import NOTHING, write_cost, write_duration
from apps.tenants.contracts import TenantRef

TITLES = {
    "kpis": "All figures",
    "days": "Figures by day",
    "agents": "By person",
    "channels": "By channel",
    "intents": "By intent",
}
AGENT_HEAD = ("Person", "Replies", "Claims", "Resolved", "First reply, median", "Rated", "CSAT")
GROUP_HEAD = (
    "Conversations", "AI resolution", "Escalation", "First response, median", "Rated", "CSAT", "Cost",
)  # fmt: skip
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class TextTable:
    """Rows of text under a head; the first cell names the row."""

    name: str
    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


def read_table(*, tenant: TenantRef, span: Span, name: str) -> TextTable:
    """Return one of the tables that TITLES names."""
    head, rows = READERS[name](tenant, span)
    return TextTable(name, TITLES[name], head, rows)


def write_csv(table: TextTable) -> str:
    """Return a table as CSV, in which no cell is a spreadsheet's formula."""
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(table.head)
    writer.writerows([_harmless(cell) for cell in row] for row in table.rows)
    return text.getvalue()


Read = tuple[tuple[str, ...], list[tuple[str, ...]]]


def _read_kpis(tenant: TenantRef, span: Span) -> Read:
    report = read_kpis(tenant=tenant, span=span)
    rows: list[tuple[str, ...]] = [
        (kpi.key, kpi.label, kpi.unit, _exact(report.values[kpi.key]), _exact(report.before[kpi.key]))
        for kpi in KPIS
    ]
    return ("figure", "label", "unit", "value", "before"), rows


def _read_days(tenant: TenantRef, span: Span) -> Read:
    report = read_kpis(tenant=tenant, span=span)
    head = ("day", *(kpi.key for kpi in KPIS))
    rows = [
        (step.astimezone(span.zone).date().isoformat(), *(_exact(values[kpi.key]) for kpi in KPIS))
        for step, values in report.steps
    ]
    return head, rows


def _read_agents(tenant: TenantRef, span: Span) -> Read:
    return AGENT_HEAD, [_agent(row) for row in read_agents(tenant=tenant, span=span)]


def _read_channels(tenant: TenantRef, span: Span) -> Read:
    rows = read_groups(tenant=tenant, span=span, by="channel")
    return ("Channel", *GROUP_HEAD), [_group(row) for row in rows]


def _read_intents(tenant: TenantRef, span: Span) -> Read:
    rows = read_groups(tenant=tenant, span=span, by="intent")
    return ("Intent", *GROUP_HEAD), [_group(row) for row in rows]


READERS: dict[str, Callable[[TenantRef, Span], Read]] = {
    "kpis": _read_kpis,
    "days": _read_days,
    "agents": _read_agents,
    "channels": _read_channels,
    "intents": _read_intents,
}


def _agent(row: AgentRow) -> tuple[str, ...]:
    numbers = (f"{row.replies:,}", f"{row.claims:,}", f"{row.resolutions:,}")
    rated = (f"{row.rated:,}", _share(row.rated_good, row.rated))
    return (row.name, *numbers, _duration(row.first_reply_ms), *rated)


def _group(row: GroupRow) -> tuple[str, ...]:
    return (
        row.name or "none",
        f"{row.conversations:,}",
        _share(row.resolved, row.ai_involved),
        _share(row.escalated, row.conversations),
        _duration(row.first_response_ms),
        f"{row.rated:,}",
        _share(row.rated_good, row.rated),
        write_cost(row.cost_microusd),
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}".replace("%", " %") if whole else NOTHING


def _duration(ms: int | None) -> str:
    return NOTHING if ms is None else write_duration(ms)


def _exact(value: object) -> str:
    return "" if value is None else str(value)


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell

"""KPIs from sums of measures; definitions in docs/analytics.md."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from apps.analytics.facts import EDGES_MS

EXACT = Decimal("0.000001")
ALL, RESOLVED = ("conversations",), ("confirmed", "assumed")
WORDS = {
    ALL: "conversations",
    ("ai_involved",): "conversations with the AI involved",
    ("closed",): "closed conversations",
    ("rated",): "rated conversations",
    ("questions",): "answered questions",
    RESOLVED: "resolved conversations",
}


@dataclass(frozen=True)
class Kpi:
    """How a KPI is called, summed and written.

    Its rows are the conversations that add to one of `parts`; what they add sums up to the figure, for a
    ratio and money after division by the sum of `whole`. `is_good` says which way is better.
    """

    key: str
    label: str
    unit: str  # count, ratio, duration_ms, usd
    parts: tuple[str, ...]
    whole: tuple[str, ...] = ALL
    is_good: int = 0  # 1 more is better, -1 less is better, 0 neither

    @property
    def duration(self) -> str:
        """Return the name of the durations that it is a percentile of, else an empty string."""
        return self.parts[0].removesuffix(":count") if self.unit == "duration_ms" else ""


def _percentiles(name: str, label: str, *percents: int) -> Iterable[Kpi]:
    for percent in percents:
        share = "median" if percent == 50 else f"{percent} %"
        yield Kpi(f"{name}_p{percent}", f"{label}, {share}", "duration_ms", (f"{name}:count",), ALL, -1)


KPIS = (
    Kpi("conversations", "Conversations", "count", ALL),
    Kpi("ai_involvement", "AI involvement", "ratio", ("ai_involved",)),
    Kpi("resolution_rate", "AI resolution", "ratio", RESOLVED, ("ai_involved",), 1),
    Kpi("confirmed_rate", "Confirmed resolution", "ratio", ("confirmed",), ("ai_involved",), 1),
    Kpi("automation_rate", "Automation", "ratio", RESOLVED, ALL, 1),
    Kpi("escalation_rate", "Escalation", "ratio", ("escalated",), ALL, -1),
    *_percentiles("first_response", "First response", 50, 90, 99),
    *_percentiles("first_response_ai", "First response by the AI", 50, 90, 99),
    *_percentiles("first_response_human", "First response by a person", 50, 90, 99),
    *_percentiles("handoff", "Wait after a handover", 50, 90),
    *_percentiles("resolution", "Time to resolution", 50),
    Kpi("reopen_rate", "Reopened within 7 days", "ratio", ("reopened",), ("closed",), -1),
    Kpi("csat", "CSAT", "ratio", ("rated_good",), ("rated",), 1),
    Kpi("csat_response_rate", "CSAT response", "ratio", ("rated",), ALL, 1),
    Kpi("knowledge_gap_rate", "Questions without a source", "ratio", ("gaps",), ("questions",), -1),
    Kpi("cost_per_conversation", "Cost per conversation", "usd", ("cost_microusd",), ALL, -1),
    Kpi("cost_per_resolution", "Cost per resolution", "usd", ("cost_microusd",), RESOLVED, -1),
)
BY_KEY = {kpi.key: kpi for kpi in KPIS}
Value = Decimal | int | None


def compute(sums: Mapping[str, int], kpis: Iterable[Kpi] = KPIS) -> dict[str, Value]:
    """Return KPIs of a period; None where there is nothing to divide by or to measure."""
    return {kpi.key: _compute(kpi, sums) for kpi in kpis}


def measures_of(kpis: Iterable[Kpi]) -> list[str]:
    """Return the measures that KPIs are computed from."""
    classes = [f"le{number:02d}" for number in range(len(EDGES_MS) + 1)]
    names = {name for kpi in kpis for name in (*kpi.parts, *kpi.whole)}
    return sorted(names | {f"{kpi.duration}:{name}" for kpi in kpis if kpi.duration for name in classes})


def total(sums: Mapping[str, int], names: Iterable[str]) -> int:
    """Return what measures add up to."""
    return sum(sums.get(name, 0) for name in names)


def percentile_ms(sums: Mapping[str, int], name: str, percent: int) -> int | None:
    """Return the upper edge of the class in which that share of the durations is reached.

    So it reads "at most"; behind the last edge it is that edge.
    """
    measured = sums.get(f"{name}:count", 0)
    reached = 0
    for number in range(len(EDGES_MS) + 1 if measured else 0):
        reached += sums.get(f"{name}:le{number:02d}", 0)
        if reached * 100 >= percent * measured:
            return EDGES_MS[min(number, len(EDGES_MS) - 1)]
    return None


def reasons(sums: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the reasons of escalations, the most frequent first."""
    found = [
        (name.removeprefix("reason:"), n) for name, n in sums.items() if name.startswith("reason:") and n
    ]
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))


def _compute(kpi: Kpi, sums: Mapping[str, int]) -> Value:
    match kpi.unit:
        case "count":
            return total(sums, kpi.parts)
        case "duration_ms":
            return percentile_ms(sums, kpi.duration, int(kpi.key.rpartition("_p")[2]))
        case "usd":
            return _divide(total(sums, kpi.parts), total(sums, kpi.whole) * 1_000_000)
    return _divide(total(sums, kpi.parts), total(sums, kpi.whole))


def _divide(part: int, whole: int) -> Decimal | None:
    return (Decimal(part) / Decimal(whole)).quantize(EXACT) if whole else None

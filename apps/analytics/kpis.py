"""KPIs from sums of measures; definitions in docs/analytics.md."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from apps.analytics.facts import EDGES_MS

EXACT = Decimal("0.000001")


@dataclass(frozen=True)
class Kpi:
    """How a KPI is called and written; `rows` names the facts behind it, `is_good` which way is better."""

    key: str
    label: str
    unit: str  # count, ratio, duration_ms, usd
    rows: str = "all"
    is_good: int = 0  # 1 more is better, -1 less is better, 0 neither


KPIS = (
    Kpi("conversations", "Conversations", "count"),
    Kpi("ai_involvement", "AI involvement", "ratio", "ai_involved"),
    Kpi("resolution_rate", "AI resolution", "ratio", "resolved", 1),
    Kpi("confirmed_rate", "Confirmed resolution", "ratio", "confirmed", 1),
    Kpi("automation_rate", "Automation", "ratio", "resolved", 1),
    Kpi("escalation_rate", "Escalation", "ratio", "escalated", -1),
    Kpi("first_response_p50", "First response, median", "duration_ms", "answered", -1),
    Kpi("first_response_p90", "First response, 90 %", "duration_ms", "answered", -1),
    Kpi("first_response_p99", "First response, 99 %", "duration_ms", "answered", -1),
    Kpi("first_response_ai_p50", "First response by the AI, median", "duration_ms", "answered", -1),
    Kpi("first_response_ai_p90", "First response by the AI, 90 %", "duration_ms", "answered", -1),
    Kpi("first_response_ai_p99", "First response by the AI, 99 %", "duration_ms", "answered", -1),
    Kpi("first_response_human_p50", "First response by a person, median", "duration_ms", "escalated", -1),
    Kpi("first_response_human_p90", "First response by a person, 90 %", "duration_ms", "escalated", -1),
    Kpi("first_response_human_p99", "First response by a person, 99 %", "duration_ms", "escalated", -1),
    Kpi("handoff_p50", "Wait after a handover, median", "duration_ms", "escalated", -1),
    Kpi("handoff_p90", "Wait after a handover, 90 %", "duration_ms", "escalated", -1),
    Kpi("resolution_p50", "Time to resolution, median", "duration_ms", "all", -1),
    Kpi("reopen_rate", "Reopened within 7 days", "ratio", "reopened", -1),
    Kpi("csat", "CSAT", "ratio", "rated", 1),
    Kpi("csat_response_rate", "CSAT response", "ratio", "rated", 1),
    Kpi("knowledge_gap_rate", "Questions without a source", "ratio", "gap", -1),
    Kpi("cost_per_conversation", "Cost per conversation", "usd", "all", -1),
    Kpi("cost_per_resolution", "Cost per resolution", "usd", "resolved", -1),
)
BY_KEY = {kpi.key: kpi for kpi in KPIS}
RATIOS = {
    "ai_involvement": (("ai_involved",), "conversations"),
    "resolution_rate": (("confirmed", "assumed"), "ai_involved"),
    "confirmed_rate": (("confirmed",), "ai_involved"),
    "automation_rate": (("confirmed", "assumed"), "conversations"),
    "escalation_rate": (("escalated",), "conversations"),
    "reopen_rate": (("reopened",), "closed"),
    "csat": (("rated_good",), "rated"),
    "csat_response_rate": (("rated",), "conversations"),
    "knowledge_gap_rate": (("gaps",), "questions"),
}
Value = Decimal | int | None


def compute(sums: Mapping[str, int]) -> dict[str, Value]:
    """Return every KPI of a period; None where there is nothing to divide by or to measure."""
    found: dict[str, Value] = {"conversations": sums.get("conversations", 0)}
    for key, (parts, whole) in RATIOS.items():
        found[key] = _divide(sum(sums.get(part, 0) for part in parts), sums.get(whole, 0))
    for kpi in KPIS:
        if kpi.unit == "duration_ms":
            name, _, percent = kpi.key.rpartition("_p")
            found[kpi.key] = percentile_ms(sums, name, int(percent))
    cost = sums.get("cost_microusd", 0)
    resolved = sums.get("confirmed", 0) + sums.get("assumed", 0)
    found["cost_per_conversation"] = _divide(cost, sums.get("conversations", 0) * 1_000_000)
    found["cost_per_resolution"] = _divide(cost, resolved * 1_000_000)
    return found


def percentile_ms(sums: Mapping[str, int], name: str, percent: int) -> int | None:
    """Return the upper edge of the class in which that share of the durations is reached.

    So it reads "at most"; behind the last edge it is that edge.
    """
    total = sums.get(f"{name}:count", 0)
    reached = 0
    for number in range(len(EDGES_MS) + 1):
        reached += sums.get(f"{name}:le{number:02d}", 0)
        if total and reached * 100 >= percent * total:
            return EDGES_MS[min(number, len(EDGES_MS) - 1)]
    return None


def reasons(sums: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the reasons of escalations, the most frequent first."""
    found = [
        (name.removeprefix("reason:"), n) for name, n in sums.items() if name.startswith("reason:") and n
    ]
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))


def _divide(part: int, whole: int) -> Decimal | None:
    return (Decimal(part) / Decimal(whole)).quantize(EXACT) if whole else None

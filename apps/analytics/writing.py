"""How figures are written for people."""

from decimal import Decimal

from apps.analytics.kpis import WORDS, Kpi, Value, total
from apps.analytics.selectors import Sums

NOTHING = "–"  # noqa: RUF001 - a dash


def write_value(kpi: Kpi, value: Value) -> str:
    """Return a value as people read it; a dash where there is none."""
    if value is None:
        return NOTHING
    match kpi.unit:
        case "ratio":
            return f"{Decimal(value) * 100:.1f} %"
        case "usd":
            return f"${value:.4f}"
        case "duration_ms":
            return write_duration(int(value))
    return f"{value:,}"


def write_duration(ms: int) -> str:
    """Return a duration in its largest unit, with three digits."""
    for unit_ms, name in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")):
        if ms >= unit_ms:
            return f"{ms / unit_ms:.3g} {name}"
    return f"{ms} ms"


def write_cost(microusd: int) -> str:
    """Return what models cost."""
    return f"${Decimal(microusd) / 1_000_000:.4f}"


def write_change(kpi: Kpi, value: Value, before: Value) -> tuple[str, str]:
    """Return the change, and whether that is good news: up, down or an empty string."""
    if value is None or before is None or value == before:
        return "", ""
    difference = Decimal(value) - Decimal(before)
    trend = "" if not kpi.is_good else "up" if (difference > 0) == (kpi.is_good > 0) else "down"
    if kpi.unit == "ratio":
        return f"{difference * 100:+.1f} points", trend
    return (f"{difference / Decimal(before) * 100:+.0f} %" if before else ""), trend


def explain(kpi: Kpi, sums: Sums) -> str:
    """Return what a figure is made of, so that the rows behind it can be counted."""
    part, whole = total(sums, kpi.parts), total(sums, kpi.whole)
    match kpi.unit:
        case "ratio":
            return f"{part:,} of {whole:,} {WORDS[kpi.whole]}."
        case "usd":
            return f"{write_cost(part)} for {whole:,} {WORDS[kpi.whole]}."
        case "duration_ms":
            return f"Measured in {part:,} conversations; at most so long in that share of them."
    return f"{part:,} {WORDS[kpi.whole]}."

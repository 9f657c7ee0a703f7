"""Confidence as bars, drawn on the server."""

from dataclasses import dataclass

from apps.conversations.contracts import ConfidenceCounts
from apps.routing.contracts import ESCALATION_CONFIDENCE

WIDTH, HEIGHT, FOOT = 640, 130, 18


@dataclass(frozen=True)
class Bar:
    """A tenth of the confidence, from `from_percent`; `is_unsure` where a person decides."""

    from_percent: int
    label: str
    count: int
    is_unsure: bool
    x: str
    y: str
    width: str
    height: str


@dataclass(frozen=True)
class Histogram:
    bars: list[Bar]
    total: int
    looked_at: int
    width: int = WIDTH
    height: int = HEIGHT


def draw_confidence(counts: ConfidenceCounts) -> Histogram:
    """Return one bar for each tenth, the highest as high as the chart."""
    top, step = max(counts.tenths) or 1, WIDTH / len(counts.tenths)
    bars = []
    for place, count in enumerate(counts.tenths):
        height = count * (HEIGHT - 2 * FOOT) / top
        bars.append(
            Bar(
                from_percent=place * 10,
                label=f"{place * 10} to {place * 10 + 10}%",
                count=count,
                is_unsure=place < round(ESCALATION_CONFIDENCE * 10),
                x=f"{place * step + 2:.1f}",
                y=f"{HEIGHT - FOOT - height:.1f}",
                width=f"{step - 4:.1f}",
                height=f"{height:.1f}",
            )
        )
    return Histogram(bars, counts.total, counts.looked_at)

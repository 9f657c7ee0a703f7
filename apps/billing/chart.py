"""Usage by day as bars, drawn on the server."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from apps.billing.contracts import DailyUsage

WIDTH, HEIGHT, FOOT = 640, 120, 18


@dataclass(frozen=True)
class Bar:
    x: str
    y: str
    width: str
    height: str
    label: str


@dataclass(frozen=True)
class Chart:
    """The bars of one kind; `marks` label the first and the last day."""

    kind: str
    label: str
    total: int
    top: int
    bars: list[Bar]
    marks: list[tuple[str, str, str]]


def draw_days(kind: str, label: str, usage: Sequence[DailyUsage], days: Sequence[dt.date]) -> Chart:
    """Return one bar a day, the highest as high as the chart."""
    quantities = {day.date: day.quantity for day in usage if day.kind == kind}
    top, step = max(quantities.values(), default=0), WIDTH / max(len(days), 1)
    bars = []
    for place, day in enumerate(days):
        quantity = quantities.get(day, 0)
        height = quantity * (HEIGHT - FOOT) / top if top else 0
        bars.append(
            Bar(
                x=f"{place * step + 1:.1f}",
                y=f"{HEIGHT - FOOT - height:.1f}",
                width=f"{max(step - 2, 1):.1f}",
                height=f"{height:.1f}",
                label=f"{day.day} {day:%B}: {quantity:,}",
            )
        )
    ends = [("0", "start", days[0]), (str(WIDTH), "end", days[-1])] if days else []
    marks = [(x, side, f"{day.day} {day:%b}") for x, side, day in ends]
    return Chart(kind, label, sum(quantities.values()), top, bars, marks)

"""Lines as SVG paths, drawn on the server: no script, no style attribute."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

WIDTH, HEIGHT, TOP, FOOT, SIDE = 320, 104, 16, 16, 4
Point = Decimal | int | None


@dataclass(frozen=True)
class Line:
    """A path of the values; gaps where there is none. `dots` mark values that stand alone."""

    path: str
    dots: list[tuple[str, str]]


def draw_line(values: Sequence[Point], *, top: Point) -> Line:
    """Return the line of a series between 0 and `top`, in a box of WIDTH by HEIGHT."""
    highest = Decimal(top or 0) or Decimal(1)
    step = Decimal(WIDTH - 2 * SIDE) / max(len(values) - 1, 1)
    places = [
        None if value is None else (_at(SIDE + step * n), _at(HEIGHT - FOOT - _height(value, highest)))
        for n, value in enumerate(values)
    ]
    parts, dots = [], []
    for n, place in enumerate(places):
        if place is None:
            continue
        follows = n > 0 and places[n - 1] is not None
        parts.append(f"{'L' if follows else 'M'}{place[0]} {place[1]}")
        if not follows and (n + 1 == len(places) or places[n + 1] is None):
            dots.append(place)
    return Line("".join(parts), dots)


def _height(value: Decimal | int, highest: Decimal) -> Decimal:
    return Decimal(value) / highest * (HEIGHT - TOP - FOOT)


def _at(place: Decimal) -> str:
    return f"{place:.1f}"

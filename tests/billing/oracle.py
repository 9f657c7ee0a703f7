"""What usage costs, in fractions and without any of the product's code."""

from fractions import Fraction
from math import floor

Steps = list[tuple[int, Fraction]]  # units above the first so many cost so much each


def cost_of(quantity: int, steps: Steps) -> Fraction:
    """Add up band by band what each of the units costs."""
    total = Fraction(0)
    for place, (start, price) in enumerate(steps):
        end = steps[place + 1][0] if place + 1 < len(steps) else quantity
        total += max(0, min(quantity, end) - start) * price
    return total


def cents(amount: Fraction) -> int:
    """Round half up to whole cents."""
    return floor(amount * 100 + Fraction(1, 2))

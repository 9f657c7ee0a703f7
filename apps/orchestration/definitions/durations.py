"""Lengths of time as workflows write them: 30s, 15m, 2h, 1.5d."""

from __future__ import annotations

import re

DURATION = re.compile(r"^[0-9]{1,6}([.][0-9]{1,3})?[smhd]$")
MAX_DURATION_S = 366 * 86_400.0
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def duration_s(text: str) -> float:
    """Return the seconds; raises ValueError for what is no duration, or longer than a year."""
    if not DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is no duration: write for instance 30s, 15m, 2h or 3d")
    seconds = float(text[:-1]) * _UNITS_S[text[-1]]
    if seconds > MAX_DURATION_S:
        raise ValueError(f"{text!r} is longer than a year")
    return seconds

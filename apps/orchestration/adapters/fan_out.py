"""Deltas to every sink that the settings name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apps.orchestration.ports import DeltaSink


class FanOut:
    """One sink made of several."""

    def __init__(self, sinks: Sequence[DeltaSink]) -> None:
        self._sinks = sinks

    def is_heard(self, **where: Any) -> bool:
        """Tell whether anybody listens to any of them."""
        return any(sink.is_heard(**where) for sink in self._sinks)

    def emit(self, **piece: Any) -> None:
        """Pass a piece on to each sink."""
        for sink in self._sinks:
            sink.emit(**piece)

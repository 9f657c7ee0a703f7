"""An app for processes that are to die: at a named point, whoever finds a warrant there dies of it.

It is installed by `benchmarks.faults.settings` alone, which no process of the product ever runs with.
"""

import functools
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.apps import AppConfig

from benchmarks.faults.points import POINTS, Point, find_place

_within = threading.local()


class MortalConfig(AppConfig):
    name = "benchmarks.faults.mortal"
    label = "mortal"

    def ready(self) -> None:
        folder = Path(os.environ["FAULTS_FOLDER"])
        for place in sorted({point.place for point in POINTS}):
            _wrap(place, [point for point in POINTS if point.place == place], folder)
        if lease_s := float(os.environ.get("FAULTS_LEASE_S", 0)):
            _shorten_leases(lease_s)
            _start_cold()


def _wrap(place: str, points: list[Point], folder: Path) -> None:
    holder, name = find_place(place)
    real: Callable[..., Any] = getattr(holder, name)

    @functools.wraps(real)
    def mortal(*args: Any, **kwargs: Any) -> Any:
        _pass(points, True, folder)
        depth = _depth()
        depth[place] += 1
        try:
            result = real(*args, **kwargs)
        finally:
            depth[place] -= 1
        _pass(points, False, folder)
        return result

    setattr(holder, name, mortal)


def _pass(points: list[Point], is_before: bool, folder: Path) -> None:
    depth = _depth()
    for point in points:
        counts = (not point.within or depth[point.within]) and not depth[point.outside]
        if point.is_before == is_before and counts:
            _die_if_told(point.name, folder)


def _die_if_told(point: str, folder: Path) -> None:
    """Take the warrant, which nobody else can then, note the death, and die."""
    for what in (signal.SIGKILL, signal.SIGSTOP):
        try:
            (folder / f"{what.name} {point}").unlink()
        except FileNotFoundError:
            continue
        with (folder / "deaths").open("a") as deaths:
            deaths.write(f"{what.name}\t{point}\t{os.getpid()}\t{time.monotonic()}\n")
        os.kill(os.getpid(), what)


def _depth() -> Counter[str]:
    if not hasattr(_within, "depth"):
        _within.depth = Counter()
    depth: Counter[str] = _within.depth
    return depth


def _start_cold() -> None:
    """Load no models: sagas ask for none, and a short proof starts processes often."""
    from apps.orchestration import services

    services.warm_up = lambda: None


def _shorten_leases(lease_s: float) -> None:
    """So that a short proof need not wait: the figures of takeovers are those of the default lease only."""
    from apps.orchestration.engine import leases

    for name, module in list(sys.modules.items()):
        if name.startswith("apps.orchestration.") and hasattr(module, "LEASE_S"):
            module.LEASE_S = lease_s
    leases.KEEPER._renew_s = lease_s / 3

"""Run the relay, the consumers and beat in one process."""

import signal
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from celery.beat import Scheduler, Service
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from aiaas.celery import app
from aiaas.observability.pulse import start_pulse
from workers.background import LoopThread, run_relay
from workers.consumers import run_consumers

log = structlog.get_logger(__name__)
STALE_S = 60.0
PARTS = ("relay", "consumers", "beat")


class Pulse:
    """When each part last turned; a file that is touched while all of them do says that we are well."""

    def __init__(self, path: str) -> None:
        self.path = Path(path) if path else None
        self.turned: dict[str, float] = {}

    def beat(self, part: str) -> None:
        self.turned[part] = time.monotonic()

    def show(self, parts: list[str]) -> None:
        now = time.monotonic()
        if self.path and all(now - self.turned.get(part, float("-inf")) < STALE_S for part in parts):
            self.path.touch()


class Command(BaseCommand):
    help = "Run the outbox relay, the event consumers and the schedule in one process."
    requires_system_checks = ()  # they would load every page of the product

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--only", choices=PARTS, help="run one part alone, to scale it on its own")
        parser.add_argument("--ready-file", default=settings.READY_FILE)

    def handle(self, *args: Any, **options: Any) -> None:
        parts = [options["only"]] if options["only"] else list(PARTS)
        pulse, asked = Pulse(options["ready_file"]), threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: asked.set())
        mains = {"relay": run_relay, "consumers": run_consumers}
        loops = [
            LoopThread(part, partial(main, on_turn=partial(pulse.beat, part)))
            for part, main in mains.items()
            if part in parts
        ]
        beat = Service(app, scheduler_cls=Scheduler) if "beat" in parts else None
        for loop in loops:
            loop.start()
        start_pulse("background")
        if beat:
            threading.Thread(target=beat.start, kwargs={"embedded_process": True}, daemon=True).start()
        self._watch(loops, pulse, asked, [part for part in parts if part != "beat"])
        for loop in loops:
            loop.stop()
        if beat:
            beat.stop()
        for loop in loops:
            loop.join(timeout=10)
        if any(loop.failure for loop in loops):
            raise SystemExit(1)

    def _watch(self, loops: list[LoopThread], pulse: Pulse, asked: threading.Event, parts: list[str]) -> None:
        while not asked.wait(1.0):
            pulse.show(parts)
            if any(loop.failure for loop in loops):
                return

"""Sends away, within about a second, whoever has lost what they were admitted by."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any

import structlog

from apps.realtime.threads import in_thread

logger = structlog.get_logger(__name__)

ROUND_EVERY_S = 0.8

FindUnwelcome = Callable[[Collection[Any]], Mapping[Any, Exception]]


class Guard:
    """Ask again about everybody who is connected to this process, all at once.

    What is asked is the database, whoever has changed it: no notice can be lost, and a crowd costs
    as many queries as one socket. While the database is away everybody stays, and can do nothing.
    """

    def __init__(self, find_unwelcome: FindUnwelcome) -> None:
        self._find_unwelcome = find_unwelcome
        self._guests: dict[asyncio.Future[None], object] = {}
        self._rounds: asyncio.Task[None] | None = None

    async def watch(self, guest: object) -> None:
        """Wait until a guest may stay no longer, and raise the reason."""
        verdict: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._guests[verdict] = guest
        if self._rounds is None:
            self._rounds = asyncio.create_task(self._go_round())
        try:
            await verdict
        finally:
            del self._guests[verdict]
            if not self._guests and self._rounds is not None:
                self._rounds.cancel()
                self._rounds = None

    async def _go_round(self) -> None:
        while True:
            await asyncio.sleep(ROUND_EVERY_S)
            try:
                unwelcome = await in_thread(self._find_unwelcome, set(self._guests.values()))
            except Exception as error:
                logger.warning("guard_cannot_ask", error=repr(error))
                continue
            for verdict, guest in self._guests.items():
                if guest in unwelcome and not verdict.done():
                    verdict.set_exception(unwelcome[guest])

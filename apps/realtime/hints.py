"""Tell sockets that there is something to read: from any thread, without waiting, without ever failing."""

import asyncio
import atexit
import os
import threading
from collections.abc import Mapping
from typing import Any

import structlog
from channels.layers import get_channel_layer

logger = structlog.get_logger(__name__)

MAX_PENDING = 1_000


class HintSender:
    """Send group messages from one background event loop of this process.

    Hints may be lost: sockets learn from the next hint or heartbeat what they missed. So a hint that cannot
    be sent at once is dropped rather than kept, and a writer pays microseconds even while Valkey is away.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forget_loop()

    def send(self, group: str, message: Mapping[str, Any]) -> None:
        try:
            loop = self._running_loop()
            if self._pending >= MAX_PENDING:
                return
            self._pending += 1
            asyncio.run_coroutine_threadsafe(self._send(group, message), loop)
        except Exception:
            logger.exception("hint_not_sent", group=group)

    def close(self) -> None:
        """Stop the background loop; the next `send` starts another."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._forget_loop()
        if loop is None or thread is None or not thread.is_alive():
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=2)

    def _forget_loop(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._pending = 0
        self._is_away = False

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._pid != os.getpid():  # a forked child has no thread of its own yet
                self._forget_loop()
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_run, args=(self._loop,), name="hints", daemon=True)
                self._thread.start()
            return self._loop

    async def _send(self, group: str, message: Mapping[str, Any]) -> None:
        try:
            async with asyncio.timeout(2):
                await get_channel_layer().group_send(group, message)
            self._is_away = False
        except Exception as error:
            if not self._is_away:  # one line per outage
                logger.warning("hints_cannot_be_sent", error=repr(error))
            self._is_away = True
        finally:
            self._pending -= 1


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


sender = HintSender()
atexit.register(sender.close)

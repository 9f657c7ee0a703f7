"""What waits to be written to one socket: bounded, with the fleeting frames folded together."""

import asyncio
from collections import OrderedDict
from itertools import count

import orjson

from apps.realtime.frames import Frame

MAX_FRAMES = 64
MAX_BYTES = 256 * 1024


class SlowSocket(Exception):
    """The client does not read as fast as it is written to: close with 4408, it will resume."""


class Outbound:
    """Queue frames for one socket; at most MAX_FRAMES and MAX_BYTES wait at any time.

    Frames that only tell the present (typing, status, heartbeat) replace their waiting predecessor, deltas
    of one reply are joined.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[object, tuple[Frame, bytes]] = OrderedDict()
        self._numbers = count()
        self._bytes = 0
        self._filled, self._drained = asyncio.Event(), asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, frame: Frame) -> None:
        """Queue a frame now; raises SlowSocket when there is no room."""
        encoded = orjson.dumps(frame)
        if not self._has_room(len(encoded)):
            raise SlowSocket
        self._append(next(self._numbers), frame, encoded)

    async def put(self, frame: Frame) -> None:
        """Queue a frame as soon as there is room."""
        encoded = orjson.dumps(frame)
        while self._waiting and not self._has_room(len(encoded)):
            self._drained.clear()
            await self._drained.wait()
        self._append(next(self._numbers), frame, encoded)

    def push_fleeting(self, frame: Frame) -> None:
        """Queue a frame that only tells the present: folded into a waiting one, dropped when full."""
        key = (frame["type"], frame.get("reply_id"), frame.get("author"))
        before, before_encoded = self._waiting.pop(key, ({}, b""))
        self._bytes -= len(before_encoded)
        if before and frame["type"] == "delta":
            frame = _join_deltas(before, frame)
        encoded = orjson.dumps(frame)
        if self._has_room(len(encoded)):
            self._append(key, frame, encoded)

    async def take(self) -> str:
        """Return the next frame, encoded, as soon as there is one."""
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        _, (_, encoded) = self._waiting.popitem(last=False)
        self._bytes -= len(encoded)
        self._drained.set()
        return encoded.decode()

    def _has_room(self, size_bytes: int) -> bool:
        return len(self) < MAX_FRAMES and self._bytes + size_bytes <= MAX_BYTES

    def _append(self, key: object, frame: Frame, encoded: bytes) -> None:
        self._waiting[key] = (frame, encoded)
        self._bytes += len(encoded)
        self._filled.set()


def _join_deltas(first: Frame, second: Frame) -> Frame:
    joins_at = first["offset"] + len(first["text"])
    if second["offset"] == joins_at:
        return {**first, "text": first["text"] + second["text"]}
    return second if second["offset"] > joins_at else first

"""Values that a process remembers for a while."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Memory(Generic[T]):
    """Remember values by key for a while, in this process."""

    def __init__(self, keep_s: float, max_items: int = 10_000) -> None:
        self._keep_s, self._max_items = keep_s, max_items
        self._items: dict[tuple[str, ...], tuple[float, T]] = {}
        self._lock = threading.Lock()

    def get(self, key: tuple[str, ...], read: Callable[[], T]) -> T:
        """Return the remembered value, or read and remember it."""
        known = self._items.get(key)
        if known and known[0] > time.monotonic():
            return known[1]
        value = read()
        with self._lock:
            if len(self._items) >= self._max_items:
                self._items.clear()
            self._items[key] = (time.monotonic() + self._keep_s, value)
        return value

    def forget(self) -> None:
        """Drop everything, for tests and after what was read has changed in this process."""
        with self._lock:
            self._items.clear()

"""Loaded models of this process, the least recently used dropped first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from apps.routing.classifier import IntentClassifier

MAX_BYTES = 256 * 1024 * 1024


class ModelCache:
    """Keeps models up to a total size; a key must never stand for two different models."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._models: OrderedDict[Hashable, IntentClassifier] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, load: Callable[[], IntentClassifier]) -> IntentClassifier:
        """Return the model of a key, loading it at most once per caller; loading holds no lock."""
        with self._lock:
            if key in self._models:
                self._models.move_to_end(key)
                return self._models[key]
        model = load()
        with self._lock:
            self._models[key] = model
            self._models.move_to_end(key)
            self._drop_oldest()
        return model

    def __contains__(self, key: Hashable) -> bool:
        return key in self._models

    def _drop_oldest(self) -> None:
        while len(self._models) > 1 and sum(m.size_bytes for m in self._models.values()) > self._max_bytes:
            self._models.popitem(last=False)

"""Remembers the vectors of recent texts: questions asked twice, sentences quoted often."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np


class VectorMemory:
    """A bounded memory in front of an embedder, safe to share between threads.

    What it does not know it embeds in one call.
    """

    def __init__(self, embed: Callable[[Sequence[str]], np.ndarray], *, max_texts: int = 4096) -> None:
        self._embed, self._max_texts = embed, max_texts
        self._vectors: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, texts: Sequence[str]) -> np.ndarray:
        """Return shape (len(texts), dimensions)."""
        known = self._recall(texts)
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        if missing:
            # Copies, for a row would keep its whole batch in memory.
            known.update((text, row.copy()) for text, row in zip(missing, self._embed(missing), strict=True))
            self._keep(known)
        return np.stack([known[text] for text in texts])

    def get_one(self, text: str) -> np.ndarray:
        """Return the vector of one text, read-only."""
        vector: np.ndarray = self.get([text])[0]
        vector.flags.writeable = False
        return vector

    def _recall(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        with self._lock:
            return {text: self._vectors[text] for text in texts if text in self._vectors}

    def _keep(self, used: dict[str, np.ndarray]) -> None:
        with self._lock:
            for text, vector in used.items():
                self._vectors[text] = vector
                self._vectors.move_to_end(text)
            while len(self._vectors) > self._max_texts:
                self._vectors.popitem(last=False)

"""What the product asks of a model, whoever makes it."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from apps.inference.contracts import ChatRequest, ChatResult

OnDelta = Callable[[str], None]


class Embedder(Protocol):
    """Turns text into unit vectors of float32."""

    dimensions: int
    fingerprint: str

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return shape (len(texts), dimensions)."""
        ...

    def count_tokens(self, text: str) -> int:
        """Count the tokens of the whole text, before any truncation."""
        ...


class ChatModel(Protocol):
    """Answers a request; calls `on_delta` with each piece of text as it comes."""

    provider: str

    def complete(self, request: ChatRequest, on_delta: OnDelta | None = None) -> ChatResult:
        """Raise ModelUnavailable, ModelTimeout or ModelRejected, never anything of a vendor."""
        ...

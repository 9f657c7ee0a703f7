"""How many runs led to what happens now, for the events that tell of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_depth: ContextVar[int | None] = ContextVar("depth", default=None)


@contextmanager
def at_depth(depth: int) -> Iterator[None]:
    """Mark the events of the block as caused by a run that so many others led to; 0 marks nothing."""
    token = _depth.set(depth or None)
    try:
        yield
    finally:
        _depth.reset(token)


def current_depth() -> int | None:
    """Return the depth that events have now, if any."""
    return _depth.get()

"""Who acts at present, for the audit trail: set by the doorway, read where an act is recorded."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_actor: ContextVar[str] = ContextVar("actor", default="")


@contextmanager
def acting_as(actor: str) -> Iterator[None]:
    """Name who acts in the block: an e-mail address, `user:<id>`, an API key's id, `staff:<address>`."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


def present_actor() -> str:
    """Return who acts; an empty string outside of a request."""
    return _actor.get()

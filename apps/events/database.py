"""Database work of an event loop, on one thread and one connection of its own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from django.db import DatabaseError, InterfaceError, connections

P = ParamSpec("P")
T = TypeVar("T")


class DatabaseThread:
    """Call blocking functions one after the other, so that the loop stays free."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def __call__(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call and return; after a database failure the next call gets a fresh connection."""
        work = partial(_with_fresh_connection_after_failure, call, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def close(self) -> None:
        """Give the connection back and end the thread."""
        await self(connections.close_all)
        self._executor.shutdown(wait=False)


def _with_fresh_connection_after_failure(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return call(*args, **kwargs)
    except (DatabaseError, InterfaceError):
        connections.close_all()
        raise

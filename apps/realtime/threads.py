"""Database work of sockets: a few threads, so that a crowd of sockets cannot take every connection."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections

P = ParamSpec("P")
R = TypeVar("R")

_executor = ThreadPoolExecutor(max_workers=settings.DB_POOL_SIZE, thread_name_prefix="socket-db")


async def in_thread(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a service or selector; it enters the tenant's context itself."""
    return await sync_to_async(_run, thread_sensitive=False, executor=_executor)(
        partial(call, *args, **kwargs)
    )


def _run(call: Callable[[], R]) -> R:
    close_old_connections()
    try:
        return call()
    finally:
        close_old_connections()

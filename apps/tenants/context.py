"""The tenant context: who is being served, and the transaction that serves them.

Nothing else in the product touches `search_path` or `app.current_tenant_id`; the database
wrapper in `apps.tenants.db` reads this module at every statement and sets both, for the length
of the transaction only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import connections, transaction

from apps.tenants.contracts import TenantRef

_tenant: ContextVar[TenantRef | None] = ContextVar("tenant", default=None)

APP, REPLICA, PLATFORM, OWNER = "default", "replica", "platform", "owner"
TENANT_ALIASES = frozenset({APP, REPLICA})  # whose transactions serve one tenant each
_transaction_of: dict[str, ContextVar[TenantRef | None]] = {
    alias: ContextVar(f"transaction_of_{alias}", default=None) for alias in TENANT_ALIASES
}


class NoTenantContext(RuntimeError):
    """Tenant data was asked for without a tenant."""


class NoTransaction(RuntimeError):
    """Tenant data was asked for outside a transaction."""


class TenantMismatch(RuntimeError):
    """One transaction was asked to serve two tenants."""


def current_tenant() -> TenantRef | None:
    """Return the tenant being served, if any."""
    return _tenant.get()


@contextmanager
def tenant_context(tenant: TenantRef) -> Iterator[TenantRef]:
    """Serve a tenant without opening a transaction; reading its rows still needs `in_tenant`."""
    token = _tenant.set(tenant)
    try:
        yield tenant
    finally:
        _tenant.reset(token)


@contextmanager
def in_tenant(tenant: TenantRef, *, using: str = APP) -> Iterator[TenantRef]:
    """Serve a tenant in one transaction; nested for the same tenant it joins the outer one.

    Raises TenantMismatch inside another tenant's transaction. Of another database than the application's own,
    see `read_at_replica`.
    """
    transaction_of = _transaction_of[using]
    serving = transaction_of.get() if connections[using].in_atomic_block else None
    if serving == tenant and _tenant.get() == tenant:
        yield tenant
        return
    if serving not in (None, tenant):
        raise TenantMismatch(
            f"a transaction of {serving.slug if serving else None} cannot serve {tenant.slug}"
        )
    token = transaction_of.set(tenant)
    try:
        with tenant_context(tenant), transaction.atomic(using=using):
            yield tenant
    finally:
        transaction_of.reset(token)


@contextmanager
def in_snapshot(tenant: TenantRef) -> Iterator[TenantRef]:
    """Read a tenant as it is at one moment, however long that takes; must not run inside a transaction."""
    with transaction.atomic(using=APP, durable=True):
        with connections[APP].cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        with in_tenant(tenant):
            yield tenant


def commit_with_next() -> None:
    """Let the open transaction reach the disk with the next one whose commit waits for that.

    For what nobody is told of before that next commit: only a crash of the database itself in between
    forgets it. Later commits bring all earlier ones to the disk with them. Said before the transaction's
    first statement it costs none of its own.
    """
    _app().commit_with_next()


def wait_for_disk() -> None:
    """Take `commit_with_next` back: somebody is told at once after all."""
    with connections[APP].cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit TO DEFAULT")


def ask_first(sql: str, params: Any) -> list[tuple[str | None, ...]]:
    """Return the rows of a statement that gives texts; as a transaction's first it costs no trip more."""
    rows: list[tuple[str | None, ...]] = _app().ask_first(sql, params)
    return rows


def write_later(sql: str, params: Any) -> None:
    """Write what answers nothing together with what follows in this transaction, at the latest with COMMIT.

    What is wrong with it shows there, so nobody can handle it by itself.
    """
    _app().write_later(sql, params)


def write_waiting() -> None:
    """Write now what this transaction has put off, for whoever has to read it in here."""
    _app().write_waiting()


def _app() -> Any:
    return connections[APP]  # an `apps.tenants.db` wrapper, which Django's types do not know


def release_connection() -> None:
    """Give this thread's connection back to its pool while something outside is waited for.

    Inside a transaction nothing happens; the next statement takes a connection again.
    """
    if not connections[APP].in_atomic_block:
        connections[APP].close()


@contextmanager
def in_platform() -> Iterator[str]:
    """Open a transaction of the platform role and yield the connection's alias for `using()`.

    Only tables that admit the platform by a named policy show rows here.
    """
    with transaction.atomic(using=PLATFORM):
        yield PLATFORM

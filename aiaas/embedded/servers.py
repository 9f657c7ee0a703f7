"""All three servers of one data folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiaas.embedded.nats import NatsServer
from aiaas.embedded.postgres import PostgresServer
from aiaas.embedded.process import EmbeddedServerError, ServerProcess
from aiaas.embedded.valkey import ValkeyServer

DATABASE_URLS = ("DATABASE_URL", "DATABASE_PLATFORM_URL", "DATABASE_OWNER_URL")


@dataclass(frozen=True)
class Servers:
    """The running servers of one data folder; None where the caller brings a server of their own."""

    postgres: PostgresServer | None = None
    valkey: ValkeyServer | None = None
    nats: NatsServer | None = None

    @property
    def all(self) -> tuple[ServerProcess, ...]:
        """Those that we run, in the order of starting."""
        return tuple(server for server in (self.postgres, self.valkey, self.nats) if server is not None)

    @property
    def urls(self) -> dict[str, str]:
        """Environment variables by name, as contract.md names them."""
        urls = {}
        if self.postgres:
            urls["DATABASE_URL"] = self.postgres.url_for("aiaas_app")
            urls["DATABASE_PLATFORM_URL"] = self.postgres.url_for("aiaas_platform")
            urls["DATABASE_OWNER_URL"] = self.postgres.url_for("aiaas_owner")
        if self.valkey:
            urls["REDIS_URL"] = self.valkey.url
        if self.nats:
            urls["NATS_URL"] = self.nats.url
        return urls

    @property
    def superuser_url(self) -> str:
        """The test harness's way to make databases; raises when PostgreSQL is not ours."""
        if self.postgres is None:
            raise EmbeddedServerError("PostgreSQL is not one of the embedded servers")
        return self.postgres.superuser_url

    def stop(self) -> None:
        """Stop them all, the last started first."""
        for server in reversed(self.all):
            server.stop()


def start_servers(
    data_dir: Path, *, postgres: bool = True, valkey: bool = True, nats: bool = True, durable: bool = True
) -> Servers:
    """Start the chosen servers on free loopback ports and wait until each answers.

    They die with the calling thread (Linux). `durable=False` lets PostgreSQL forget at a crash: for tests.
    Raises EmbeddedServerError, after stopping what already ran.
    """
    make_data_dir(data_dir)
    servers = Servers(
        postgres=PostgresServer(data_dir, durable=durable) if postgres else None,
        valkey=ValkeyServer(data_dir) if valkey else None,
        nats=NatsServer(data_dir) if nats else None,
    )
    try:
        for server in servers.all:
            server.start()
    except BaseException:
        servers.stop()
        raise
    return servers


def unset_servers(environment: Mapping[str, str]) -> dict[str, bool]:
    """Return which servers `start_servers` should start: those whose URL is unset or empty."""
    unset = [name for name in DATABASE_URLS if not environment.get(name)]
    if 0 < len(unset) < len(DATABASE_URLS):
        raise EmbeddedServerError(
            f"{', '.join(unset)} must be set too: the database is reached as three roles (deploy/roles.sql)"
        )
    return {
        "postgres": bool(unset),
        "valkey": not environment.get("REDIS_URL"),
        "nats": not environment.get("NATS_URL"),
    }


def make_data_dir(data_dir: Path) -> None:
    """Make the folder; others may pass through it (root's database runs as another account), not read it."""
    try:
        if not data_dir.exists():
            data_dir.mkdir(parents=True)
            data_dir.chmod(0o711)
    except OSError as error:
        raise EmbeddedServerError(
            f"cannot use {data_dir}: {error.strerror}; choose another with --data"
        ) from error

"""The embedded servers: their roles, their restarts, and what they say when they cannot run."""

import os
import secrets
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from aiaas.embedded import (
    EmbeddedServerError,
    NatsServer,
    PostgresServer,
    ValkeyServer,
    start_servers,
    unset_servers,
)
from aiaas.embedded import account as accounts
from aiaas.embedded.process import LOWEST_PORT, free_port
from aiaas.embedded.servers import make_data_dir
from aiaas.supervisor.prepared import fingerprint, is_prepared, mark_prepared

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data_dir(open_folder: Path) -> Path:
    return open_folder


@pytest.fixture(scope="module")
def postgres(data_dir: Path):
    server = PostgresServer(data_dir, durable=False)
    server.start()
    yield server
    server.stop()


def query(url: str, statement: str) -> list[tuple]:
    with psycopg.connect(url) as connection:
        return connection.execute(statement).fetchall()


def test_roles_cannot_bypass_row_security(postgres: PostgresServer) -> None:
    rows = query(
        postgres.superuser_url,
        "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname LIKE 'aiaas%'",
    )

    names = ("aiaas_app", "aiaas_owner", "aiaas_platform")
    assert sorted(rows) == [(name, False, False, False) for name in names]


def test_the_app_reads_and_writes_what_the_owner_makes_and_makes_nothing(postgres: PostgresServer) -> None:
    with psycopg.connect(postgres.url_for("aiaas_owner")) as owner:
        owner.execute("CREATE TABLE things (id bigint generated always as identity, v vector(3))")
    with psycopg.connect(postgres.url) as app:
        app.execute("INSERT INTO things (v) VALUES ('[1,2,3]')")
        assert app.execute("SELECT count(*) FROM things").fetchone() == (1,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("CREATE TABLE other (id int)")
    with (
        psycopg.connect(postgres.url_for("aiaas_platform")) as platform,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        platform.execute("SELECT * FROM things")


def test_a_wrong_password_does_not_get_in(postgres: PostgresServer) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.url.replace(":", ":x", 2).replace("postgres:x//", "postgres://"))


def test_restarts_on_its_port_with_its_data(postgres: PostgresServer) -> None:
    with psycopg.connect(postgres.superuser_url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE kept")
    url, port = postgres.url, postgres.port

    postgres.stop()
    postgres.start()

    assert (postgres.url, postgres.port) == (url, port)
    assert query(postgres.superuser_url, "SELECT 1 FROM pg_database WHERE datname = 'kept'")


def test_a_database_remembers_what_it_was_prepared_for(postgres: PostgresServer) -> None:
    owner_url, mark = postgres.url_for("aiaas_owner"), fingerprint(with_demo=True)
    assert mark != fingerprint(with_demo=False)
    assert not is_prepared(owner_url, mark)

    mark_prepared(owner_url, mark)

    assert is_prepared(owner_url, mark)
    assert not is_prepared(owner_url, fingerprint(with_demo=False))


def test_a_second_server_on_the_same_data_is_refused(postgres: PostgresServer, data_dir: Path) -> None:
    with pytest.raises(EmbeddedServerError, match="another process already runs the database"):
        PostgresServer(data_dir, durable=False).start()

    assert query(postgres.url, "SELECT 1") == [(1,)]


def test_a_leftover_server_is_ended_by_the_next_start(postgres: PostgresServer, data_dir: Path) -> None:
    leftover = psutil.Process(postgres.process.pid)
    postgres._release_lock()  # as the death of the process that held it would

    following = PostgresServer(data_dir, durable=False)
    following.start()

    assert not leftover.is_running() or leftover.status() == psutil.STATUS_ZOMBIE
    assert query(following.url, "SELECT 1") == [(1,)]
    following.stop()
    postgres.stop()
    postgres.start()


def test_a_pid_file_that_names_a_stranger_does_not_stop_the_start(postgres: PostgresServer) -> None:
    postgres.stop()
    (postgres.cluster / "postmaster.pid").write_text(f"{os.getpid()}\n{postgres.cluster}\n")

    postgres.start()

    assert query(postgres.url, "SELECT 1") == [(1,)]


def test_data_of_another_major_version_is_refused_by_name(open_folder: Path) -> None:
    make_data_dir(open_folder / "older")
    server = PostgresServer(open_folder / "older")
    server.cluster.mkdir()
    (server.cluster / "PG_VERSION").write_text("16\n")

    with pytest.raises(EmbeddedServerError, match=r"made by PostgreSQL 16, this is 18: .* --data"):
        server.start()


def test_a_taken_port_is_named(data_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(EmbeddedServerError, match=r"valkey did not start: .*ddress already in use"):
            ValkeyServer(data_dir, port=taken.getsockname()[1]).start()


def test_servers_die_with_the_process_that_started_them(data_dir: Path) -> None:
    script = (
        "import os, pathlib, sys, time; from aiaas.embedded import NatsServer;"
        "s = NatsServer(pathlib.Path(sys.argv[1]) / 'orphan'); s.data_dir.mkdir(); s.start();"
        "print(s.process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(data_dir)], cwd=ROOT, capture_output=True, text=True
    )
    orphan = int(done.stdout)
    deadline = time.monotonic() + 10
    while _runs(orphan) and time.monotonic() < deadline:
        time.sleep(0.05)

    assert done.returncode == -signal.SIGKILL
    assert not _runs(orphan)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_nats_and_valkey_demand_their_passwords(data_dir: Path) -> None:
    servers = start_servers(data_dir, postgres=False)
    try:
        assert stat.S_IMODE((data_dir / "secrets.json").stat().st_mode) == 0o600
        with socket.create_connection(("127.0.0.1", servers.valkey.port)) as connection:
            connection.sendall(b"PING\r\n")
            assert connection.recv(64).startswith(b"-NOAUTH")
        with socket.create_connection(("127.0.0.1", servers.nats.port)) as connection:
            assert b'"auth_required":true' in connection.recv(4096)
        command_lines = [" ".join(psutil.Process(server.process.pid).cmdline()) for server in servers.all]
        assert not any(part in line for line in command_lines for part in servers.urls.values())
    finally:
        servers.stop()
    assert not any(server.is_alive() for server in servers.all)


def test_a_free_port_is_none_that_an_outgoing_connection_may_get(monkeypatch: pytest.MonkeyPatch) -> None:
    ephemeral = Path("/proc/sys/net/ipv4/ip_local_port_range")
    lowest = int(ephemeral.read_text().split()[0]) if ephemeral.exists() else 32_768
    assert all(free_port(in_a_row=2) + 1 < lowest for _ in range(100))
    taken = free_port(in_a_row=2)
    offers = iter([taken, taken + 2])
    monkeypatch.setattr(secrets, "randbelow", lambda limit: next(offers) - LOWEST_PORT)
    with socket.socket() as neighbour:
        neighbour.bind(("127.0.0.1", taken + 1))
        assert free_port(in_a_row=2) == taken + 2


def test_a_chosen_port_is_used(data_dir: Path) -> None:
    port = free_port()
    server = NatsServer(data_dir / "chosen", port=port)
    server.data_dir.mkdir()
    server.start()
    try:
        assert f":{port}" in server.url
    finally:
        server.stop()


def test_only_what_no_url_is_set_for_is_started() -> None:
    database = {f"DATABASE_{part}URL": "postgres://x" for part in ("", "PLATFORM_", "OWNER_")}

    assert unset_servers({}) == {"postgres": True, "valkey": True, "nats": True}
    assert unset_servers({**database, "REDIS_URL": "redis://x", "NATS_URL": ""}) == {
        "postgres": False,
        "valkey": False,
        "nats": True,
    }
    with pytest.raises(
        EmbeddedServerError, match="DATABASE_PLATFORM_URL, DATABASE_OWNER_URL must be set too"
    ):
        unset_servers({"DATABASE_URL": "postgres://x"})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A closed folder of root's."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(accounts, "ROOTS_PLACE", tmp_path / "var-lib")
    (tmp_path / "home" / "data").mkdir(parents=True)
    (tmp_path / "home").chmod(0o700)
    return tmp_path / "home"


def test_roots_database_leaves_a_home_alone(home: Path) -> None:
    place = accounts.place_for(home / "data")

    assert place.parent == home.parent / "var-lib"
    assert accounts.place_for(home / "data") == place
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert (place / "used-by").read_text() == str(home / "data")


def test_a_data_folder_that_moves_finds_its_database_and_a_new_one_starts_afresh(home: Path) -> None:
    place = accounts.place_for(home / "data")
    (place / "postgres").mkdir()
    (home / "data").rename(home / "moved")
    (home / "data").mkdir()

    assert accounts.place_for(home / "data") != place
    assert accounts.place_for(home / "moved") == place


def test_a_database_stays_where_it_is_when_permissions_change(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = accounts.place_for(home / "data")
    (place / "postgres").mkdir()
    (home / "within" / "postgres").mkdir(parents=True)

    monkeypatch.setattr(accounts, "is_reachable", lambda folder: True)
    assert accounts.place_for(home / "data") == place
    monkeypatch.setattr(accounts, "is_reachable", lambda folder: False)
    assert accounts.place_for(home / "within") == home / "within"

"""The command `up`, step by step."""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import psutil

from aiaas.embedded import EmbeddedServerError, start_servers, unset_servers
from aiaas.embedded.process import guarded
from aiaas.embedded.secrets import data_secrets
from aiaas.embedded.servers import make_data_dir
from aiaas.supervisor.child import ROOT
from aiaas.supervisor.console import complain, say, step, table
from aiaas.supervisor.prepared import fingerprint, is_prepared, mark_prepared
from aiaas.supervisor.processes import http_status, process_environment, product_processes
from aiaas.supervisor.state import DataInUseError, RunState, wait_for_run
from aiaas.supervisor.supervisor import NotReadyError, Supervisor

NEEDED_BYTES = 400_000_000
PAGES = [
    ("dashboard", "/app/"),
    ("admin", "/admin/"),
    ("API docs", "/api/docs/"),
    ("demo shop", "/demo/shop/"),
    ("demo software company", "/demo/software/"),
]


class CannotStartError(Exception):
    """`up` cannot start; the message is one line that says what to do."""


class StopRequested(BaseException):
    """SIGINT or SIGTERM arrived."""


def main(arguments: list[str], *, default_data_dir: Path) -> int:
    """Run `up` until it is told to stop; return the exit status."""
    options = _parse(arguments, default_data_dir)
    state = RunState(options.data)
    supervisor = Supervisor(state)
    try:
        with _stopping_in_order(supervisor):
            _start(options, supervisor)
            supervisor.watch(show_logs=options.verbose)
    except StopRequested:
        return 0
    except (CannotStartError, EmbeddedServerError, NotReadyError) as error:
        complain(f"up: {error}")
        return 1
    except OSError as error:
        complain(f"up: {error.strerror} ({error.filename or options.data}); free some space or use --data")
        return 1
    finally:
        state.unlock()
    return 0


def _parse(arguments: list[str], default_data_dir: Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="manage.py up",
        description="Start the product on this machine and keep it running; Ctrl-C stops it.",
    )
    parser.add_argument("--port", type=int, default=8000, help="HTTP; WebSocket is one above (default: 8000)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=default_data_dir, help="data folder (default: .aiaas)")
    parser.add_argument("--no-demo", action="store_true", help="without the two demo tenants")
    parser.add_argument("--verbose", action="store_true", help="also show the processes' logs")
    options = parser.parse_args(arguments)
    if not 1 <= options.port <= 65534:
        parser.error("--port must be between 1 and 65534")
    options.data = options.data.expanduser().absolute()
    return options


def _start(options: argparse.Namespace, supervisor: Supervisor) -> None:
    make_data_dir(options.data)
    _lock(supervisor.state)
    _check_space(options.data)
    leftovers = supervisor.state.end_leftovers()
    for port in (options.port, options.port + 1):
        _check_port(options.host, port)
    say(f"AIaaS in {options.data}")
    if leftovers:
        say(f"  ended what an earlier run had left: {', '.join(leftovers)}")
    environment = _start_servers(options, supervisor)
    _prepare(options, environment)
    children = product_processes(
        environment=environment, data_dir=options.data, host=options.host, port=options.port
    )
    with step(", ".join(child.name for child in children)):
        supervisor.start_children(children)
    # Counted from the command's first moment: the installation of packages went before, in this process.
    say(f"ready in {time.time() - psutil.Process().create_time():.0f} s")
    _welcome(options)


def _lock(state: RunState) -> None:
    try:
        state.lock()
    except DataInUseError:
        run = wait_for_run(state, timeout_s=1)
        who = f"process {run['pid']}, {run['url']}" if "url" in run else "another command"
        raise CannotStartError(
            f"{state.data_dir} is in use ({who}): stop that one, or use another folder: --data DIR --port N"
        ) from None


def _check_space(data_dir: Path) -> None:
    free = shutil.disk_usage(data_dir).free
    if free < NEEDED_BYTES:
        raise CannotStartError(
            f"the disk is full: {free // 1_000_000} MB left in {data_dir}, "
            f"{NEEDED_BYTES // 1_000_000} MB needed; free some space or use --data DIR"
        )


def _check_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            raise CannotStartError(f"port {port} needs root: use --port with a number above 1023") from None
        except OSError as error:
            raise CannotStartError(
                f"port {port} on {host} is taken{_listener(port)} ({error.strerror}): "
                "stop what listens there, or use --port N (N and N+1 must be free)"
            ) from None


def _listener(port: int) -> str:
    with contextlib.suppress(psutil.Error, PermissionError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            if listens and connection.pid:
                return f" by {psutil.Process(connection.pid).name()}, process {connection.pid}"
    return ""


def _start_servers(options: argparse.Namespace, supervisor: Supervisor) -> dict[str, str]:
    """Start the servers that no URL is set for and return the environment of every process."""
    wanted = unset_servers(os.environ)
    names = {"postgres": "PostgreSQL", "valkey": "Valkey", "nats": "NATS"}
    if any(wanted.values()):
        with step(", ".join(names[key] for key, is_wanted in wanted.items() if is_wanted)):
            supervisor.adopt_servers(start_servers(options.data, **wanted))
    local = {
        "DJANGO_SETTINGS_MODULE": "aiaas.settings.local",
        "SECRET_KEY": data_secrets(options.data)["secret_key"],
        "AIAAS_DATA": str(options.data),
        "PUBLIC_URL": f"http://localhost:{options.port}",
        "REALTIME_URL": f"ws://localhost:{options.port + 1}",
        **supervisor.servers.urls,
    }
    supervisor.state.write_run(url=f"http://localhost:{options.port}", environment=local)
    return process_environment(**local)


def _prepare(options: argparse.Namespace, environment: dict[str, str]) -> None:
    """Migrate and seed in a process of its own, whose lines are the progress, unless that was done before."""
    mark = fingerprint(with_demo=not options.no_demo)
    owner_url = environment["DATABASE_OWNER_URL"]
    title = "database" if options.no_demo else "database and demo data"
    with step(title) as show:
        if is_prepared(owner_url, mark) and (options.data / "logins.json").exists():
            return
        _run_prepare(options, environment, show)
        mark_prepared(owner_url, mark)


def _run_prepare(
    options: argparse.Namespace, environment: dict[str, str], show: Callable[[str], None]
) -> None:
    demo = ["--no-demo"] if options.no_demo else []
    log_path = options.data / "logs" / "prepare.log"
    log_path.parent.mkdir(mode=0o700, exist_ok=True)
    with log_path.open("w") as log:
        process = subprocess.Popen(  # noqa: S603
            guarded([sys.executable, str(ROOT / "manage.py"), "prepare", *demo]),
            env=environment,
            cwd=ROOT,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            if sys.stdout.isatty() or line.startswith("  "):
                show(line.strip())
    if process.wait():
        last_line = log_path.read_text(errors="replace").rstrip().rpartition("\n")[2]
        raise CannotStartError(f"the database cannot be prepared: {last_line} (log: {log_path})")


def _welcome(options: argparse.Namespace) -> None:
    """Show the pages that answer, the logins, and where to look next."""
    base = f"http://localhost:{options.port}"
    say()
    pages = [page for page in PAGES if (http_status(options.host, options.port, page[1]) or 500) < 400]
    table([(title, f"{base}{path}") for title, path in pages])
    logins = json.loads((options.data / "logins.json").read_text())
    if logins:
        say()
        table([(f"login {who}", how) for who, how in logins])
    say()
    table([("logs", str(options.data / "logs")), ("stop", "Ctrl-C")])


@contextlib.contextmanager
def _stopping_in_order(supervisor: Supervisor) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into StopRequested; whatever ends the block, stop all processes."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise StopRequested

    def insist(number: int, frame: FrameType | None) -> None:
        supervisor.kill()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, insist)
        if supervisor.children or supervisor.servers.all:
            say("stopping")
        supervisor.stop()

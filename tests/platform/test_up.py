"""`manage.py up` from start to end, as a person would run it."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from aiaas.embedded.process import free_port
from aiaas.supervisor import up as module

ROOT = Path(__file__).parents[2]
TAKEN_FROM_TESTS = ("DATABASE_URL", "DATABASE_PLATFORM_URL", "DATABASE_OWNER_URL", "REDIS_URL", "NATS_URL")
NOT_PASSED_ON = {*TAKEN_FROM_TESTS, "SECRET_KEY", "DJANGO_SETTINGS_MODULE", "TEST_SUPERUSER_URL"}
READY_TIMEOUT_S = 180.0

pytestmark = pytest.mark.journey


def command(*arguments: object, data: Path) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
    with (data.parent / "out").open("a") as out:
        return subprocess.Popen(
            [sys.executable, "manage.py", *map(str, arguments)],
            cwd=ROOT,
            env={**environment, "AIAAS_DATA": str(data)},
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
        )


def failing(*arguments: object, data: Path) -> str:
    """Run a command that must end with status 1 and return its one line of complaint."""
    with command(*arguments, data=data) as process:
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == 1
    assert len(complaint.splitlines()) == 1, complaint
    return complaint


class Up:
    """A running `up` without demo data."""

    def __init__(self, data: Path, port: int) -> None:
        self.data, self.port = data, port
        self.start()

    def start(self) -> None:
        (self.data.parent / "out").write_text("")
        self.process = command("up", "--no-demo", "--port", self.port, data=self.data)
        wait_for(lambda: "Ctrl-C" in self.output() or self.process.poll() is not None, READY_TIMEOUT_S)
        assert "ready in" in self.output(), self.process.stderr.read()

    def output(self) -> str:
        return (self.data.parent / "out").read_text()

    def pids(self) -> dict[str, int]:
        noted = json.loads((self.data / "processes.json").read_text())
        return {name: pid for name, (pid, _) in noted.items()}

    def get(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.communicate(timeout=60)


def wait_for(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def running(data: Path) -> list[psutil.Process]:
    """Every process that belongs to the data folder: by its command line or its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            belongs = process.environ().get("AIAAS_DATA") == str(data) or str(data) in " ".join(
                process.cmdline()
            )
            if belongs and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def up(open_folder: Path) -> Iterator[Up]:
    up = Up(open_folder / "data", free_port(in_a_row=2))
    yield up
    up.close()
    assert running(up.data) == []


def test_it_says_where_everything_is(up: Up) -> None:
    assert f"http://localhost:{up.port}/api/docs/" in up.output()
    assert up.get("/healthz") == 200
    assert set(up.pids()) == {"postgres", "valkey", "nats", "web", "realtime", "worker", "background"}


def test_a_second_one_on_the_same_data_is_told_to_go_elsewhere(up: Up) -> None:
    complaint = failing("up", "--port", free_port(in_a_row=2), data=up.data)

    assert f"in use (process {up.process.pid}, http://localhost:{up.port})" in complaint
    assert "--data DIR --port N" in complaint


def test_a_taken_port_is_named_with_who_has_it(up: Up, tmp_path: Path) -> None:
    complaint = failing("up", "--port", up.port - 1, data=tmp_path / "other")

    assert f"port {up.port} on 127.0.0.1 is taken by " in complaint
    assert "use --port N" in complaint


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        module.shutil, "disk_usage", lambda path: SimpleNamespace(free=module.NEEDED_BYTES - 1)
    )

    with pytest.raises(module.CannotStartError, match=r"the disk is full: 399 MB left in .* --data DIR"):
        module._check_space(tmp_path)


def test_other_commands_find_its_servers(up: Up, tmp_path: Path) -> None:
    script = "from django.conf import settings; import sys; sys.exit(settings.PUBLIC_URL)"
    with command("shell", "-v", "0", "-c", script, data=up.data) as shell:
        _, said = shell.communicate(timeout=60)

    assert said.strip() == f"http://localhost:{up.port}"


def test_what_dies_is_started_again(up: Up) -> None:
    before = up.pids()
    for name in ("worker", "web", "valkey", "nats", "postgres"):
        os.kill(before[name], signal.SIGKILL)

    wait_for(lambda: all(up.pids()[name] != before[name] for name in ("worker", "web", "postgres")), 60)
    wait_for(lambda: up.get("/healthz") == 200, 60)

    assert "worker was ended by signal 9; again in 0.5 s" in up.output()


def test_kill_9_does_not_spoil_the_next_start_and_sigterm_leaves_nothing(up: Up) -> None:
    os.kill(up.process.pid, signal.SIGKILL)
    up.process.communicate(timeout=10)

    up.start()
    assert up.get("/healthz") == 200

    up.process.terminate()
    up.process.communicate(timeout=60)
    assert up.process.returncode == 0
    assert running(up.data) == []
    assert not (up.data / "run.json").exists()

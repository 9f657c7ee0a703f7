"""Supervision with small real processes: restarts, hangs, orderly ends, leftovers."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from aiaas.supervisor import supervisor as module
from aiaas.supervisor.child import HUNG_AFTER_S, LONGEST_DELAY_S, Child
from aiaas.supervisor.state import DataInUseError, RunState
from aiaas.supervisor.supervisor import NotReadyError, Supervisor

SLEEP = "import time; time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); {SLEEP}"
START = f"subprocess.Popen([sys.executable, '-c', '{SLEEP}'])"
PARENT = f"import subprocess, sys; print({START}.pid, flush=True); {SLEEP}"


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    supervisor = Supervisor(RunState(tmp_path))
    supervisor.tell = lambda line: None
    yield supervisor
    supervisor.kill()


@pytest.fixture
def make_child(tmp_path: Path) -> Callable[..., Child]:
    def make(script: str, name: str = "sleeper", **options) -> Child:
        options = {"is_ready": lambda: True, "environment": dict(os.environ), **options}
        return Child(
            name, [sys.executable, "-c", script], log_path=tmp_path / "logs" / f"{name}.log", **options
        )

    return make


def wait_for(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_a_dead_child_is_started_again(supervisor: Supervisor, make_child) -> None:
    child = make_child(SLEEP)
    supervisor.start_children([child])
    first = child.pid
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: child.exit_status() is not None)

    wait_for(lambda: supervisor.tend() or child.pid != first)

    assert runs(child.pid)


def test_each_death_in_a_row_waits_twice_as_long(make_child) -> None:
    child = make_child("")
    delays = []
    for _ in range(9):
        child.start()
        child.wait(5)
        delays.append(child.plan_restart())

    assert delays[:4] == [0.5, 1.0, 2.0, 4.0]
    assert delays[-1] == LONGEST_DELAY_S


def test_a_restart_takes_the_old_workers_with_it(supervisor: Supervisor, make_child) -> None:
    child = make_child(PARENT)
    supervisor.start_children([child])
    wait_for(lambda: child.log_path.read_text().strip().isdigit())
    worker = int(child.log_path.read_text())
    os.kill(child.pid, signal.SIGKILL)

    wait_for(lambda: supervisor.tend() or child.restart_is_planned)
    wait_for(lambda: not runs(worker))

    assert child.restart_is_planned
    assert not runs(worker)


def test_a_child_without_a_heartbeat_is_started_again(
    supervisor: Supervisor, make_child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heartbeat = tmp_path / "beats"
    heartbeat.touch()
    child = make_child(SLEEP, heartbeat=heartbeat)
    supervisor.start_children([child])
    later = time.monotonic() + HUNG_AFTER_S + 1
    monkeypatch.setattr("aiaas.supervisor.child.time.monotonic", lambda: later)

    supervisor.tend()
    assert not child.restart_is_planned

    os.utime(heartbeat, (0, time.time() - HUNG_AFTER_S - 1))
    supervisor.tend()
    assert child.restart_is_planned


def test_a_child_that_ends_before_it_is_ready_is_told_with_its_last_words(
    supervisor: Supervisor, make_child
) -> None:
    child = make_child("raise SystemExit('no such module')", is_ready=lambda: False)

    with pytest.raises(NotReadyError, match=r"sleeper ended with 1: no such module \(log: .*sleeper.log\)"):
        supervisor.start_children([child])


def test_stop_ends_even_the_stubborn(
    supervisor: Supervisor, make_child, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_TIMEOUT_S", 0.5)
    polite, stubborn = make_child(SLEEP, "polite"), make_child(STUBBORN, "stubborn")
    supervisor.start_children([polite, stubborn])
    wait_for(lambda: stubborn.log_path.read_text())

    supervisor.stop()

    assert polite.exit_status() == -signal.SIGTERM
    assert stubborn.exit_status() == -signal.SIGKILL


def test_one_data_folder_has_one_run(tmp_path: Path) -> None:
    first, second = RunState(tmp_path), RunState(tmp_path)
    first.lock()
    first.write_run(url="http://localhost:1")

    with pytest.raises(DataInUseError) as refused:
        second.lock()
    second.unlock()

    assert refused.value.run["url"] == "http://localhost:1"
    assert first.read_run()["pid"] == os.getpid()
    first.unlock()
    second.lock()
    second.unlock()


def test_the_next_start_ends_what_was_left(tmp_path: Path) -> None:
    left = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    worker = int(left.stdout.readline())
    RunState(tmp_path).remember("worker", left.pid)
    left.kill()  # the leader alone: its worker stays
    left.wait()
    left.stdout.close()

    assert RunState(tmp_path).end_leftovers() == ["worker"]

    assert not runs(worker)
    assert RunState(tmp_path).end_leftovers() == []


def test_a_number_that_belongs_to_somebody_else_by_now_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True)
    (tmp_path / "processes.json").write_text(json.dumps({"worker": [stranger.pid, time.time() - 3600]}))
    try:
        assert RunState(tmp_path).end_leftovers() == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()

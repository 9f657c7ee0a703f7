"""What a killed proof leaves behind goes at the next start, and nothing else does."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from django.conf import settings

from aiaas.commands import throwaway
from aiaas.supervisor.state import RunState

HOLDING = """
import sys, time
import os
from aiaas.commands.throwaway import throwaway
with throwaway():
    print(os.environ["AIAAS_DATA"], flush=True)
    time.sleep(float(sys.argv[1]))
"""


def start(temp: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(seconds)],
        env={**os.environ, "TMPDIR": str(temp)},
        cwd=settings.ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def servers_in(folder: Path) -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or [])]


def test_a_killed_proof_is_cleared_away_by_the_next_one():
    temp = Path("/tmp") / f"aiaas-throwaway-{os.getpid()}"  # short: sockets are in it
    temp.mkdir(mode=0o711)
    try:
        with start(temp, 600) as first:
            folder = Path(first.stdout.readline().strip())
            assert folder.parent == temp
            os.kill(first.pid, signal.SIGKILL)
        assert folder.exists()
        with start(temp, 0) as second:
            assert Path(second.stdout.readline().strip()) != folder
        assert second.returncode == 0
        assert list(temp.glob("aiaas-proof-*")) == []
        assert servers_in(folder) == []
    finally:
        temp.rmdir()


def test_who_is_at_work_or_just_beginning_keeps_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(throwaway.tempfile, "gettempdir", lambda: str(tmp_path))
    names = ("aiaas-proof-busy", "aiaas-proof-new", "aiaas-proof-old", "aiaas-proof-dead", "other")
    busy, new, old, dead, other = (tmp_path / name for name in names)
    for folder in (busy, new, old, dead, other):
        folder.mkdir()
    (dead / "up.lock").touch()
    (dead / "run.json").touch()
    an_hour_ago = time.time() - throwaway.UNLOCKED_FOR_S - 1
    os.utime(old, (an_hour_ago, an_hour_ago))
    holder = RunState(busy)
    holder.lock()
    try:
        assert set(throwaway.remove_leftovers()) == {old, dead}
    finally:
        holder.unlock()
    assert set(tmp_path.iterdir()) == {busy, new, other}

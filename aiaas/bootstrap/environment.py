"""The folder .venv: what is in it, and how it gets there exactly once."""

import contextlib
import fcntl
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from aiaas.bootstrap.installer import InstallError, install_lock, say
from aiaas.bootstrap.pins import has_pins, pins


class Environment:
    """A virtual environment, or a link to one, made from lock files.

    A mark exists while an install is under way, so that one that was cut off is begun anew.
    """

    def __init__(self, folder: Path, *, state: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.unfinished = folder / ".install-unfinished"
        self.state = state

    @property
    def is_active(self) -> bool:
        """Whether the running interpreter is this environment's."""
        return Path(sys.prefix).resolve() == self.folder.resolve()

    def serves_this_interpreter(self, locks: list[Path]) -> bool:
        """Whether the running interpreter, in .venv or elsewhere, has every locked package."""
        cut_off = self.is_active and self.unfinished.exists()
        return not cut_off and has_pins(Path(sysconfig.get_path("purelib")), locks)

    def python_runs(self) -> bool:
        """Whether there is an environment whose interpreter starts."""
        if not self.python.exists():
            return False
        return subprocess.run([self.python, "-c", ""], capture_output=True, check=False).returncode == 0  # noqa: S603

    def install(self, locks: list[Path]) -> None:
        """Make .venv hold the locked packages; raise InstallError. Several processes may call it at once."""
        with self._alone():
            if self._is_complete(locks):  # another process did it while we waited
                return
            self._make()
            self.unfinished.touch()
            for lock in locks:
                install_lock(lock, python=self.python, log=self.state / "install.log", count=len(pins(lock)))
            self.unfinished.unlink()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        self.state.mkdir(mode=0o711, exist_ok=True)
        with (self.state / "install.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("another manage.py is installing the packages; waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _make(self) -> None:
        if self.folder.is_symlink():
            self.folder.resolve().mkdir(parents=True, exist_ok=True)
        if self.python_runs() and not self.unfinished.exists():
            return
        say(f"making .venv with Python {sys.version.split()[0]}")
        # From inside .venv the interpreter that it was made with: `--clear` takes our own away.
        maker = getattr(sys, "_base_executable", sys.executable)
        command = [maker, "-m", "venv", "--clear", "--without-pip", str(self.folder.resolve())]
        made = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if made.returncode:
            reason = (made.stdout + made.stderr).strip().splitlines()[-1:]
            raise InstallError(f"{maker} cannot make {self.folder}: {''.join(reason)}")

    def _is_complete(self, locks: list[Path]) -> bool:
        return self.python_runs() and not self.unfinished.exists() and has_pins(self._site_packages(), locks)

    def _site_packages(self) -> Path:
        base = {"base": str(self.folder), "platbase": str(self.folder)}
        return Path(sysconfig.get_path("purelib", "venv", vars=base))

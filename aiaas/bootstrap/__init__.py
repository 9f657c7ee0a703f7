"""Installs the locked packages into .venv and goes on inside it; standard library only.

An interpreter that already has the packages of requirements.lock (a container's, another environment's)
is used as it is.
"""

import os
import sys
from pathlib import Path

from aiaas.bootstrap.environment import Environment
from aiaas.bootstrap.installer import InstallError

__all__ = ["Environment", "InstallError", "run_in_venv"]

ROOT = Path(__file__).resolve().parents[2]
NEEDS_DEVELOPMENT_TOOLS = {"test", "bench", "check_api"}


def run_in_venv(arguments: list[str]) -> None:
    """Return when this interpreter has what the command needs; else install it and start again in .venv."""
    locks = [ROOT / "requirements.lock"]
    if arguments[1:2] and arguments[1] in NEEDS_DEVELOPMENT_TOOLS:
        locks.append(ROOT / "requirements-dev.lock")
    environment = Environment(ROOT / ".venv", state=ROOT / ".aiaas")
    if environment.serves_this_interpreter(locks):
        return
    try:
        if environment.is_active or not environment.python_runs():
            environment.install(locks)
    except InstallError as error:
        sys.exit(f"cannot install: {error}")
    except OSError as error:
        sys.exit(f"cannot install into {environment.folder}: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit(130)
    # An environment of another Python version judges by itself what it lacks, once we are inside.
    os.execv(environment.python, [str(environment.python), *arguments])  # noqa: S606

"""Servers in a folder that goes away with them, also after kill -9: then at the next start."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from aiaas.embedded import start_servers
from aiaas.embedded.secrets import data_secrets
from aiaas.supervisor.state import DataInUseError, RunState

PREFIX = "aiaas-proof-"
UNLOCKED_FOR_S = 3600.0  # a folder that nobody ever locked is one that is being made, or an old one


@contextlib.contextmanager
def throwaway(**settings: str) -> Iterator[None]:
    """Set the environment to servers of our own for the block, whatever it named before.

    Raises EmbeddedServerError.
    """
    remove_leftovers()
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        data_dir = Path(folder)
        data_dir.chmod(0o711)
        state = RunState(data_dir)
        state.lock()
        servers = start_servers(data_dir, durable=False)
        try:
            for server in servers.all:
                if server.process:
                    state.remember(server.name, server.process.pid)
            secret = data_secrets(data_dir)["secret_key"]
            os.environ.update(servers.urls, SECRET_KEY=secret, AIAAS_DATA=folder, **settings)
            yield
        finally:
            servers.stop()
            state.unlock()


def remove_leftovers() -> list[Path]:
    """Remove the folders of runs that were killed, and end their servers; return what was removed."""
    found = Path(tempfile.gettempdir()).glob(f"{PREFIX}*")
    return [folder for folder in found if folder.is_dir() and not folder.is_symlink() and _remove(folder)]


def _remove(folder: Path) -> bool:
    state = RunState(folder)
    try:
        if not (folder / "up.lock").exists() and time.time() - folder.stat().st_mtime < UNLOCKED_FOR_S:
            return False
        state.lock()
    except (DataInUseError, OSError):  # in use, just gone, or another account's
        return False
    state.end_leftovers()
    state.unlock()
    shutil.rmtree(folder, ignore_errors=True)
    return True

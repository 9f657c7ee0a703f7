"""Passwords of the embedded servers, made once for each data folder."""

import fcntl
import json
import os
import secrets
from pathlib import Path

NAMES = ("superuser", "aiaas_owner", "aiaas_app", "aiaas_platform", "valkey", "nats", "secret_key", "place")


def data_secrets(data_dir: Path) -> dict[str, str]:
    """Return the folder's secrets by name; missing ones are made and kept in a file that only we can read."""
    path = data_dir / "secrets.json"
    with (data_dir / "secrets.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        missing = {name: secrets.token_hex(32) for name in NAMES if name not in known}
        if missing:
            write_private(path, json.dumps(known | missing, indent=1))
        return known | missing


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; only its owner may read it."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)

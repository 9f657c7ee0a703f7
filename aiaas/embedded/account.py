"""Where PostgreSQL runs when we are root: it refuses root, so it gets another account.

No account is created and no permission of an existing folder is widened: when the other account cannot reach
a folder (a home, for instance), the database lives under /var/lib/aiaas, and so does a copy of the program.
"""

import hashlib
import os
import pwd
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from aiaas.embedded.secrets import data_secrets

ROOTS_PLACE = Path("/var/lib/aiaas")
CANDIDATES = ("postgres", "pgserver", "nobody")


@dataclass(frozen=True)
class Account:
    """A system account, by number."""

    uid: int
    gid: int


def database_account(existing: Path) -> Account | None:
    """Return whom PostgreSQL runs as: None (us) unless we are root; the owner of `existing` data first."""
    if os.geteuid() != 0:
        return None
    if existing.exists() and existing.stat().st_uid != 0:
        return Account(existing.stat().st_uid, existing.stat().st_gid)
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise LookupError(f"PostgreSQL refuses to run as root, and none of {', '.join(CANDIDATES)} exists")


def is_reachable(folder: Path) -> bool:
    """Whether any account may pass through `folder` and every folder above it."""
    folder = folder.resolve()
    return all(path.stat().st_mode & stat.S_IXOTH for path in (folder, *folder.parents))


def place_for(data_dir: Path) -> Path:
    """Return the folder for the database of `data_dir`: itself, unless root's database cannot reach it.

    A database that exists stays where it is, whatever happens to permissions. The name of the other folder is
    kept among the data folder's secrets: a data folder that moves finds its database, one that is deleted and
    made anew starts afresh. Nothing is removed: the note `used-by` tells a person what a folder was for.
    """
    if os.geteuid() != 0 or (data_dir / "postgres").exists():
        return data_dir
    place = ROOTS_PLACE / data_secrets(data_dir)["place"][:16]
    if is_reachable(data_dir) and not (place / "postgres").exists():
        return data_dir
    for folder in (ROOTS_PLACE, place):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)
    (place / "used-by").write_text(str(data_dir))
    return place


def reachable_copy(root: Path, parts: tuple[str, ...], *, version: str) -> Path:
    """Return `root`, or a copy of its `parts` under /var/lib/aiaas when other accounts cannot reach it."""
    if os.geteuid() != 0 or is_reachable(root):
        return root
    copy = ROOTS_PLACE / "programs" / f"{hashlib.sha256(str(root).encode()).hexdigest()[:16]}-{version}"
    if not copy.exists():
        _copy_programs(root, parts, copy)
    return copy


def _copy_programs(root: Path, parts: tuple[str, ...], copy: Path) -> None:
    unfinished = copy.with_name(f"{copy.name}.{os.getpid()}")
    unfinished.mkdir(parents=True)
    for part in parts:
        shutil.copytree(root / part, unfinished / part, symlinks=True)
    for path in (ROOTS_PLACE, ROOTS_PLACE / "programs", unfinished, *unfinished.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if path.is_dir() or mode & stat.S_IXUSR else 0o444))
    try:
        unfinished.rename(copy)
    except OSError:  # another process was faster
        shutil.rmtree(unfinished)

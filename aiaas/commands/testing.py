"""The command `test`: pytest on servers of its own."""

import os
import sys

USAGE = """\
usage: manage.py test [PYTEST ARGUMENT…]

Runs every test on embedded servers of its own, in two processes; also while `up` is running.
All arguments go to pytest: a path, -k NAME, -x, -n 0 (one process), --pdb, …
"""
ONE_PROCESS = ("-n", "--numprocesses", "--pdb", "--trace", "--collect-only", "--co", "-p")


def run_tests(arguments: list[str]) -> None:
    """Become pytest; returns only to show the usage."""
    if arguments[:1] in (["--help"], ["-h"]):
        sys.stdout.write(USAGE)
        return
    chosen = any(argument.startswith(ONE_PROCESS) for argument in arguments)
    # A file's tests stay together: what they share is made once.
    parallel = [] if chosen else ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *parallel, *arguments])  # noqa: S606

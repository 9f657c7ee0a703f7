"""The commands `test` and `check_api`: pytest on servers of its own."""

import os
import sys

USAGE = """\
usage: manage.py test [PYTEST ARGUMENT…]

Runs every test on embedded servers of its own, in two processes; also while `up` is running.
All arguments go to pytest: a path, -k NAME, -x, -n 0 (one process), --pdb, …
"""
CHECK_USAGE = """\
usage: manage.py check_api [--cases N]

Asks every operation of the OpenAPI document N times (20) each with valid credentials, with none and with
another company's, by requests that keep to the schema and by some that do not. Fails on a 5xx, on a status or
a body that is not documented, and on another company's data. Prints how many requests were made.
"""
CASES = 20
ONE_PROCESS = ("-n", "--numprocesses", "--pdb", "--trace", "--collect-only", "--co", "-p")


def check_api(arguments: list[str]) -> int:
    """Become pytest over the OpenAPI document; returns only to show the usage, with its exit status."""
    match arguments:
        case []:
            cases = str(CASES)
        case ["--cases", number] if number.isdigit() and int(number):
            cases = number
        case _:
            is_asked = arguments[:1] in (["--help"], ["-h"])
            (sys.stdout if is_asked else sys.stderr).write(CHECK_USAGE)
            return 0 if is_asked else 2
    os.environ["API_CASES"] = cases
    run_tests(["tests/contract", "-q", "-s", "-n0"])
    return 0


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

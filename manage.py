#!/usr/bin/env python3
"""The one command of the project: `up`, `test`, and everything that Django's manage.py does.

Runs with any Python, so that an old one gets a clear line instead of a syntax error.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    found = ".".join(str(number) for number in sys.version_info[:2])
    sys.exit("Python 3.11 or newer is needed, this is " + found + ": try `python3.13 manage.py`")

if __name__ == "__main__":
    from aiaas.bootstrap import run_in_venv

    run_in_venv(sys.argv)

    from aiaas.commands import main

    sys.exit(main(sys.argv))

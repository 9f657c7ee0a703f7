"""`manage.py` inside .venv: `up` and `test`, which come before Django, and Django's commands on servers."""

import os
import sys

from django.core.management import execute_from_command_line

from aiaas.commands.servers import CommandError, servers_for
from aiaas.commands.testing import check_api, run_tests
from aiaas.settings.locations import default_data_dir, read_dotenv
from aiaas.supervisor import up

HELP = """\
AIaaS: customer support, order management and lead capture with AI, for many companies on one platform.

  python3 manage.py up                    start everything on this machine (Ctrl-C stops it)
  python3 manage.py test [PYTEST ARG…]    run all tests, or some
  python3 manage.py bench [NAME…]         measure; --list shows what there is
  python3 manage.py prove_isolation       attack one company as another, on servers of its own
  python3 manage.py check_api [--cases N] ask every operation of the API with made-up requests

With `up` running, or on their own:
  create_tenant SLUG --owner EMAIL        a company with its owner and first API key
  ingest --tenant SLUG PATH…              files and folders into a company's knowledge
  chat --tenant SLUG "text"               one message through the whole journey
  shell, migrate, … and everything else that Django's manage.py does: `manage.py help`

`manage.py COMMAND --help` explains a command. README.md has the rest.
"""


def main(arguments: list[str]) -> int:
    """Run one command and return its exit status."""
    command = arguments[1] if len(arguments) > 1 else "--help"
    if command in {"-h", "--help"}:
        sys.stdout.write(HELP)
        return 0
    if command == "test":
        run_tests(arguments[2:])
        return 0
    if command == "check_api":
        return check_api(arguments[2:])
    read_dotenv()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiaas.settings.local")
    if command == "up":
        return up.main(arguments[2:], default_data_dir=default_data_dir())
    try:
        with servers_for(command, default_data_dir()):
            execute_from_command_line(arguments)
    except CommandError as error:
        sys.stderr.write(f"{command}: {error}\n")
        return 1
    return 0

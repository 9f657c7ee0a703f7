"""Gives a Django command its servers: those of the environment, of a running `up`, or its own for a while."""

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from django.core.management import call_command

from aiaas.commands.throwaway import throwaway
from aiaas.embedded import EmbeddedServerError, Servers, start_servers, unset_servers
from aiaas.embedded.secrets import data_secrets
from aiaas.embedded.servers import make_data_dir
from aiaas.supervisor.state import DataInUseError, RunState, wait_for_run

# They need settings that load, not servers that answer.
OFFLINE = {
    "check",
    "collectstatic",
    "compilemessages",
    "diffsettings",
    "findstatic",
    "help",
    "list_events",
    "makemessages",
    "makemigrations",
    "show_urls",
    "spectacular",
    "startapp",
    "version",
    "--version",
}
NOWHERE = {
    "DATABASE_URL": "postgres://offline@127.0.0.1:1/offline",
    "DATABASE_PLATFORM_URL": "postgres://offline@127.0.0.1:1/offline",
    "DATABASE_OWNER_URL": "postgres://offline@127.0.0.1:1/offline",
    "REDIS_URL": "redis://127.0.0.1:1",
    "NATS_URL": "nats://127.0.0.1:1",
    "SECRET_KEY": "offline",
}
OWN_MIGRATIONS = {
    "migrate",
    "migrate_schemas",
    "prepare",
    "showmigrations",
    "sqlmigrate",
    "dbshell",
}
# They attack what they are given, so they never get anybody's data.
THROWAWAY = {"prove_isolation"}
THROWAWAY_SETTINGS = {"DJANGO_SETTINGS_MODULE": "aiaas.settings.proof"}
START_PATIENCE_S = 30.0


class CommandError(Exception):
    """The command has no servers to work with; the message is one line that says what to do."""


@contextlib.contextmanager
def servers_for(command: str, data_dir: Path) -> Iterator[None]:
    """Set the environment that the settings need, for the length of one command."""
    if command in OFFLINE:
        _default_environment(NOWHERE)
        warnings.filterwarnings("ignore", "Got an error checking a consistent migration history")
        yield
    elif command in THROWAWAY:
        with _throwaway():
            _migrate()
            yield
    elif all(os.environ.get(name) for name in NOWHERE):
        yield
    else:
        with _embedded(data_dir) as (environment, is_fresh):
            _default_environment(environment)
            if is_fresh and command not in OWN_MIGRATIONS:
                _migrate()
            yield


@contextlib.contextmanager
def _embedded(data_dir: Path) -> Iterator[tuple[dict[str, str], bool]]:
    state = RunState(data_dir)
    try:
        make_data_dir(data_dir)
        state.lock()
    except DataInUseError:
        yield _environment_of_running_up(state), False
        return
    except EmbeddedServerError as error:
        raise CommandError(str(error)) from None
    servers = Servers()
    try:
        state.end_leftovers()
        servers = _start_missing(data_dir)
        environment = {
            "SECRET_KEY": data_secrets(data_dir)["secret_key"],
            "AIAAS_DATA": str(data_dir),
            **servers.urls,
        }
        state.write_run(environment=environment)
        yield environment, True
    finally:
        servers.stop()
        state.unlock()


@contextlib.contextmanager
def _throwaway() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(throwaway(**THROWAWAY_SETTINGS))
        except EmbeddedServerError as error:
            raise CommandError(str(error)) from None
        yield


def _environment_of_running_up(state: RunState) -> dict[str, str]:
    environment = wait_for_run(state, timeout_s=START_PATIENCE_S).get("environment")
    if not isinstance(environment, dict):
        raise CommandError(f"`manage.py up` is still starting in {state.data_dir}: try again in a moment")
    return environment


def _start_missing(data_dir: Path) -> Servers:
    try:
        return start_servers(data_dir, **unset_servers(os.environ))
    except EmbeddedServerError as error:
        raise CommandError(str(error)) from None


def _default_environment(environment: dict[str, str]) -> None:
    for name, value in environment.items():
        if not os.environ.get(name):
            os.environ[name] = value


def _migrate() -> None:
    import django

    django.setup()
    call_command("migrate_schemas", verbosity=0)

"""Pytest plugin: servers of the tests' own, for whichever URL is unset, gone when the tests end."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from aiaas.embedded import EmbeddedServerError, Servers, start_servers, unset_servers

_running: list[tuple[Servers, Path]] = []


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests() -> Generator[None, None, None]:
    """Start servers and set the environment before pytest-django reads the settings.

    Under xdist only the controller does: the workers inherit its environment.
    """
    os.environ["DJANGO_SETTINGS_MODULE"] = "aiaas.settings.test"
    os.environ.setdefault("SECRET_KEY", "test-" + "0123456789" * 6)
    if "PYTEST_XDIST_WORKER" not in os.environ:
        _start()
    return (yield)


def pytest_unconfigure() -> None:
    """Stop the servers: also after failures and Ctrl-C."""
    _stop()


def _start() -> None:
    missing = unset_servers(os.environ)
    if not any(missing.values()):
        return
    data_dir = Path(tempfile.mkdtemp(prefix="aiaas-test-"))
    data_dir.chmod(0o711)
    try:
        servers = start_servers(data_dir, durable=False, **missing)
    except EmbeddedServerError as error:
        raise pytest.UsageError(str(error)) from error
    _running.append((servers, data_dir))
    atexit.register(_stop)
    os.environ.update(servers.urls)
    if servers.postgres:
        os.environ["TEST_SUPERUSER_URL"] = servers.superuser_url


def _stop() -> None:
    while _running:
        servers, data_dir = _running.pop()
        servers.stop()
        shutil.rmtree(data_dir, ignore_errors=True)

"""A folder for servers: unlike pytest's own, the database's account can pass through it when we are root."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="aiaas-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)

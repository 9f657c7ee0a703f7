"""PostgreSQL, Valkey and NATS from wheels: for a laptop and for tests, without root or containers."""

from aiaas.embedded.nats import NatsServer
from aiaas.embedded.postgres import PostgresServer
from aiaas.embedded.process import EmbeddedServerError, ServerProcess
from aiaas.embedded.servers import Servers, start_servers, unset_servers
from aiaas.embedded.valkey import ValkeyServer

__all__ = [
    "EmbeddedServerError",
    "NatsServer",
    "PostgresServer",
    "ServerProcess",
    "Servers",
    "ValkeyServer",
    "start_servers",
    "unset_servers",
]

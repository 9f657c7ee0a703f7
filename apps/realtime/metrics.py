"""What operators watch of the sockets."""

from prometheus_client import Counter, Gauge

websocket_connections_active = Gauge(
    "websocket_connections_active", "Open chat sockets", ["tenant_id"], multiprocess_mode="livesum"
)
websocket_closes = Counter("websocket_closes", "Chat sockets closed by the server", ["code"])

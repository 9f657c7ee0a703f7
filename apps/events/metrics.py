"""What operators watch of the event path."""

from prometheus_client import Counter, Gauge

outbox_lag_seconds = Gauge("outbox_lag_seconds", "Age of the oldest event that waits in the outbox")
dead_letters_total = Counter("dead_letters_total", "Events set aside as dead letters", ["consumer"])
events_handled_total = Counter("events_handled_total", "Events handled by consumers", ["consumer"])

"""What the HTTP doorway measures."""

from prometheus_client import Counter, Gauge, Histogram

REQUEST_DURATION = Histogram(
    "request_duration_seconds",
    "Time from a request's arrival to its answer",
    ["service", "endpoint", "method"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
RATE_LIMIT_REFUSED = Counter(
    "rate_limit_refused_total", "Requests answered with 429, by whose bucket was empty", ["scope"]
)
RATE_LIMIT_IS_LOCAL = Gauge(
    "rate_limit_is_local",
    "1 while a process counts requests for itself because Valkey is away",
    multiprocess_mode="livemax",
)
RATE_LIMIT_FALLBACK = Counter(
    "rate_limit_fallback_total", "Requests limited by a process's own bucket because Valkey was away"
)
QUOTA_REFUSED = Counter("quota_refused_total", "Requests answered with 402", ["kind"])
IDEMPOTENT_REPLAYS = Counter("idempotent_replays_total", "Writes answered from a remembered answer")
QUEUE_DEPTH = Gauge(
    "queue_depth", "Hints that no worker has taken yet", ["queue_name"], multiprocess_mode="mostrecent"
)

"""What guarded calls look like from outside."""

from prometheus_client import Counter, Gauge, Histogram

ATTEMPTS = Counter("resilience_attempts_total", "Attempts of guarded calls", ["policy", "outcome"])
ATTEMPT_SECONDS = Histogram("resilience_attempt_seconds", "Duration of attempts", ["policy"])
BREAKER_OPEN = Gauge(
    "resilience_breaker_open", "1 while the last seen breaker of the policy is open", ["policy"]
)


def observe_attempt(policy: str, outcome: str, seconds: float) -> None:
    """Count one attempt."""
    ATTEMPTS.labels(policy, outcome).inc()
    ATTEMPT_SECONDS.labels(policy).observe(seconds)


def observe_breaker(policy: str, phase: str) -> None:
    """Show the breaker's phase."""
    BREAKER_OPEN.labels(policy).set(phase == "open")

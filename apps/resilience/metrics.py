"""What guarded calls look like from outside."""

from prometheus_client import Counter, Gauge, Histogram

ATTEMPTS = Counter("resilience_attempts_total", "Attempts of guarded calls", ["policy", "outcome"])
ATTEMPT_SECONDS = Histogram("resilience_attempt_seconds", "Duration of attempts", ["policy"])
BREAKER_PHASE = Gauge(
    "resilience_breaker_phase",
    "The last seen breaker of the policy: 0 closed, 1 half open (one call is let through), 2 open",
    ["policy"],
)
TRANSITIONS = Counter(
    "resilience_breaker_transitions_total", "Changes of breakers' phases", ["policy", "before", "after"]
)
REFUSALS = Counter("resilience_refusals_total", "Calls that were not made", ["policy", "by"])
BREAKERS_ARE_LOCAL = Gauge(
    "resilience_breakers_are_local", "1 while Valkey is away and each process keeps breakers for itself"
)
PHASES = {"closed": 0, "half_open": 1, "open": 2}


def observe_attempt(policy: str, outcome: str, seconds: float) -> None:
    """Count one attempt, or one that a guard refused."""
    ATTEMPTS.labels(policy, outcome).inc()
    if outcome.startswith("refused_by_"):
        REFUSALS.labels(policy, outcome.removeprefix("refused_by_")).inc()
        return
    ATTEMPT_SECONDS.labels(policy).observe(seconds)


def observe_breaker(policy: str, before: str, after: str) -> None:
    """Show the breaker's phase, and count its change."""
    BREAKER_PHASE.labels(policy).set(PHASES[after])
    if before != after:
        TRANSITIONS.labels(policy, before, after).inc()

from collections.abc import Iterator
from typing import Any

import pytest

from apps.gateway import limits
from apps.orchestration.definitions import services as definitions
from apps.orchestration.definitions.contracts import VersionView
from apps.orchestration.tools import http
from apps.resilience.breaker import LocalBreakerStore
from apps.tenants.contracts import TenantRef
from tests.orchestration.sink import Sink


@pytest.fixture
def publish():
    """Publish a workflow of the given steps (YAML lines at the steps' indentation) and return its version."""

    def publish(tenant: TenantRef, steps: str, rest: str = "", name: str = "w") -> VersionView:
        source = f'name: "{name}"\nversion: "1"\nsteps:\n{steps}\n{rest}'
        definitions.save_draft(tenant=tenant, source=source)
        return definitions.publish_workflow(tenant=tenant, name=name)

    return publish


@pytest.fixture(autouse=True)
def deltas(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Collect pieces of replies instead of sending them to sockets."""
    from apps.orchestration import services

    collected: list[dict[str, Any]] = []

    class Sink:
        def is_heard(self, **_asked: Any) -> bool:
            return True

        def emit(self, **piece: Any) -> None:
            collected.append(piece)

    monkeypatch.setattr(services, "_deltas", Sink)
    return collected


@pytest.fixture
def no_hints(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collect hints instead of sending them."""
    from apps.orchestration import services, steering

    sent: list[Any] = []

    class Hint:
        def send(self, **ids: Any) -> None:
            sent.append(ids)

    for module in (services, steering):
        monkeypatch.setattr(module, "run_hint", Hint)
    return sent


@pytest.fixture
def sink(settings: Any) -> Iterator[Sink]:
    """An HTTP service on loopback that the http_request tool may call."""
    with Sink.open() as opened:
        settings.OUTBOUND_ALLOW = [opened.address]
        yield opened


@pytest.fixture
def closed_breakers() -> None:
    """Forget what earlier tests' services have failed."""
    object.__setattr__(http.GUARD, "store", LocalBreakerStore())


@pytest.fixture
def fresh_limits(valkey: object) -> None:
    """Remember nothing of plans, quotas and buckets."""
    limits.limiter.cache_clear()
    limits.PLAN_RATES.forget()

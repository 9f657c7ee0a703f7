"""What was tried, what held, what leaked, and what could not be tried."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

SHOWN = 60


@dataclass
class Report:
    """Count attacks by surface; anything in `leaks` or `uncovered` is a failure."""

    targets: Counter[str] = field(default_factory=Counter)
    tried: Counter[str] = field(default_factory=Counter)
    leaks: list[tuple[str, str]] = field(default_factory=list)
    uncovered: list[tuple[str, str]] = field(default_factory=list)

    @property
    def has_failed(self) -> bool:
        return bool(self.leaks or self.uncovered)

    def aim(self, surface: str, targets: int = 1) -> None:
        """Count targets that a registry holds."""
        self.targets[surface] += targets

    def hold(self, surface: str, attacks: int = 1) -> None:
        """Count attacks that found nothing."""
        self.tried[surface] += attacks

    def leak(self, surface: str, what: str) -> None:
        """Note an attack that got through."""
        self.tried[surface] += 1
        if (surface, what) not in self.leaks:
            self.leaks.append((surface, what))

    def judge(self, surface: str, what: str, finding: str) -> None:
        """Note one attack: it held if there is no finding."""
        if finding:
            self.leak(surface, f"{what}: {finding}")
        else:
            self.hold(surface)

    def miss(self, surface: str, what: str) -> None:
        """Note a target that could not be attacked."""
        if (surface, what) not in self.uncovered:
            self.uncovered.append((surface, what))

    def lines(self) -> Iterator[str]:
        """Tell it as a table, then each failure."""
        yield f"{'surface':<14}{'targets':>9}{'attacks':>9}{'held':>9}{'leaks':>7}{'not covered':>13}"
        leaks = Counter(surface for surface, _ in self.leaks)
        missed = Counter(surface for surface, _ in self.uncovered)
        for surface in dict.fromkeys([*self.targets, *self.tried, *missed]):
            tried = self.tried[surface]
            yield (
                f"{surface:<14}{self.targets[surface]:>9}{tried:>9}{tried - leaks[surface]:>9}"
                f"{leaks[surface]:>7}{missed[surface]:>13}"
            )
        yield from _listed("LEAK", self.leaks)
        yield from _listed("NOT COVERED", self.uncovered)


def _listed(title: str, found: list[tuple[str, str]]) -> Iterator[str]:
    for surface, what in found[:SHOWN]:
        yield f"{title}  {surface}: {what}"
    if len(found) > SHOWN:
        yield f"{title}  and {len(found) - SHOWN} more"

"""How fast one socket may speak."""

from dataclasses import dataclass, field


@dataclass
class TokenBucket:
    """Allow `burst` at once and `per_s` a second after that; time is passed in, in seconds."""

    burst: float
    per_s: float
    _tokens: float = field(init=False)
    _at_s: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._tokens = self.burst

    def wait_s(self, now_s: float) -> float:
        """Take one token and return 0, or take none and return the seconds until there is one."""
        self._tokens = min(self.burst, self._tokens + (now_s - self._at_s) * self.per_s)
        self._at_s = now_s
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self.per_s

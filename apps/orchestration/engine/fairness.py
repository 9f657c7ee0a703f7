"""Which tenant's runs a process takes next, so that nobody's many runs keep another's few waiting."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

TYPICAL_S = 0.1  # what a tenant's run is thought to take before one has ended
LEARNING = 0.2
KEPT_ACCOUNTS = 10_000
# A thread that wakes up so much too late finds the process, or the machine, busy.
LATE_S = 0.005
SHRINK, GROW, LEAST = 0.8, 0.2, 2.0


@dataclass
class Account:
    """What a tenant has had of this process: the seconds of its slots, divided by the tenant's weight."""

    had_s: float = 0.0
    typical_s: float = TYPICAL_S
    running: int = 0


class FairQueue:
    """Tenants that may have due runs; the one that has had least goes first.

    What a run takes is charged when it begins, as far as it can be foretold, and put right when it ends. Who
    comes after a while begins where the others are: nobody saves up. A tenant never gets the last slot while
    it has all others, so that whoever comes next need not wait for the end of a long run.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._most = float(max(1, slots - 1))  # of one tenant's at a time
        self._waiting: dict[UUID, None] = {}
        self._accounts: dict[UUID, Account] = {}
        self._now_s = 0.0  # what the one that was chosen last had had

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def free(self) -> int:
        """Count the slots in which nothing runs."""
        return self.slots - sum(account.running for account in self._accounts.values())

    @property
    def most_of_one(self) -> int:
        """Return how many runs of one tenant may run at a time."""
        return int(self._most)

    def feel(self, late_s: float) -> None:
        """Take note by how much a thread that only slept woke up late: the others were in its way.

        More runs at a time then make all of them slower and get nothing done sooner, so each tenant gets
        fewer at a time, and more again once there is room. So who has few is not slowed by who has many.
        """
        widest = max(1, self.slots - 1)
        wanted = self._most * SHRINK if late_s > LATE_S else self._most + GROW
        self._most = max(min(wanted, widest), min(LEAST, widest))

    def offer(self, tenant_id: UUID) -> None:
        """Take note that a tenant may have due runs."""
        if tenant_id in self._waiting:
            return
        if len(self._accounts) >= KEPT_ACCOUNTS:
            self._forget_the_idle()
        account = self._accounts.setdefault(tenant_id, Account(self._now_s))
        if not account.running:
            account.had_s = max(account.had_s, self._now_s)
        self._waiting[tenant_id] = None

    def choose(self) -> tuple[UUID, int] | None:
        """Take out the tenant whose turn it is, and say how many of its runs may begin; None if nobody's.

        Whoever is left with more due runs than could begin has to be offered again.
        """
        able = {tenant_id: self._room(tenant_id) for tenant_id in self._waiting}
        able = {tenant_id: room for tenant_id, room in able.items() if room > 0}
        if not able:
            return None
        chosen = min(able, key=lambda tenant_id: self._accounts[tenant_id].had_s)
        del self._waiting[chosen]
        self._now_s = max(self._now_s, self._accounts[chosen].had_s)
        return chosen, able[chosen] if len(able) == 1 else 1

    def begin(self, tenant_id: UUID, weight: int) -> float:
        """Charge the tenant for a run that begins now; returns for how much, for `end`."""
        account = self._accounts[tenant_id]
        account.running += 1
        account.had_s += account.typical_s / weight
        return account.typical_s

    def end(self, tenant_id: UUID, weight: int, *, charged_s: float, took_s: float) -> None:
        """Charge what the run has really taken."""
        account = self._accounts[tenant_id]
        account.running -= 1
        account.had_s += (took_s - charged_s) / weight
        account.typical_s += LEARNING * (took_s - account.typical_s)

    def has_running(self, tenant_id: UUID) -> bool:
        """Tell whether anything of the tenant's runs here."""
        return tenant_id in self._accounts and self._accounts[tenant_id].running > 0

    def _room(self, tenant_id: UUID) -> int:
        return min(self.free, self.most_of_one - self._accounts[tenant_id].running)

    def _forget_the_idle(self) -> None:
        """Forget who has nothing to do and is not ahead of the others."""
        self._accounts = {
            tenant_id: account
            for tenant_id, account in self._accounts.items()
            if account.running or tenant_id in self._waiting or account.had_s > self._now_s
        }

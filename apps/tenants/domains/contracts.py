"""What a proof of a domain is."""

from dataclasses import dataclass
from typing import Protocol

PROOF_PATH = "/.well-known/aiaas-domain.txt"


@dataclass(frozen=True)
class Proof:
    """Whether a domain's owner vouches for a company; `problem` says what was found instead.

    `is_certain` tells that the domain answered and does not vouch; otherwise nobody could be asked.
    """

    is_found: bool
    is_certain: bool = True
    problem: str = ""


class FindProof(Protocol):
    """Look for a token that only who controls a domain can have published; within seconds."""

    def __call__(self, *, name: str, token: str) -> Proof: ...


def places_of(name: str) -> tuple[str, ...]:
    """Return the hosts where the proof of a domain may lie: itself, and the domain that it is a part of."""
    parent = name.partition(".")[2]
    return (name, parent) if "." in parent else (name,)

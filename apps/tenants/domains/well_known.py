"""Proves a domain by a file on it or on its parent, fetched through the guard of outgoing calls."""

from apps.resilience import outbound
from apps.tenants.domains.contracts import PROOF_PATH, Proof, places_of

LIMITS = outbound.Limits(total_s=4.0, step_s=3.0, max_bytes=16_384, max_redirects=2)
GONE = frozenset({404, 410})


def find_proof(*, name: str, token: str) -> Proof:
    """Look for a line that is the token, on each of the domain's places."""
    seen = [_look(host, token) for host in places_of(name)]
    found = next((proof for proof in seen if proof.is_found), None)
    problem = " ".join(proof.problem for proof in seen)
    return found or Proof(False, all(proof.is_certain for proof in seen), problem)


def _look(host: str, token: str) -> Proof:
    """Ask over HTTPS, and over HTTP where nobody listens to that."""
    problem = ""
    for scheme in ("https", "http"):
        try:
            answer = outbound.send("GET", f"{scheme}://{host}{PROOF_PATH}", limits=LIMITS)
        except outbound.TimedOut as error:  # it would let us wait once more
            return Proof(False, False, str(error))
        except outbound.OutboundError as error:
            problem = problem or str(error)
            continue
        return _judge(host, answer, token)
    return Proof(False, False, problem)


def _judge(host: str, answer: outbound.Answer, token: str) -> Proof:
    if answer.status == 200:
        lines = answer.content.decode("utf-8", "replace").splitlines()
        if token in {line.strip() for line in lines}:
            return Proof(True)
        return Proof(False, True, f"The file on {host} does not hold this domain's line.")
    is_certain = answer.status in GONE
    return Proof(False, is_certain, f"{host} answers {answer.status} instead of the file.")

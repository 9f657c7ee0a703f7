"""The keys that sign tokens: published before they are used, replaced, and kept until nobody needs them.

Every process remembers the published keys for some seconds. A new key is published long before it signs, so
that no process and no verifier outside meets a signature whose key it could not know.
"""

import datetime as dt
import secrets
import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jwt
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from jwt.algorithms import RSAAlgorithm

from apps.gateway.models import SigningKey
from apps.tenants.secrets import PLATFORM, seal, unseal

log = structlog.get_logger(__name__)

ALGORITHM = "RS256"
KEY_BITS = 2048
MEMORY_S = 5.0
REREAD_EVERY_S = 1.0  # for key ids that nobody knows: whoever invents them costs no more
PUBLISHED_AHEAD = dt.timedelta(minutes=10)  # longer than any memory of the published keys, ours or outside
KEPT = dt.timedelta(days=7, hours=1)  # after its last signature: longer than what it has signed lives
ROTATED_AFTER = dt.timedelta(days=30)
LOCK = 4_207_001  # of the advisory lock that lets one process at a time make keys


@dataclass(frozen=True)
class Ring:
    """The published keys at one moment, and which of them signs."""

    public_keys: dict[str, str]
    signer: tuple[str, str] | None  # key id, sealed private key
    read_at: float


_ring: Ring | None = None
_reread_at = 0.0
_lock = threading.Lock()


def sign(claims: dict[str, Any], *, kind: str) -> str:
    """Return a signed token of a kind, its `typ`; the very first one makes the first key."""
    signer = _known().signer
    if signer is None:
        rotate_signing_key(only_after=ROTATED_AFTER)
        signer = _read().signer
    assert signer is not None
    kid, sealed = signer
    return jwt.encode(claims, _private_key(sealed), algorithm=ALGORITHM, headers={"kid": kid, "typ": kind})


def find_public_key(kid: str) -> RSAPublicKey | None:
    """Return a published key; for an unknown one the table is read again, once a second at most."""
    global _reread_at
    ring = _known()
    if kid not in ring.public_keys:
        with _lock:  # who comes while it is read waits for what is found
            ring = _known()
            is_due = not ring.public_keys or time.monotonic() - _reread_at >= REREAD_EVERY_S
            if kid not in ring.public_keys and is_due:
                ring, _reread_at = _read(), time.monotonic()
    pem = ring.public_keys.get(kid)
    return _public_key(pem) if pem else None


def list_public_keys() -> list[dict[str, Any]]:
    """Return the published keys as JSON Web Keys."""
    if not _known().public_keys:
        rotate_signing_key(only_after=ROTATED_AFTER)
        _read()
    return [
        {**RSAAlgorithm.to_jwk(_public_key(pem), as_dict=True), "kid": kid, "use": "sig", "alg": ALGORITHM}
        for kid, pem in _known().public_keys.items()
    ]


def rotate_signing_key(
    *, only_after: dt.timedelta | None = None, is_urgent: bool = False
) -> SigningKey | None:
    """Publish the key that signs next and return it; one that waits already is returned instead.

    Nothing happens, and None is returned, while the newest key is younger than `only_after`. When it
    `is_urgent` the new key signs at once, and whatever the others have signed is void: for a key that leaked.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s), statement_timestamp()", [LOCK])
            now = cursor.fetchone()[1]
        newest = _published().order_by("-activates_at").first()
        if newest is not None and not is_urgent:
            if newest.activates_at > now:
                return newest
            if only_after is not None and newest.activates_at > now - only_after:
                return None
        made = _make(activates_at=now if is_urgent or newest is None else now + PUBLISHED_AHEAD)
        others = _published().exclude(kid=made.kid)
        others = others if is_urgent else others.filter(retires_at__isnull=True)
        others.update(retires_at=now if is_urgent else made.activates_at + KEPT)
    forget_all()
    log.info("signing_key_made", kid=made.kid, is_urgent=is_urgent)
    return made


def purge_signing_keys() -> int:
    """Delete the keys that nobody needs any more; return how many."""
    return SigningKey.objects.filter(retires_at__lt=Now()).delete()[0]


def forget_all() -> None:
    """Empty this process's memory of keys."""
    global _ring, _reread_at
    _ring, _reread_at = None, 0.0


def _known() -> Ring:
    ring = _ring
    if ring is None or time.monotonic() - ring.read_at >= MEMORY_S:
        return _read()
    return ring


def _read() -> Ring:
    global _ring
    rows = list(_published().annotate(now=Now()).order_by("activates_at", "kid"))
    usable = [row for row in rows if row.activates_at <= row.now]
    signer = (usable[-1].kid, usable[-1].private_key) if usable else None
    _ring = Ring({row.kid: row.public_key for row in rows}, signer, time.monotonic())
    return _ring


def _published() -> QuerySet[SigningKey]:
    return SigningKey.objects.filter(Q(retires_at__isnull=True) | Q(retires_at__gt=Now()))


def _make(*, activates_at: dt.datetime) -> SigningKey:
    private = generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return SigningKey.objects.create(
        kid=secrets.token_hex(8),
        private_key=seal(pem.decode(), PLATFORM),
        public_key=public.decode(),
        activates_at=activates_at,
    )


@lru_cache(maxsize=4)
def _private_key(sealed: str) -> RSAPrivateKey:
    key = serialization.load_pem_private_key(unseal(sealed, PLATFORM).encode(), password=None)
    assert isinstance(key, RSAPrivateKey)
    return key


@lru_cache(maxsize=32)
def _public_key(pem: str) -> RSAPublicKey:
    key = serialization.load_pem_public_key(pem.encode())
    assert isinstance(key, RSAPublicKey)
    return key

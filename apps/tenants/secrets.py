"""Encrypt tenants' secrets at rest, each bound to its tenant, with keys that can be exchanged.

A sealed secret names its key, so that one that an older key made is told by its beginning.
"""

import base64
import hashlib
import hmac
import os
from functools import lru_cache
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

FORM = "s1"
NONCE_BYTES = 12
PLATFORM = UUID(int=0)  # stands for the tenant where a secret belongs to none
MASK = "•••"  # stands where a secret is not shown
SECRET_WORDS = (
    *("secret", "password", "passphrase", "token", "authorization", "credential", "cookie"),
    *("private_key", "api_key", "apikey"),
)
FORMER_FORM = "gAAAA"  # sealed before secrets were bound to their tenants


class CannotOpen(ValueError):
    """A sealed secret that no present key made for this tenant."""

    def __init__(self) -> None:
        super().__init__("A stored secret cannot be opened: its key is gone, or it is another tenant's.")


def seal(secret: str, tenant_id: UUID) -> str:
    """Encrypt a secret for storing; only for the same tenant can it be opened."""
    nonce = os.urandom(NONCE_BYTES)
    name, key = _present()
    body = nonce + key.encrypt(nonce, secret.encode(), _bound_to(tenant_id))
    return f"{FORM}.{name}.{base64.urlsafe_b64encode(body).decode()}"


def unseal(sealed: str, tenant_id: UUID) -> str:
    """Decrypt a stored secret; raises CannotOpen."""
    try:
        if sealed.startswith(FORMER_FORM):
            return _former_cipher().decrypt(sealed.encode()).decode()
        _, name, text = sealed.split(".")
        body = base64.urlsafe_b64decode(text)
        key = dict(_keys())[name]
        return key.decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], _bound_to(tenant_id)).decode()
    except (InvalidTag, InvalidToken, KeyError, ValueError):
        raise CannotOpen from None


def is_sealed(value: str) -> bool:
    """Tell whether a text is a sealed secret, by its form."""
    return value.startswith((f"{FORM}.", FORMER_FORM))


def is_secret_name(name: str) -> bool:
    """Tell whether what has this name is one to be kept secret, as far as the name says."""
    lowered = name.lower().replace("-", "_")
    return any(word in lowered for word in SECRET_WORDS) and not lowered.endswith(("_at", "_s", "_version"))


def present_prefix() -> str:
    """Return what every secret begins with that was sealed by the present key."""
    return f"{FORM}.{_present()[0]}."


def _present() -> tuple[str, AESGCM]:
    return _keys()[0]


def _keys() -> list[tuple[str, AESGCM]]:
    """The first one encrypts, all of them decrypt."""
    texts = [*settings.SECRETS_KEYS, settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return [_derive(text) for text in texts]


@lru_cache(maxsize=32)
def _derive(text: str) -> tuple[str, AESGCM]:
    made = HKDF(hashes.SHA256(), 32, salt=None, info=b"aiaas tenants' secrets").derive(text.encode())
    return hashlib.sha256(made).hexdigest()[:8], AESGCM(made)


def _bound_to(tenant_id: UUID) -> bytes:
    return b"tenant:" + tenant_id.bytes


def _former_cipher() -> MultiFernet:
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    digests = (hashlib.sha256(b"tenant-secrets:" + key.encode()).digest() for key in keys)
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])


def sign(text: str) -> str:
    """Return the platform's signature of a text, in hexadecimal."""
    return _signature(settings.SECRET_KEY, text)


def is_signed(text: str, signature: str) -> bool:
    """Tell whether the platform has signed a text, with its present key or one that is still kept."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return any(hmac.compare_digest(_signature(key, text), signature) for key in keys)


def pseudonym(text: str) -> str:
    """Return what stands for a text where the text must not; without the key nobody can try guesses."""
    return _signature(settings.SECRET_KEY, f"pseudonym:{text}")


def _signature(key: str, text: str) -> str:
    derived = hashlib.sha256(b"signatures:" + key.encode()).digest()
    return hmac.new(derived, text.encode(), hashlib.sha256).hexdigest()

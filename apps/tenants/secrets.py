"""Encrypt tenants' secrets at rest with a key derived from SECRET_KEY."""

import base64
import hashlib

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings


def _cipher() -> MultiFernet:
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    digests = (hashlib.sha256(b"tenant-secrets:" + key.encode()).digest() for key in keys)
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])


def seal(secret: str) -> str:
    """Encrypt a secret for storing."""
    return _cipher().encrypt(secret.encode()).decode()


def unseal(sealed: str) -> str:
    """Decrypt a stored secret; raises InvalidToken when no current key made it."""
    return _cipher().decrypt(sealed.encode()).decode()

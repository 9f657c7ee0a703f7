"""The signed proof of an erasure: what went and what stays, and nothing about whom."""

import json
from typing import Any

from apps.tenants.secrets import is_signed, sign

FORMAT = "aiaas-erasure"


def canonical(manifest: dict[str, Any]) -> str:
    """Write a manifest in the one way that is signed."""
    return json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def sign_manifest(manifest: dict[str, Any]) -> str:
    """Return the signature of a manifest."""
    return sign(canonical(manifest))


def is_genuine(document: Any) -> bool:
    """Tell whether a file `{"manifest": …, "signature": …}` is as the platform has signed it."""
    if not isinstance(document, dict) or not isinstance(document.get("signature"), str):
        return False
    return is_signed(canonical(document.get("manifest") or {}), document["signature"])

"""Make a passkey as an authenticator would, so that the pages that read it have something to read."""

import json
import secrets
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import Aaguid, AttestationObject, AttestedCredentialData, AuthenticatorData

CLIENT_DATA = json.dumps({"type": "webauthn.create", "challenge": "", "origin": "https://proof.example"})


def make_passkey() -> dict[str, Any]:
    """Return a registration's answer with a new key, in the form of the WebAuthn specification's JSON."""
    curve: Any = ES256  # untyped
    key = curve.from_cryptography_key(ec.generate_private_key(ec.SECP256R1()).public_key())
    credential = AttestedCredentialData.create(Aaguid.NONE, secrets.token_bytes(16), key)
    flags = AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.AT
    shown = AuthenticatorData.create(secrets.token_bytes(32), flags, 0, credential)
    name = websafe_encode(credential.credential_id)
    response = {
        "clientDataJSON": websafe_encode(CLIENT_DATA.encode()),
        "attestationObject": websafe_encode(AttestationObject.create("none", shown, {})),
    }
    return {"id": name, "rawId": name, "type": "public-key", "response": response}

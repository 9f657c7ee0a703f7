"""An authenticator app and a passkey in software, and how a person sets them up."""

import hashlib
import json
import os
import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from allauth.mfa.totp.internal import auth as totp
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from django.test import Client
from fido2 import cbor
from fido2.cose import ES256

from tests.pages import PASSWORD

ORIGIN = "http://localhost"
PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40
BASE = "/accounts/second-step/"


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def options_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script id="js_data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found, "the page carries no options"
    return json.loads(found[1])


def code_of(secret: str, *, steps: int = 0) -> str:
    """Return the code that an app shows now, or some half minutes away."""
    counter = int(time.time()) // 30 + steps
    return totp.format_hotp_value(totp.hotp_value(secret, counter))


def confirm(client: Client, password: str = PASSWORD) -> None:
    """Show once more that it is the same person."""
    assert client.post("/accounts/reauthenticate/", {"password": password}).status_code == 302


def set_up_app(client: Client, *, steps: int = -1) -> str:
    """Set up an authenticator app with a code of a moment ago, and return its secret."""
    confirm(client)
    page = client.get(f"{BASE}app/add/").content.decode()
    secret = re.search(r"<code>([A-Z2-7]+)</code>", page)[1]
    answer = client.post(f"{BASE}app/add/", {"code": code_of(secret, steps=steps)})
    assert answer.status_code == 302, answer.content.decode()
    return secret


class Passkey:
    """Signs as a phone or a security key would, for one host."""

    def __init__(
        self, *, host: str = "localhost", origin: str = ORIGIN, flags: int = PRESENT | VERIFIED
    ) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id, self.host, self.origin, self.flags = os.urandom(16), host, origin, flags
        self.user_handle, self.count = b"", 0

    def register(self, options: dict[str, Any]) -> dict[str, Any]:
        wanted = options["creation_options"]["publicKey"]
        self.user_handle = unb64(wanted["user"]["id"])
        client_data = self._client_data("webauthn.create", wanted["challenge"])
        public = cbor.encode(ES256.from_cryptography_key(self.key.public_key()))
        credential = b"\0" * 16 + len(self.id).to_bytes(2, "big") + self.id + public
        attestation = {"fmt": "none", "attStmt": {}, "authData": self._data(ATTESTED) + credential}
        answer = {"clientDataJSON": b64(client_data), "attestationObject": b64(cbor.encode(attestation))}
        return self._answer(answer) | {"clientExtensionResults": {"credProps": {"rk": True}}}

    def sign(self, options: dict[str, Any]) -> dict[str, Any]:
        wanted = options["request_options"]["publicKey"]
        client_data, data = self._client_data("webauthn.get", wanted["challenge"]), self._data()
        signed = self.key.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(hashes.SHA256()))
        return self._answer(
            {
                "clientDataJSON": b64(client_data),
                "authenticatorData": b64(data),
                "signature": b64(signed),
                "userHandle": b64(self.user_handle),
            }
        )

    def _client_data(self, kind: str, challenge: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin}).encode()

    def _data(self, also: int = 0) -> bytes:
        self.count += 1
        flags = bytes([self.flags | also])
        return hashlib.sha256(self.host.encode()).digest() + flags + self.count.to_bytes(4, "big")

    def _answer(self, response: dict[str, Any]) -> dict[str, Any]:
        own = b64(self.id)
        return {
            "id": own,
            "rawId": own,
            "type": "public-key",
            "response": response,
            "clientExtensionResults": {},
        }


def set_up_passkey(client: Client, passkey: Passkey | None = None, name: str = "Laptop") -> Passkey:
    """Set up a passkey that logs in alone."""
    passkey = passkey or Passkey()
    confirm(client)
    credential = passkey.register(options_of(client.get(f"{BASE}passkeys/add/").content.decode()))
    given = {"name": name, "credential": json.dumps(credential), "passwordless": "on"}
    answer = client.post(f"{BASE}passkeys/add/", given)
    assert answer.status_code == 302, answer.content.decode()
    return passkey

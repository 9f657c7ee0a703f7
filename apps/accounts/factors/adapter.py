"""What allauth asks us about second factors."""

from urllib.parse import urlsplit

from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser

from apps.tenants.secrets import PLATFORM, seal, unseal


class SealingAdapter(DefaultMFAAdapter):
    """Encrypts secrets at rest, and binds passkeys to the product's public host."""

    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "unverified_email": "Verify your e-mail address first; then add a second step.",
        "incorrect_code": "That did not match. A code works once: wait for the next one.",
    }

    def encrypt(self, text: str) -> str:
        return seal(text, PLATFORM)

    def decrypt(self, encrypted_text: str) -> str:
        return unseal(encrypted_text, PLATFORM)

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        return {"id": urlsplit(settings.PUBLIC_URL).hostname or "localhost", "name": "AIaaS"}

    def generate_authenticator_name(self, user: AbstractBaseUser, type: Authenticator.Type) -> str:  # noqa: A002
        count = Authenticator.objects.filter(user_id=user.pk, type=type).count()
        return "Passkey" if count == 0 else f"Passkey {count + 1}"

"""OpenID Connect as its specification asks: nonce, PKCE, issuer and every signature are checked."""

import hmac
from typing import Any

import jwt
from allauth.account.models import EmailAddress
from allauth.socialaccount.providers.oauth2.client import OAuth2Client, OAuth2Error
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.crypto import salted_hmac

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
CLAIMS = ["iss", "sub", "aud", "exp", "iat", "nonce"]
LEEWAY_S = 60
MAX_SUBJECT_CHARS = 191


def nonce_of(state: str) -> str:
    """Return the nonce that belongs to a log-in's state, which the session knows and uses once."""
    return salted_hmac("apps.accounts.oidc", state, algorithm="sha256").hexdigest()


class OidcClient(OAuth2Client):
    """Sends the nonce along."""

    def get_redirect_url(self, authorization_url: str, scope: list[str], extra_params: dict[str, str]) -> str:
        extra = {**extra_params, "nonce": nonce_of(str(self.state))}
        return str(super().get_redirect_url(authorization_url, scope, extra))


class OidcAdapter(OpenIDConnectOAuth2Adapter):
    """Talks to a provider, and believes nothing that it has not signed."""

    client_class = OidcClient

    @property
    def openid_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().openid_config
        expected = self.get_provider().app.settings["server_url"]
        if str(config.get("issuer", "")).rstrip("/") != expected:
            raise OAuth2Error("The discovery document names another issuer.")
        return config

    def get_callback_url(self, request: HttpRequest, app: Any) -> str:
        path = reverse("openid_connect_callback", args=[self.provider_id])
        return f"{settings.PUBLIC_URL.rstrip('/')}{path}"

    def complete_login(self, request: HttpRequest, app: Any, token: Any, **kwargs: Any) -> Any:
        """Return who logs in, by the signed claims; the address may come from the userinfo endpoint."""
        claims = self._read_id_token(app, str(kwargs["response"].get("id_token", "")))
        if not hmac.compare_digest(str(claims["nonce"]), nonce_of(request.GET.get("state", ""))):
            raise OAuth2Error("The id_token belongs to another log-in.")
        about = claims
        if "email" not in claims and "userinfo_endpoint" in self.openid_config:
            about = self._fetch_user_info(token.token)
            if about.get("sub") != claims["sub"]:
                raise OAuth2Error("The userinfo is about somebody else.")
        return self.get_provider().sociallogin_from_response(request, {"id_token": claims, "userinfo": about})

    def _read_id_token(self, app: Any, raw: str) -> dict[str, Any]:
        try:
            key = self._find_key(str(jwt.get_unverified_header(raw).get("kid", "")))
            claims: dict[str, Any] = jwt.decode(
                raw,
                key,
                algorithms=ALGORITHMS,
                audience=app.client_id,
                issuer=self.openid_config["issuer"],
                leeway=LEEWAY_S,
                options={"require": CLAIMS},
            )
        except (jwt.PyJWTError, KeyError, ValueError, TypeError) as error:
            raise OAuth2Error("The id_token is not valid.") from error
        is_for_us = claims.get("azp", app.client_id) == app.client_id
        if not is_for_us or not 0 < len(str(claims["sub"])) <= MAX_SUBJECT_CHARS:
            raise OAuth2Error("The id_token is not meant for this product.")
        return claims

    def _find_key(self, kid: str) -> jwt.PyJWK:
        from allauth.socialaccount.adapter import get_adapter

        with get_adapter().get_requests_session() as session:
            answer = session.get(self.openid_config["jwks_uri"])
            answer.raise_for_status()
        keys = jwt.PyJWKSet.from_dict(answer.json()).keys
        return next(key for key in keys if key.key_id == kid) if kid else _only(keys)


class OidcProvider(OpenIDConnectProvider):
    oauth2_adapter_class = OidcAdapter
    pkce_enabled_default = True

    def get_scope_from_request(self, request: HttpRequest) -> list[str]:
        """Ask for what we want, whatever a link says."""
        return list(self.get_scope())

    def get_auth_params_from_request(self, request: HttpRequest, action: str) -> dict[str, str]:
        return dict(self.get_auth_params())

    def extract_extra_data(self, data: dict[str, Any]) -> dict[str, Any]:
        """Keep what is shown to the person, and nothing else."""
        about = data["userinfo"]
        return {"userinfo": {key: about[key] for key in ("sub", "email", "name") if key in about}}

    def extract_email_addresses(self, data: dict[str, Any]) -> list[EmailAddress]:
        """Believe that an address is verified only where the installation trusts the provider to say so."""
        about = data["userinfo"]
        is_verified = about.get("email_verified") is True and self.app.settings["email_authentication"]
        email = str(about.get("email") or "").strip().lower()
        return [EmailAddress(email=email, verified=is_verified, primary=True)] if email else []


def _only(keys: list[jwt.PyJWK]) -> jwt.PyJWK:
    if len(keys) != 1:
        raise OAuth2Error("The id_token does not say which key signed it.")
    return keys[0]


provider_classes = [OidcProvider]

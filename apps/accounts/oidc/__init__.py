"""Log-in through OpenID Connect providers that the installation names in OIDC_PROVIDERS."""

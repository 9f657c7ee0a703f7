"""Tenants' secrets at rest: bound to their tenant, exchanged without an interruption, never in a repr."""

import base64
import hashlib
import re
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from allauth.mfa.utils import decrypt
from cryptography.fernet import Fernet
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db.models import CharField, TextField

from apps.gateway.models import SigningKey
from apps.gateway.signing import rotate_signing_key
from apps.orchestration.hooks.models import Endpoint
from apps.orchestration.hooks.services import create_endpoint, rotate_secret
from apps.tenants import resealing, selectors, services
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.models import User, WidgetKey
from apps.tenants.orm import SealedTextField
from apps.tenants.secrets import PLATFORM, CannotOpen, present_prefix, seal, unseal

# Columns that sound like a secret, and hold what was made of one.
HASHED = {
    ("tenants.User", "password"),  # by Django
    ("gateway.TokenFamily", "password_stamp"),  # a digest of that hash, which changes with it
    ("tenants.Domain", "token"),  # no secret: a company's site shows it to everybody
}
OLD, NEW = "old-key-of-at-least-32-characters", "new-key-of-at-least-32-characters"
A, B = UUID(int=1), UUID(int=2)


def former(secret: str, key: str) -> str:
    digest = hashlib.sha256(b"tenant-secrets:" + key.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest)).encrypt(secret.encode()).decode()


def rotate(**options: Any) -> str:
    out = StringIO()
    call_command("rotate_secrets", stdout=out, stderr=StringIO(), **options)
    return out.getvalue()


@pytest.fixture
def _only(acme: TenantRef, globex: TenantRef, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner's connection sees nothing of a test's open transaction."""
    name = "apps.tenants.management.commands.rotate_secrets.list_all_tenants"
    monkeypatch.setattr(name, lambda: [acme, globex])


def test_a_secret_opens_for_its_tenant_only() -> None:
    sealed = seal("whsec_x", A)
    assert "whsec_x" not in sealed
    assert unseal(sealed, A) == "whsec_x"
    assert seal("whsec_x", A) != sealed
    with pytest.raises(CannotOpen):
        unseal(sealed, B)


@pytest.mark.parametrize("broken", ["", "x", "s1.a.b", "s1.00000000.AAAA", "gAAAAnonsense"])
def test_what_is_no_sealed_secret_says_so_without_showing_it(broken: str) -> None:
    with pytest.raises(CannotOpen) as refused:
        unseal(broken, A)
    assert not broken or broken not in str(refused.value)


def test_a_changed_letter_opens_nothing() -> None:
    sealed = seal("x", A)
    with pytest.raises(CannotOpen):
        unseal(sealed[:-6] + ("A" if sealed[-6] != "A" else "B") + sealed[-5:], A)


def test_a_row_copied_to_another_tenant_is_worth_nothing(acme: TenantRef, globex: TenantRef) -> None:
    create_endpoint(tenant=acme, name="theirs", action="message", actor="t")
    with in_tenant(acme):
        stolen = Endpoint.objects.get(name="theirs").secret
        unseal(stolen, acme.id)
    with pytest.raises(CannotOpen):
        unseal(stolen, globex.id)


def test_the_first_key_seals_and_all_of_them_open(settings: Any) -> None:
    by_secret_key = seal("a", A)
    settings.SECRETS_KEYS = [OLD]
    by_old = seal("b", A)
    settings.SECRETS_KEYS = [NEW, OLD]
    assert seal("c", A).startswith(present_prefix())
    assert [unseal(one, A) for one in (by_secret_key, by_old)] == ["a", "b"]
    settings.SECRETS_KEYS = [NEW]
    with pytest.raises(CannotOpen):
        unseal(by_old, A)


def test_a_plain_secret_cannot_be_stored(acme: TenantRef) -> None:
    with pytest.raises(ValueError, match="sealed secrets only"), in_tenant(acme):
        Endpoint.objects.create(name="plain", action="message", secret="whsec_plain")


@pytest.mark.usefixtures("_only")
def test_rotation_finds_everything_and_lets_the_former_key_go(
    acme: TenantRef, globex: TenantRef, settings: Any
) -> None:
    settings.SECRETS_KEYS = [OLD]
    hooks = {t: create_endpoint(tenant=t, name="in", action="message", actor="t") for t in (acme, globex)}
    again = rotate_secret(tenant=acme, endpoint_id=hooks[acme].endpoint.id, overlap_s=600, actor="t")
    widget = services.create_widget_key(tenant=acme, name="Shop")
    settings.SECRETS_KEYS = [NEW, OLD]
    assert re.match(r"[1-9]\d* secrets of 2 tenants sealed anew, 0 cannot", rotate())
    settings.SECRETS_KEYS = [NEW]
    assert rotate().startswith("0 secrets")
    selectors.forget_all()
    with in_tenant(acme):
        row = Endpoint.objects.get(name="in")
        assert unseal(row.secret, acme.id) == again.secret
        assert unseal(row.previous_secret, acme.id) == hooks[acme].secret
        key = WidgetKey.objects.get(key=widget.key)
        assert unseal(key.identity_secret, acme.id) == widget.identity_secret
    with in_tenant(globex):
        assert unseal(Endpoint.objects.get(name="in").secret, globex.id) == hooks[globex].secret


@pytest.mark.usefixtures("_only")
def test_rotation_takes_what_belongs_to_no_tenant_along(db: None, settings: Any) -> None:
    settings.SECRETS_KEYS = [OLD]
    user = User.objects.create(email="totp@acme.example")
    TOTP.activate(user, "JBSWY3DPEHPK3PXP")
    codes = RecoveryCodes.activate(user).generate_codes()
    assert rotate_signing_key() is not None
    settings.SECRETS_KEYS = [NEW, OLD]
    rotate()
    settings.SECRETS_KEYS = [NEW]
    factors = {one.type: one for one in Authenticator.objects.filter(user=user)}
    assert decrypt(factors["totp"].data["secret"]) == "JBSWY3DPEHPK3PXP"
    assert RecoveryCodes(factors["recovery_codes"]).generate_codes() == codes
    assert "PRIVATE KEY" in unseal(SigningKey.objects.latest("created_at").private_key, PLATFORM)


@pytest.mark.usefixtures("_only")
def test_secrets_of_the_form_before_are_bound_by_the_rotation(acme: TenantRef, settings: Any) -> None:
    issued = create_endpoint(tenant=acme, name="in", action="message", actor="t")
    with in_tenant(acme):
        Endpoint.objects.filter(name="in").update(secret=former(issued.secret, settings.SECRET_KEY))
    rotate()
    with in_tenant(acme):
        sealed = Endpoint.objects.get(name="in").secret
    assert sealed.startswith(present_prefix())
    assert unseal(sealed, acme.id) == issued.secret


@pytest.mark.usefixtures("_only")
def test_rotation_goes_on_where_it_was_ended(
    acme: TenantRef, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SECRETS_KEYS = [OLD]
    for number in range(5):
        create_endpoint(tenant=acme, name=f"in{number}", action="message", actor="t")
    settings.SECRETS_KEYS = [NEW, OLD]
    monkeypatch.setattr(resealing, "BATCH", 2)
    real, calls = resealing._next_rows, []

    def next_rows(*args: Any) -> Any:
        calls.append(args)
        if args[0] is Endpoint and args[2] is not None:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(resealing, "_next_rows", next_rows)
    with pytest.raises(KeyboardInterrupt):
        rotate(tenant=acme.slug)
    monkeypatch.setattr(resealing, "_next_rows", real)
    assert rotate(tenant=acme.slug).startswith("3 secrets of 1 tenants")


def test_a_secret_that_is_replaced_meanwhile_stays(
    acme: TenantRef, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SECRETS_KEYS = [OLD]
    issued = create_endpoint(tenant=acme, name="in", action="message", actor="t")
    settings.SECRETS_KEYS = [NEW, OLD]
    replaced: list[str] = []

    def open_slowly(sealed: str, tenant_id: UUID) -> str:
        if not replaced and unseal(sealed, tenant_id) == issued.secret:
            made = rotate_secret(tenant=acme, endpoint_id=issued.endpoint.id, overlap_s=0, actor="t")
            replaced.append(made.secret)
        return unseal(sealed, tenant_id)

    monkeypatch.setattr(resealing, "unseal", open_slowly)
    resealing.reseal_secrets(tenant=acme)
    with in_tenant(acme):
        assert unseal(Endpoint.objects.get(name="in").secret, acme.id) == replaced[0]


@pytest.mark.usefixtures("_only")
def test_what_no_key_opens_is_listed(acme: TenantRef, settings: Any) -> None:
    settings.SECRETS_KEYS = [OLD]
    create_endpoint(tenant=acme, name="in", action="message", actor="t")
    settings.SECRETS_KEYS = [NEW]
    with pytest.raises(CommandError, match="put the key"):
        rotate()


def test_every_column_that_sounds_like_a_secret_is_sealed_or_hashed() -> None:
    found = [
        f"{model._meta.label}.{one.name}"
        for model in apps.get_models()
        if model.__module__.startswith("apps.")
        for one in model._meta.local_concrete_fields
        if isinstance(one, CharField | TextField) and re.search("secret|token|password|credential", one.name)
        if not isinstance(one, SealedTextField) and not one.name.endswith(("_hash", "_hint"))
        if (model._meta.label, one.name) not in HASHED
    ]
    assert found == []


def test_no_repr_shows_a_secret(acme: TenantRef) -> None:
    issued = create_endpoint(tenant=acme, name="in", action="message", actor="t")
    widget = services.create_widget_key(tenant=acme)
    key = services.create_api_key(tenant=acme, name="k", scopes=["api:read"])
    shown = repr((issued, widget, key))
    assert not [secret for secret in (issued.secret, widget.identity_secret, key.token) if secret in shown]

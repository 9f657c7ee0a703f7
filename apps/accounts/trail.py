"""What people do at the door, in the audit trail of every company of theirs, and in the staff's log.

allauth and Django tell of it by signals, which `AccountsConfig.ready` connects.
"""

from typing import Any

from allauth.account import signals as account
from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth import signals as auth
from django.dispatch import Signal

from apps.tenants.services import record_for_person

ACTS: dict[Signal, str] = {
    account.user_logged_in: "login.succeeded",
    auth.user_logged_out: "login.ended",
    account.password_set: "password.set",
    account.password_changed: "password.changed",
    account.password_reset: "password.reset",
}


def connect_trail() -> None:
    """Listen to what allauth and Django tell of people."""
    if apps.is_installed("allauth.mfa"):
        ACTS.update(_acts_with_factors())
    for signal in ACTS:
        signal.connect(record_act, dispatch_uid="accounts.trail")
    account.email_changed.connect(record_new_address, dispatch_uid="accounts.trail")
    auth.user_login_failed.connect(record_failed_login, dispatch_uid="accounts.trail")


def _acts_with_factors() -> dict[Signal, str]:
    from allauth.mfa import signals as factors  # its models must not be imported before it is installed

    return {
        factors.authenticator_added: "factor.added",
        factors.authenticator_removed: "factor.removed",
        factors.authenticator_reset: "factor.recovery_codes_renewed",
        factors.authentication_failed: "factor.refused",
    }


def record_act(signal: Signal, user: Any, **told: Any) -> None:
    """Record one of ACTS, and which kind of factor it was."""
    factor = getattr(told.get("authenticator"), "type", "")
    if user is not None and user.pk is not None:
        data = {"factor": str(factor)} if factor else {}
        record_for_person(user=user, action=ACTS[signal], data=data)


def record_new_address(user: Any, from_email_address: Any, to_email_address: Any, **_told: Any) -> None:
    """Record a change of the address that somebody logs in with."""
    before = getattr(from_email_address, "email", None)
    data = {"before": before, "after": getattr(to_email_address, "email", None)}
    record_for_person(user=user, action="address.changed", data=data)


def record_failed_login(credentials: dict[str, Any], **_told: Any) -> None:
    """Record a wrong password for somebody who is known; of others there is no company to tell."""
    email = str(credentials.get("email") or credentials.get("username") or "").strip().lower()
    people: Any = get_user_model().objects
    if user := people.filter(email=email).first() if "\x00" not in email else None:
        record_for_person(user=user, action="login.failed")

"""The installation's mail server: what surely did not leave is told from what may have."""

from __future__ import annotations

import smtplib

from django.conf import settings
from django.core.mail import EmailMessage, get_connection

from apps.resilience.breaker import BreakerPolicy
from apps.resilience.outcomes import ResilienceError
from apps.resilience.policies import Resilience

REFUSALS = (smtplib.SMTPSenderRefused, smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError)
FOR_GOOD = 550


class MailRefused(Exception):
    """The server says in so many words that it does not take the mail."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the mail server refused the mail ({code})")
        self.is_retryable = 400 <= code < 500


class MailBroken(Exception):
    """The connection ended before the server said whether it has taken the mail."""


class NotSent(ResilienceError):
    """The server could not be reached: nothing was sent."""


GUARD = Resilience(
    "mail_server",
    breaker=BreakerPolicy(failure_threshold=5, recovery_timeout_s=30),
    is_failure=lambda error: not isinstance(error, MailRefused),
)


def send_mail(message: EmailMessage, *, owner: str) -> None:
    """Send one mail for a tenant. Raises MailRefused, MailBroken; ResilienceError where nothing was sent."""
    GUARD.call(lambda _timeout_s: _send(message), key=settings.EMAIL_HOST or "", owner=owner)


def _send(message: EmailMessage) -> None:
    connection = get_connection()
    try:
        connection.open()
    except OSError as error:  # smtplib's errors are among these
        raise NotSent(f"the mail server cannot be reached ({type(error).__name__})") from None
    try:
        connection.send_messages([message])
    except REFUSALS as error:
        raise MailRefused(getattr(error, "smtp_code", FOR_GOOD)) from None
    except OSError as error:
        raise MailBroken(f"the connection to the mail server broke ({type(error).__name__})") from None
    finally:
        connection.close()

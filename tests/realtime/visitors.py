"""What visitors write in forms, and the manners that a company sets for them."""

from django.utils import timezone

from apps.realtime.threads import in_thread
from apps.tenants.context import in_tenant

ROUND_THE_CLOCK = ["00:00-24:00"] * 7
ASKED = {"prechat": "name_email", "required": ["name", "email"]}
AWAY = {"has_hours": True, "outside_hours": "form"}
LETTER = {"client_message_id": "o1", "name": "Vera", "email": "vera@x.example", "text": "Call me"}
ME = {"name": "Vera", "email": "vera@x.example"}


def hours_without_today() -> list[str]:
    """Be open every day but yesterday, today and tomorrow, so that no clock matters."""
    today = timezone.now().weekday()
    return ["" if (day - today) % 7 in (6, 0, 1) else "00:00-24:00" for day in range(7)]


def read(tenant, query):
    def run():
        with in_tenant(tenant):
            return query()

    return in_thread(run)

"""Read widgets' settings."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from apps.realtime.widget_settings.colours import text_on
from apps.realtime.widget_settings.contracts import OutsideHours, WidgetSettings, load_settings
from apps.realtime.widget_settings.hours import next_opening
from apps.tenants.contracts import WidgetKeyView
from apps.tenants.selectors import resolve_widget_key

PUBLIC = ("theme", "position", "icon", "languages", "default_language", "texts", "rating", "rating_comment")


@dataclass(frozen=True)
class Widget:
    """An active widget: its key with what belongs to it, and its settings."""

    key: WidgetKeyView
    settings: WidgetSettings

    def opens_at(self, now: dt.datetime) -> dt.datetime | None:
        """Return when the team is back; None while it is there, and where the AI answers all the same."""
        if self.settings.outside_hours == OutsideHours.ANSWER:
            return None
        return next_opening(self.settings, now=now, time_zone=self.key.time_zone)

    def takes_forms_only(self, now: dt.datetime) -> bool:
        """Tell whether visitors leave a message now instead of chatting."""
        return self.settings.outside_hours == OutsideHours.FORM and self.opens_at(now) is not None

    @property
    def public(self) -> dict[str, Any]:
        """What every visitor's browser may know: no domains, no hours, no secrets."""
        settings = self.settings
        return {
            "key": self.key.key,
            "version": self.key.version,
            "color": settings.color,
            "on_color": text_on(settings.color, settings.text_color),
            **{name: getattr(settings, name) for name in PUBLIC},
            "prechat": [{"name": name, "required": name in settings.required} for name in settings.asked],
            "consent": settings.ask_consent,
        }


def find_widget(key: str) -> Widget | None:
    """Return the widget of an active key, as of a second ago at most, or None."""
    found = resolve_widget_key(key)
    return Widget(found, load_settings(found.settings)) if found else None

"""The settings of a widget, and what of them a visitor's browser may know."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any

LANGUAGES = ("en", "de", "es", "fr")
# What a company may word itself, with the most characters of each.
TEXTS = {
    "title": 60,
    "launcher": 30,
    "greeting": 600,
    "placeholder": 80,
    "prechat": 400,
    "away": 600,
    "consent": 600,
}

MAX_VISITOR_RATE, MAX_ADDRESS_RATE = 600, 10_000  # a minute


class TextColor(StrEnum):
    AUTO = "auto"
    LIGHT = "light"
    DARK = "dark"


class Theme(StrEnum):
    AUTO = "auto"
    LIGHT = "light"
    DARK = "dark"


class Position(StrEnum):
    RIGHT = "right"
    LEFT = "left"


class Icon(StrEnum):
    CHAT = "chat"
    QUESTION = "question"
    SMILE = "smile"


class OutsideHours(StrEnum):
    """What happens while nobody is there: the AI alone, the AI that says when people are back, or a form."""

    ANSWER = "answer"
    HANDOVER = "handover"
    FORM = "form"


class Prechat(StrEnum):
    OFF = "off"
    NAME = "name"
    NAME_EMAIL = "name_email"


PROFILE_FIELDS: dict[str, tuple[str, ...]] = {
    Prechat.OFF: (),
    Prechat.NAME: ("name",),
    Prechat.NAME_EMAIL: ("name", "email"),
}


@dataclass(frozen=True, kw_only=True)
class WidgetSettings:
    """Everything that a company can set; `hours` begin on Monday, an empty day is closed."""

    color: str = "#0f5c5c"
    text_color: str = TextColor.AUTO.value
    theme: str = Theme.AUTO.value
    position: str = Position.RIGHT.value
    icon: str = Icon.CHAT.value
    languages: tuple[str, ...] = LANGUAGES
    default_language: str = "en"
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    has_hours: bool = False
    hours: tuple[str, ...] = ("",) * 7
    closed_dates: tuple[str, ...] = ()
    outside_hours: str = OutsideHours.HANDOVER.value
    prechat: str = Prechat.OFF.value
    required: tuple[str, ...] = ()
    ask_consent: bool = False
    rating: bool = True
    rating_comment: bool = True
    messages_per_minute: int = 30  # of one visitor
    address_messages_per_minute: int = 120  # of everybody behind one address, such as an office
    address_openings_per_minute: int = 30

    @property
    def asked(self) -> tuple[str, ...]:
        """What the pre-chat form asks for."""
        return PROFILE_FIELDS[self.prechat]

    @property
    def demanded(self) -> tuple[str, ...]:
        """What a visitor must tell before they may write."""
        return tuple(name for name in self.asked if name in self.required)

    def stored(self) -> dict[str, Any]:
        """Return what differs from the defaults, ready for JSON."""
        default = asdict(WidgetSettings())
        return {name: _plain(value) for name, value in asdict(self).items() if value != default[name]}


def load_settings(stored: Mapping[str, Any]) -> WidgetSettings:
    """Read settings as they were stored; names that no longer exist are dropped."""
    known = {each.name for each in fields(WidgetSettings)}
    values: dict[str, Any] = {name: _frozen(value) for name, value in stored.items() if name in known}
    return WidgetSettings(**values)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value

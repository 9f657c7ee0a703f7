"""What a widget's settings may be; unknown and wrong fields are refused at the field.

A rule takes a value, returns it clean, and raises ValueError with a sentence that says what to do.
"""

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from apps.realtime.widget_settings.colours import READABLE, contrast, text_on
from apps.realtime.widget_settings.contracts import (
    LANGUAGES,
    MAX_ADDRESS_RATE,
    MAX_VISITOR_RATE,
    TEXTS,
    Icon,
    OutsideHours,
    Position,
    Prechat,
    TextColor,
    Theme,
    WidgetSettings,
)
from apps.realtime.widget_settings.hours import clean_day
from apps.resilience.errors import InvalidInput

Rule = Callable[[Any], Any]
MAX_CLOSED_DATES = 100
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def change_settings(settings: WidgetSettings, changes: Mapping[str, Any]) -> WidgetSettings:
    """Return the settings with some of them changed; texts are merged by language.

    Raises InvalidInput with every field that is wrong.
    """
    cleaned: dict[str, Any] = {}
    errors: dict[str, list[str]] = {}
    for name, value in changes.items():
        try:
            cleaned[name] = RULES[name](value)
        except KeyError:
            errors[name] = ["There is no such setting."]
        except (ValueError, TypeError, AttributeError) as error:
            errors[name] = [str(error) if isinstance(error, ValueError) else "This value is of a wrong kind."]
    if errors:
        raise InvalidInput(errors)
    if "texts" in cleaned:
        merged = {**settings.texts, **cleaned["texts"]}
        cleaned["texts"] = {language: texts for language, texts in merged.items() if texts}
    changed = replace(settings, **cleaned)
    _check_together(changed)
    return changed


def _check_together(settings: WidgetSettings) -> None:
    errors: dict[str, list[str]] = {}
    ratio = contrast(settings.color, text_on(settings.color, settings.text_color))
    if ratio < READABLE:
        errors["color"] = [
            f"{settings.text_color.capitalize()} text on {settings.color} has a contrast of {ratio:.1f} to 1 "
            f"and needs {READABLE} to be read. Choose another colour, or let the text's colour be automatic."
        ]
    if settings.default_language not in settings.languages:
        errors["default_language"] = ["Choose one of the languages that you offer."]
    if settings.has_hours and not any(settings.hours):
        errors["has_hours"] = ["Give the hours of at least one day, or be there around the clock."]
    if errors:
        raise InvalidInput(errors)


def _color(value: Any) -> str:
    text = str(value).strip().lower()
    if re.fullmatch(r"#[0-9a-f]{3}", text):
        text = "#" + "".join(2 * digit for digit in text[1:])
    if not re.fullmatch(r"#[0-9a-f]{6}", text):
        raise ValueError("Give a colour as six hexadecimal digits, like #0f5c5c.")
    return text


def _one_of(kind: type[StrEnum]) -> Rule:
    def rule(value: Any) -> str:
        if value not in [each.value for each in kind]:
            raise ValueError(f"Choose one of: {', '.join(kind)}.")
        return str(value)

    return rule


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("Say yes or no.")
    return value


def _some_of(allowed: tuple[str, ...], *, at_least: int = 0) -> Rule:
    def rule(value: Any) -> tuple[str, ...]:
        chosen = tuple(name for name in allowed if name in value)
        if isinstance(value, str) or set(value) - set(allowed) or len(chosen) < at_least:
            raise ValueError(f"Choose from: {', '.join(allowed)}.")
        return chosen

    return rule


def _language(value: Any) -> str:
    if value not in LANGUAGES:
        raise ValueError(f"Choose one of: {', '.join(LANGUAGES)}.")
    return str(value)


def _texts(value: Any) -> dict[str, dict[str, str]]:
    return {_language(language): _wording(texts) for language, texts in value.items()}


def _wording(texts: Any) -> dict[str, str]:
    worded = {}
    for name, text in texts.items():
        if name not in TEXTS:
            raise ValueError(f"There is no text called {name!r}; there are {', '.join(TEXTS)}.")
        if not isinstance(text, str) or _UNSAFE.search(text.replace("\r\n", "\n")):
            raise ValueError(f"{name}: give text without control characters.")
        cleaned = text.replace("\r\n", "\n").strip()
        if len(cleaned) > TEXTS[name]:
            raise ValueError(f"{name}: these are {len(cleaned)} characters; {TEXTS[name]} is the most.")
        if cleaned:
            worded[name] = cleaned
    return worded


def _hours(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or len(value) != 7:
        raise ValueError("Give the hours of seven days, Monday first.")
    return tuple(clean_day(day) for day in value)


def _closed_dates(value: Any) -> tuple[str, ...]:
    days = set()
    for line in filter(None, (str(line).strip() for line in value)):
        try:
            days.add(dt.date.fromisoformat(line).isoformat())
        except ValueError:
            raise ValueError(f"“{line[:40]}” is no date; write one a line, like 2026-12-25.") from None
    if len(days) > MAX_CLOSED_DATES:
        raise ValueError(f"These are {len(days)} dates; {MAX_CLOSED_DATES} is the most.")
    return tuple(sorted(days))


def _from_1_to(most: int) -> Rule:
    def rule(value: Any) -> int:
        if type(value) is not int or not 1 <= value <= most:
            raise ValueError(f"Give a whole number from 1 to {most}.")
        return value

    return rule


RULES: dict[str, Rule] = {
    "color": _color,
    "text_color": _one_of(TextColor),
    "theme": _one_of(Theme),
    "position": _one_of(Position),
    "icon": _one_of(Icon),
    "languages": _some_of(LANGUAGES, at_least=1),
    "default_language": _language,
    "texts": _texts,
    "has_hours": _flag,
    "hours": _hours,
    "closed_dates": _closed_dates,
    "outside_hours": _one_of(OutsideHours),
    "prechat": _one_of(Prechat),
    "required": _some_of(("name", "email")),
    "ask_consent": _flag,
    "rating": _flag,
    "rating_comment": _flag,
    "messages_per_minute": _from_1_to(MAX_VISITOR_RATE),
    "address_messages_per_minute": _from_1_to(MAX_ADDRESS_RATE),
    "address_openings_per_minute": _from_1_to(MAX_ADDRESS_RATE),
}

"""The demo companies as their folders describe them: one company.yaml, one Markdown file an article."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from apps.crm.contracts import OrderFields

FOLDER = Path(__file__).parent
MOMENTS = ("placed", "shipped", "delivered")


@dataclass(frozen=True)
class Person:
    name: str
    email: str
    role: str


@dataclass(frozen=True)
class Article:
    title: str
    text: str


@dataclass(frozen=True)
class Company:
    """`customers` are fields of a customer; `orders` name their customer by email and count days back.

    `widget` are settings of the chat widget.
    """

    slug: str
    name: str
    time_zone: str
    people: tuple[Person, ...]
    customers: tuple[dict[str, str], ...]
    orders: tuple[dict[str, Any], ...]
    articles: tuple[Article, ...]
    widget: dict[str, Any]


def read_companies() -> list[Company]:
    """Read every company's folder, by slug."""
    return [_read(path.parent) for path in sorted(FOLDER.glob("*/company.yaml"))]


def order_fields(order: dict[str, Any], now: dt.datetime) -> OrderFields:
    """Turn an order's days back into moments; its customer is left out."""
    fields: dict[str, Any] = {
        name: value for name, value in order.items() if name != "customer" and not name.endswith("_days_ago")
    }
    for moment in MOMENTS:
        if f"{moment}_days_ago" in order:
            fields[f"{moment}_at"] = now - dt.timedelta(days=order[f"{moment}_days_ago"])
    return cast(OrderFields, fields | {"currency": "EUR"})


def _read(folder: Path) -> Company:
    facts = yaml.safe_load((folder / "company.yaml").read_text(encoding="utf-8"))
    return Company(
        slug=facts["slug"],
        name=facts["name"],
        time_zone=facts["time_zone"],
        people=tuple(Person(**person) for person in facts["people"]),
        customers=tuple(facts["customers"]),
        orders=tuple(facts["orders"]),
        articles=tuple(_read_article(path) for path in sorted((folder / "knowledge").glob("*.md"))),
        widget=facts["widget"],
    )


def _read_article(path: Path) -> Article:
    title, _, text = path.read_text(encoding="utf-8").partition("\n")
    return Article(title=title.removeprefix("# ").strip(), text=text.strip())

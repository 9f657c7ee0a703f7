"""Every route of the product, and what requests for it look like."""

import base64
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.generators import SchemaGenerator

PARAMETER = re.compile(r"<(?:(\w+):)?(\w+)>|\(\?P<(?P<named>\w+)>(?:[^()]|\([^()]*\))*\)")
WORDS = {"action": "hold", "step": "find", "number": "1", "version": "1"}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
API = ("api/v1/", "v1/")


@dataclass(frozen=True)
class Route:
    """One line of the URL configuration."""

    pattern: str

    @property
    def is_api(self) -> bool:
        return self.pattern.startswith(API)

    @property
    def first(self) -> tuple[str, str] | None:
        """Kind and name of the first parameter."""
        found = PARAMETER.search(self.pattern)
        return (found[1] or "str", found[2] or found["named"]) if found else None

    @property
    def hints(self) -> tuple[str, str]:
        """The parameter's name and what stands before it: they say what the route is about."""
        return self.pattern.partition("<")[0], self.first[1] if self.first else ""

    def address(self, name: str = "") -> str:
        """Return a URL of the route; the first parameter is `name`, others a word that fits."""
        url = PARAMETER.sub(lambda found: name, self.pattern, count=1)
        url = PARAMETER.sub(lambda found: WORDS.get(found[2] or "", str(uuid.uuid4())), url)
        return "/" + url.translate(str.maketrans("", "", "^$"))


def all_routes() -> list[Route]:
    """Return every route that the URL resolver holds."""
    return [Route(pattern) for pattern in dict.fromkeys(_patterns(get_resolver().url_patterns))]


def _patterns(entries: list[Any], prefix: str = "") -> Iterator[str]:
    for entry in entries:
        pattern = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _patterns(entry.url_patterns, pattern)
        elif isinstance(entry, URLPattern):
            yield pattern


def cursors_at(row_id: str) -> list[str]:
    """Return cursors that begin at a row: as pages write them, by id, by time and id, and as the API does."""
    now = "2100-01-01T00:00:00+00:00"
    of_pages = [json.dumps(values).encode() for values in ([row_id], [now, row_id])]
    written = [base64.urlsafe_b64encode(text).decode().rstrip("=") for text in of_pages]
    return [*written, base64.b64encode(f"p={row_id}".encode()).decode()]


@cache
def _schema() -> dict[str, Any]:
    generator: Any = SchemaGenerator  # untyped
    return dict(generator().get_schema(request=None, public=True))


def operation(route: Route, method: str) -> dict[str, Any]:
    """Return what the OpenAPI document says of a route and method."""
    by_shape = {re.sub(r"\{\w+\}", "{}", path): methods for path, methods in _schema()["paths"].items()}
    found = by_shape.get("/" + PARAMETER.sub("{}", route.pattern), {})
    return dict(found.get(method.lower(), {}))


def query_names(route: Route) -> list[str]:
    """Return the documented query parameters."""
    parameters = operation(route, "GET").get("parameters", [])
    return [each["name"] for each in parameters if each["in"] == "query"]


def build_body(route: Route, method: str, ids: list[str]) -> Any:
    """Return a body as the schema asks for it, with one of `ids` wherever an id or a text may stand."""
    content = operation(route, method).get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema")
    return _example(schema, ids, depth=0) if schema else {}


def _example(schema: dict[str, Any], ids: list[str], depth: int) -> Any:
    if "$ref" in schema:
        schema = _schema()["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    for key in ("allOf", "oneOf", "anyOf"):
        if key in schema:
            return _example(schema[key][0], ids, depth)
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object" if depth < 5:
            properties = schema.get("properties", {}).items()
            return {
                name: _example(part, ids, depth + 1) for name, part in properties if not part.get("readOnly")
            }
        case "array":
            return [_example(schema.get("items", {}), ids, depth + 1)]
        case "integer" | "number":
            return max(1, schema.get("minimum", 1))
        case "boolean":
            return True
        case "string":
            return _text(schema, ids)
    return {}


def _text(schema: dict[str, Any], ids: list[str]) -> str:
    named = {"email": "asked@proof.example", "date-time": "2026-01-01T00:00:00Z", "date": "2026-01-01"}
    text = named.get(schema.get("format", ""), ids[0])
    return text[: schema.get("maxLength", 400)]


class _Controls(HTMLParser):
    """Read the names of a page's controls, and of what its links ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("input", "select", "textarea", "button") and given.get("name"):
            self.names.add(str(given["name"]))
        for link in ("href", "hx-get", "action"):
            self.names |= {name for name, _ in parse_qsl(urlsplit(given.get(link) or "").query)}


def control_names(html: str) -> list[str]:
    """Return by which names a page can be asked or told something."""
    controls = _Controls()
    controls.feed(html)
    return sorted(controls.names - {"csrfmiddlewaretoken"})

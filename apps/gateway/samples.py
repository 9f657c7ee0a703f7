"""Examples for the OpenAPI document, made of its schemas where a view gives none."""

from typing import Any

MAX_DEPTH = 6
UUID = "0198c1f0-7f1e-7a53-8f0e-0f0d5f2b6a11"
BY_FORMAT = {
    "uuid": UUID,
    "date-time": "2026-11-25T09:30:00Z",
    "date": "2026-11-25",
    "email": "ada@shop.example",
    "uri": "https://shop.example/help",
    "binary": "…",
    "ipv4": "203.0.113.7",
    "ip": "203.0.113.7",
}
BY_NAME: dict[str, Any] = {
    "currency": "EUR",
    "name": "Ada Lovelace",
    "number": "1001",
    "phone": "+49 30 1234567",
    "query": "How do I return a parcel?",
    "text": "How do I return a parcel?",
    "title": "Returns",
    "scopes": ["read:orders"],
    "source": "name: parcels\nversion: '1.0'\n",
}


def sample(schema: dict[str, Any], schemas: dict[str, Any], name: str = "", depth: int = 0) -> Any:
    """Return a value that a schema admits; `schemas` are those that it may refer to."""
    if "$ref" in schema:
        return sample(schemas[schema["$ref"].rpartition("/")[2]], schemas, name, depth)
    for key in ("example", "default"):
        if schema.get(key) is not None:
            return schema[key]
    if schema.get("enum"):
        return next((value for value in schema["enum"] if value not in (None, "")), None)
    for key in ("allOf", "oneOf", "anyOf"):
        if schema.get(key):
            return sample(schema[key][0], schemas, name, depth)
    return _of_type(schema, schemas, name, depth)


def _of_type(schema: dict[str, Any], schemas: dict[str, Any], name: str, depth: int) -> Any:
    match schema.get("type"):
        case "object":
            return _object(schema, schemas, depth)
        case "array":
            known = BY_NAME.get(name)
            return (
                known
                if isinstance(known, list)
                else [sample(schema.get("items", {}), schemas, name, depth + 1)]
            )
        case "integer":
            return max(int(schema.get("minimum", 1)), 1)
        case "number":
            return min(max(float(schema.get("minimum", 0.5)), 0.5), float(schema.get("maximum", 0.5)))
        case "boolean":
            return True
        case "string":
            return _string(schema, name)
    return {}


def _object(schema: dict[str, Any], schemas: dict[str, Any], depth: int) -> dict[str, Any]:
    if depth >= MAX_DEPTH:
        return {}
    fields = schema.get("properties", {})
    return {name: sample(field, schemas, name, depth + 1) for name, field in fields.items()}


def _string(schema: dict[str, Any], name: str) -> str:
    if "\\d" in schema.get("pattern", ""):
        return "1.50"
    known = BY_NAME.get(name)
    text = (
        BY_FORMAT.get(schema.get("format", "")) or (known if isinstance(known, str) else "") or name or "text"
    )
    return text[: schema.get("maxLength", len(text))]

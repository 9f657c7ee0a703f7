"""What the OpenAPI document says about credentials and errors."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from apps.gateway.metering import metered_kind
from apps.gateway.problems import HOOKS_PREFIX, OPENAI_PREFIX
from apps.gateway.samples import sample

PROBLEM = {
    "type": "object",
    "description": "What went wrong and what to do about it (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri", "example": "urn:aiaas:problem:invalid-input"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "missing_permission": {"type": "string", "description": "With 403: see the table of permissions."},
        "roles_with_it": {"type": "array", "items": {"type": "string"}},
        "errors": {
            "type": "object",
            "description": "What is wrong with each field, by dotted name.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
    },
}
ERROR_ANSWER = {
    "description": "A problem",
    "content": {
        "application/problem+json": {
            "schema": {"$ref": "#/components/schemas/Problem"},
            "example": {
                "type": "urn:aiaas:problem:invalid-input",
                "title": "Invalid input",
                "status": 400,
                "detail": "Correct the fields listed under errors and send it again.",
                "errors": {"email": ["Enter a valid email address."]},
                "request_id": "0198c1f0-7f1e-7a53-8f0e-0f0d5f2b6a11",
            },
        }
    },
}
OPENAI_ERROR = {
    "type": "object",
    "description": "An error in OpenAI's shape.",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": "string", "nullable": True},
                "code": {"type": "string"},
            },
        }
    },
}
OPENAI_ANSWER = {
    "description": "An error",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/OpenAIError"}}},
}
IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "Repeat a write safely: the same key and request get the same answer.",
}


class CredentialScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describe the two ways to send a credential."""

    target_class = "apps.gateway.authentication.CredentialAuthentication"
    name = ["bearer", "apiKey"]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:
        return [{"bearer": []}, {"apiKey": []}]  # either, not both

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        return [
            {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            {
                "type": "apiKey",
                "in": "header",
                "name": "Authorization",
                "description": "`Api-Key ak_….…`",
            },
        ]


ANSWERS = {
    400: "What was sent is not valid: `errors` names the fields.",
    401: "No valid credential.",
    402: "The quota is used up.",
    403: "A permission is missing, which `missing_permission` names; or the account is suspended.",
    404: "There is no such thing in your company.",
    406: "No content type that is accepted can be given.",
    409: "It conflicts with what is there, or the first request with this `Idempotency-Key` still runs.",
    413: "The body is too large.",
    414: "The query string is too long.",
    415: "The body is of a kind that is not taken.",
    422: "The `Idempotency-Key` came with another request before.",
    429: "Too many requests: wait `Retry-After` seconds.",
    503: "Something that this needs cannot be reached: try again.",
}
WRITES = ("post", "put", "patch", "delete")


def document_operations(result: dict[str, Any], **_hook: Any) -> dict[str, Any]:
    """Give every operation its summary, its errors, examples, and Idempotency-Key where it writes."""
    schemas = result["components"].setdefault("schemas", {})
    schemas["Problem"], schemas["OpenAIError"] = PROBLEM, OPENAI_ERROR
    for path, item in result["paths"].items():
        for method, operation in ((name, found) for name, found in item.items() if isinstance(found, dict)):
            if not operation.get("summary"):
                operation["summary"] = _first_sentence(operation.get("description", ""))
            if method in WRITES and operation.get("security"):
                operation.setdefault("parameters", []).append(IDEMPOTENCY_KEY)
            answer = OPENAI_ANSWER if path.startswith(OPENAI_PREFIX) else ERROR_ANSWER
            for status in _errors_of(method, path, operation):
                operation["responses"].setdefault(str(status), answer | {"description": ANSWERS[status]})
            _give_examples(operation, schemas)
    return result


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).partition(". ")[0].rstrip(".")


def _errors_of(method: str, path: str, operation: dict[str, Any]) -> list[int]:
    """Return the statuses that an operation may answer with besides its own."""
    is_write, is_known = method in WRITES, bool(operation.get("security")) or path.startswith(HOOKS_PREFIX)
    is_metered = metered_kind(method.upper(), path.replace("{", "").replace("}", "")) is not None
    found = {
        400: True,
        401: is_known or path.endswith(("/auth/token", "/auth/token/refresh", "/auth/token/revoke")),
        402: is_metered or path.startswith(HOOKS_PREFIX),
        403: is_known,
        404: is_write or "{" in path or path.startswith(OPENAI_PREFIX),
        406: True,
        409: is_write,
        413: is_write,
        414: True,
        415: is_write,
        422: is_write and is_known,
        429: True,
        503: True,
    }
    return [status for status, may_be in found.items() if may_be]


def _give_examples(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
    for kind, media in ((kind, media) for body in bodies for kind, media in body.get("content", {}).items()):
        if kind == "application/problem+json" or "examples" in media or not media.get("schema"):
            continue
        media["example"] = sample(media["schema"], schemas)

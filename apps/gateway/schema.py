"""What the OpenAPI document says about credentials and errors."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from apps.gateway.problems import OPENAI_PREFIX

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
        "errors": {
            "type": "object",
            "description": "What is wrong with each field, by dotted name.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
    },
}
ERROR_ANSWER = {
    "description": "A problem",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
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


def document_problems(result: dict[str, Any], **_hook: Any) -> dict[str, Any]:
    """Add the problem answer to every operation, and Idempotency-Key to every authenticated write."""
    schemas = result["components"].setdefault("schemas", {})
    schemas["Problem"], schemas["OpenAIError"] = PROBLEM, OPENAI_ERROR
    for path, item in result["paths"].items():
        for method, operation in item.items():
            if not isinstance(operation, dict):
                continue
            is_openai = path.startswith(OPENAI_PREFIX)
            operation["responses"].setdefault("default", OPENAI_ANSWER if is_openai else ERROR_ANSWER)
            if method in ("post", "put", "patch", "delete") and operation.get("security"):
                operation.setdefault("parameters", []).append(IDEMPOTENCY_KEY)
    return result

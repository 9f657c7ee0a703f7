import pytest

from apps.orchestration.mcp.schemas import UnusableSchema, make_safe


def test_references_within_are_filled_in_and_patterns_left_to_the_server() -> None:
    schema = {
        "type": "object",
        "properties": {"who": {"$ref": "#/$defs/Person"}, "pattern": {"type": "string", "pattern": "(a+)+$"}},
        "required": ["who"],
        "$defs": {"Person": {"type": "object", "properties": {"name": {"type": "string"}}}},
    }
    assert make_safe(schema) == {
        "type": "object",
        "properties": {
            "who": {"type": "object", "properties": {"name": {"type": "string"}}},
            "pattern": {"type": "string"},
        },
        "required": ["who"],
    }


def test_a_tool_without_arguments_has_a_schema_too() -> None:
    assert make_safe({}) == {"type": "object", "properties": {}}


BOMB = {"$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 10} for n in range(20)} | {"d20": {}}}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"$ref": "https://evil.example/schema.json"}, "somewhere else"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "somewhere else"),
        ({"properties": {"a": {"$ref": "#/properties/a"}}}, "refers to itself"),
        ({**BOMB, "allOf": [{"$ref": "#/$defs/d0"}]}, "too deep"),
        ({"$ref": "#/$defs/nowhere"}, "not there"),
        ({"$dynamicRef": "#x"}, "dynamicRef"),
        ({"type": "string"}, "no object"),
        ({"properties": {"a": {"type": "strange"}}}, "not valid"),
        ({"description": "x" * 70_000}, "64 KiB"),
        ("text", "no object"),
    ],
)
def test_what_could_not_be_checked_safely_is_not_used(schema, said) -> None:
    with pytest.raises(UnusableSchema, match=said):
        make_safe(schema)

"""Type inference for CEL expressions (operators, calls, macros), by precedence climbing.

The CEL library compiles and executes but does not check types; this finds, at publishing, what would
only fail when a customer waits: unknown names, comparisons that can never hold, wrong arguments.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from apps.orchestration.definitions.language import types as t
from apps.orchestration.definitions.language.tokens import Token, tokenize
from apps.orchestration.definitions.language.types import Type

_BINARY = {
    "||": 1, "&&": 2, "==": 3, "!=": 3, "<": 3, "<=": 3, ">": 3, ">=": 3, "in": 3,
    "+": 4, "-": 4, "*": 5, "/": 5, "%": 5,
}  # fmt: skip
_FUNCTIONS: dict[str, tuple[int, Type]] = {
    "size": (1, t.INT), "string": (1, t.STRING), "int": (1, t.INT), "double": (1, t.DOUBLE),
    "type": (1, t.DYN),
}  # fmt: skip
_METHODS: dict[str, tuple[str, tuple[Type, ...], Type]] = {
    "contains": ("string", (t.STRING,), t.BOOL),
    "startsWith": ("string", (t.STRING,), t.BOOL),
    "endsWith": ("string", (t.STRING,), t.BOOL),
    "matches": ("string", (t.STRING,), t.BOOL),
}
_MACROS: dict[str, Callable[[Type, Type], Type]] = {
    "all": lambda items, body: t.BOOL,
    "exists": lambda items, body: t.BOOL,
    "exists_one": lambda items, body: t.BOOL,
    "filter": lambda items, body: items,
    "map": lambda items, body: t.list_of(body),
}


class ExpressionError(Exception):
    """An expression that cannot be right; `offset` counts its characters."""

    def __init__(self, message: str, fix: str, offset: int) -> None:
        super().__init__(message)
        self.message, self.fix, self.offset = message, fix, offset


def infer(text: str, variables: Mapping[str, Type]) -> Type:
    """Find the type of an expression over typed variables; raises ExpressionError."""
    checker = _Checker(tokenize(text), dict(variables))
    found = checker.expression()
    checker.expect("")
    return found


@dataclass
class _Checker:
    tokens: list[Token]
    variables: dict[str, Type]
    at: int = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def take(self) -> Token:
        token = self.token
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def accept(self, text: str) -> bool:
        if self.token.text == text and self.token.kind in ("sign", "name"):
            self.take()
            return True
        return False

    def expect(self, text: str) -> None:
        token = self.take()
        if token.text != text:
            wanted = f"`{text}` is expected" if text else "the expression should end"
            raise ExpressionError(f"{wanted} before `{token.text or 'the end'}`", "correct it", token.offset)

    def expression(self) -> Type:
        condition = self.binary(1)
        if not self.accept("?"):
            return condition
        self.want(condition, t.BOOL, self.token, "what stands before ?")
        first = self.binary(1)
        self.expect(":")
        return t.join(first, self.expression())

    def binary(self, lowest: int) -> Type:
        left = self.unary()
        while (strength := _BINARY.get(self.token.text, 0)) >= lowest and self.token.kind != "string":
            operator = self.take()
            left = self.combine(operator, left, self.binary(strength + 1))
        return left

    def unary(self) -> Type:
        token = self.token
        if token.kind == "sign" and token.text in ("!", "-"):
            self.take()
            operand = self.unary()
            if token.text == "!":
                return self.want(operand, t.BOOL, token, "what follows NOT")
            if operand.name not in t.NUMBERS | {"dyn"}:
                raise ExpressionError(f"a {operand} cannot be negated", "use a number", token.offset)
            return operand
        return self.postfix(self.primary())

    def combine(self, operator: Token, left: Type, right: Type) -> Type:
        sign = operator.text
        if sign in ("&&", "||"):
            word = "AND" if sign == "&&" else "OR"
            self.want(left, t.BOOL, operator, f"what stands before {word}")
            return self.want(right, t.BOOL, operator, f"what follows {word}")
        if sign in ("==", "!=", "in"):
            self.check_equality(operator, left, right)
            return t.BOOL
        if sign in ("<", "<=", ">", ">="):
            if not t.comparable(left, right) or {left.name, right.name} & {"list", "map", "null"}:
                raise self.mismatch(operator, left, right)
            return t.BOOL
        return self.arithmetic(operator, left, right)

    def check_equality(self, operator: Token, left: Type, right: Type) -> None:
        if operator.text == "in":
            if right.name not in ("list", "map", "dyn"):
                raise ExpressionError(
                    f"`in` needs a list on its right, not a {right}",
                    "write: x in ['a', 'b']",
                    operator.offset,
                )
            right = (right.item or t.DYN) if right.name == "list" else t.DYN
        if not t.comparable(left, right):
            raise self.mismatch(operator, left, right)

    def arithmetic(self, operator: Token, left: Type, right: Type) -> Type:
        if "dyn" in (left.name, right.name):
            return t.DYN
        allowed = t.NUMBERS | ({"string", "list"} if operator.text == "+" else set())
        if left.name == right.name and left.name in allowed:
            return t.join(left, right)
        raise ExpressionError(
            f"`{operator.text}` cannot join a {left} and a {right}",
            "both sides must have the same type; convert with string(x), int(x) or double(x)",
            operator.offset,
        )

    def mismatch(self, operator: Token, left: Type, right: Type) -> ExpressionError:
        fix = (
            "put the text in quotes" if "string" in (left.name, right.name) else "compare values of one type"
        )
        return ExpressionError(f"a {left} is never `{operator.text}` a {right}", fix, operator.offset)

    def want(self, found: Type, wanted: Type, token: Token, what: str) -> Type:
        if found.name not in (wanted.name, "dyn"):
            fix = "compare it with something, for instance: x == 'y'"
            raise ExpressionError(f"{what} is a {found}, not a {wanted}", fix, token.offset)
        return wanted

    def primary(self) -> Type:
        token = self.take()
        if token.kind == "number":
            return (
                t.DOUBLE if set(token.text.lower()) & set(".e") and "x" not in token.text.lower() else t.INT
            )
        if token.kind == "string":
            return t.STRING
        if token.kind == "name":
            return self.name(token)
        if token.text == "(":
            inner = self.expression()
            self.expect(")")
            return inner
        if token.text == "[":
            return self.list_literal()
        if token.text == "{":
            return self.map_literal()
        fix = "complete the expression, for instance: confidence < 0.7 OR intent == 'complaint'"
        raise ExpressionError(f"a value is expected before `{token.text or 'the end'}`", fix, token.offset)

    def name(self, token: Token) -> Type:
        if token.text in ("true", "false"):
            return t.BOOL
        if token.text == "null":
            return t.NULL
        if self.token.text == "(":
            return self.call(token)
        if token.text in self.variables:
            return self.variables[token.text]
        raise ExpressionError(
            f"`{token.text}` is not known here", suggestion(token.text, self.variables), token.offset
        )

    def call(self, name: Token) -> Type:
        if name.text == "has":
            return self.has(name)
        arguments = self.arguments()
        if name.text not in _FUNCTIONS:
            raise ExpressionError(
                f"there is no function `{name.text}`", suggestion(name.text, _FUNCTIONS), name.offset
            )
        count, result = _FUNCTIONS[name.text]
        if len(arguments) != count:
            raise ExpressionError(f"`{name.text}` takes {count} argument", "correct the call", name.offset)
        if name.text == "size" and arguments[0].name not in ("string", "list", "map", "dyn"):
            raise ExpressionError(f"a {arguments[0]} has no size", "use a text or a list", name.offset)
        return result

    def has(self, name: Token) -> Type:
        start = self.at
        self.expect("(")
        depth = 1
        while depth and self.token.kind != "end":
            depth += {"(": 1, ")": -1}.get(self.take().text, 0)
        inside = self.tokens[start + 1 : self.at - 1]
        if len(inside) < 3 or inside[-2].text != ".":
            raise ExpressionError("has() asks for a field", "write: has(input.name)", name.offset)
        # The last name may be missing, that is the question; all before it must be there.
        _Checker([*inside[:-2], Token("end", "", name.offset)], self.variables).expression()
        return t.BOOL

    def arguments(self) -> list[Type]:
        self.expect("(")
        found: list[Type] = []
        while not self.accept(")"):
            found.append(self.expression())
            if not self.accept(","):
                self.expect(")")
                break
        return found

    def postfix(self, base: Type) -> Type:
        while True:
            if self.accept("."):
                base = self.member(base, self.take())
            elif self.token.text == "[" and self.token.kind == "sign":
                base = self.index(base)
            else:
                return base

    def member(self, base: Type, name: Token) -> Type:
        if self.token.text == "(":
            return self.method(base, name)
        if base.name == "dyn":
            return t.DYN
        if base.name != "map":
            raise ExpressionError(f"a {base} has no field `{name.text}`", "remove the field", name.offset)
        return self.field(base, name.text, name.offset)

    def field(self, base: Type, name: str, offset: int) -> Type:
        if name in base.fields:
            return base.fields[name]
        if base.is_closed:
            raise ExpressionError(f"there is no `{name}` here", suggestion(name, base.fields), offset)
        return t.DYN

    def method(self, base: Type, name: Token) -> Type:
        if name.text in _MACROS:
            return self.macro(base, name)
        arguments = self.arguments()
        if name.text == "size" and not arguments:
            return t.INT
        if name.text not in _METHODS:
            raise ExpressionError(
                f"there is no function `{name.text}`",
                suggestion(name.text, [*_METHODS, *_MACROS]),
                name.offset,
            )
        owner, wanted, result = _METHODS[name.text]
        pairs = [(base, Type(owner)), *zip(arguments, wanted, strict=False)]
        if len(arguments) != len(wanted) or any(f.name not in (w.name, "dyn") for f, w in pairs):
            raise ExpressionError(
                f"`{name.text}` is called on a text with a text", "correct the call", name.offset
            )
        return result

    def macro(self, base: Type, name: Token) -> Type:
        if base.name not in ("list", "map", "dyn"):
            raise ExpressionError(f"`{name.text}` needs a list, not a {base}", "use a list", name.offset)
        self.expect("(")
        variable = self.take()
        self.expect(",")
        inner = _Checker(self.tokens, {**self.variables, variable.text: base.item or t.DYN}, self.at)
        body = inner.expression()
        self.at = inner.at
        self.expect(")")
        if name.text != "map":
            self.want(body, t.BOOL, name, f"the condition in `{name.text}`")
        return _MACROS[name.text](base, body)

    def index(self, base: Type) -> Type:
        opening = self.take()
        key = self.token
        found = self.expression()
        self.expect("]")
        if base.name == "map" and key.kind == "string":
            return self.field(base, key.text.strip("'\""), key.offset)
        if base.name == "list":
            if found.name not in ("int", "dyn"):
                raise ExpressionError(
                    f"a list is indexed by an int, not a {found}", "use a number", opening.offset
                )
            return base.item or t.DYN
        if base.name in ("map", "dyn"):
            return t.DYN
        raise ExpressionError(f"a {base} cannot be indexed", "remove the brackets", opening.offset)

    def list_literal(self) -> Type:
        items: list[Type] = []
        while not self.accept("]"):
            items.append(self.expression())
            if not self.accept(","):
                self.expect("]")
                break
        if not items:
            return t.ANY_LIST
        found = items[0]
        for item in items[1:]:
            found = t.join(found, item)
        return t.list_of(found)

    def map_literal(self) -> Type:
        while not self.accept("}"):
            self.expression()
            self.expect(":")
            self.expression()
            if not self.accept(","):
                self.expect("}")
                break
        return t.ANY_MAP


def suggestion(word: str, known: Mapping[str, object] | list[str]) -> str:
    """Suggest the nearest known word, or list them."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"known here: {', '.join(names)}" if names else "nothing is known here yet"

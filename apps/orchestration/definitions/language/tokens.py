"""CEL text -> tokens; AND, OR and NOT become CEL's operators, except inside string literals."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
      | (?P<string>[rRbB]{0,2}(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''
            |"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
      | (?P<number>0[xX][0-9a-fA-F]+[uU]?|\d*\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\d+[uU]?)
      | (?P<name>[A-Za-z_]\w*)
      | (?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])
      | (?P<bad>.)""",
    re.VERBOSE | re.DOTALL,
)
_WORDS = {"AND": "&&", "OR": "||", "NOT": "!"}


@dataclass(frozen=True)
class Token:
    """A word of an expression; `offset` counts characters of the text as written."""

    kind: str
    text: str
    offset: int


def tokenize(text: str) -> list[Token]:
    """Split an expression; the last token's kind is `end`, an unknown character's `bad`."""
    tokens: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind = str(match.lastgroup)
        if kind == "space":
            continue
        word = match.group()
        after_dot = bool(tokens) and tokens[-1].text == "."
        if kind == "name" and word in _WORDS and not after_dot:
            kind, word = "sign", _WORDS[word]
        tokens.append(Token(kind, word, match.start()))
    return [*tokens, Token("end", "", len(text))]


def translate(text: str) -> str:
    """Write an expression as CEL does, leaving everything but AND, OR and NOT as it is."""
    parts: list[str] = []
    end = 0
    for token in tokenize(text):
        parts.append(text[end : token.offset])
        parts.append(token.text)
        spelled = next((w for w, sign in _WORDS.items() if sign == token.text), "")
        width = len(token.text)
        if spelled and text.startswith(spelled, token.offset):
            width = len(spelled)
        end = token.offset + width
    return "".join(parts)

"""Texts as Python's literals write them: with escapes, in parts."""

from __future__ import annotations

import ast
import re

from advisor.deploy.source import Source, joined, shown

_LITERAL = re.compile(r"(?i)(?P<prefix>[rubf]{0,2})(?P<quote>'''|\"\"\"|'|\")")
_ESCAPE = re.compile(r"\\(?:\r?\n|[0-7]{1,3}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|N\{[^}]*\}|.)", re.DOTALL)


def text_of(whole: Source, text: str) -> tuple[Source, str]:
    """What a literal says, with the place of every character where that can be told; and its quote.

    Args:
        whole: The literal, or several in a row.
        text: What Python makes of it.
    """
    literal = _LITERAL.match(whole.text)
    if literal is None:
        return shown(text, whole), '"'
    quote = literal["quote"]
    first, last = literal.end(), len(whole.text) - len(quote)
    if whole.text[first:last] == text:
        return whole.part(first, last), quote[0]
    parts = list(_literals(whole))
    put = joined(parts) if len(parts) > 1 else parts[0] if parts else whole.part(first, first)
    return (put if put.text == text else shown(text, whole)), quote[0]


def _literals(whole: Source) -> list[Source]:
    """The parts of a text that is written as one or more literals, without quotes and escapes."""
    parts: list[Source] = []
    at = 0
    while at < len(whole.text):
        literal = _LITERAL.match(whole.text, at)
        if literal is None:
            at += 1  # blanks, comments and brackets between literals
            if whole.text[at - 1] == "#":
                end = whole.text.find("\n", at)
                at = len(whole.text) if end < 0 else end
            continue
        quote, raw = literal["quote"], "r" in literal["prefix"].lower()
        body = re.compile(rf"(?s)((?:\\.|(?!{quote}).)*){quote}").match(whole.text, literal.end())
        if body is None:
            break
        start, end = literal.end(), body.end(1)
        for escape in _ESCAPE.finditer(whole.text, start, end) if not raw else ():
            parts.append(whole.part(start, escape.start()))
            parts += _escaped(whole.part(escape.start(), escape.end()))
            start = escape.end()
        parts.append(whole.part(start, end))
        at = body.end()
    return [part for part in parts if part.text]


def _escaped(escape: Source) -> list[Source]:
    if escape.text[1:] in ("\n", "\r\n"):
        return []
    try:
        text = ast.literal_eval(f"'{escape.text}'")
    except (SyntaxError, ValueError):
        return [escape]
    return [escape] if text == escape.text else [escape.part(1, 2) if text == escape.text[1:2] else shown(text, escape)]

"""What Python's expressions are worth, as far as the text says: constants, lists, dicts and what is made of them.

Nothing is run or imported. Values are the trees of structured files, so that whatever reads those reads these.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

from advisor.deploy.arguments.spellings import setting
from advisor.deploy.arguments.word import Word
from advisor.deploy.deployment import Place
from advisor.deploy.source import Source, joined, shown
from advisor.deploy.syntax.tree import Layout, Mapping, Node, Scalar
from advisor.deploy.syntax.tree import Sequence as Items

MAX_DEPTH = 40
"""Of expressions in one another: people reach about 10."""
MAX_NODES = 100_000
"""That are evaluated: a list that is doubled over and over ends here."""
STAR = "*"
"""The quote of an item that stands for any number of them."""

_LINE = re.compile(r"\r\n|\r|\n")
_LITERAL = re.compile(r"(?i)(?P<prefix>[rubf]{0,2})(?P<quote>'''|\"\"\"|'|\")")
_ESCAPE = re.compile(r"\\(?:\r?\n|[0-7]{1,3}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|N\{[^}]*\}|.)", re.DOTALL)
ENGINES = frozenset(("LLM", "EngineArgs", "AsyncEngineArgs"))
"""vLLM's own classes that take engine arguments by keyword."""
_SAME = frozenset(("str", "int", "float", "list", "tuple", "Path", "PurePath", "copy", "deepcopy", "strip", "dedent"))
"""Calls that leave what they are given, for us."""
_DEFAULTS = frozenset(("Option", "Argument", "Field", "field", "Query", "Parameter"))
"""Calls that hold a default: typer's, pydantic's, those of dataclasses."""


class Names(dict[str, Node]):
    """What names, dotted ones as well, are worth at a point of a program."""


class Evaluator:
    """The expressions of one text."""

    def __init__(self, source: Source) -> None:
        self.source, self.text = source, source.text
        self.starts = [0, *(match.end() for match in _LINE.finditer(self.text))]
        self.ascii = self.text.isascii()
        self.columns: dict[int, Sequence[int]] = {}
        self.names = Names()
        self.attributes: dict[str, Node | None] = {}
        """Defaults of attributes whose object is not known: of argparse's options, of classes; None if they differ."""
        self.nodes = 0
        self.used: set[tuple[int, int]] = set()
        """Places of lists and dicts that went into others, or to a call."""
        self.holes: set[str] = set()
        """What stands in texts for values that are not known: {slots}."""
        self.call: Callable[[ast.Call, int], Node | None] | None = None
        """What a call of the text's own functions gives."""

    # Places

    def offset(self, line: int, column: int) -> int:
        start = self.starts[min(line, len(self.starts)) - 1]
        end = self.starts[line] if line < len(self.starts) else len(self.text)
        if not self.ascii:
            table = self._characters(start, end)
            column = table[min(column, len(table) - 1)]
        return min(start + column, end)

    def _characters(self, start: int, end: int) -> Sequence[int]:
        """Characters before each byte of a line, which Python counts columns in."""
        if start not in self.columns:
            line = self.text[start:end].encode()
            self.columns[start] = [0, *accumulate(int(byte & 0xC0 != 0x80) for byte in line)]
        return self.columns[start]

    def span(self, node: ast.expr | ast.keyword) -> tuple[int, int]:
        start = self.offset(node.lineno, node.col_offset)
        return start, max(start, self.offset(node.end_lineno or node.lineno, node.end_col_offset or 0))

    def place(self, node: ast.expr | ast.keyword) -> Place:
        return self.source.place(*self.span(node))

    def segment(self, node: ast.expr) -> Source:
        return self.source.part(*self.span(node))

    # Values

    def value(self, node: ast.expr, depth: int = 0) -> Node:
        """What an expression is worth: a scalar that is unknown where the text does not say."""
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            return self.unknown(node)
        found = self._value(node, depth + 1)
        return self.unknown(node) if found is None else found

    def unknown(self, node: ast.expr) -> Scalar:
        source = self.segment(node)
        text = " ".join(source.text.split())[:80] or "?"
        return Scalar(source if source.text == text else shown(text, source), unknown=text)

    def _value(self, node: ast.expr, depth: int) -> Node | None:
        reader = _READERS.get(type(node))
        return reader(self, node, depth) if reader else None

    def _negative(self, node: ast.UnaryOp, _: int) -> Node | None:
        number = isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant)
        return Scalar(self.segment(node), kind="int") if number else None

    def _constant(self, node: ast.Constant, _: int) -> Node | None:
        match node.value:
            case bool():
                return Scalar(self.segment(node), kind="bool")
            case int():
                return self._number(node, node.value)
            case float():
                return Scalar(self.segment(node), kind="float")
            case None:
                return Scalar(self.segment(node), kind="null")
            case str():
                return self._string(node, node.value)
        return None

    def _number(self, node: ast.expr, number: int) -> Scalar:
        source = self.segment(node)
        text = str(number) if number.bit_length() < 1000 else source.text
        return Scalar(source if source.text == text else shown(text, source), kind="int")

    def _string(self, node: ast.Constant, text: str) -> Scalar:
        """A text with the place of every character, also where it has escapes or is written in parts."""
        whole = self.segment(node)
        literal = _LITERAL.match(whole.text)
        if literal is None:
            return Scalar(shown(text, whole), quote='"')
        quote = literal["quote"]
        first, last = literal.end(), len(whole.text) - len(quote)
        if whole.text[first:last] == text:
            return Scalar(whole.part(first, last), quote=quote[0])
        parts = list(_literals(whole))
        put = joined(parts) if len(parts) > 1 else parts[0] if parts else whole.part(first, first)
        return Scalar(put if put.text == text else shown(text, whole), quote=quote[0])

    def _named(self, node: ast.Name | ast.Attribute, _: int) -> Node | None:
        name = dotted(node)
        if name is not None and name in self.names:
            return self.names[name]
        return self.attributes.get(node.attr) if isinstance(node, ast.Attribute) else None

    def _items(self, node: ast.List | ast.Tuple | ast.Set, depth: int) -> Items:
        elements = node.elts
        items: list[Node] = []
        for element in elements:
            if isinstance(element, ast.Starred):
                items += self.starred(self.value(element.value, depth))
            else:
                items.append(self.value(element, depth))
        style = "flow" if isinstance(node, ast.List) else ""
        return Items(tuple(items), self.place(node), self._layout(elements, style))

    def starred(self, node: Node) -> list[Node]:
        """The items that a value stands for with a star before it."""
        if isinstance(node, Items):
            self.used.add((node.place.start, node.place.end))
            return list(node.items)
        source = node.source if isinstance(node, Scalar) else self.source.part(0, 0)
        name = node.unknown if isinstance(node, Scalar) and node.unknown else "?"
        return [Scalar(shown(name, source), quote=STAR, unknown=name)]

    def _layout(self, parts: Sequence[ast.expr], style: str) -> Layout:
        if not parts or not style:
            return Layout()
        end = self.span(parts[-1])[1]
        return Layout(style, 0, self.source.place(end, end), replace(self.source, line_break=None))

    def _dict(self, node: ast.Dict, depth: int) -> Mapping:
        entries: list[tuple[Scalar, Node]] = []
        for key, value in zip(node.keys, node.values, strict=True):
            found = self.value(value, depth)
            if key is None:
                entries += self.merged(found)
            elif isinstance(name := self.value(key, depth), Scalar):
                entries.append((name, found))
        return Mapping(_last(entries), self.place(node), self._layout(node.values, "flow"))

    def merged(self, node: Node) -> list[tuple[Scalar, Node]]:
        """The entries that a value stands for with two stars before it."""
        if isinstance(node, Mapping):
            self.used.add((node.place.start, node.place.end))
            return list(node.entries)
        return [(each, each) for each in self.starred(node) if isinstance(each, Scalar)]

    def _formatted(self, node: ast.JoinedStr, depth: int) -> Scalar:
        """An f-string; Python before 3.12 does not say where its parts stand, so they are looked for."""
        whole = self.segment(node)
        parts: list[Source] = []
        unknown, at = "", 0
        for each in node.values:
            if isinstance(each, ast.Constant) and isinstance(each.value, str):
                found = whole.text.find(each.value, at)
                parts.append(whole.part(found, found + len(each.value)) if found >= 0 else shown(each.value, whole))
                at = found + len(each.value) if found >= 0 else at
            elif isinstance(each, ast.FormattedValue):
                value = self.value(each.value, depth)
                plain = isinstance(value, Scalar) and not value.unknown and not each.format_spec
                if isinstance(value, Scalar) and plain:
                    parts.append(value.source)
                else:
                    name = self.hole(_unparsed(each.value))
                    unknown = unknown or name
                    parts.append(shown(name, whole))
        kept = [part for part in parts if part.text]
        source = joined(kept) if len(kept) > 1 else kept[0] if kept else whole.part(0, 0)
        return Scalar(source, quote='"', unknown=unknown)

    def hole(self, name: str) -> str:
        """What stands in a text for a value that is not known: one word, whatever reads the text."""
        hole = "{" + re.sub(r"[^\w.]+", "_", name)[:40] + "}"
        self.holes.add(hole)
        return hole

    def _binary(self, node: ast.BinOp, depth: int) -> Node | None:
        left, right = self.value(node.left, depth), self.value(node.right, depth)
        if isinstance(node.op, ast.Add):
            return self.added(left, right, node)
        if isinstance(node.op, ast.BitOr) and isinstance(left, Mapping) and isinstance(right, Mapping):
            return Mapping(_last([*left.entries, *right.entries]), left.place, Layout())
        if isinstance(node.op, ast.Mod) and isinstance(left, Scalar) and left.kind == "str":
            values = list(right.items) if isinstance(right, Items) else [right]
            return self._filled(left, re.compile(r"%(?:\(\w+\))?[sdrfg]"), values)
        numbers = [each.text for each in (left, right) if isinstance(each, Scalar) and each.kind == "int"]
        if len(numbers) == 2 and not any(isinstance(each, Scalar) and each.unknown for each in (left, right)):
            return self._arithmetic(node, *numbers)
        return None

    def _arithmetic(self, node: ast.BinOp, left: str, right: str) -> Node | None:
        if max(len(left), len(right)) > 12:
            return None
        one, two = int(left), int(right)
        match node.op:
            case ast.Mult():
                return self._number(node, one * two)
            case ast.Sub():
                return self._number(node, one - two)
            case ast.FloorDiv() if two:
                return self._number(node, one // two)
            case ast.Pow() if 0 <= two <= 40 and abs(one) <= 1024:
                return self._number(node, one**two)
        return None

    def added(self, left: Node, right: Node, node: ast.expr) -> Node | None:
        """Two texts, numbers or lists in one; a list that is not known is any number of items."""
        if isinstance(left, Items) or isinstance(right, Items):
            items = (*self.starred(left), *self.starred(right))
            if len(items) > MAX_NODES:
                return None
            self.nodes += len(items) // 10
            return Items(
                items, self.place(node), right.layout if isinstance(right, Items) and right.items else Layout()
            )
        if not isinstance(left, Scalar) or not isinstance(right, Scalar):
            return None
        if left.kind == right.kind == "int" and not left.unknown and not right.unknown:
            return self._number(node, int(left.text) + int(right.text))
        if "str" not in (left.kind, right.kind):
            return None
        self.nodes += (len(left.text) + len(right.text)) // 10
        parts = [each.source for each in (left, right) if each.text]
        source = joined(parts) if len(parts) > 1 else parts[0] if parts else left.source
        return Scalar(source, quote='"', unknown=left.unknown or right.unknown)

    def either(self, one: Node, other: Node) -> Node | None:
        """A value that is one of two; of lists that of which one goes on where the other ends, the longer."""
        if _told(one) == _told(other) or _one_switch(one, other):
            return one
        if isinstance(one, Items) and isinstance(other, Items):
            longer, shorter = (one, other) if len(one.items) >= len(other.items) else (other, one)
            same = 0
            while same < len(shorter.items) and _told(longer.items[same]) == _told(shorter.items[same]):
                same += 1
            kept = longer.items if same == len(shorter.items) else longer.items[:same]
            if any(isinstance(item, Scalar) and item.quote == STAR for item in kept):
                return Items(kept, longer.place, longer.layout)
            at = longer.items[min(same, len(longer.items) - 1)].place
            name = "this list under another condition"
            anchor = Source("", [at.start], self.source.lines)
            return Items((*kept, Scalar(shown(name, anchor), quote=STAR, unknown=name)), longer.place, longer.layout)
        return None

    def _or(self, node: ast.BoolOp, depth: int) -> Node | None:
        if isinstance(node.op, ast.And):
            return None
        values = [self.value(each, depth) for each in node.values]
        known = [each for each in values if not (isinstance(each, Scalar) and (each.unknown or each.kind == "null"))]
        return known[0] if known else None

    def _subscript(self, node: ast.Subscript, depth: int) -> Node | None:
        base, key = self.value(node.value, depth), self.value(node.slice, depth)
        if not isinstance(key, Scalar) or key.unknown:
            return None
        if isinstance(base, Mapping):
            return base.index.get(key.text)
        if isinstance(base, Items) and key.kind == "int" and len(key.text) < 8:
            at = int(key.text)
            return base.items[at] if -len(base.items) <= at < len(base.items) else None
        return None

    def _call(self, node: ast.Call, depth: int) -> Node | None:
        name = dotted(node.func) or (node.func.attr if isinstance(node.func, ast.Attribute) else "")
        last = name.rpartition(".")[2]
        if self.call is not None and (given := self.call(node, depth)) is not None:
            return given
        if last in ("getenv", "get", "pop", "setdefault") and isinstance(node.func, ast.Attribute):
            return self._got(node, node.func, depth)
        if last == "dict":
            return self._dict_call(node, depth)
        if last in _DEFAULTS or last in _SAME:
            return self._argument(node, depth)
        # An object of keywords, as Kubernetes' client has them, is like a dict.
        an_object = last[:1].isupper() and last not in ENGINES and node.keywords and not node.args
        return self.keywords(node, depth) if an_object else self._text_call(node, last, depth)

    def _argument(self, node: ast.Call, depth: int) -> Node | None:
        """The default that a call is given, or its first argument, or what it is a method of."""
        default = next((each.value for each in node.keywords if each.arg == "default"), None)
        owner = node.func.value if isinstance(node.func, ast.Attribute) and not node.args else None
        chosen = default or (node.args[0] if node.args else owner)
        return self.value(chosen, depth) if chosen is not None else None

    def _text_call(self, node: ast.Call, last: str, depth: int) -> Node | None:
        """join, split and format."""
        base = self.value(node.func.value, depth) if isinstance(node.func, ast.Attribute) else None
        values = [self.value(each, depth) for each in node.args]
        if last == "join" and isinstance(values[0] if values else None, Items):
            between = base if isinstance(base, Scalar) and base.kind == "str" and not base.unknown else None
            return self._joined(values[0], between.text if between else " ")
        if last == "split":
            text = values[0] if values and dotted(node.func) == "shlex.split" else base
            if isinstance(text, Scalar) and text.kind == "str":
                return self._split(text, node)
        if last == "format" and isinstance(base, Scalar) and base.kind == "str":
            return self._filled(base, re.compile(r"\{(?P<key>\w*)[^{}]*\}"), values, node, depth)
        return None

    def _got(self, node: ast.Call, func: ast.Attribute, depth: int) -> Node | None:
        """What is in a dict under a key, or the default: of the environment always the default."""
        base = self.value(func.value, depth)
        key = self.value(node.args[0], depth) if node.args else None
        if isinstance(base, Mapping) and isinstance(key, Scalar) and not key.unknown and key.text in base:
            return base.get(key.text)
        keyword = next((each.value for each in node.keywords if each.arg == "default"), None)
        default = node.args[1] if len(node.args) > 1 else keyword
        return self.value(default, depth) if default is not None else None

    def _dict_call(self, node: ast.Call, depth: int) -> Mapping:
        entries = [entry for each in node.args for entry in self.merged(self.value(each, depth))]
        own = self.keywords(node, depth)
        return Mapping(_last([*entries, *own.entries]), own.place, Layout())

    def keywords(self, node: ast.Call, depth: int = 0) -> Mapping:
        """The keyword arguments of a call, dicts with two stars taken apart."""
        entries: list[tuple[Scalar, Node]] = []
        for keyword in node.keywords:
            value = self.value(keyword.value, depth)
            if keyword.arg is None:
                entries += self.merged(value)
            else:
                start = self.span(keyword)[0]
                entries.append((Scalar(self.source.part(start, start + len(keyword.arg))), value))
        return Mapping(_last(entries), self.place(node), Layout())

    def _joined(self, items: Node, between: str) -> Node | None:
        parts: list[Source] = []
        unknown = ""
        for item in self.starred(items):
            if not isinstance(item, Scalar):
                return None
            if parts:
                parts.append(shown(between, parts[-1].part(len(parts[-1].text), len(parts[-1].text))))
            name = self.hole(item.unknown) if item.unknown else ""
            parts.append(shown(name, item.source) if name else item.source)
            unknown = unknown or name
        kept = [part for part in parts if part.text]
        return Scalar(joined(kept) if len(kept) > 1 else kept[0], quote='"', unknown=unknown) if kept else None

    def _split(self, text: Scalar, node: ast.Call) -> Items:
        from advisor.deploy.arguments import command

        words = command.split(text.source)
        items = [
            Scalar(word.source, quote='"', unknown=text.unknown if text.unknown in word.text else "") for word in words
        ]
        return Items(tuple(items), self.place(node), Layout())

    def _filled(
        self, text: Scalar, hole: re.Pattern[str], values: Sequence[Node], node: ast.Call | None = None, depth: int = 0
    ) -> Scalar:
        """A text with values in place of its holes."""
        named = {key.text: each for key, each in self.keywords(node, depth).entries} if node else {}
        parts: list[Source] = []
        unknown, at = text.unknown, 0
        for number, match in enumerate(hole.finditer(text.text)):
            parts.append(text.source.part(at, match.start()))
            at = match.end()
            key = match.groupdict().get("key") or ""
            value = named.get(key) if key and not key.isdecimal() else None
            if value is None and not (key and not key.isdecimal()) and number < len(values):
                value = values[number]
            if isinstance(value, Scalar) and not value.unknown:
                parts.append(value.source)
            else:
                unknown = unknown or match.group()
                self.holes.add(match.group())
                parts.append(text.source.part(match.start(), match.end()))
        parts.append(text.source.part(at, len(text.text)))
        kept = [part for part in parts if part.text]
        return replace(
            text, source=joined(kept) if len(kept) > 1 else kept[0] if kept else text.source, unknown=unknown
        )


_READERS: dict[type[ast.expr], Callable[[Evaluator, Any, int], Node | None]] = {
    ast.Constant: Evaluator._constant,
    ast.Name: Evaluator._named,
    ast.Attribute: Evaluator._named,
    ast.List: Evaluator._items,
    ast.Tuple: Evaluator._items,
    ast.Set: Evaluator._items,
    ast.Dict: Evaluator._dict,
    ast.JoinedStr: Evaluator._formatted,
    ast.Call: Evaluator._call,
    ast.BinOp: Evaluator._binary,
    ast.Subscript: Evaluator._subscript,
    ast.BoolOp: Evaluator._or,
    ast.IfExp: lambda self, node, depth: self.either(self.value(node.body, depth), self.value(node.orelse, depth)),
    ast.UnaryOp: Evaluator._negative,
    ast.Await: lambda self, node, depth: self.value(node.value, depth),
    ast.NamedExpr: lambda self, node, depth: self.value(node.value, depth),
}


def words_of(items: Items) -> list[Word]:
    """A list as the arguments of a command; what is no text in it is not known."""
    found: list[Word] = []
    for item in items.items:
        if isinstance(item, Scalar):
            found.append(Word(item.source, item.unknown, "" if item.quote == STAR else item.quote, item.quote == STAR))
        else:
            anchor = Source("?", [item.place.start, item.place.end], [0])
            found.append(Word(anchor, "?", splits=True))
    return found


def more(mapping: Mapping, entries: Sequence[tuple[Scalar, Node]]) -> Mapping:
    """A mapping with entries behind its own, in place of those of the same keys."""
    return Mapping(_last([*mapping.entries, *entries]), mapping.place, mapping.layout)


def _last(entries: Sequence[tuple[Scalar, Node]]) -> tuple[tuple[Scalar, Node], ...]:
    """Entries of which the last of each key counts."""
    kept = {(key.text, key.quote == STAR): (key, value) for key, value in entries}
    return tuple(kept.values())


def dotted(node: ast.expr) -> str | None:
    """The name of a variable or of an attribute of one: self.args."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join((node.id, *reversed(parts))) if isinstance(node, ast.Name) else None


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


def _one_switch(one: Node, other: Node) -> bool:
    """Whether two texts are the two spellings of one switch: which it is matters to nothing else."""
    if not isinstance(one, Scalar) or not isinstance(other, Scalar) or not one.text.startswith("--"):
        return False
    switch = setting(one.text)
    return switch is not None and switch.type == "switch" and switch == setting(other.text)


def _told(node: Node) -> object:
    """What a value is, whatever its place."""
    if isinstance(node, Scalar):
        return (node.text, node.unknown)
    if isinstance(node, Items):
        return [_told(item) for item in node.items]
    return {key.text: _told(value) for key, value in node.entries}


def _unparsed(node: ast.expr) -> str:
    return " ".join(ast.unparse(node).split())[:60]

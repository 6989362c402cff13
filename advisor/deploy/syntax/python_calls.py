"""What calls are worth that leave, put together or take apart what they are given."""

from __future__ import annotations

import ast
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace

from advisor.deploy.source import Source, joined, shown
from advisor.deploy.syntax.python_places import Places, dotted
from advisor.deploy.syntax.python_trees import STAR, last_of_each
from advisor.deploy.syntax.tree import Layout, Mapping, Node, Scalar
from advisor.deploy.syntax.tree import Sequence as Items

ENGINES = frozenset(("LLM", "EngineArgs", "AsyncEngineArgs"))
"""vLLM's own classes that take engine arguments by keyword."""
_SAME = frozenset(("str", "int", "float", "list", "tuple", "Path", "PurePath", "copy", "deepcopy", "strip", "dedent"))
"""Calls that leave what they are given, for us."""
_DEFAULTS = frozenset(("Option", "Argument", "Field", "field", "Query", "Parameter"))
"""Calls that hold a default: typer's, pydantic's, those of dataclasses."""


class Calls(Places, ABC):
    """The calls of one text; what other expressions are worth is said elsewhere."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.used: set[tuple[int, int]] = set()
        """Places of lists and dicts that went into others, or to a call."""
        self.holes: set[str] = set()
        """What stands in texts for values that are not known: {slots}."""
        self.call: Callable[[ast.Call, int], Node | None] | None = None
        """What a call of the text's own functions gives."""

    @abstractmethod
    def value(self, node: ast.expr, depth: int = 0) -> Node:
        """What an expression is worth."""

    def call_value(self, node: ast.Call, depth: int) -> Node | None:
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
        return Mapping(last_of_each([*entries, *own.entries]), own.place, Layout())

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
        return Mapping(last_of_each(entries), self.place(node), Layout())

    def starred(self, node: Node) -> list[Node]:
        """The items that a value stands for with a star before it."""
        if isinstance(node, Items):
            self.used.add((node.place.start, node.place.end))
            return list(node.items)
        source = node.source if isinstance(node, Scalar) else self.source.part(0, 0)
        name = node.unknown if isinstance(node, Scalar) and node.unknown else "?"
        return [Scalar(shown(name, source), quote=STAR, unknown=name)]

    def merged(self, node: Node) -> list[tuple[Scalar, Node]]:
        """The entries that a value stands for with two stars before it."""
        if isinstance(node, Mapping):
            self.used.add((node.place.start, node.place.end))
            return list(node.entries)
        return [(each, each) for each in self.starred(node) if isinstance(each, Scalar)]

    def hole(self, name: str) -> str:
        """What stands in a text for a value that is not known: one word, whatever reads the text."""
        hole = "{" + re.sub(r"[^\w.]+", "_", name)[:40] + "}"
        self.holes.add(hole)
        return hole

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

"""What Python's expressions are worth, as far as the text says: constants, lists, dicts and what is made of them.

Nothing is run or imported. Values are the trees of structured files, so that whatever reads those reads these.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from advisor.deploy.source import Source, joined, shown
from advisor.deploy.syntax.python_calls import Calls
from advisor.deploy.syntax.python_literals import text_of
from advisor.deploy.syntax.python_places import dotted
from advisor.deploy.syntax.python_trees import STAR, Names, last_of_each, one_switch, told
from advisor.deploy.syntax.tree import Layout, Mapping, Node, Scalar
from advisor.deploy.syntax.tree import Sequence as Items

MAX_DEPTH = 40
"""Of expressions in one another: people reach about 10."""
MAX_NODES = 100_000
"""That are evaluated: a list that is doubled over and over ends here."""


class Evaluator(Calls):
    """The expressions of one text."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.names = Names()
        self.attributes: dict[str, Node | None] = {}
        """Defaults of attributes whose object is not known: of argparse's options, of classes; None if they differ."""
        self.nodes = 0

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
        source, quote = text_of(self.segment(node), text)
        return Scalar(source, quote=quote)

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
        return Mapping(last_of_each(entries), self.place(node), self._layout(node.values, "flow"))

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

    def _binary(self, node: ast.BinOp, depth: int) -> Node | None:
        left, right = self.value(node.left, depth), self.value(node.right, depth)
        if isinstance(node.op, ast.Add):
            return self.added(left, right, node)
        if isinstance(node.op, ast.BitOr) and isinstance(left, Mapping) and isinstance(right, Mapping):
            return Mapping(last_of_each([*left.entries, *right.entries]), left.place, Layout())
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
        if told(one) == told(other) or one_switch(one, other):
            return one
        if isinstance(one, Items) and isinstance(other, Items):
            longer, shorter = (one, other) if len(one.items) >= len(other.items) else (other, one)
            same = 0
            while same < len(shorter.items) and told(longer.items[same]) == told(shorter.items[same]):
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


_READERS: dict[type[ast.expr], Callable[[Evaluator, Any, int], Node | None]] = {
    ast.Constant: Evaluator._constant,
    ast.Name: Evaluator._named,
    ast.Attribute: Evaluator._named,
    ast.List: Evaluator._items,
    ast.Tuple: Evaluator._items,
    ast.Set: Evaluator._items,
    ast.Dict: Evaluator._dict,
    ast.JoinedStr: Evaluator._formatted,
    ast.Call: Evaluator.call_value,
    ast.BinOp: Evaluator._binary,
    ast.Subscript: Evaluator._subscript,
    ast.BoolOp: Evaluator._or,
    ast.IfExp: lambda self, node, depth: self.either(self.value(node.body, depth), self.value(node.orelse, depth)),
    ast.UnaryOp: Evaluator._negative,
    ast.Await: lambda self, node, depth: self.value(node.value, depth),
    ast.NamedExpr: lambda self, node, depth: self.value(node.value, depth),
}


def _unparsed(node: ast.expr) -> str:
    return " ".join(ast.unparse(node).split())[:60]

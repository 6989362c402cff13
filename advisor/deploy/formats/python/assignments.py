"""Assignments of a program, and calls that change what a name is worth."""

from __future__ import annotations

import ast
from dataclasses import replace

from advisor.deploy.formats.python.engines import Engines, flags_of
from advisor.deploy.source import Source
from advisor.deploy.syntax.python_places import dotted
from advisor.deploy.syntax.python_trees import more
from advisor.deploy.syntax.tree import Layout, Mapping, Node, Scalar
from advisor.deploy.syntax.tree import Sequence as Items


class Assignments(Engines):
    """The names of one program."""

    def assign(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> None:
        if node.value is None:
            return
        value = self.values.value(node.value)
        if isinstance(node, ast.AugAssign):
            old = self.values.value(node.target)
            added = self.values.added(old, value, node.value) if isinstance(node.op, ast.Add) else None
            if isinstance(added, Items) and isinstance(old, Items):
                added = Items(added.items, old.place, added.layout)
                self.values.used.discard((old.place.start, old.place.end))
            elif isinstance(old, Mapping) and isinstance(value, Mapping):
                added = more(old, value.entries)
            self.put(node.target, added if added is not None else self.values.unknown(node.target))
            return
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            self.put(target, value)
            name = dotted(target)
            if name and isinstance(node.value, ast.Call) and self.engine_of(node.value):
                engine = self.engines.get(self.key(node.value))
                if engine is not None:
                    self.engines[name] = self.engines.pop(self.key(node.value))

    def put(self, target: ast.expr, value: Node) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            items = value.items if isinstance(value, Items) and len(value.items) == len(target.elts) else ()
            for number, each in enumerate(target.elts):
                self.put(each, items[number] if items else self.values.unknown(each))
            return
        if isinstance(target, ast.Subscript):
            self.put_item(target, value)
            return
        name = dotted(target)
        if name is None:
            return
        owner, _, attribute = name.rpartition(".")
        if owner in self.engines and isinstance(value, Scalar):
            key = Scalar(self.context.source.part(*self.values.span(target)))
            self.engines[owner].flags += flags_of([(replace(key, source=_tail(key.source, attribute)), value)])[0]
        self.values.names[name] = value

    def put_item(self, target: ast.Subscript, value: Node) -> None:
        key = self.values.value(target.slice)
        name = dotted(target.value)
        if name is None or not isinstance(key, Scalar) or key.unknown:
            return
        if name in ("os.environ", "environ") and isinstance(value, Scalar):
            self.environment[key.text] = value
        base = self.values.names.get(name)
        if isinstance(base, Mapping):
            self.values.names[name] = more(base, [(key, value)])

    def mutate(self, call: ast.Call) -> None:
        """append, extend and update, which change what a name is worth."""
        if not isinstance(call.func, ast.Attribute) or (name := dotted(call.func.value)) is None:
            return
        base = self.values.names.get(name)
        values = [self.values.value(each) for each in call.args if not isinstance(each, ast.Starred)]
        if isinstance(base, Items) and values and call.func.attr in ("append", "extend", "insert"):
            new = {"append": values[:1], "insert": values[1:2]}.get(call.func.attr)
            added = tuple(new if new is not None else self.values.starred(values[0]))
            first = call.func.attr == "insert" and isinstance(values[0], Scalar) and values[0].text == "0"
            items = (*added, *base.items) if first else (*base.items, *added)
            self.values.names[name] = Items(items, base.place, Layout() if added else base.layout)
        elif call.func.attr == "update" and (isinstance(base, Mapping) or name in ("os.environ", "environ")):
            entries = [entry for each in values for entry in self.values.merged(each)]
            entries += self.values.keywords(call).entries
            if isinstance(base, Mapping):
                self.values.names[name] = more(base, entries)
            else:
                self.environment |= {key.text: value for key, value in entries if isinstance(value, Scalar)}

    def default(self, name: str, value: Node) -> None:
        """What an attribute is by default, of an object that is not known."""
        known = self.values.attributes.get(name, value)
        same = known is not None and (known is value or self.values.either(known, value) is known)
        self.values.attributes[name] = value if same else None


def _tail(source: Source, name: str) -> Source:
    """The end of a dotted name."""
    return source.part(max(0, len(source.text) - len(name)), len(source.text))

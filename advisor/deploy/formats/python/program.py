"""A whole program: what it starts and describes, whatever calls what."""

from __future__ import annotations

import ast
from dataclasses import replace

from advisor.deploy.arguments.command import LOADS, SWITCH
from advisor.deploy.deployment import Value
from advisor.deploy.formats.python.statements import Statements
from advisor.deploy.syntax.python_places import dotted


class Program(Statements):
    """One file."""

    def module(self, tree: ast.Module) -> None:
        self.body(tree.body)
        # Those that the program calls itself are followed from there, with their arguments.
        calls = {(dotted(node.func) or "").rpartition(".")[2] for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for function in sorted(self.later, key=lambda each: each.node.name in calls):
            if not function.called:
                self.follow(function, {}, alone=True)
        self.unused()
        for engine in self.engines.values():
            self.emit(engine)
        self.found.sort(key=lambda each: each.place.start)
        if SWITCH not in self.context.source.text and (loader := self.loader(tree)):
            self.found = [replace(each, loader=each.loader or loader) for each in self.found]

    def loader(self, tree: ast.Module) -> Value | None:
        """The address by which the program has a server load an adapter, if it has one."""
        if LOADS not in self.context.source.text:
            return None
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith(LOADS):
                return Value(f"a call of {LOADS}", self.values.place(node))
        return None

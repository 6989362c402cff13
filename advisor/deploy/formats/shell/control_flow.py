"""Statements of a script, in the order in which a shell would run them."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from advisor.deploy.formats.shell.reading import Reading
from advisor.deploy.formats.shell.variables import Variables
from advisor.deploy.source import Source
from advisor.deploy.syntax.shell_words import Piece, Variable

if TYPE_CHECKING:
    import tree_sitter

MAX_DEPTH = 60
"""Of commands in one another, functions that call functions and scripts in strings: people reach about 10."""
_NO_STATEMENTS = frozenset(("comment", "test_command", "heredoc_body", "file_redirect"))


class ControlFlow(Variables, ABC):
    """Follows branches, loops and functions; what a command does is said elsewhere."""

    def __init__(
        self, reading: Reading, source: Source, data: bytes, variables: dict[str, Variable], exported: set[str]
    ) -> None:
        super().__init__(reading, source, data, variables, exported)
        self.functions: dict[str, tree_sitter.Node] = {}

    @abstractmethod
    def command(self, node: tree_sitter.Node, depth: int) -> None:
        """Follow a command."""

    @abstractmethod
    def redirected(self, node: tree_sitter.Node, depth: int) -> None:
        """Follow a statement whose input or output is redirected."""

    def statements(self, nodes: Iterable[tree_sitter.Node], depth: int) -> None:
        for node in nodes:
            self.statement(node, depth)

    def statement(self, node: tree_sitter.Node, depth: int) -> None:
        if depth > MAX_DEPTH or not node.is_named or node.type in _NO_STATEMENTS:
            return
        self.reading.step()
        match node.type:
            case "command":
                self.command(node, depth)
            case "variable_assignment":
                self.assign(node)
            case "declaration_command":
                self.declare(node)
            case "redirected_statement":
                self.redirected(node, depth)
            case "function_definition":
                self.define(node)
            case _:
                if not self.control(node, depth):
                    self.statements(node.children, depth + 1)

    def control(self, node: tree_sitter.Node, depth: int) -> bool:
        """Follow what runs only if something holds, or again and again; false of anything else."""
        match node.type:
            case "if_statement":
                self.if_statement(node, depth)
            case "case_statement":
                self.case_statement(node, depth)
            case "for_statement":
                self.for_statement(node, depth)
            case "while_statement" | "c_style_for_statement":
                self.branches([node.children], depth, may_be_none=True)
            case _:
                return False
        return True

    def define(self, node: tree_sitter.Node) -> None:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name and body:
            self.functions[self.raw(name)] = body

    def if_statement(self, node: tree_sitter.Node, depth: int) -> None:
        parts: list[list[tree_sitter.Node]] = [[]]
        condition: list[tree_sitter.Node] = []
        into = condition
        for child in node.children:
            if child.type == "then":
                into = parts[0]
            elif child.type in ("elif_clause", "else_clause"):
                parts.append(list(child.children))
            else:
                into.append(child)
        text = " ".join(self.raw(each) for each in condition if each.is_named)
        self.statements(condition, depth + 1)
        has_else = any(child.type == "else_clause" for child in node.children)
        decided = self._decided(text)
        self.branches(parts, depth, may_be_none=not has_else, first=decided)

    def _decided(self, condition: str) -> bool | None:
        """Whether a test holds: one that asks whether a variable is empty, as defaults are set; None if not known."""
        asked = re.fullmatch(r"\[{1,2} (-[zn]) \"?\$\{?(\w+)(?::?[-+]\w*)?\}?\"? \]{1,2}", condition.strip())
        if not asked:
            return None
        variable = self.variables.get(asked[2])
        if variable is None:  # from outside, if at all: as of ${NAME:-default} the default counts
            return True if asked[1] == "-z" else None
        pieces = [piece for word in variable.words for piece in word]
        if any(piece.unknown for piece in pieces):
            return None
        empty = not any(piece.source.text for piece in pieces)
        return empty == (asked[1] == "-z")

    def case_statement(self, node: tree_sitter.Node, depth: int) -> None:
        items = [child for child in node.children if child.type == "case_item"]
        fallback = any(self.raw(item).lstrip(" (").startswith("*)") for item in items)
        bodies = []
        for item in items:
            closing = next((i for i, each in enumerate(item.children) if each.type == ")"), 0)
            bodies.append(item.children[closing + 1 :])
        self.branches(bodies, depth, may_be_none=not fallback)

    def for_statement(self, node: tree_sitter.Node, depth: int) -> None:
        variable, body = node.child_by_field_name("variable"), node.child_by_field_name("body")
        if variable is None or body is None:
            return
        named = [each for each in node.named_children if each not in (variable, body) and each.type != "comment"]
        words = self.words(named) if any(each.type == "in" for each in node.children) else []
        name = self.raw(variable)
        if words and not any(word.unknown for word in words):
            for word in words:
                self.variables[name] = Variable(((Piece(word.source),),))
                self.statements(body.children, depth + 1)
            return
        self.variables[name] = self.not_known(name, self.source.part(*self.span(variable)))
        self.branches([body.children], depth, may_be_none=True)

    def branches(
        self, bodies: Sequence[Sequence[tree_sitter.Node]], depth: int, *, may_be_none: bool, first: bool | None = None
    ) -> None:
        """Follow each body from the same variables; what they leave different is not known afterwards."""
        before = self.variables
        left: list[dict[str, Variable]] = []
        for body in bodies:
            self.reading.spend(len(before) // 10)  # a tenth of a character each
            self.variables = dict(before)
            self.statements(body, depth + 1)
            left.append(self.variables)
        if first is True:
            self.variables = left[0]
            return
        if first is False:
            left = left[1:]
        if may_be_none:
            left.append(before)
        merged = dict(left[0]) if left else before
        for other in left[1:]:
            for name in merged.keys() | other.keys():
                merged[name] = self.either(name, merged.get(name), other.get(name))
        self.variables = merged

"""The tree of a structured text (YAML, JSON, HCL): scalars, mappings and sequences that know where they stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from advisor.deploy.deployment import Place, Value
from advisor.deploy.source import Source


@dataclass(frozen=True, slots=True, eq=False)
class Scalar:
    """A text, a number, a truth value or nothing."""

    source: Source
    """The text without quotes and escapes, and where it stands."""
    kind: str = "str"
    """What the format takes it for: str, int, float, bool, null."""
    quote: str = ""
    """How it is written: '"', "'", "|", ">", "<<" or bare."""
    unknown: str = ""
    """What it depends on, if it cannot be known from the file; then its text is the expression as it is written."""

    @property
    def text(self) -> str:
        return self.source.text

    @property
    def place(self) -> Place:
        return self.source.whole

    @property
    def value(self) -> Value:
        return Value(None if self.unknown else self.text, self.place, self.unknown, self.quote)

    @property
    def on(self) -> bool:
        """Whether it says yes."""
        return not self.unknown and self.text.strip().lower() in ("true", "yes", "on", "1")


@dataclass(frozen=True, slots=True, eq=False)
class Mapping:
    """Keys and values in the order of the file, those that merge keys bring in behind its own."""

    entries: tuple[tuple[Scalar, Node], ...]
    place: Place
    """From its first key or brace to the end of its last value."""
    layout: Layout
    index: dict[str, Node] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        index: dict[str, Node] = {}
        for key, value in self.entries:
            index[key.text] = value  # given twice, the last counts
        object.__setattr__(self, "index", index)

    def __contains__(self, key: str) -> bool:
        return key in self.index

    def get(self, *path: str) -> Node | None:
        """The node at a path of keys; None where it is not there."""
        node: Node | None = self
        for key in path:
            node = node.index.get(key) if isinstance(node, Mapping) else None
        return node

    def mapping(self, *path: str) -> Mapping | None:
        node = self.get(*path)
        return node if isinstance(node, Mapping) else None

    def scalar(self, *path: str) -> Scalar | None:
        """The scalar at a path, unless it is not there or says nothing."""
        node = self.get(*path)
        return node if isinstance(node, Scalar) and node.kind != "null" else None

    def text(self, *path: str) -> str:
        """The text at a path, empty where there is none or it is not known."""
        node = self.scalar(*path)
        return "" if node is None or node.unknown else node.text

    def items(self, *path: str) -> tuple[Node, ...]:
        """The items of the sequence at a path: none where there is no sequence."""
        node = self.get(*path)
        return node.items if isinstance(node, Sequence) else ()

    def key(self, name: str) -> Scalar | None:
        """The key itself, for its place."""
        return next((key for key, _ in reversed(self.entries) if key.text == name), None)


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """Items in their order."""

    items: tuple[Node, ...]
    place: Place
    layout: Layout


@dataclass(frozen=True, slots=True)
class Layout:
    """How a mapping or sequence is written, so that one more of its kind can be written beside the others."""

    style: str = ""
    """block or flow as in YAML, json, hcl; empty where nothing is to be written: it is computed or merged."""
    indent: int = 0
    """Of a block's keys or dashes, in characters."""
    end: Place | None = None
    """Where one more entry is inserted: behind the last one; in a block at the end of its line."""
    source: Source | None = None
    """The text that it is written in."""


Node: TypeAlias = Scalar | Mapping | Sequence


def walk(node: Node) -> Iterator[Node]:
    """A node and everything below it, parents first."""
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, Mapping):
            stack.extend(value for _, value in reversed(node.entries))
        elif isinstance(node, Sequence):
            stack.extend(reversed(node.items))

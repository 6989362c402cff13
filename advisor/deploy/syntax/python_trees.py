"""Trees of Python's values: items that stand for many, entries that replace others, and how two differ."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.deploy.arguments.spellings import setting
from advisor.deploy.arguments.word import Word
from advisor.deploy.source import Source
from advisor.deploy.syntax.tree import Mapping, Node, Scalar
from advisor.deploy.syntax.tree import Sequence as Items

STAR = "*"
"""The quote of an item that stands for any number of them."""


class Names(dict[str, Node]):
    """What names, dotted ones as well, are worth at a point of a program."""


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
    return Mapping(last_of_each([*mapping.entries, *entries]), mapping.place, mapping.layout)


def last_of_each(entries: Sequence[tuple[Scalar, Node]]) -> tuple[tuple[Scalar, Node], ...]:
    """Entries of which the last of each key counts."""
    kept = {(key.text, key.quote == STAR): (key, value) for key, value in entries}
    return tuple(kept.values())


def told(node: Node) -> object:
    """What a value is, whatever its place."""
    if isinstance(node, Scalar):
        return (node.text, node.unknown)
    if isinstance(node, Items):
        return [told(item) for item in node.items]
    return {key.text: told(value) for key, value in node.entries}


def one_switch(one: Node, other: Node) -> bool:
    """Whether two texts are the two spellings of one switch: which it is matters to nothing else."""
    if not isinstance(one, Scalar) or not isinstance(other, Scalar) or not one.text.startswith("--"):
        return False
    switch = setting(one.text)
    return switch is not None and switch.type == "switch" and switch == setting(other.text)

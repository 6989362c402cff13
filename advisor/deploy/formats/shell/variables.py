"""Variables of a script: what assignments make them, and what branches leave of them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from advisor.deploy.arguments.word import Word
from advisor.deploy.formats.shell.reading import Reading
from advisor.deploy.source import Source, shown
from advisor.deploy.syntax.shell_words import Expander, Piece, Pieces, Variable, length, space, text_of, whole

if TYPE_CHECKING:
    import tree_sitter


class Variables(Expander):
    """A script's variables at a point of it."""

    def __init__(
        self, reading: Reading, source: Source, data: bytes, variables: dict[str, Variable], exported: set[str]
    ) -> None:
        super().__init__(source, data, variables)
        self.reading, self.exported = reading, exported

    def spend(self, characters: int) -> None:
        self.reading.spend(characters)

    def assign(self, node: tree_sitter.Node) -> str | None:
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        if name is None or name.type != "variable_name":
            return None
        text = self.raw(name)
        adds = any(child.type == "+=" for child in node.children)
        if value is not None and text not in self.variables and _adds_to(text, self.raw(value)):
            end = self.span(name)[1]
            self.variables[text] = Variable(((Piece(self.source.part(end, end)),),))
        new = self.value(value, name)
        old = self.variables.get(text)
        if adds and old is not None:
            if old.array or new.array:
                new = Variable((*old.words, *new.words), array=True)
            else:
                new = Variable(((*old.words[0], *new.words[0]),))
        elif adds and not new.array:
            unknown = self.not_known(text, self.source.part(*self.span(name)))
            new = Variable(((*unknown.words[0], *new.words[0]),))
        self.reading.spend(length(new))
        self.variables[text] = new
        return text

    def value(self, node: tree_sitter.Node | None, name: tree_sitter.Node) -> Variable:
        if node is None:
            end = self.span(name)[1]
            return Variable(((Piece(self.source.part(end, end)),),))
        if node.type == "array":
            elements = [each for each in node.named_children if each.type != "comment"]
            return Variable(tuple(self.as_pieces(word) for word in self.words(elements)), array=True)
        # An assignment splits no words.
        return Variable((whole(self.pieces(node)),))

    def as_pieces(self, word: Word) -> Pieces:
        return (Piece(word.source, word.unknown, splits=bool(word.unknown) and word.splits, quote=word.quote),)

    def declare(self, node: tree_sitter.Node) -> None:
        exports = self.raw(node.children[0]) in ("export", "declare -x", "typeset -x")
        for child in node.named_children:
            name = self.assign(child) if child.type == "variable_assignment" else self.raw(child)
            if exports and name:
                self.exported.add(name)

    def not_known(self, name: str, anchor: Source) -> Variable:
        return Variable(((Piece(shown(f"${name}", anchor), f"${name}"),),))

    # What branches leave

    def either(self, name: str, one: Variable | None, other: Variable | None) -> Variable:
        """A variable that has one of two values: what they begin with in common, and more that is not known.

        Where one goes on from the other it is that one, as what a branch adds is what vLLM gets where it is taken.
        """
        if one is not None and other is not None and _same(one, other):
            return one
        longer, shorter = (one, other) if length(one) >= length(other) else (other, one)
        assert longer is not None
        anchor = next((piece.source for word in longer.words for piece in word), self.source.part(0, 0))
        rest = Piece(replace(anchor.part(0, 0)), f"${name}", splits=True)
        if any(piece.unknown and piece.splits for word in longer.words for piece in word):
            rest = Piece(rest.source)  # that there may be more is said already
        if longer.array:
            return self._array_or(longer, shorter, rest)
        text = text_of(longer)
        known = not any(piece.unknown for word in longer.words for piece in word)
        if shorter is None and known and re.search(r"(^|\s)--?[A-Za-z]", text):
            return Variable(((*longer.words[0], space(longer), rest),))
        if shorter is not None and known and text.startswith(text_of(shorter)) and "--" in text:
            return Variable(((*longer.words[0], space(longer), rest),))
        return self.not_known(name, anchor)

    def _array_or(self, longer: Variable, shorter: Variable | None, rest: Piece) -> Variable:
        words = shorter.words if shorter and shorter.array else ()
        more = ((rest,),) if rest.unknown else ()
        if longer.words[: len(words)] == words:
            return Variable((*longer.words, *more), array=True)
        same = next(i for i, (a, b) in enumerate([*zip(longer.words, words, strict=False), (1, 2)]) if a != b)
        return Variable((*longer.words[:same], (rest,)), array=True)


def _same(one: Variable, other: Variable) -> bool:
    def told(variable: Variable) -> list[list[tuple[str, str]]]:
        return [[(piece.source.text, piece.unknown) for piece in word if piece.source.text] for word in variable.words]

    return one.array == other.array and told(one) == told(other)


def _adds_to(name: str, value: str) -> bool:
    """Whether an assignment adds a word to the variable's own value, as a loop does from an empty one."""
    if name not in value:
        return False
    own = (f"${name}", f"${{{name}}}")
    text = value.removeprefix('"').removesuffix('"')
    in_front = any(text.startswith((f"{each} ", f"{each},")) for each in own)
    return in_front or any(text.endswith((f" {each}", f",{each}")) for each in own)

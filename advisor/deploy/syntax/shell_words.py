"""Words of a shell's command: put together from pieces, and taken apart at the blanks of variables without quotes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING

from advisor.deploy.arguments.word import Word
from advisor.deploy.deployment import Value
from advisor.deploy.source import Source, joined, shown

if TYPE_CHECKING:
    import tree_sitter

_ANSI = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b", "E": "\x1b"}
_BLANKS = re.compile(r"[ \t\r\n]+")
EXPANSION = 20
"""Characters that would take as long as to put one variable in."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a word."""

    source: Source
    unknown: str = ""
    splits: bool = False
    """Whether its blanks separate words: it comes from a variable without quotes."""
    quote: str = ""
    ends: bool = False
    """Whether a word ends behind it: an array's elements."""


Pieces = tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    words: tuple[Pieces, ...]
    """One, or the elements of an array."""
    array: bool = False


class Expander:
    """The words of one script's nodes, variables put in as far as they are known."""

    def __init__(self, source: Source, data: bytes, variables: dict[str, Variable]) -> None:
        self.source, self.text = source, source.text
        self.variables = variables
        self.positional: tuple[Pieces, ...] | None = None
        """$1 and further; None where they are not known."""
        self.at: Callable[[int], int] = int
        if not self.text.isascii():
            # Characters before each byte: all bytes but those that go on with a character.
            table = [0, *accumulate(int(byte & 0xC0 != 0x80) for byte in data)]
            self.at = [*table[:-1], len(self.text)].__getitem__

    def spend(self, characters: int) -> None:
        """Called with how many characters are put in, before they are."""

    def span(self, node: tree_sitter.Node) -> tuple[int, int]:
        start, end = self.at(node.start_byte), self.at(node.end_byte)
        if node.type.endswith("expansion"):  # tree-sitter takes the blanks before one in quotes into it
            start = end - len(self.text[start:end].lstrip())
        return start, end

    def raw(self, node: tree_sitter.Node) -> str:
        start, end = self.span(node)
        return self.text[start:end]

    def words(self, nodes: Sequence[tree_sitter.Node], *, gaps: bool = False) -> list[Word]:
        """The words of some nodes, variables put in and taken apart at blanks where there are no quotes.

        `gaps`: also what stands between them, which tree-sitter shows as nothing: a lonely dash, an escaped blank.
        """
        found: list[Word] = []
        before: int | None = None
        for node in nodes:
            start, end = self.span(node)
            if gaps and before is not None and start > before:
                found += self._between(before, start)
            before = end
            found += fields(self.pieces(node))
        return found

    def _between(self, start: int, end: int) -> Iterator[Word]:
        text = self.text[start:end]
        if "\\" not in text and not text.strip():
            return
        for match in re.finditer(r"\\\r?\n|\s+|\\[ \t]|(?:[^\s\\]|\\.)+", text):
            if match.group().strip(" \t\r\n") and not re.fullmatch(r"\\\r?\n", match.group()):
                blank = match.group()[0] == "\\"
                yield Word(self.source.part(start + match.start() + blank, start + match.end()))

    def pieces(self, node: tree_sitter.Node) -> list[Piece]:
        """The parts of one word."""
        start, end = self.span(node)
        match node.type:
            case "raw_string" | "ansi_c_string" | "string" | "translated_string":
                return self._quoted(node, start, end)
            case "concatenation" | "command_name":
                found: list[Piece] = []
                at = start
                for child in node.named_children:
                    first, last = self.span(child)
                    found += self._literal(at, first)
                    found += self.pieces(child)
                    at = last
                return found + self._literal(at, end)
            case "simple_expansion" | "expansion":
                return self.expansion(node)
            case "command_substitution" | "arithmetic_expansion" | "process_substitution":
                whole = self.source.part(start, end)
                return [Piece(whole, whole.text, splits=node.type == "command_substitution")]
        return self._literal(start, end) or [Piece(self.source.part(start, end))]

    def _quoted(self, node: tree_sitter.Node, start: int, end: int) -> list[Piece]:
        if node.type == "raw_string":
            return [Piece(self.source.part(start + 1, max(start + 1, end - 1)), quote="'")]
        if node.type == "ansi_c_string":
            return [Piece(self._ansi(start + 2, max(start + 2, end - 1)), quote="'")]
        start += self.text[start] == "$"
        inner = self.mixed(start + 1, max(start + 1, end - 1), node.children, escapes='"\\$`\n')
        quoted = [Piece(piece.source, piece.unknown, quote='"', ends=piece.ends) for piece in inner]
        return quoted or [Piece(self.source.part(start + 1, start + 1), quote='"')]

    def mixed(self, start: int, end: int, children: Sequence[tree_sitter.Node], *, escapes: str) -> list[Piece]:
        """A quoted stretch: text with escapes, and what is put in."""
        found: list[Piece] = []
        at = start
        for child in children:
            first, last = self.span(child)
            if (
                not (child.type.endswith("expansion") or child.type == "command_substitution")
                or first < at
                or last > end
            ):
                continue
            found += self._literal(at, first, escapes)
            found += self.pieces(child)
            at = last
        return found + self._literal(at, end, escapes)

    def _literal(self, start: int, end: int, escapes: str | None = None) -> list[Piece]:
        """Text with its backslashes taken out: all, or those before the characters that quotes let them escape."""
        parts: list[Source] = []
        at = start
        while (found := self.text.find("\\", at, end)) >= 0:
            following = self.text[found + 1 : found + 2]
            if found + 1 >= end:
                break
            if escapes is not None and following not in escapes:
                parts.append(self.source.part(at, found + 2))
            else:
                parts.append(self.source.part(at, found))
                if following != "\n":
                    parts.append(self.source.part(found + 1, found + 2))
            at = found + 2
        parts.append(self.source.part(at, end))
        kept = [part for part in parts if part.text]
        if not kept:
            return []
        return [Piece(joined(kept) if len(kept) > 1 else kept[0])]

    def _ansi(self, start: int, end: int) -> Source:
        parts: list[Source] = []
        for match in re.finditer(r"\\(.)|[^\\]+", self.text[start:end], re.DOTALL):
            part = self.source.part(start + match.start(), start + match.end())
            parts.append(shown(_ANSI.get(match[1], match[1]), part) if match[1] else part)
        return joined(parts) if parts else self.source.part(start, start)

    def expansion(self, node: tree_sitter.Node) -> list[Piece]:
        start, end = self.span(node)
        whole = self.source.part(start, end)
        text = whole.text
        parsed = re.match(r"\$\{?(?P<name>[A-Za-z_]\w*|\d+|[@*])(?P<index>\[[@*\d]+\])?(?P<how>:?[-=?+])?", text)
        unknown = [Piece(whole, text, splits=True)]
        if parsed is None or (text.startswith("${") and not parsed["how"] and text[parsed.end() :] != "}"):
            return unknown
        name, how = parsed["name"], parsed["how"]
        words = self._looked_up(name, parsed["index"])
        empty = words is not None and not any(piece.source.text or piece.unknown for word in words for piece in word)
        if how and how[-1] == "+":
            if words is None:
                return unknown
            set_ = not (empty and how[0] == ":")
            return (
                self._rest(node, start + parsed.end(), end - 1)
                if set_
                else [Piece(self.source.part(end, end), splits=True)]
            )
        if how and how[-1] in "-=" and (words is None or (empty and how[0] == ":")):
            rest = self._rest(node, start + parsed.end(), end - 1)
            if how[-1] == "=":
                self.variables[name] = Variable((tuple(rest),))
            return rest
        if words is None:
            return unknown
        self.spend(EXPANSION + sum(len(piece.source.text) + 1 for word in words for piece in word))
        pieces: list[Piece] = []
        for number, word in enumerate(words):
            pieces += (Piece(piece.source, piece.unknown, splits=True) for piece in word)
            if number + 1 < len(words) and pieces:
                pieces[-1] = replace(pieces[-1], ends=True)
        return pieces or [Piece(self.source.part(end, end), splits=True)]

    def _rest(self, node: tree_sitter.Node, start: int, end: int) -> list[Piece]:
        """The word behind the operator of an expansion."""
        strings = [each for each in node.named_children if self.span(each)[0] >= start]
        if len(strings) == 1 and self.span(strings[0]) == (start, end):
            pieces = self.pieces(strings[0])
        else:
            pieces = self.mixed(start, end, node.children, escapes='"\\$`\n')
        return [replace(piece, splits=True) for piece in pieces] or [Piece(self.source.part(start, start), splits=True)]

    def _looked_up(self, name: str, index: str | None) -> tuple[Pieces, ...] | None:
        if name in "@*":
            return self.positional
        if name.isdecimal():
            known = self.positional is not None and 0 < int(name[:9]) <= len(self.positional)
            return self.positional[int(name) - 1 : int(name)] if self.positional is not None and known else None
        variable = self.variables.get(name)
        if variable is None:
            return None
        if index and index[1:-1].isdecimal():
            return variable.words[int(index[1:-1]) :][:1] if len(index) < 8 else None
        if variable.array and not index:
            return variable.words[:1]
        return variable.words


def fields(pieces: Sequence[Piece]) -> Iterator[Word]:
    """Words of the pieces of one: where it is taken apart, several or none."""
    current: list[Piece] = []
    for piece in pieces:
        if not piece.splits or piece.unknown or not _BLANKS.search(piece.source.text):
            if piece.source.text or piece.quote or piece.unknown or not piece.splits:
                current.append(piece)
        else:
            at = 0
            for blank in _BLANKS.finditer(piece.source.text):
                if blank.start() > at:
                    current.append(replace(piece, source=piece.source.part(at, blank.start())))
                if current:
                    yield word_of(current)
                current = []
                at = blank.end()
            if at < len(piece.source.text):
                current.append(replace(piece, source=piece.source.part(at, len(piece.source.text))))
        if piece.ends:
            if current:
                yield word_of(current)
            current = []
    if current:
        yield word_of(current)


def whole(pieces: Sequence[Piece]) -> Pieces:
    """Pieces that no blank takes apart: one, if all is known."""
    if any(piece.unknown for piece in pieces) or len(pieces) < 2:
        return tuple(Piece(piece.source, piece.unknown, quote=piece.quote) for piece in pieces)
    parts = [piece.source for piece in pieces if piece.source.text] or [pieces[0].source]
    return (Piece(joined(parts) if len(parts) > 1 else parts[0], quote='"'),)


def word_of(pieces: Sequence[Piece]) -> Word:
    parts = [part for piece in pieces for part in shown_parts(piece)]
    unknown = next((piece.unknown for piece in pieces if piece.unknown), "")
    splits = all(piece.splits or not piece.quote for piece in pieces)
    source = joined(parts) if len(parts) > 1 else parts[0] if parts else pieces[0].source
    quote = pieces[0].quote if len(pieces) == 1 else ""
    if source.line_break is not None:  # nothing of several lines is written into a word
        source = Source(source.text, source.offsets, source.lines, None, source.ends, source.quote, source.file)
    return Word(source, unknown, quote, splits)


def shown_parts(piece: Piece) -> list[Source]:
    """A piece's text: of an unknown one the name, where it has no text of its own."""
    if piece.unknown and piece.unknown not in piece.source.text:
        return [shown(piece.unknown, piece.source)]
    return [piece.source] if piece.source.text else []


def space(variable: Variable) -> Piece:
    last = variable.words[-1][-1].source
    return Piece(shown(" ", last.part(len(last.text), len(last.text))))


def spaced(words: Sequence[Word]) -> Source | None:
    parts: list[Source] = []
    for word in words:
        if parts:
            parts.append(shown(" ", parts[-1].part(len(parts[-1].text), len(parts[-1].text))))
        parts.append(word.source)
    return joined(parts) if parts else None


def value_of(pieces: Pieces) -> Value:
    return word_of(pieces).value()


def text_of(variable: Variable) -> str:
    return "".join(piece.source.text for word in variable.words for piece in word)


def length(variable: Variable | None) -> int:
    return -1 if variable is None else sum(len(piece.source.text) + 1 for word in variable.words for piece in word)


def without_tabs(source: Source) -> list[Source]:
    """A here-document's text without the tabs that its lines begin with."""
    parts, at = [], 0
    for tabs in re.finditer(r"(?m)^\t+", source.text):
        parts.append(source.part(at, tabs.start()))
        at = tabs.end()
    return [part for part in (*parts, source.part(at, len(source.text))) if part.text]

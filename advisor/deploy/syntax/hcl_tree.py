"""HCL (Terraform, Nomad) as a tree with places: tree-sitter reads it, variables and locals are put in where known."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING

from advisor.deploy.deployment import NotReadableError, Place
from advisor.deploy.source import Source, joined
from advisor.deploy.syntax.tree import Layout, Mapping, Node, Scalar, Sequence

if TYPE_CHECKING:
    import tree_sitter

MAX_CHARACTERS = 1_000_000
"""Of one file: a large module has 100,000."""
MAX_DEPTH = 150
"""Blocks, collections and calls in one another: each counts three times, and people have about 10."""
MAX_NODES = 50_000
"""With references put in: a variable that is named in itself, or a bomb of locals, ends here."""

_SAME = frozenset(
    ("jsonencode", "yamlencode", "tostring", "tonumber", "tobool", "tolist", "toset", "tomap", "sensitive")
)
_JOINED = frozenset(["concat", "flatten", "compact", "distinct"])
_LITERALS = {"bool_lit": "bool", "null_lit": "null"}
_ESCAPE = re.compile(r'\\(?:[nrt"\\]|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})|\$\$\{|%%\{')
_PLAIN = {"n": "\n", "r": "\r", "t": "\t"}


def read(source: Source) -> Mapping:
    """A file's body: blocks are mappings under their type and labels, repeated ones without labels a sequence.

    Raises:
        NotReadableError: it is no HCL, or too large or deep.
    """
    import tree_sitter

    if len(source.text) > MAX_CHARACTERS:
        raise NotReadableError(f"too long to be read as HCL: more than {MAX_CHARACTERS:,} characters")
    data = source.text.encode(errors="replace")
    root = tree_sitter.Parser(_language()).parse(data).root_node
    if root.has_error:
        where = _first_error(root)
        raise NotReadableError(f"not HCL: line {where.row + 1}, column {where.column + 1}")
    return _Reader(source, data).file(root)


@lru_cache(maxsize=1)
def _language() -> tree_sitter.Language:
    import tree_sitter
    import tree_sitter_hcl

    return tree_sitter.Language(tree_sitter_hcl.language())


def _first_error(node: tree_sitter.Node) -> tree_sitter.Point:
    while True:
        broken = next((each for each in node.children if each.has_error or each.is_missing), None)
        if broken is None or node.type == "ERROR":
            return node.start_point
        node = broken


class _Reader:
    def __init__(self, source: Source, data: bytes) -> None:
        self.source = source
        self.text = source.text
        self.at: Callable[[int], int] = int
        if not source.text.isascii():
            # Characters before each byte: all bytes but those that go on with a character.
            table = [0, *accumulate(int(byte & 0xC0 != 0x80) for byte in data)]
            starts = [*table[:-1], len(source.text)]
            self.at = starts.__getitem__
        self.definitions: dict[str, tree_sitter.Node] = {}
        self.nodes = 0
        self.open: list[str] = []

    def file(self, root: tree_sitter.Node) -> Mapping:
        body = next((each for each in root.children if each.type == "body"), None)
        if body is None:
            return Mapping((), self.source.place(0, 0), Layout())
        self._define(body)
        return self._body(body, 0)

    def _define(self, body: tree_sitter.Node) -> None:
        """Note what variables and locals stand for."""
        for block in (each for each in body.children if each.type == "block"):
            kind, labels, inner = self._block_parts(block)
            for attribute in (each for each in (inner.children if inner else ()) if each.type == "attribute"):
                name, value = self._raw(attribute.children[0]), attribute.children[-1]
                if kind == "locals":
                    self.definitions[f"local.{name}"] = value
                elif kind == "variable" and labels and name == "default":
                    self.definitions[f"var.{labels[0].text}"] = value

    def _block_parts(self, block: tree_sitter.Node) -> tuple[str, list[Scalar], tree_sitter.Node | None]:
        kind, *rest = block.children
        labels = [self._label(each) for each in rest if each.type in ("string_lit", "identifier")]
        return self._raw(kind), labels, next((each for each in rest if each.type == "body"), None)

    def _label(self, node: tree_sitter.Node) -> Scalar:
        inner = 1 if node.type == "string_lit" else 0
        return Scalar(self.source.part(self.at(node.start_byte) + inner, self.at(node.end_byte) - inner))

    def _place(self, node: tree_sitter.Node) -> Place:
        return self.source.place(self.at(node.start_byte), self.at(node.end_byte))

    def _raw(self, node: tree_sitter.Node) -> str:
        return self.text[self.at(node.start_byte) : self.at(node.end_byte)]

    def _count(self, node: tree_sitter.Node, depth: int) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES or depth > MAX_DEPTH:
            limit = f"deeper than {MAX_DEPTH}" if depth > MAX_DEPTH else f"more than {MAX_NODES:,} values"
            raise NotReadableError(f"line {node.start_point.row + 1}: {limit}")

    def _body(self, body: tree_sitter.Node, depth: int) -> Mapping:
        self._count(body, depth)
        entries: list[tuple[Scalar, Node]] = []
        blocks: dict[str, tuple[Scalar, list[tuple[list[Scalar], Mapping]]]] = {}
        for each in body.children:
            if each.type == "attribute":
                key = each.children[0]
                entries.append((self._identifier(key), self._expression(each.children[-1], depth + 1)))
            elif each.type == "block":
                kind, labels, inner = self._block_parts(each)
                mapping = self._body(inner, depth + 1) if inner else Mapping((), self._place(each), Layout())
                blocks.setdefault(kind, (self._identifier(each.children[0]), []))[1].append((labels, mapping))
        entries += [(key, self._blocks(found)) for key, found in blocks.values()]
        indent = body.start_point.column
        end = self._line_end(self.at(body.end_byte))
        layout = Layout("hcl", indent, self.source.place(end, end), self.source)
        return Mapping(tuple(entries), self._place(body), layout)

    def _blocks(self, found: list[tuple[list[Scalar], Mapping]]) -> Node:
        """Blocks of one type: by their labels, or one after the other."""
        if not found[0][0]:
            mappings = [mapping for _, mapping in found]
            return mappings[0] if len(mappings) == 1 else Sequence(tuple(mappings), mappings[0].place, Layout())
        groups: dict[str, tuple[Scalar, list[tuple[list[Scalar], Mapping]]]] = {}
        for labels, mapping in found:
            if labels:
                groups.setdefault(labels[0].text, (labels[0], []))[1].append((labels[1:], mapping))
        entries = tuple((key, self._blocks(inner)) for key, inner in groups.values())
        return Mapping(entries, found[0][1].place, Layout())

    def _identifier(self, node: tree_sitter.Node) -> Scalar:
        return Scalar(self.source.part(self.at(node.start_byte), self.at(node.end_byte)))

    def _line_end(self, at: int) -> int:
        end = self.text.find("\n", at)
        end = len(self.text) if end < 0 else end
        return end - 1 if end > at and self.text[end - 1] == "\r" else end

    def _unknown(self, node: tree_sitter.Node) -> Scalar:
        return Scalar(self._identifier(node).source, unknown=self._raw(node))

    def _expression(self, node: tree_sitter.Node, depth: int) -> Node:
        self._count(node, depth)
        named = [each for each in node.children if each.type != "comment"]
        readers: dict[str, Callable[[tree_sitter.Node, int], Node]] = {
            "string_lit": self._template,
            "quoted_template": self._template,
            "heredoc_template": self._template,
            "tuple": self._tuple,
            "object": self._object,
            "function_call": self._call,
        }
        raw = self._raw(node)
        if node.type == "expression" and len(named) > 1 and named[0].type == "variable_expr":
            return self._reference(node, depth)
        if node.type == "expression" and len(named) == 3 and self._raw(named[0]) == "(":
            return self._expression(named[1], depth + 1)
        if node.type in ("expression", "literal_value", "template_expr", "collection_value") and len(named) == 1:
            return self._expression(named[0], depth + 1)
        if node.type in readers:
            return readers[node.type](node, depth)
        kind = _LITERALS.get(node.type)
        if node.type in ("numeric_lit", "operation") and raw.lstrip("-").replace(".", "", 1).isdecimal():
            kind = "float" if "." in raw else "int"
        return Scalar(self._identifier(node).source, kind) if kind else self._unknown(node)

    def _tuple(self, node: tree_sitter.Node, depth: int) -> Sequence:
        inner = [each for each in node.children if each.type == "expression"]
        items = tuple(self._expression(each, depth + 1) for each in inner)
        return Sequence(items, self._place(node), self._behind(inner[-1] if inner else node.children[0]))

    def _behind(self, last: tree_sitter.Node) -> Layout:
        """One more item goes behind the last: on a line of its own where the others have that."""
        end = self.at(last.end_byte)
        return Layout("json", last.start_point.column, self.source.place(end, end), self.source)

    def _object(self, node: tree_sitter.Node, depth: int) -> Mapping:
        entries: list[tuple[Scalar, Node]] = []
        elements = [each for each in node.children if each.type == "object_elem"]
        for element in elements:
            parts = [each for each in element.children if each.type == "expression"]
            if len(parts) < 2:
                continue
            key = self._key(parts[0], depth + 1)
            entries.append((key, self._expression(parts[-1], depth + 1)))
        if not elements:
            return Mapping(tuple(entries), self._place(node), Layout())
        end = self.at(elements[-1].end_byte)
        style, indent = "flow", elements[-1].start_point.column
        if elements[-1].start_point.row > node.start_point.row:
            style = "hcl"
            end = self._line_end(end)
        layout = Layout(style, indent, self.source.place(end, end), self.source)
        return Mapping(tuple(entries), self._place(node), layout)

    def _key(self, node: tree_sitter.Node, depth: int) -> Scalar:
        """A key of an object: a bare word is a text there, not a variable."""
        if self._raw(node).replace("_", "").replace("-", "").isalnum():
            return self._identifier(node)
        key = self._expression(node, depth)
        return key if isinstance(key, Scalar) else self._unknown(node)

    def _reference(self, node: tree_sitter.Node, depth: int) -> Node:
        """`var.slots` or `local.args`: what it is defined as in this file, if it is."""
        names = self._raw(node).split(".")
        name = ".".join(names[:2])
        defined = self.definitions.get(name)
        if defined is None or name in self.open:
            return self._unknown(node)
        self.open.append(name)
        value: Node | None = self._expression(defined, depth + 1)
        self.open.pop()
        if isinstance(value, Scalar):  # a text that is put in over and over counts by its length
            self.nodes += len(value.text) // 100
        for key in names[2:]:
            value = value.get(key) if isinstance(value, Mapping) else None
        return self._unknown(node) if value is None or (isinstance(value, Scalar) and value.unknown) else value

    def _call(self, node: tree_sitter.Node, depth: int) -> Node:
        name = self._raw(node.children[0])
        lists = [each for each in node.children if each.type == "function_arguments"]
        arguments = [each for each in lists[0].children if each.type == "expression"] if lists else []
        if name in _SAME and len(arguments) == 1:
            return self._expression(arguments[0], depth + 1)
        values = (
            [self._expression(each, depth + 1) for each in arguments]
            if name in {*_JOINED, "merge", "join", "split"}
            else []
        )
        if name in _JOINED:
            return Sequence(tuple(_flat(values)), self._place(node), Layout())
        if name == "merge" and any(isinstance(each, Mapping) for each in values):
            entries = tuple(entry for each in values if isinstance(each, Mapping) for entry in each.entries)
            last = next((each for each in reversed(values) if isinstance(each, Mapping)), None)
            return Mapping(entries, self._place(node), last.layout if last else Layout())
        if name == "join" and len(values) == 2 and isinstance(values[0], Scalar) and isinstance(values[1], Sequence):
            separator = values[0].source
            texts = [each for each in values[1].items if isinstance(each, Scalar)]
            if texts and not any(each.unknown for each in texts) and len(texts) == len(values[1].items):
                parts = [part for each in texts for part in (separator, each.source)][1:]
                return Scalar(joined(parts), quote='"')
        if name == "split" and len(values) == 2 and isinstance(values[0], Scalar) and isinstance(values[1], Scalar):
            return self._split(values[0], values[1], node)
        return self._unknown(node)

    def _split(self, separator: Scalar, text: Scalar, node: tree_sitter.Node) -> Node:
        if not separator.text or separator.unknown or text.unknown:
            return self._unknown(node)
        items: list[Node] = []
        at = 0
        for part in text.text.split(separator.text):
            items.append(Scalar(text.source.part(at, at + len(part)), quote=text.quote))
            at += len(part) + len(separator.text)
        return Sequence(tuple(items), self._place(node), Layout())

    def _template(self, node: tree_sitter.Node, depth: int) -> Scalar:
        """A text in quotes or a heredoc, with what is put into it where that is known."""
        heredoc = node.type == "heredoc_template"
        if heredoc:
            start = self.text.find("\n", self.at(node.start_byte)) + 1
            end = self.at(node.children[-1].start_byte)
            end = self.text.rfind("\n", 0, end) + 1
        else:
            start, end = self.at(node.start_byte) + 1, self.at(node.end_byte) - 1
        end = max(start, end)
        holes = [each for each in node.children if each.type in ("template_interpolation", "template_directive")]
        parts: list[Source] = []
        unknown = ""
        at = start
        for hole in holes:
            first, last = self.at(hole.start_byte), self.at(hole.end_byte)
            parts.append(self._literal(at, first, heredoc))
            inner = next((each for each in hole.children if each.type == "expression"), None)
            value = self._expression(inner, depth + 1) if inner and hole.type == "template_interpolation" else None
            if isinstance(value, Scalar) and not value.unknown:
                parts.append(value.source)
            else:
                unknown = unknown or self._raw(hole)
                parts.append(self.source.part(first, last))
            at = last
        parts.append(self._literal(at, end, heredoc))
        quote = "<<" if heredoc else '"'
        text = parts[0] if len(parts) == 1 else joined(parts)
        if heredoc:
            text = self._dedented(text, self._raw(node).startswith("<<-"))
        return Scalar(text, quote=quote, unknown=unknown)

    def _literal(self, start: int, end: int, heredoc: bool) -> Source:
        raw = self.text[start:end]
        if heredoc or ("\\" not in raw and "$$" not in raw and "%%" not in raw):
            return self.source.inner(raw, range(start, end + 1), "\n" if heredoc else None, "" if heredoc else '"')
        text: list[str] = []
        offsets: list[int] = []
        at = 0
        while at < len(raw):
            found = _ESCAPE.match(raw, at)
            size = len(found.group()) if found else 1
            offsets.append(start + at)
            text.append(_unescaped(found.group()) if found else raw[at])
            offsets += [start + at] * (len(text[-1]) - 1)
            at += size
        return self.source.inner("".join(text), [*offsets, end], None, '"')

    def _dedented(self, source: Source, trim: bool) -> Source:
        """What `<<-` makes of a heredoc: the least indentation is taken off every line."""
        lines = source.text.splitlines(keepends=True)
        margins = [len(line) - len(line.lstrip(" ")) for line in lines if line.strip()]
        margin = min(margins, default=0) if trim else 0
        if not margin:
            return source
        parts, at = list[Source](), 0
        for line in lines:
            skipped = min(margin, len(line) - len(line.lstrip(" ")))
            parts.append(source.part(at + skipped, at + len(line)))
            at += len(line)
        whole = joined(parts)
        return Source(whole.text, whole.offsets, whole.lines, "\n" + " " * margin, whole.ends, whole.quote)


def _flat(values: Iterable[Node]) -> Iterable[Node]:
    for value in values:
        if isinstance(value, Sequence):
            yield from _flat(value.items)
        else:
            yield value


def _unescaped(escape: str) -> str:
    if escape[0] != "\\":
        return escape[1:]  # $${ is ${
    if escape[1] in "uU":
        code = int(escape[2:], 16)
        return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
    return _PLAIN.get(escape[1], escape[1])

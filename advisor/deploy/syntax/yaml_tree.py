"""YAML and JSON as trees with places, read from PyYAML's events: a document that is a bomb is never unfolded."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from collections.abc import Sequence as Offsets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from advisor.deploy.deployment import NotReadableError
from advisor.deploy.source import Source
from advisor.deploy.syntax.tree import Layout, Mapping, Node, Scalar, Sequence

if TYPE_CHECKING:
    import yaml

MAX_CHARACTERS = 4_000_000
"""Of one text: the values of large charts have 100,000."""
MAX_NODES = 100_000
"""Of one text with its aliases and merges unfolded, long texts counted as more than one: 10,000 adapters with four keys
each; more would take over 2 s."""
MAX_DEPTH = 100
"""Collections in collections: a manifest has about 12."""

_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")
_TEMPLATE = re.compile(r"\{\{[-~]?\s*(?:/\*|[.$\w\"(])")
_HELM = re.compile(r"\{\{-?\s*(?:/\*|\.|\$|(?:include|template|define|toYaml|range|with|tpl|if|end|else|block)\b)")
_SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_NUMBER = re.compile(r"[-+]?[1-9][0-9]*|0")


def read(source: Source, *, json: bool = False) -> list[Node]:
    """The documents of a text; an empty document is a scalar of nothing.

    Raises:
        NotReadableError: it is no YAML (no JSON), or it is too large, deep or unfolds to too much.
    """
    import yaml

    text = source.text
    kind = "JSON" if json else "YAML"
    if len(text) > MAX_CHARACTERS:
        raise NotReadableError(f"too long to be read as {kind}: more than {MAX_CHARACTERS:,} characters")
    # Half of a pair is no character to YAML, and JSON may be indented by tabs: what replaces them is as long.
    plain = _SURROGATES.sub(r"\1\\ufffd", text).replace("\t", " ") if json else text
    shift = int(plain.startswith("\ufeff"))
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Builder(source, shift).documents(yaml.parse(plain[shift:], Loader=loader))
    except yaml.YAMLError as error:
        if not json and (template := template_note(text)):
            raise NotReadableError(template) from error
        raise NotReadableError(f"not {kind}: {_reason(error)}") from error
    except (RecursionError, ValueError, IndexError) as error:  # of the scanner in plain Python
        raise NotReadableError(f"not {kind}: {type(error).__name__}") from error


def template_note(text: str) -> str:
    """What to say of a text that a template engine has to render first; empty where it is none."""
    found = _TEMPLATE.search(text)
    if found is None:
        return ""
    line = text.count("\n", 0, found.start()) + 1
    if _HELM.search(text):
        return (
            f"a Helm template, not YAML ({{{{ in line {line}): render it first, "
            "helm template RELEASE CHART | advisor check -"
        )
    return f"a template, not YAML ({{{{ in line {line}): render it first and check what comes out"


def _reason(error: yaml.YAMLError) -> str:
    import yaml

    if isinstance(error, yaml.MarkedYAMLError) and error.problem:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        return f"{where}{' '.join(error.problem.split())}"
    return str(error).partition("\n")[0]


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come yet."""

    event: Any
    children: list[Node] = field(default_factory=list)
    size: int = 1
    end: int = 0
    """Where the last child ends."""
    indent: int = 0


class _Builder:
    def __init__(self, source: Source, shift: int) -> None:
        self.source, self.text, self.shift = source, source.text, shift
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.events = 0

    def documents(self, events: Iterable[Any]) -> list[Node]:
        documents: list[Node] = []
        stack: list[_Open] = []
        for event in events:
            name, anchor = type(event).__name__, getattr(event, "anchor", None)
            node: Node
            if name == "ScalarEvent":
                node, size, end = self._scalar(event)
            elif name in ("MappingStartEvent", "SequenceStartEvent"):
                if len(stack) >= MAX_DEPTH:
                    raise NotReadableError(f"line {event.start_mark.line + 1}: deeper than {MAX_DEPTH} collections")
                stack.append(_Open(event, end=event.end_mark.index + self.shift, indent=event.start_mark.column))
                continue
            elif name in ("MappingEndEvent", "SequenceEndEvent"):
                node, size, end = self._collection(stack[-1], event)
                anchor = stack.pop().event.anchor
            elif name == "AliasEvent":
                end = event.end_mark.index + self.shift
                node, size = self.anchors.get(str(anchor)) or (self._bare(event, f"*{anchor}"), 1)
                anchor = None
            else:
                if name == "DocumentStartEvent":
                    self.anchors.clear()
                continue
            self._count(size if stack else size + self.events, event)
            if anchor:
                self.anchors[anchor] = node, size
            if stack:
                top = stack[-1]
                top.children.append(node)
                top.size += size
                top.end = max(end, top.end)
            else:
                self.events += size
                documents.append(node)
        return documents

    def _count(self, size: int, event: Any) -> None:
        if size > MAX_NODES:
            raise NotReadableError(f"line {event.start_mark.line + 1}: unfolds to more than {MAX_NODES:,} values")

    def _bare(self, event: Any, unknown: str) -> Scalar:
        start, end = event.start_mark.index + self.shift, event.end_mark.index + self.shift
        return Scalar(self.source.part(start, end), unknown=unknown)

    def _collection(self, opened: _Open, event: Any) -> tuple[Node, int, int]:
        first = opened.event
        start = first.start_mark.index + self.shift
        if flow := bool(first.flow_style):
            end = event.end_mark.index + self.shift
            inside = opened.end
        else:
            end = inside = opened.end
            inside = self._line_end(inside)
        style = "flow" if flow else "block"
        layout = Layout(style, opened.indent, self.source.place(inside, inside), self.source)
        place = self.source.place(start, max(start, end))
        if type(first).__name__ == "SequenceStartEvent":
            return Sequence(tuple(opened.children), place, layout), opened.size, end
        entries, size = self._entries(opened)
        return Mapping(tuple(entries), place, layout), size, end

    def _entries(self, opened: _Open) -> tuple[list[tuple[Scalar, Node]], int]:
        entries: list[tuple[Scalar, Node]] = []
        merged: list[Mapping] = []
        pairs = iter(opened.children)
        for name, value in zip(pairs, pairs, strict=False):
            if not isinstance(name, Scalar) and opened.event.flow_style and (note := template_note(self.text)):
                raise NotReadableError(note)
            key = name if isinstance(name, Scalar) else self._no_text(name)
            if key.text == "<<" and not key.quote:
                merged.extend(each for each in _each(value) if isinstance(each, Mapping))
            else:
                entries.append((key, value))
        size = opened.size
        if merged:
            known = {key.text for key, _ in entries}
            for mapping in merged:
                for key, value in mapping.entries:
                    if key.text not in known:
                        known.add(key.text)
                        entries.append((key, value))
        return entries, size

    def _no_text(self, key: Node) -> Scalar:
        start = key.place.start
        return Scalar(Source("", range(start, start + 1), self.source.lines), unknown="a key that is no text")

    def _line_end(self, at: int) -> int:
        end = self.text.find("\n", at)
        end = len(self.text) if end < 0 else end
        return end - 1 if end > at and self.text[end - 1] == "\r" else end

    def _scalar(self, event: Any) -> tuple[Scalar, int, int]:
        text, value = self.text, event.value
        start, end = event.start_mark.index + self.shift, event.end_mark.index + self.shift
        if event.anchor or event.tag:
            properties = _PROPERTIES.match(text, start, end)
            start = properties.end() if properties else start
        style = event.style or ""
        if style in ("'", '"'):
            offsets = _quoted(text, start + 1, end - 1, value, style)
            inner = self.source.inner(value, offsets, quote=style, ends=_ends(text, offsets, style))
            kind = "str"
        elif style in ("|", ">"):
            while end > start and text[end - 1] in "\r\n ":
                end -= 1
            offsets, indent = _block(text, start, value)
            inner = self.source.inner(value, offsets, "\n" + " " * indent if style == "|" else None)
            kind = "str"
        else:
            style = ""
            kind = _kind(value) if event.implicit[0] else "str"
            if kind == "int" and not _NUMBER.fullmatch(value):
                value = _decimal(value)
            offsets = _folded(text, start, end, value)
            inner = self.source.inner(value, offsets, ends=_ends(text, offsets, style))
        if inner.line_break is not None and style != "|":
            inner = replace(inner, line_break=None)
        tag = event.tag or ""
        if tag.startswith("!") and tag != "!":  # CloudFormation's !Ref and the like: somebody else computes it
            return Scalar(inner, kind, style, unknown=f"{tag} {value}"), 1 + len(value) // 100, end
        return Scalar(inner, kind, style), 1 + len(value) // 100, end


def _each(node: Node) -> Iterable[Node]:
    return node.items if isinstance(node, Sequence) else (node,)


def _kind(value: str) -> str:
    """What a bare scalar is."""
    import yaml

    for tag, pattern in yaml.SafeLoader.yaml_implicit_resolvers.get(value[:1], ()):
        if pattern.match(value):
            kind = tag.rpartition(":")[2]
            return kind if kind in ("int", "float", "bool", "null") else "str"
    return "str"


def _decimal(value: str) -> str:
    """An integer in another spelling, 0x10 or 1_000, as it is written mostly."""
    import yaml

    node = yaml.ScalarNode("tag:yaml.org,2002:int", value)
    try:
        return str(yaml.constructor.SafeConstructor().construct_yaml_int(node))
    except ValueError:
        return value


def _coarse(value: str, start: int, end: int) -> Offsets[int]:
    """Every character at the start: where a text cannot be followed, a replacement replaces all of it."""
    return [start] * len(value) + [end]


def _folded(text: str, start: int, end: int, value: str) -> Offsets[int]:
    """Places of a bare scalar that may go over lines."""
    if end - start == len(value):
        return range(start, end + 1)
    return _aligned(text, start, end, value, "") or _coarse(value, start, end)


def _quoted(text: str, start: int, end: int, value: str, quote: str) -> Offsets[int]:
    if end - start == len(value):
        return range(start, end + 1)
    return _aligned(text, start, end, value, quote) or _coarse(value, start, end)


def _ends(text: str, offsets: Offsets[int], quote: str) -> Offsets[int] | None:
    """Where characters end whose line goes on below, with a fold or an escaped break before the next."""
    if isinstance(offsets, range) or (len(offsets) > 1 and offsets[0] == offsets[1]):
        return None
    ends: list[int] = []
    for at, following in itertools.pairwise(offsets):
        escaped = quote == '"' and text[at : at + 1] == "\\"
        size = _HEX.get(text[at + 1], 2) if escaped else 2 if quote == "'" and text[at : at + 2] == "''" else 1
        ends.append(min(at + size, following))
    return ends


_HEX = {"x": 4, "u": 6, "U": 10}
"""How long an escape is."""


def _aligned(text: str, start: int, end: int, value: str, quote: str) -> Offsets[int] | None:
    """Follow a text through its escapes and folded lines; None if that fails."""
    offsets: list[int] = []
    at = start
    for character in value:
        while True:
            if at >= end:
                return None
            raw = text[at]
            if quote == '"' and raw == "\\":
                if text[at + 1 : at + 2] in ("\n", "\r"):
                    at += 2
                    while at < end and text[at] in " \t\n":
                        at += 1
                    continue
                offsets.append(at)
                at += _HEX.get(text[at + 1], 2)
                break
            if raw == character:
                offsets.append(at)
                at += 2 if quote == "'" and raw == "'" else 1
                break
            if raw in "\r\n" and character == " ":
                offsets.append(at)
                at += 1
                break
            if raw not in " \t\r\n":
                return None
            at += 1
    offsets.append(end)
    return offsets


def _block(text: str, start: int, value: str) -> tuple[Offsets[int], int]:
    """Places of a block scalar, and how far it is indented."""
    header_end = text.find("\n", start)
    if header_end < 0:
        return _coarse(value, start, len(text)), 0
    first = next((line for line in value.split("\n") if line.strip()), "")
    if not first:
        return _coarse(value, header_end + 1, header_end + 1), 0
    at = header_end + 1
    # The first line that is not blank tells the indentation: what stands before the text of the value.
    while at < len(text):
        line_end = text.find("\n", at)
        line_end = len(text) if line_end < 0 else line_end
        line = text[at:line_end]
        if line.strip():
            break
        at = line_end + 1
    indent = line.find(first) if text[start] == "|" else len(line) - len(line.lstrip(" "))
    if indent < 0:
        return _coarse(value, header_end + 1, header_end + 1), 0
    offsets = _unindented(text, header_end + 1, value, indent)
    return offsets or _coarse(value, header_end + 1, max(header_end + 1, at)), indent


def _unindented(text: str, at: int, value: str, indent: int) -> Offsets[int] | None:
    """Follow a text through lines that are indented, folded or not; None if that fails."""
    offsets: list[int] = []
    fresh = True  # at the start of a line, whose indentation is no part of the text
    for character in value:
        while True:
            if fresh:
                margin = text[at : at + indent]
                at += len(margin) - len(margin.lstrip(" "))
            raw = text[at : at + 2] if text.startswith("\r\n", at) else text[at : at + 1]
            fresh = raw[-1:] == "\n"
            if raw == character or (fresh and character in " \n") or (not raw and character == "\n"):
                offsets.append(at)
                at += len(raw)
                break
            if not fresh:
                return None
            at += len(raw)
    return [*offsets, at]

"""The tree of YAML and JSON: every text is found again in the file, and no text makes it run away."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from advisor.deploy.deployment import NotReadableError
from advisor.deploy.source import Source
from advisor.deploy.syntax.tree import Mapping, Node, Scalar, Sequence, walk
from advisor.deploy.syntax.yaml_tree import MAX_DEPTH, read

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("C",)), max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def _plain(node: Node) -> Any:
    if isinstance(node, Scalar):
        return None if node.kind == "null" else node.text.lower() if node.kind in ("bool", "int") else node.text
    if isinstance(node, Sequence):
        return [_plain(item) for item in node.items]
    return {key.text: _plain(value) for key, value in node.entries}


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _texts(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_texts(each) for each in value]
    return value if value is None or isinstance(value, str) else str(value).lower()


@given(
    VALUES, st.sampled_from([None, True, False]), st.sampled_from([None, '"', "'", "|", ">"]), st.sampled_from([8, 80])
)
def test_reads_what_pyyaml_reads(value: Any, flow: bool | None, style: str | None, width: int) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow, default_style=style, width=width, allow_unicode=True)
    node = read(Source.of(text))[0]
    if style is None:
        assert _plain(node) == _texts(value)
    for each in walk(node):
        if isinstance(each, Scalar):
            inside = text[each.place.start : each.place.end]
            if each.text == inside or not each.text.strip():
                continue
            for at, character in enumerate(each.text):  # folded, escaped or indented: character by character
                start = each.source.place(at, at + 1).start
                assert text[start] in (character, "\\", "\n", " ", "\r") or each.kind == "int"


@given(VALUES, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_reads_json(value: Any, indent: int | str | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    if "\\ud" in text:
        return  # half of a pair
    assert _plain(read(Source.of(text), json=True)[0]) == _texts(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: |\n  x --max-loras 8\n  y\n", "8"),
        ("a: >-\n   x\n   --max-loras 8\n", "8"),
        ("a: >\n\n   x\n\n     --max-loras 8\n   y\n", "8"),
        ("a: |2\n    x 8\n", "8"),
        ("a: |\r\n  x\r\n  y 8\r\n", "8"),
        ('a: "x\\n\\ty \\\n   \\u0041 8"\n', "8"),
        ("a: 'it''s 8'\n", "8"),
        ("a: x\n  y 8\n", "8"),
        ("\ufeffa: 8\n", "8"),
        ("ü: é 8\n", "8"),
        ("a: &b !!str 8\n", "8"),
    ],
)
def test_places_of_every_style(text: str, value: str) -> None:
    root = read(Source.of(text))[0]
    assert isinstance(root, Mapping)
    scalar = root.entries[0][1]
    assert isinstance(scalar, Scalar)
    at = scalar.text.index(value)
    place = scalar.source.place(at, at + len(value))
    assert text[place.start : place.end] == value
    assert place.line == text.count("\n", 0, place.start) + 1
    assert place.column == place.start - text.rfind("\n", 0, place.start)


def test_places_in_yaml_in_yaml_in_yaml() -> None:
    innermost = "args: ['--max-loras=8']\n"
    inner = "spec: |\n" + "".join("  " + line for line in innermost.splitlines(keepends=True))
    text = "a:\n    data: |\n" + "".join("      " + line for line in inner.splitlines(keepends=True))
    first = read(Source.of(text))[0].get("a", "data")  # type: ignore[union-attr]
    assert isinstance(first, Scalar)
    second = read(first.source)[0].get("spec")  # type: ignore[union-attr]
    assert isinstance(second, Scalar)
    item = read(second.source)[0].get("args")
    assert isinstance(item, Sequence)
    assert isinstance(item.items[0], Scalar)
    place = item.items[0].place
    assert text[place.start : place.end] == "--max-loras=8"


def test_merge_keys_and_aliases() -> None:
    text = "base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\none:\n  <<: [*b, *m]\n  x: 5\nlist: [*b]\n"
    root = read(Source.of(text))[0]
    assert _plain(root)["one"] == {"x": "5", "y": "2", "z": "4"}
    assert _plain(root)["list"] == [{"x": "1", "y": "2"}]


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(9)),
        "a: " + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        "[" * 100_000,
        "- " * 50_000,
        "a: &a [*a, *a]\nb: [",
        "{a: 1",
        "a: 1\n b: 2",
        "\x00",
        "a: x\n" * 5_000_000,
    ],
    ids=["billion laughs", "deep", "very deep", "nested dashes", "unclosed", "brace", "indentation", "nul", "long"],
)
def test_refuses_in_one_line_and_in_time(text: str) -> None:
    start = time.perf_counter()
    with pytest.raises(NotReadableError) as error:
        read(Source.of(text))
    assert "\n" not in str(error.value)
    assert time.perf_counter() - start < 5


def test_a_recursive_alias_is_not_followed() -> None:
    root = read(Source.of("a: &a [*a, 1]\n"))[0]
    assert len(list(walk(root))) == 4


def test_a_helm_template_is_to_be_rendered_first() -> None:
    for text in ("args:\n  {{- if .Values.x }}\n  - --a\n  {{- end }}\n", "name: {{ .Values.name }}\n"):
        with pytest.raises(NotReadableError, match=r"a Helm template, not YAML.*helm template"):
            read(Source.of(text))


@given(st.text(st.sampled_from("ab:-?,[]{}#&*!|>'\"%@` \n\t\\0~<"), max_size=60), st.booleans())
def test_any_text_is_read_or_refused(text: str, as_json: bool) -> None:
    try:
        for document in read(Source.of(text), json=as_json):
            for node in walk(document):
                assert 0 <= node.place.start <= node.place.end <= len(text)
    except NotReadableError as error:
        assert "\n" not in str(error)

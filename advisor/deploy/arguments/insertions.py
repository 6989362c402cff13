"""Where a missing setting is written in a structured file, and how, in the file's own style."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

from advisor.deploy.deployment import Insertion
from advisor.deploy.source import Source, written
from advisor.deploy.syntax.tree import Layout, Mapping, Node, Scalar, Sequence

SETTINGS = (
    *("enable_lora", "max_loras", "max_cpu_loras", "max_lora_rank", "max_num_seqs", "max_num_batched_tokens"),
    *("gpu_memory_utilization", "max_model_len"),
)
"""What may be found missing."""


def as_item(sequence: Sequence) -> Insertion | None:
    """One more flag in a list of arguments: as one item, or as two where the others are two."""
    layout = sequence.layout
    words = [item for item in sequence.items if isinstance(item, Scalar)]
    flags = [word for word in words if word.text.startswith("--")]
    json = layout.style in ("json", "hcl")
    quote = '"' if json else next((word.quote for word in reversed(flags) if word.quote in ("", '"', "'")), '"')
    apart = _valued_apart(words) and not any("=" in word.text for word in flags)
    around = quote or '"'  # a number alone has to be a text
    texts = [f"{quote}{{flag}}={{value}}{quote}"]
    if apart:
        texts = [f"{quote}{{flag}}{quote}", f"{around}{{value}}{around}"]
    return _inserted(layout, texts, first=not sequence.items)


def as_key(mapping: Mapping, names: dict[str, str], *, text: bool = False) -> Insertion | None:
    """One more key of a mapping, spelled as `names` says; its value in quotes where all are texts."""
    layout = mapping.layout
    quoted = next((key.quote for key, _ in reversed(mapping.entries) if key.quote in ('"', "'")), "")
    if layout.style == "hcl":
        entry = '{name} = "{value}"' if text else "{name} = {value}"
        return _inserted(layout, [entry], names=names, bullet="", first=not mapping.entries)
    key = f"{quoted}{{name}}{quoted}"
    around = quoted or '"'
    value = f"{around}{{value}}{around}" if text else "{value}"
    return _inserted(layout, [f"{key}: {value}"], names=names, bullet="", first=not mapping.entries)


def as_variable(node: Node | None, names: dict[str, str]) -> Insertion | None:
    """One more environment variable, in whatever form the others have."""
    if isinstance(node, Mapping) and not set(node.index) >= {"name", "value"}:
        return as_key(node, names, text=True)
    if not isinstance(node, Sequence) or not node.items:
        return None
    last, layout = node.items[-1], node.layout
    if isinstance(last, Scalar):
        quote = last.quote if last.quote in ("", '"', "'") else '"'
        return _inserted(layout, [f"{quote}{{name}}={{value}}{quote}"], names=names)
    if not isinstance(last, Mapping) or layout.style not in ("block", "flow", "json"):
        return None
    if layout.style == "block" and last.layout.style == "block":
        gap = " " * (last.layout.indent - layout.indent)
        return _inserted(layout, [f'name: {{name}}\n{" " * layout.indent}{gap}value: "{{value}}"'], names=names)
    key = next((key.quote for key, _ in last.entries if key.quote == '"'), "")
    entry = f'{{{key}name{key}: {key}{{name}}{key}, {key}value{key}: "{{value}}"}}'
    return _inserted(layout, [entry], names=names)


def behind(scalar: Scalar) -> Insertion | None:
    """One more flag at the end of a text that is taken apart at blanks."""
    end = len(scalar.text.rstrip())
    template = written(" {flag} {value}", scalar.source)
    return None if template is None else Insertion(scalar.source.place(end, end), template)


def below(source: Source, last: int, entry: str, names: dict[str, str]) -> Insertion | None:
    """One more line under the one that an offset is in."""
    end = source.text.find("\n", last)
    end = len(source.text) if end < 0 else end - (source.text[end - 1 : end] == "\r")
    template = written("\n" + entry, source)
    return None if template is None else Insertion(source.place(end, end), template, names)


def spelled(keys: Iterable[str]) -> dict[str, str]:
    """The settings in the spelling of these keys: maxLoras, max-loras or max_loras."""
    text = " ".join(keys)
    if re.search(r"[a-z][A-Z]", text) and "_" not in text and "-" not in text:
        camel = {name: re.sub(r"_(\w)", lambda found: found[1].upper(), name) for name in SETTINGS}
        return camel | {"enable_lora": "enableLoRA" if "LoRA" in text else "enableLora"}
    if "-" in text and "_" not in text:
        return {name: name.replace("_", "-") for name in SETTINGS}
    return {name: name for name in SETTINGS}


def _valued_apart(words: list[Scalar]) -> bool:
    pairs = itertools.pairwise(words)
    return any(one.text.startswith("--") and not two.text.startswith("-") for one, two in pairs)


def _inserted(
    layout: Layout, texts: list[str], *, names: dict[str, str] | None = None, bullet: str = "- ", first: bool = False
) -> Insertion | None:
    if layout.end is None or layout.source is None or not layout.style:
        return None
    if layout.style in ("block", "hcl"):
        template = "".join(
            f"\n{' ' * layout.indent}{bullet if layout.style == 'block' else ''}{text}" for text in texts
        )
    else:
        template = ", ".join(texts) if first else "".join(f", {text}" for text in texts)
    fitted = written(template, layout.source)
    return None if fitted is None else Insertion(layout.end, fitted, names or {})

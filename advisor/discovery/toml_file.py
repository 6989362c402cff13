"""A discovery as an inventory file: a new one, or written into one that is there, whose comments and order stay."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import tomli
import tomli_w

from advisor.discovery.discovery import Adapter, Discovery, Phase, Tokens, Traffic
from advisor.errors import InputError
from twin.settings import slot_rank

DIGITS = 4
"""Significant ones of what was measured: no traffic is known better."""
COUNTED = "counted_requests"
"""The key that says how much the rates rest on."""
_ASKED = re.compile(r"\s*# (model|gpu|rank|rate) = \?")
"""A comment in place of what was not known."""


def new(found: Discovery, *, model: str | None, gpu: str | None, command: str) -> str:
    """The text of a new inventory. What an inventory needs and is not known stands there as a comment."""
    left_out = (f"left out: {each.where}: {each.reason}" for each in found.left_out)
    lines = [f"# {note}" for note in (f"Written by: {command}", *found.notes, *left_out)]
    lines += [
        "",
        _line("model", model or found.model) or "# model = ?  # the LLM's Hugging Face id",
        _line("gpu", gpu) or "# gpu = ?  # the GPU's short name; `advisor pairs` lists them",
        *([_line(COUNTED, found.requests)] if found.requests else []),
    ]
    for name, table in _tables(found).items():
        lines += ["", f"[{name}]", *(_line(key, value) for key, value in table.items())]
        if name == "base":
            lines += _missing(found.base or Traffic())
    for adapter in found.adapters:
        start = len(lines)
        lines += ["", "[[adapters]]"]
        lines += [_line(key, value) for key, value in _values(adapter).items()]
        if adapter.rank is None:
            lines.append("# rank = ?")
        elif (slot := slot_rank(adapter.rank)) != adapter.rank:
            lines[lines.index(f"rank = {adapter.rank}", start)] += f"  # a slot of {slot}"
        lines += _missing(adapter.traffic)
    for phase in found.phases:
        lines += ["", "[[phases]]", *(_line(key, value) for key, value in _phase(phase).items())]
    return "\n".join(map(_printable, lines)) + "\n"


def _missing(traffic: Traffic) -> list[str]:
    """What stands in place of a rate that is not known."""
    if traffic.rate is not None:
        return []
    return ["# rate = ?" + (f"  # {traffic.requests:,} requests were counted" if traffic.requests is not None else "")]


def lacking(text: str) -> dict[str, list[str]]:
    """What adapters of an inventory lack that it needs: key -> their names."""
    adapters = tomli.loads(text).get("adapters", [])
    return {key: names for key in ("rank", "rate") if (names := [str(a.get("name")) for a in adapters if key not in a])}


def unseen(text: str, found: Discovery) -> list[str]:
    """Adapters of an inventory that bring traffic by its own word, and were not seen where all traffic was."""
    if not found.complete:
        return []
    seen = {each.name for each in found.adapters}
    rows = [each for each in tomli.loads(text).get("adapters", []) if each.get("rate")]
    return [str(each["name"]) for each in rows if "count" not in each and each.get("name") not in seen]


def into(text: str, found: Discovery, where: str) -> str:
    """The text of an inventory with what was found written into it: adapters by their names, new ones at the end.

    What is found replaces what stands there; what is not known leaves it. An entry with a `count` is taken apart where
    its adapters are told apart.

    Raises:
        InputError: the text is no TOML, or no inventory.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    if "model" not in _parsed(text, where) and found.model is not None:
        text = f"{_line('model', found.model)}\n{text}"
    try:
        document = tomlkit.parse(f"{text.rstrip()}\n" if text.strip() else text)
    except TOMLKitError as error:
        raise InputError(f"{where}: not valid TOML: {error}") from None
    entries = _entries(document)
    if entries is None:
        raise InputError(f"{where}: adapters is no [[adapters]], so nothing can be added")
    _write(document, {COUNTED: found.requests} if found.requests else {})
    for name, table in _tables(found).items():
        _update(document, name, table)
    known = {each.name: each for each in found.adapters}
    _take_apart(entries, known)
    seen = set[str]()
    for entry in entries:
        seen.add(name := str(entry.get("name")))
        if adapter := known.get(name):
            _write(entry, _values(adapter))
        elif found.complete and "rate" not in entry:
            entry["rate"] = 0
    for adapter in found.adapters:
        if adapter.name not in seen:
            _append(entries, adapter)
    if found.phases:
        if "phases" not in document:
            document.add(tomlkit.nl())
        document["phases"] = tomlkit.aot()
        for phase in found.phases:
            document["phases"].append(_write(tomlkit.table(), _phase(phase)))
    _drop_answered(document, document.get("base"), *entries)
    return tomlkit.dumps(document)


def _append(entries: Any, adapter: Adapter) -> None:
    """A new entry at the end, with an empty line before it."""
    import tomlkit

    if entries and not entries[-1].as_string().endswith("\n\n"):
        entries[-1].add(tomlkit.nl())
    entries.append(_write(tomlkit.table(), _values(adapter)))


def _entries(document: Any) -> Any:
    """The entries of adapters, added where there are none; None where they are written in another way."""
    import tomlkit
    from tomlkit.items import AoT

    if "adapters" not in document or document["adapters"] == []:
        document.pop("adapters", None)
        document.append("adapters", tomlkit.aot())
    entries = document["adapters"]
    return entries if isinstance(entries, AoT) else None


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        return tomli.loads(text)
    except (tomli.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{where}: not valid TOML: {error}") from None


def _drop_answered(*tables: Any) -> None:
    """Take out the comments that stand in place of a value, such as `# rate = ?`, where it is there by now."""
    from tomlkit.container import Container
    from tomlkit.items import Comment, Null, Table

    for table in tables:
        container = table.value if isinstance(table, Table) else table
        body = container.body if isinstance(container, Container) else []
        for position, (_, item) in enumerate(body):
            asked = _ASKED.match(item.as_string()) if isinstance(item, Comment) else None
            if asked and asked[1] in table:
                body[position] = (None, Null())


def _update(document: Any, name: str, table: Mapping[str, Any]) -> None:
    import tomlkit

    if not table:
        return
    if name not in document:
        document[name] = tomlkit.table()
    _write(document[name], table)


def _write(table: Any, values: Mapping[str, Any]) -> Any:
    """Set values in a table; lengths, which are tables themselves, in one line."""
    import tomlkit

    for key, value in values.items():
        if isinstance(value, Mapping):
            inline = tomlkit.inline_table()
            inline.update(value)
            table[key] = inline
        else:
            table[key] = value
    return table


def _take_apart(entries: Any, known: Mapping[str, Adapter]) -> None:
    """An entry for each adapter in place of those with a `count` of which one is known by its own name."""
    import tomlkit

    for position in reversed(range(len(entries))):
        entry = entries[position]
        count, name = entry.get("count"), entry.get("name")
        if not isinstance(count, int) or not 1 <= count <= 100_000:
            continue
        names = [f"{name}-{i}" for i in range(count)]
        if known.keys().isdisjoint(names):
            continue
        shared = {key: value for key, value in entry.unwrap().items() if key not in ("name", "count")}
        del entries[position]
        for each in reversed(names):
            entries.insert(position, _write(tomlkit.table(), {"name": each, **shared}))


def _tables(found: Discovery) -> dict[str, dict[str, Any]]:
    """The tables of an inventory that are known, by name."""
    tables = {"lengths": _lengths(found.lengths), "server": dict(found.server)}
    if found.base is not None:
        tables["base"] = _traffic(found.base)
    return {name: table for name, table in tables.items() if table or name == "base"}


def _values(adapter: Adapter) -> dict[str, Any]:
    """An adapter's entry."""
    modules = list(adapter.target_modules) or None
    told = {"name": adapter.name, "rank": adapter.rank, **_traffic(adapter.traffic), "source": adapter.source}
    told |= {"target_modules": modules}
    return {key: value for key, value in told.items() if value is not None}


def _traffic(traffic: Traffic) -> dict[str, Any]:
    told = {
        "rate": None if traffic.rate is None else _rounded(traffic.rate),
        **_lengths(traffic),
        "cv": None if traffic.cv is None else float(f"{traffic.cv:.2g}"),
        "shared_prefix": traffic.shared_prefix,
    }
    return {key: value for key, value in told.items() if value is not None}


def _lengths(traffic: Traffic | None) -> dict[str, Any]:
    if traffic is None:
        return {}
    kinds = (("input", traffic.input), ("output", traffic.output))
    return {kind: _tokens(tokens) for kind, tokens in kinds if tokens}


def _tokens(tokens: Tokens) -> dict[str, float]:
    return {key: _rounded(value) for key, value in tokens.items()}


def _rounded(value: float) -> float:
    """With `DIGITS` significant digits; whole numbers as such."""
    rounded = float(f"{value:.{DIGITS}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def _phase(phase: Phase) -> dict[str, float]:
    return {"duration": _rounded(phase.duration_s), "scale": _rounded(phase.scale)}


def _line(key: str, value: Any) -> str:
    """A line of TOML; empty where there is no value."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return f"{key} = {{ {', '.join(_pairs(value))} }}"
    if isinstance(value, list):
        return f"{key} = [{', '.join(_line('x', each).removeprefix('x = ') for each in value)}]"
    return tomli_w.dumps({key: value}).rstrip("\n")


def _pairs(table: Mapping[str, Any]) -> Iterator[str]:
    return (tomli_w.dumps({key: value}).rstrip("\n") for key, value in table.items())


def _printable(line: str) -> str:
    """A line that is one: a name in a comment must not begin another."""
    return (
        "".join(each if each.isprintable() or each == "\t" else repr(each)[1:-1] for each in line)
        if line[:1] == "#"
        else line
    )


def as_json(found: Discovery, *, model: str | None, gpu: str | None) -> dict[str, Any]:
    """The documented shape of the JSON."""
    return {
        "model": model or found.model,
        "gpu": gpu,
        "adapters": [
            _values(each)
            | ({} if each.rank is None else {"slot_rank": slot_rank(each.rank)})
            | ({} if each.traffic.requests is None else {"requests": each.traffic.requests})
            for each in found.adapters
        ],
        "base": None if found.base is None else {**_traffic(found.base), "requests": found.base.requests},
        COUNTED: found.requests,
        "lengths": _lengths(found.lengths),
        "server": dict(found.server),
        "phases": [_phase(each) for each in found.phases],
        "left_out": [{"where": each.where, "reason": each.reason} for each in found.left_out],
        "notes": list(found.notes),
    }

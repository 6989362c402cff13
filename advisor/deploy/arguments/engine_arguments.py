"""Mappings of vLLM's engine arguments: its own --config file, keyword arguments, and charts' values in any spelling."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from advisor.deploy.arguments import command, insertions
from advisor.deploy.arguments.spellings import setting, spellings
from advisor.deploy.arguments.word import Word
from advisor.deploy.arguments.wrappers import flag_of
from advisor.deploy.context import Context
from advisor.deploy.deployment import Adapter, Deployment, Flag, Problem, Value
from advisor.deploy.server import Server, deployment
from advisor.deploy.source import Source
from advisor.deploy.syntax.tree import Mapping, Node, Scalar, Sequence

SURE = re.compile(r"vllm|engine_?-?(?:kwargs|args|config)", re.IGNORECASE)
"""Keys under which a mapping is of vLLM's engine arguments."""
_NESTED = re.compile(r"^(?:lora|loraConfig|lora_config|lora-config|engine|engine_?[aA]rgs|vllm|vllmConfig|config)$")
_WITHIN = {"enabled": "enable_lora", "enable": "enable_lora", "maxRank": "max_lora_rank", "max_rank": "max_lora_rank"}
"""Keys of a mapping that is called lora."""
_MODELS = ("model", "modelName", "model_name", "modelURL", "model_id", "modelId", "model_path", "model_source")


def read_config(mapping: Mapping, context: Context, *, sure: bool = False) -> list[Deployment] | None:
    """vLLM's own --config file: every key a flag; None if it is none."""
    names = [spelling.name for key, _ in mapping.entries if (spelling := setting(key.text))]
    scalars = [key for key, _ in mapping.entries]
    strangers = len(scalars) - len(names)
    if not sure and (not command.speaks_vllm(names) or strangers):
        return None
    words = [word for _, values in config_entries(mapping, context) for word in values]
    server = Server(mapping.place, words=words, serve=True, problems=tuple(_mistakes(mapping)),
                    insertion=insertions.as_key(mapping, insertions.spelled(key.text for key in scalars)))  # fmt: skip
    found = deployment(replace(server, kind="vLLM --config"), context)
    keys = {key.place.start: key.text for key in scalars}
    flags = tuple(replace(flag, spelled=keys.get(flag.place.start, flag.spelled)) for flag in found.flags)
    told = {problem.place for problem in server.problems}
    problems = [each for each in found.problems if each in server.problems or each.place not in told]
    return [replace(found, flags=flags, problems=tuple(problems))]


def config_entries(mapping: Mapping, context: Context) -> list[tuple[str, list[Word]]]:
    """Each key of a --config file with the words that vLLM makes of it."""
    entries: list[tuple[str, list[Word]]] = []
    for key, node in mapping.entries:
        start = key.source.offsets[0] if len(key.source.offsets) else 0
        flag = Word(Source("--" + key.text, [start, start, *key.source.offsets], key.source.lines))
        entries.append((key.text, list(_config_words(flag, node, context))))
    return entries


def _config_words(flag: Word, node: Node, context: Context) -> Iterator[Word]:
    """The words that vLLM makes of a key and its value."""
    if isinstance(node, Scalar) and node.kind == "bool":
        if node.on:
            yield flag
        return
    if isinstance(node, Sequence):
        if node.items:
            yield flag
        for item in node.items:
            if isinstance(item, Mapping):
                yield _as_json(item)
            elif isinstance(item, Scalar):
                yield context.word(item)
        return
    yield flag
    if isinstance(node, Mapping):
        yield _as_json(node)
    elif node.kind != "null":
        yield context.word(node)
    else:
        yield Word(Source("None", [node.place.start] * 4 + [node.place.end], flag.source.lines))


def _mistakes(mapping: Mapping) -> Iterator[Problem]:
    """What vLLM makes a text of that it does not take back."""
    for key, node in mapping.entries:
        if isinstance(node, Scalar) and node.kind == "null":
            yield Problem(
                "null-value",
                f"{key.text} without a value becomes the text None: vLLM does not start; leave the key out",
                key.place,
            )
        items = node.items if isinstance(node, Sequence) else ()
        mappings = [item for item in items if isinstance(item, Mapping)]
        spelling = setting(key.text)
        if mappings and spelling and spelling.name == "lora_modules":
            yield Problem(
                "lora-modules-as-mappings",
                f"{key.text}: vLLM turns each mapping into Python's text, which is no JSON, and does not start; "
                "write name=path, or JSON in quotes",
                key.place,
            )


def _as_json(mapping: Mapping) -> Word:
    """A mapping in one word."""
    plain = {key.text: value.text for key, value in mapping.entries if isinstance(value, Scalar)}
    text = json.dumps(plain)
    start, end = mapping.place.start, mapping.place.end
    lines = mapping.entries[0][0].source.lines if mapping.entries else [0]
    return Word(Source(text, [start] * len(text) + [end], lines))


def read(mapping: Mapping, context: Context) -> Deployment | None:
    """A mapping of engine arguments under any key; None if it holds too few of them to be sure."""
    if not speaks(mapping, context):
        return None
    entries = list(settings(mapping))
    flags, problems = flags_of(mapping)
    section = bool(context.path) and "lora" in context.path[-1].lower()  # the engine's other settings stand elsewhere
    partial = section and not any(name == "enable_lora" for name, _, _ in entries)
    names = insertions.spelled(key.text for name, key, _ in entries if name != "model")
    server = Server(
        mapping.place,
        before=flags,
        problems=problems,
        model=model(mapping, context),
        adapters=tuple(adapters(mapping)),
        insertion=insertions.as_key(_about_lora(mapping), names),
        environment=context.environment(mapping),
        image=context.image(mapping),
        name=context.name or (context.path[-1] if context.path else ""),
    )
    return deployment(server, replace(context, partial=context.partial or partial))


def merged(found: Deployment, mapping: Mapping, context: Context) -> Deployment:
    """A server whose arguments stand in a list, with the engine arguments that stand beside it."""
    if not any(name in command.OWN | command.LORA for name, _, _ in settings(mapping)):
        return found
    flags, problems = flags_of(mapping)
    return replace(
        found,
        flags=(*flags, *found.flags),
        problems=(*problems, *found.problems),
        model=found.model or model(mapping, context),
        adapters=(*adapters(mapping), *found.adapters),
    )


def speaks(mapping: Mapping, context: Context) -> bool:
    """Whether a mapping's own keys, with those nested in it, are a vLLM server's."""
    if command.other(" ".join(context.path)):
        return False
    own = {name for key, node in mapping.entries if not isinstance(node, Mapping) and (name := named(key.text))}
    parts = [key for key in nested(mapping) if any(settings(mapping.index[key], lora="lora" in key.lower()))]
    # A chart of one server may have its engine under one key and its adapters under another.
    apart = len(parts) > 1 and any("lora" in part.lower() for part in parts)
    if not (apart or own & (command.OWN | command.LORA)):
        return False
    keys = [key.text.replace("-", "_") for key, _ in mapping.entries]
    sure = bool(context.path and SURE.search(context.path[-1]))
    return command.speaks_vllm([*(name for name, _, _ in settings(mapping)), *keys], sure=sure)


def _about_lora(mapping: Mapping) -> Mapping:
    """Where a missing setting belongs: the part that has the adapters' settings, if they have one of their own."""
    for key in nested(mapping):
        part = mapping.mapping(key)
        if part is not None and "lora" in key.lower() and any(name in command.OWN for name, _, _ in settings(part)):
            return part
    return mapping


def nested(mapping: Mapping) -> tuple[str, ...]:
    """The keys of mappings that belong to the mapping that they are in."""
    return tuple(key.text for key, node in mapping.entries if isinstance(node, Mapping) and _NESTED.match(key.text))


def flags_of(mapping: Mapping) -> tuple[tuple[Flag, ...], tuple[Problem, ...]]:
    """The engine arguments of a mapping as flags."""
    flags: list[Flag] = []
    problems: list[Problem] = []
    for name, key, node in settings(mapping):
        if not isinstance(node, Scalar):
            continue
        flag, problem = flag_of(name, node, key.text)
        flags += [replace(flag, place=key.place)] if flag else []
        problems += [problem] if problem else []
    return tuple(flags), tuple(problems)


def adapters(mapping: Mapping, *keys: str) -> Iterator[Adapter]:
    """The adapters that a mapping lists, with where each is loaded from."""
    for key in keys or ("lora_modules", "loraModules", "lora-modules", "adapters", "loraAdapters"):
        node = mapping.get(key)
        if isinstance(node, Mapping):
            for name, source in node.entries:
                yield Adapter(name.text, source.text if isinstance(source, Scalar) else None, name.place)
        for item in node.items if isinstance(node, Sequence) else ():
            if isinstance(item, Mapping):
                name_of = item.scalar("name") or item.scalar("id") or item.scalar("metadata", "name")
                source_of = next((found for each in _SOURCES if (found := item.scalar(*each))), None)
                if name_of is not None:
                    yield Adapter(name_of.text, source_of.text if source_of else None, name_of.place)
            elif isinstance(item, Scalar) and "=" in item.text:
                name_text, _, path = item.text.partition("=")
                yield Adapter(name_text, path, item.place)


_SOURCES = (
    *(("uri",), ("url",), ("path",), ("source",), ("artifactURL",)),
    *(("adapterSource", "adapterPath"), ("adapterSource", "repository"), ("source", "repository")),
)


def settings(node: Node, *, lora: bool = False, depth: int = 2) -> Iterator[tuple[str, Scalar, Node]]:
    """The engine arguments in a mapping and those nested in it under a name like lora: setting, key, value."""
    for key, value in node.entries if isinstance(node, Mapping) else ():
        if isinstance(value, Mapping):
            if _NESTED.match(key.text) and depth:
                yield from settings(value, lora="lora" in key.text.lower(), depth=depth - 1)
            continue
        name = named(key.text) or (_WITHIN.get(key.text) if lora else None)
        if name:
            yield name, key, value


def model(mapping: Mapping, context: Context) -> Value | None:
    """What is served, as far as a mapping says it."""
    scalar = next((found for key in _MODELS if (found := mapping.scalar(key))), None)
    return context.filled(scalar).value if scalar else None


def named(key: str) -> str | None:
    """The setting that a key names in kebab, snake or camel case."""
    return _bare().get(re.sub(r"[-_]", "", key).lower()) if key[:1].islower() else None


@cache
def _bare() -> dict[str, str]:
    options, _ = spellings()
    found: dict[str, str] = {}
    for option, spelling in options.items():
        if option.startswith("--") and not option.startswith("--no-"):
            found.setdefault(option.replace("-", ""), spelling.name)
    return found

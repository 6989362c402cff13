"""The search for vLLM servers in a tree: what each mapping is, and where to look further."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from advisor.deploy import container, server, sign
from advisor.deploy.arguments import command, engine_arguments
from advisor.deploy.arguments.config_file import ReadConfig
from advisor.deploy.arguments.word import Word
from advisor.deploy.context import ENVIRONMENT, MAX_NESTING, Context
from advisor.deploy.deployment import Deployment, NotReadableError, Value, bounded
from advisor.deploy.formats.scripts import held_config, read_script
from advisor.deploy.platforms import adapter_lists, kubernetes
from advisor.deploy.platforms.all import PLATFORMS
from advisor.deploy.source import Source
from advisor.deploy.syntax import yaml_tree
from advisor.deploy.syntax.tree import Mapping, Node, Scalar, Sequence

_CONFIG = re.compile(r"--config\b[\s\"',=\[\]-]{1,80}([\w./-]+)")
_NEVER = frozenset(
    (
        *("initContainers", "initContainer", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle"),
        *("description", "summary", "message", "title", "help", "notes", "runbook_url", "documentation", "comment"),
    )
)
"""Keys under which no server is started: probes and hooks, and what people read."""
_TENSORRT = frozenset(("kv_cache_config", "cuda_graph_config", "build_config", "free_gpu_memory_fraction"))
"""Keys of TensorRT-LLM, whose lora_config has vLLM's names."""
_SCRIPT = re.compile(r"\bvllm(?:\.entrypoints[\w.]*|\s+serve)\b|dynamo\.vllm|(?:docker|podman) run\b[^\n]{0,2000}vllm")
_MANIFEST = re.compile(r"^[ \t]*(?:-[ \t]+)?[\w\"'./-]{1,200}[ \t]*:(?:\s|$)|^[ \t]*[\[{]", re.MULTILINE)


def search(
    documents: list[Node], source: Source, file: str, kind: str, config: ReadConfig | None = None
) -> list[Deployment]:
    """The servers in the documents of one file."""
    context = Context(file, source, kind, config=config)
    maps = kubernetes.config_maps(documents)
    names = frozenset(name.rpartition("/")[2] for name in _CONFIG.findall(source.text))
    context = replace(context, config_maps=maps, config=_config(maps, context), configs=names)
    found: list[Deployment] = []
    for document in documents:
        own = engine_arguments.read_config(document, context) if isinstance(document, Mapping) else None
        for each in own if own is not None else servers(document, context):
            found.append(each)
            bounded(len(found))
    lists = [each for each in found if each.kind in adapter_lists.KINDS]
    calls = list(_calls(documents)) if command.LOADS in source.text else []
    loader = None
    if calls and len(found) == 1:
        loader = Value(f"a call of {command.LOADS}", calls[0].place)
    elif lists and len(found) == len(lists) + 1:
        loader = Value(lists[0].kind, lists[0].place)
    if loader is not None:  # of the one server of the file
        found = [each if each in lists or each.loader else replace(each, loader=loader) for each in found]
    return found


def _calls(nodes: Iterable[Node]) -> Iterator[Scalar]:
    """Texts that have a server load an adapter."""
    for node in nodes:
        if isinstance(node, Scalar):
            if command.LOADS in node.text and not node.text.startswith("#"):
                yield node
        else:
            yield from _calls(node.items if isinstance(node, Sequence) else [each for _, each in node.entries])


def servers(node: Node, context: Context) -> Iterator[Deployment]:
    """The servers in a node and below it, and in files that scripts there hold."""
    context = context if context.held else replace(context, held=_held)
    if isinstance(node, Scalar):
        yield from _inside(node, context)
    elif isinstance(node, Sequence):
        patched = kubernetes.patch(node, context)
        for item in () if patched else node.items:
            yield from servers(item, context)
        yield from patched or ()
    else:
        yield from _mapping(node, context)


def _mapping(mapping: Mapping, context: Context) -> Iterator[Deployment]:
    if not _TENSORRT.isdisjoint(mapping.index):
        return
    if (loader := kubernetes.loader(mapping)) is not None:
        context = replace(context, loader=loader)
    for platform in PLATFORMS:
        found = platform(mapping, context)
        if found is not None:
            yield from found.servers
            for node, inner in found.rest:
                yield from servers(node, inner)
            return
    here = container.read(mapping, context)
    if here is None:
        here = server.wrapped(mapping, context)
    inside: tuple[str, ...] = ()
    if here:
        inside = engine_arguments.nested(mapping)
        here = [engine_arguments.merged(here[0], mapping, context), *here[1:]]
    elif alone := engine_arguments.read(mapping, context):
        inside = engine_arguments.nested(mapping)
        here = [alone]
    yield from here or ()
    for key, node in mapping.entries:
        if key.text in _NEVER or (here and (not isinstance(node, Mapping) or key.text in (*ENVIRONMENT, *inside))):
            continue
        yield from servers(node, context.below(key.text))


def _inside(scalar: Scalar, context: Context) -> Iterator[Deployment]:
    """What stands in a text: a manifest, values or a script."""
    text = scalar.text
    if scalar.unknown or context.nesting >= MAX_NESTING or not sign.SERVER_WITHIN.search(text):
        return
    found: list[Deployment] = []
    if sign.UNIT.search(text):
        from advisor.deploy.formats import unit

        yield from unit.read(scalar.source, context.file, config=context.config)
        return
    if ("\n" in text.strip() or text.lstrip()[:1] in ("{", "[")) and _MANIFEST.search(text):
        found = _held(scalar.source, context)
    if not found and (_SCRIPT.search(text) or "<<" in text):
        found = [
            replace(each, name=context.name or each.name, partial=each.partial or context.partial)
            for each in read_script(Word(scalar.source, quote=scalar.quote), context, {})
        ]
    yield from found


def _held(source: Source, context: Context) -> list[Deployment]:
    """The servers in the documents of a file that stands in this one."""
    if not sign.SERVER_WITHIN.search(source.text):
        return []
    try:
        documents = yaml_tree.read(source)
    except NotReadableError:
        return []
    inner = replace(context, source=source, nesting=context.nesting + 1)
    return [each for document in documents if not isinstance(document, Scalar) for each in servers(document, inner)]


def _config(maps: dict[str, Mapping], context: Context) -> ReadConfig | None:
    """Reads what --config names from a ConfigMap of the file, or else as it is told."""
    entries = [entry for data in maps.values() for entry in data.entries]
    held = {key.text: value.source for key, value in entries if isinstance(value, Scalar)}
    return held_config(held, context, set()) if held else context.config

"""Resources of Kubernetes: which kind and name a server there has, and what patches hold of one."""

from __future__ import annotations

import re
from dataclasses import replace

from advisor.deploy.arguments import command, insertions
from advisor.deploy.arguments.word import Word
from advisor.deploy.context import Context
from advisor.deploy.deployment import Deployment, Value
from advisor.deploy.platforms.found import Found, below
from advisor.deploy.server import Server, deployment, wrapped
from advisor.deploy.source import shown
from advisor.deploy.syntax.tree import Mapping, Node, Scalar, Sequence

WORKLOADS = frozenset(
    ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod", "Job", "CronJob", "ReplicationController")
)
_SYNCER = re.compile(r"lora-(?:adapter-)?sync|dynamic-lora|lora-adapter-(?:sidecar|loader)", re.IGNORECASE)
"""Images of sidecars that load adapters."""
_PARTS = frozenset(("Kustomization", "Component", "LLMInferenceServiceConfig"))
"""Kinds that hold parts of servers."""


def read(mapping: Mapping, context: Context) -> Found | None:
    """A resource: what is in it is of its kind and name."""
    kind, api = mapping.text("kind"), mapping.text("apiVersion")
    if not kind or not api:
        return None
    if kind == "List":
        return Found(rest=below(mapping, context))
    name = mapping.text("metadata", "name")
    label = f"Kubernetes {kind}" if kind in WORKLOADS else kind
    inner = replace(context, kind=label, name=name, partial=context.partial or kind in _PARTS, path=())
    special = {
        "Template": _objects,
        "ConfigMap": _data,
        "Kustomization": _patches,
        "Component": _patches,
        "DynamoGraphDeployment": _services,
        "DynamoComponentDeployment": _services,
    }
    reader = special.get(kind)
    return Found(rest=reader(mapping, inner) if reader else below(mapping, inner, ("metadata", "status")))


def _objects(mapping: Mapping, context: Context) -> tuple[tuple[Node, Context], ...]:
    """What a template of OpenShift has in it, with its parameters."""
    items = [each for each in mapping.items("parameters") if isinstance(each, Mapping)]
    inner = replace(context, variables=dict(pair for each in items for pair in context.named(each)))
    return tuple((node, inner) for node in mapping.items("objects"))


def _data(mapping: Mapping, context: Context) -> tuple[tuple[Node, Context], ...]:
    """What a ConfigMap holds, but for what is read where it is named: by --config, or as a container's variables."""
    data = mapping.mapping("data") or mapping
    if data.entries and not _given(mapping.text("metadata", "name"), context.source.text):
        title = Scalar(shown("env", data.entries[0][0].source))
        container = Mapping(((title, data),), data.place, data.layout)
        if wrapped(container, context) is not None:
            return ((container, replace(context, partial=True)),)
    return below(data, context, (key.text for key, _ in data.entries if key.text in context.configs))


def _given(config_map: str, text: str) -> bool:
    """Whether a container of the file has the variables of a ConfigMap."""
    name = rf"\bname[\"']?\s*:\s*[\"']?{re.escape(config_map)}\b"
    return bool(re.search(rf"configMap(?:Key)?Ref\b[^\n]*\n?[^\n]*{name}", text))


def config_maps(documents: list[Node]) -> dict[str, Mapping]:
    """The data of every ConfigMap among documents, by name."""
    found: dict[str, Mapping] = {}
    for document in documents:
        items = document.items("items") if isinstance(document, Mapping) else ()
        for each in (document, *items):
            if isinstance(each, Mapping) and each.text("kind") == "ConfigMap":
                found[each.text("metadata", "name")] = each.mapping("data") or each
    return found


def _services(mapping: Mapping, context: Context) -> tuple[tuple[Node, Context], ...]:
    """The services of a graph (or its components), each a server of its own name, with the graph's variables."""
    around = context.environment(mapping.mapping("spec") or mapping)
    services = mapping.mapping("spec", "services")
    if services is None:
        return below(mapping, context, ("metadata", "status"))
    rest: list[tuple[Node, Context]] = []
    for key, service in services.entries:
        if isinstance(service, Mapping):
            variables = around | context.environment(service)
            rest += [(service, replace(context, name=key.text, variables=variables, path=("services", key.text)))]
    return tuple(rest)


def _patches(mapping: Mapping, context: Context) -> tuple[tuple[Node, Context], ...]:
    """What a kustomization lays over resources: each patch under the name of what it is laid over."""
    rest: list[tuple[Node, Context]] = []
    for key in ("patches", "patchesJson6902", "patchesStrategicMerge"):
        for item in mapping.items(key):
            node = (item.get("patch") if isinstance(item, Mapping) else item) or item
            name = item.text("target", "name") if isinstance(item, Mapping) else ""
            kind = item.text("target", "kind") if isinstance(item, Mapping) else ""
            label = f"kustomization patch of a {kind}" if kind else "kustomization patch"
            rest.append((node, replace(context, name=name or context.name, kind=label)))
    return (*rest, *below(mapping, context, ("patches", "patchesJson6902", "patchesStrategicMerge", "metadata")))


def loader(mapping: Mapping) -> Value | None:
    """What loads adapters into the containers of a pod from outside: a sidecar, or what a label asks for."""
    for key in ("containers", "initContainers"):
        for each in mapping.items(key):
            image = each.scalar("image") if isinstance(each, Mapping) else None
            if image is not None and _SYNCER.search(image.text):
                return Value("lora-syncer", image.place)
    label = mapping.scalar("metadata", "labels", "adapter.model.aibrix.ai/enabled")
    return Value("AIBrix", label.place) if label is not None and label.on else None


def patch(operations: Sequence, context: Context) -> list[Deployment] | None:
    """What a JSON patch (RFC 6902) sets of a server's arguments; None if it is no such patch or sets none."""
    items = [item for item in operations.items if isinstance(item, Mapping)]
    if not items or len(items) < len(operations.items) or not all("op" in item and "path" in item for item in items):
        return None
    words: list[Word] = []
    last: Sequence | None = None
    variables: dict[str, Scalar] = {}
    place = None
    for item in items:
        path, value = item.text("path"), item.get("value")
        if "/args" in path or "/command" in path:
            values = value.items if isinstance(value, Sequence) else (value,)
            words += [context.word(each) for each in values if isinstance(each, Scalar)]
            key = item.key("value")
            place = place or (key.place if key else None)
            last = value if isinstance(value, Sequence) else last
        elif "/env" in path and isinstance(value, Mapping):
            variables |= dict(context.named(value))
    launch = command.launched(words)
    if launch is None and not command.speaks_vllm(command.flag_names(words), sure=True):
        return None
    server = Server(
        place or operations.place,
        words=launch.words if launch else words,
        serve=launch.serve if launch else True,
        own=bool(launch),
        environment=variables,
        insertion=insertions.as_item(last) if last is not None else None,
    )
    return [deployment(server, replace(context, partial=True))]

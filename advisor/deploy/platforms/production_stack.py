"""Helm values (and the VLLMRuntime) of the vLLM production stack."""

from __future__ import annotations

from dataclasses import replace

from advisor.deploy.arguments import insertions
from advisor.deploy.arguments.engine_arguments import adapters, flags_of
from advisor.deploy.context import Context
from advisor.deploy.deployment import Adapter, Deployment, Flag, Problem, Value
from advisor.deploy.platforms.found import Found, below
from advisor.deploy.server import Server, deployment
from advisor.deploy.syntax.tree import Mapping, Scalar, Sequence


def read(mapping: Mapping, context: Context) -> Found | None:
    """The values of the chart, each of whose model specs is a server, or a resource with a vllmConfig."""
    engine = mapping.mapping("servingEngineSpec")
    if engine is not None:
        listed = tuple(adapters(mapping, "loraAdapters"))
        key = mapping.key("loraAdapters")
        loader = Value("loraAdapters", key.place) if key and listed else None
        inner = replace(context, kind="vLLM production-stack values", serves=True, loader=loader)
        specs = [each for each in engine.items("modelSpec") if isinstance(each, Mapping)]
        servers = tuple(_server(spec, replace(inner, name=spec.text("name") or context.name), listed) for spec in specs)
        return Found(servers, below(mapping, context, ("servingEngineSpec", "loraAdapters")))
    if mapping.mapping("vllmConfig") is not None:
        return Found((_server(mapping, replace(context, serves=True), ()),))
    return None


def _server(spec: Mapping, context: Context, listed: tuple[Adapter, ...]) -> Deployment:
    config = spec.mapping("vllmConfig")
    model = spec.mapping("model")
    flags: list[Flag] = []
    problems: list[Problem] = []
    for part in (spec, model, config):
        if part is not None:
            own = tuple(entry for entry in part.entries if not isinstance(entry[1], Mapping))
            found, wrong = flags_of(Mapping(own, part.place, part.layout))
            flags += [flag for flag in found if flag.name != "model"]
            problems += wrong
    variables = context.environment(spec)
    extra = config.get("extraArgs") if config else None
    items = extra.items if isinstance(extra, Sequence) else ()
    url = spec.scalar("modelURL") or (model.scalar("modelURL") if model else None)
    names = {name: key for name, key in insertions.spelled(("maxLoras",)).items() if name in _KEYS}
    names["enable_lora"] = "enableLoRA"
    key = spec.key("vllmConfig")
    insertion = insertions.as_key(config, names) if config else None
    if isinstance(extra, Sequence):
        insertion = insertions.as_item(extra)
    server = Server(
        key.place if key else spec.place,
        words=[context.word(each, variables) for each in items if isinstance(each, Scalar)],
        before=tuple(flags),
        problems=tuple(problems),
        adapters=listed,
        environment=variables,
        image=_image(spec, context),
        model=context.filled(url).value if url else None,
        insertion=insertion,
    )
    return deployment(server, context)


_KEYS = frozenset(("max_loras", "max_num_seqs", "gpu_memory_utilization", "max_model_len"))
"""What the chart has keys of its own for; everything else goes into extraArgs."""


def _image(spec: Mapping, context: Context) -> Value | None:
    repository, tag = spec.scalar("repository"), spec.text("tag")
    if repository is None:
        return context.image(spec)
    value = repository.value
    return replace(value, text=f"{value.text}:{tag}") if value.text and tag else value

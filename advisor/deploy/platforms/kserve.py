"""KServe's LLMInferenceService: its lora section becomes flags, and the container's own arguments come behind them."""

from __future__ import annotations

from dataclasses import replace

from advisor.deploy import container
from advisor.deploy.arguments import insertions
from advisor.deploy.arguments.engine_arguments import adapters
from advisor.deploy.arguments.wrappers import flag_of
from advisor.deploy.context import Context
from advisor.deploy.deployment import Deployment, Flag
from advisor.deploy.platforms.found import Found
from advisor.deploy.server import Server, deployment
from advisor.deploy.syntax.tree import Mapping

KEYS = {"max_lora_rank": "maxRank", "max_loras": "maxAdapters", "max_cpu_loras": "maxCpuAdapters"}
"""What KServe calls vLLM's settings; a key that is not set is not passed on."""


def read(mapping: Mapping, context: Context) -> Found | None:
    """The servers of an LLMInferenceService: its own, and the prefill's where that is apart."""
    kind = mapping.text("kind")
    spec = mapping.mapping("spec")
    if kind not in ("LLMInferenceService", "LLMInferenceServiceConfig") or spec is None:
        return None
    name = mapping.text("metadata", "name")
    partial = context.partial or kind.endswith("Config")
    inner = replace(context, kind=f"KServe {kind}", name=name, partial=partial, serves=True, path=("spec",))
    servers = [_server(spec, spec, inner)]
    if prefill := spec.mapping("prefill"):
        servers.append(_server(spec, prefill, replace(inner, name=f"{name} prefill".strip())))
    return Found(tuple(servers))


def _server(spec: Mapping, part: Mapping, context: Context) -> Deployment:
    lora = spec.mapping("model", "lora")
    flags: list[Flag] = []
    for setting, spelled in KEYS.items():
        value, name = (lora.scalar(spelled), lora.key(spelled)) if lora else (None, None)
        flag, _ = flag_of(setting, value, spelled) if value else (None, None)
        flags += [replace(flag, place=name.place)] if flag and name else []
    listed = tuple(adapters(lora, "adapters")) if lora else ()
    model = spec.scalar("model", "name") or spec.scalar("model", "uri")
    pod = [each for each in part.items("template", "containers") if isinstance(each, Mapping)]
    main = next((each for each in pod if each.text("name") == "main"), pod[0] if pod else None)
    read = container.read(main, context.below("containers")) if main else None
    if read:
        own = read[0]
    else:
        said = spec.mapping("model")
        key = (said.key("lora") if said else None) or spec.key("model")
        own = deployment(
            Server(
                key.place if key else spec.place,
                environment=context.environment(main) if main else {},
                image=context.image(main) if main else None,
            ),
            context,
        )
    return replace(
        own,
        name=context.name,
        flags=(*flags, *own.flags),
        adapters=(*listed, *own.adapters),
        model=context.filled(model).value if model else own.model,
        defaults={"enable_lora": "True"} if lora else {},
        insertion=(insertions.as_key(lora, KEYS) if lora else None) or own.insertion,
    )

"""Ray Serve's LLM configuration: engine_kwargs go to vLLM as they are, and Ray has a number of adapters of its own."""

from __future__ import annotations

from dataclasses import replace

from advisor.deploy.arguments import insertions
from advisor.deploy.arguments.engine_arguments import adapters, flags_of
from advisor.deploy.context import Context
from advisor.deploy.deployment import Flag
from advisor.deploy.platforms.found import Found, below
from advisor.deploy.server import Server, deployment
from advisor.deploy.syntax.tree import Mapping

REPLICA = "max_num_adapters_per_replica"
"""How many adapters Ray itself keeps of a replica: it should be max_loras."""


def read(mapping: Mapping, context: Context) -> Found | None:
    """An LLMConfig, in a list of them or alone."""
    engine, loading = mapping.mapping("engine_kwargs"), mapping.mapping("model_loading_config")
    if engine is None and loading is None:
        return None
    flags: list[Flag] = []
    lora = mapping.mapping("lora_config")
    number, key = (lora.scalar(REPLICA), lora.key(REPLICA)) if lora else (None, None)
    if number and key:
        flags.append(Flag(REPLICA, number.value, REPLICA, key.place))
    found, problems = flags_of(engine) if engine else ((), ())
    model = next((each for name in ("model_source", "model_id") if loading and (each := loading.scalar(name))), None)
    gpu = mapping.scalar("accelerator_type")
    title = mapping.key("engine_kwargs") or mapping.key("model_loading_config")
    names = insertions.spelled(())
    server = Server(
        title.place if title else mapping.place,
        before=(*flags, *found),
        problems=problems,
        adapters=tuple(adapters(engine)) if engine else (),
        environment=context.environment(mapping) | context.environment(mapping.mapping("runtime_env") or mapping),
        model=model.value if model else None,
        gpu=gpu.value if gpu else None,
        insertion=insertions.as_key(engine, names) if engine else None,
        name=context.name or (loading.text("model_id") if loading else ""),
        kind=context.kind if context.kind == "RayService" else "Ray Serve LLM",
    )
    one = replace(deployment(server, context), flags=tuple(map(context.marked, server.before)))
    keys = ("engine_kwargs", "model_loading_config", "lora_config", "runtime_env")
    return Found((one,), below(mapping, context, keys))

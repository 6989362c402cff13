"""KubeAI's Model: vLLM's arguments as they are, with LoRA on by itself where adapters are listed."""

from __future__ import annotations

from dataclasses import replace

from advisor.deploy.arguments import insertions
from advisor.deploy.arguments.engine_arguments import adapters
from advisor.deploy.context import Context
from advisor.deploy.deployment import Value
from advisor.deploy.platforms.found import Found
from advisor.deploy.server import Server, deployment
from advisor.deploy.syntax.tree import Mapping, Scalar, Sequence


def read(mapping: Mapping, context: Context) -> Found | None:
    """A Model: none of ours where another engine serves it."""
    spec = mapping.mapping("spec")
    if mapping.text("kind") != "Model" or "kubeai" not in mapping.text("apiVersion") or spec is None:
        return None
    if spec.text("engine").lower() not in ("vllm", ""):
        return Found()
    listed = tuple(adapters(spec, "adapters"))
    variables = context.environment(spec)
    args = spec.get("args")
    words = [context.word(each, variables) for each in spec.items("args") if isinstance(each, Scalar)]
    key = spec.key("args") or spec.key("engine") or spec.key("url")
    server = Server(
        key.place if key else spec.place,
        words=words,
        adapters=listed,
        environment=variables,
        model=_value(spec, "url", context),
        image=context.image(spec),
        gpu=_value(spec, "resourceProfile", context),
        insertion=insertions.as_item(args) if isinstance(args, Sequence) else None,
        defaults={"enable_lora": "True"} if listed else {},
        name=mapping.text("metadata", "name"),
        kind="KubeAI Model",
    )
    found = deployment(server, context)
    if listed:  # KubeAI sets it for them, too
        switch = Value("True", listed[0].place)
        found = replace(found, environment={"VLLM_ALLOW_RUNTIME_LORA_UPDATING": switch, **found.environment})
    return Found((found,))


def _value(spec: Mapping, key: str, context: Context) -> Value | None:
    scalar = spec.scalar(key)
    return context.filled(scalar).value if scalar else None

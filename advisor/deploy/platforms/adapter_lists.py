"""Resources that only name adapters for a server that is written elsewhere: lora-syncer, AIBrix, LoraAdapter."""

from __future__ import annotations

from dataclasses import replace

from advisor.deploy.arguments.engine_arguments import adapters
from advisor.deploy.context import Context
from advisor.deploy.deployment import Adapter
from advisor.deploy.platforms.found import Found
from advisor.deploy.server import Server, deployment
from advisor.deploy.syntax.tree import Mapping

KINDS = ("lora-syncer ConfigMap", "ModelAdapter", "LoraAdapter")


def read(mapping: Mapping, context: Context) -> Found | None:
    """A list of adapters, or one; the server is known by its base model at most."""
    syncer = mapping.mapping("vLLMLoRAConfig")
    if syncer is not None:
        models = syncer.mapping("ensureExist")
        listed = tuple(adapters(models, "models")) if models else ()
        key = mapping.key("vLLMLoRAConfig")
        model = syncer.scalar("defaultBaseModel")
        kind = KINDS[0]
    elif mapping.text("kind") in KINDS[1:] and (spec := mapping.mapping("spec")):
        name = mapping.scalar("metadata", "name")
        source = spec.scalar("artifactURL") or spec.scalar("adapterSource", "repository")
        listed = (Adapter(name.text, source.text if source else None, name.place),) if name else ()
        key, model, kind = mapping.key("kind"), spec.scalar("baseModel"), mapping.text("kind")
    else:
        return None
    server = Server(
        key.place if key else mapping.place, adapters=listed, model=model.value if model else None, kind=kind
    )
    return Found((deployment(server, replace(context, partial=True)),))

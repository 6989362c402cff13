"""Values of llm-d-modelservice: two servers, one that decodes and one that reads prompts."""

from __future__ import annotations

from dataclasses import replace

from advisor.deploy.context import Context
from advisor.deploy.platforms.found import Found, below
from advisor.deploy.syntax.tree import Mapping

ROLES = ("decode", "prefill")


def read(mapping: Mapping, context: Context) -> Found | None:
    """The chart's values: the containers of each role."""
    roles = [role for role in ROLES if (part := mapping.mapping(role)) and part.items("containers")]
    if not roles or mapping.text("kind"):
        return None
    model = mapping.scalar("modelArtifacts", "name") or mapping.scalar("modelArtifacts", "uri") or context.model
    inner = replace(context, kind="llm-d-modelservice values", model=model)
    rest = [
        (each, replace(inner, name=role, path=(role, "containers")))
        for role in roles
        for each in mapping.items(role, "containers")
    ]
    return Found(rest=(*rest, *below(mapping, context, ROLES)))

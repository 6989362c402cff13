"""The platforms in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Callable

from advisor.deploy.context import Context
from advisor.deploy.platforms import (
    adapter_lists,
    compose,
    kserve,
    kubeai,
    kubernetes,
    llm_d,
    production_stack,
    ray_serve,
    skypilot,
)
from advisor.deploy.platforms.found import Found
from advisor.deploy.syntax.tree import Mapping

PLATFORMS: tuple[Callable[[Mapping, Context], Found | None], ...] = (
    kserve.read,
    kubeai.read,
    adapter_lists.read,
    kubernetes.read,
    compose.read,
    production_stack.read,
    llm_d.read,
    ray_serve.read,
    skypilot.read,
)
"""What knows more of a mapping comes first."""

"""What a platform makes of a mapping."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from advisor.deploy.context import Context
from advisor.deploy.deployment import Deployment
from advisor.deploy.syntax.tree import Mapping, Node


@dataclass(frozen=True, slots=True)
class Found:
    """The servers that a mapping is, and the nodes below it that may hold more."""

    servers: tuple[Deployment, ...] = ()
    rest: tuple[tuple[Node, Context], ...] = ()


def below(mapping: Mapping, context: Context, but: Iterable[str] = ()) -> tuple[tuple[Node, Context], ...]:
    """The values of a mapping with their contexts, some keys left out."""
    left = frozenset(but)
    return tuple((node, context.below(key.text)) for key, node in mapping.entries if key.text not in left)

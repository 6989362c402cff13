"""Docker compose: services, whose command comes behind the image's entry point, with compose's own variables."""

from __future__ import annotations

from dataclasses import replace

from advisor.deploy.context import Context
from advisor.deploy.platforms.found import Found
from advisor.deploy.syntax.tree import Mapping, Node

_SERVICE = ("image", "build", "command", "entrypoint", "environment", "ports", "volumes", "extends", "deploy")


def read(mapping: Mapping, context: Context) -> Found | None:
    """A compose file, or one that is laid over another: then a service without an image is a part."""
    services = mapping.mapping("services")
    if services is None or "apiVersion" in mapping or context.path:
        return None
    values = [node for _, node in services.entries if isinstance(node, Mapping)]
    if not values or not any(key in value for value in values for key in _SERVICE):
        return None
    rest: list[tuple[Node, Context]] = []
    for key, service in services.entries:
        if isinstance(service, Mapping):
            whole = _extended(service, services)
            partial = "image" not in whole and "build" not in whole
            rest.append((whole, replace(context, kind="docker compose", name=key.text, compose=True, partial=partial,
                                        path=("services", key.text))))  # fmt: skip
    return Found(rest=tuple(rest))


def _extended(service: Mapping, services: Mapping, depth: int = 5) -> Mapping:
    """A service with what it takes from another of the file."""
    base = services.mapping(service.text("extends", "service") or service.text("extends") or "")
    if base is None or base is service or depth == 0 or service.scalar("extends", "file"):
        return service
    base = _extended(base, services, depth - 1)
    missing = tuple(entry for entry in base.entries if entry[0].text not in service)
    return Mapping((*service.entries, *missing), service.place, service.layout)

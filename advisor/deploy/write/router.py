"""Router maps: which server a request for an adapter goes to, for what stands in front of the servers."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from advisor.deploy.write import template
from advisor.deploy.write.fleet import server_name
from advisor.deploy.write.quoting import RefusedError
from advisor.deploy.write.render import LaunchFile
from advisor.deploy.write.template import MistakeError
from advisor.errors import InputError
from advisor.inventory.inventory import Inventory
from advisor.names import counted
from advisor.nearest import nearest
from advisor.place.placement import Placement

URL = "http://gpu-{gpu}:8000"
"""Where the server of a GPU answers, if nobody says otherwise."""
PARTS = 100
"""Shares of an adapter's requests are written as whole parts of at most so many: routers know whole weights alone."""
_NUMBER = re.compile(r"\{gpu(?::0[1-9])?\}")
_ADDRESS = re.compile(r"(https?)://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::(\d{1,5}))?")


def descriptions() -> dict[str, str]:
    """What each router map is for, by its name."""
    return {
        template.name(file): text.partition("#}")[0].removeprefix("{#").strip()
        for file, text in template.routers().items()
    }


def render(name: str, placement: Placement, inventory: Inventory, url: str = URL) -> LaunchFile:
    """The router map of that name; `url` says where servers answer, `{gpu}` (or `{gpu:02}`) in it is a GPU's number.

    Raises:
        InputError: no such router, a URL that is none, a name that its format cannot say, or nothing is placed.
    """
    if not placement.assignments:
        raise InputError("nothing to route: no adapter is on a GPU")
    file, text = template_of(name)
    named = f"router.{file.removesuffix(template.SUFFIX)}"
    try:
        return LaunchFile(named, template.fill(text, {**context(placement, inventory, url), "file": named}))
    except RefusedError as error:
        raise InputError(f"{name}: {error}") from error
    except MistakeError as error:
        raise InputError(f"{name}: mistake in the template: {error}") from error


def template_of(name: str) -> tuple[str, str]:
    """The file and text of the template of that router.

    Raises:
        InputError: there is none; the message names those there are.
    """
    for file, text in template.routers().items():
        if template.name(file) == name:
            return file, text
    known = descriptions()
    near = nearest(name, known)
    hint = f"; did you mean {near!r}?" if near else ""
    raise InputError(f"no router {name!r}{hint}; there are {', '.join(known)}")


def context(placement: Placement, inventory: Inventory, url: str) -> Mapping[str, Any]:
    """Plain data for the templates of routers.

    - `servers`: each with `name`, `gpu`, `url` and `address` (host and port)
    - `adapters`: those that are placed, each with `name` and `targets`: the `server`, its `weight` (a share of the
      adapter's requests), the same in whole `parts`, and whether it is `standby`: takes over when another one fails
    - `routes`: the different targets there are, each with a `name` and the `names` of its adapters
    - `any`: targets of requests that name no adapter
    - `model`, `summary`, `basis`, and `unplaced`: names of adapters that are on no GPU

    Raises:
        InputError: a URL that is none.
    """
    servers = {each.gpu: _server(each.gpu, url) for each in placement.assignments}
    addresses = [server["address"] for server in servers.values()]
    if len(set(addresses)) < len(addresses):
        raise InputError(f"all servers would answer at one address: {{gpu}} is missing in {url!r}")
    shares = defaultdict[int, dict[int, float]](dict)
    for assignment in placement.assignments:
        for adapter in assignment.adapters:
            shares[adapter][assignment.gpu] = assignment.weights.get(adapter, 1.0)
    routes: dict[tuple[Any, ...], dict[str, Any]] = {}
    adapters = []
    for adapter in sorted(shares):
        standby = placement.standby.get(adapter)
        key = (tuple(sorted(shares[adapter].items())), standby)
        if key not in routes:
            targets = _targets(shares[adapter], standby, servers)
            routes[key] = {"name": _route_name(targets, len(routes)), "targets": targets, "names": []}
        routes[key]["names"].append(inventory.names[adapter])
        adapters.append({"name": inventory.names[adapter], "targets": routes[key]["targets"]})
    pairs = list(dict.fromkeys(each.gpu_type.pair for each in placement.assignments))
    return {
        "model": pairs[0].basis.model,
        "summary": f"{counted(len(adapters), 'adapter')} on {counted(len(servers), 'server')}",
        "basis": [f"{pair.name}: {pair.basis}" for pair in pairs],
        "servers": list(servers.values()),
        "adapters": adapters,
        "routes": list(routes.values()),
        "any": _base_targets(placement, servers),
        "unplaced": [inventory.names[adapter] for adapter in placement.unplaced],
    }


def checked_url(url: str) -> str:
    """The URL pattern, where it is one.

    Raises:
        InputError: it is not.
    """
    _server(0, url)
    return url


def _server(gpu: int, url: str) -> dict[str, Any]:
    filled = _NUMBER.sub(lambda found: found[0].format(gpu=gpu), url).rstrip("/")
    if not (found := _ADDRESS.fullmatch(filled)) or int(found[3] or 80) > 65535:
        raise InputError(
            f"not where a server answers: {url!r}; write the likes of {URL} or http://localhost:80{{gpu:02}}, where "
            "{gpu} is the number of the GPU"
        )
    port = found[3] or {"http": "80", "https": "443"}[found[1]]
    return {"name": server_name(gpu), "gpu": gpu, "url": filled, "address": f"{found[2]}:{port}"}


def _targets(shares: Mapping[int, float], standby: int | None, servers: Mapping[int, Any]) -> list[dict[str, Any]]:
    gpus = sorted(shares)
    parts = whole_parts([shares[gpu] for gpu in gpus])
    targets = [_target(servers[gpu], shares[gpu], part) for gpu, part in zip(gpus, parts, strict=True)]
    return [*targets, {**_target(servers[standby], 0.0, 1), "standby": True}] if standby is not None else targets


def _base_targets(placement: Placement, servers: Mapping[int, Any]) -> list[dict[str, Any]]:
    """The servers that requests are for which name no adapter; all, where the placement knows of none."""
    shares = {each.gpu: each.base for each in placement.assignments if each.base}
    targets = _targets(shares or dict.fromkeys(servers, 1 / len(servers)), None, servers)
    standby = [each.gpu for each in placement.assignments if each.base_standby]
    return [*targets, *({**_target(servers[gpu], 0.0, 1), "standby": True} for gpu in standby)]


def _target(server: Mapping[str, Any], weight: float, parts: int) -> dict[str, Any]:
    return {"server": server, "weight": round(weight, 6), "parts": parts, "standby": False}


def whole_parts(shares: Sequence[float]) -> list[int]:
    """Shares as small whole numbers that keep their proportions, within one in `PARTS`, and none of them 0."""
    total = sum(shares)
    parts = [max(1, round(PARTS * share / total)) for share in shares]
    return [part // math.gcd(*parts) for part in parts]


def _route_name(targets: Sequence[Mapping[str, Any]], number: int) -> str:
    if len(targets) == 1:
        return str(targets[0]["server"]["name"])
    return f"several-{number}"

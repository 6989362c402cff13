"""Names of one adapter in different places: a hub's cache has its owner before it, a gateway may write it small."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import tomli

from advisor.discovery.discovery import Discovery
from advisor.names import listed


class Names:
    """Names to look others up in."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = dict.fromkeys(names)
        self._by_end = defaultdict[str, list[str]](list)
        for each in self._names:
            self._by_end[_end(each)].append(each)

    def like(self, name: str) -> str | None:
        """The same name, or the only one that differs but in case and in what stands before its last slash."""
        if name in self._names:
            return name
        alike = self._by_end.get(_end(name), [])
        return alike[0] if len(alike) == 1 else None


def _end(name: str) -> str:
    return name.rpartition("/")[2].casefold()


def as_in(text: str, found: Discovery) -> Discovery:
    """The same discovery, with the names that an inventory has for its adapters."""
    try:
        rows = tomli.loads(text).get("adapters", [])
    except (tomli.TOMLDecodeError, RecursionError):
        return found  # told when it is written into
    known = set(_named(rows))
    here, there = Names(known), Names(each.name for each in found.adapters)
    taken = {
        each.name: name
        for each in found.adapters
        if (name := here.like(each.name)) is not None and name != each.name and there.like(name) == each.name
    }
    if not taken:
        return found
    pairs = listed([f"{name} for {each}" for each, name in taken.items()])
    renamed = tuple(replace(each, name=taken.get(each.name, each.name)) for each in found.adapters)
    return replace(found, adapters=renamed).noting(f"taken by the names that stand in the inventory: {pairs}")


def _named(rows: Any) -> Iterable[str]:
    """The names of an inventory's adapters."""
    for row in rows if isinstance(rows, list) else []:
        name, count = (row.get("name"), row.get("count")) if isinstance(row, dict) else (None, None)
        if isinstance(name, str):
            yield from (
                [name] if not isinstance(count, int) else (f"{name}-{i}" for i in range(min(max(count, 0), 100_000)))
            )

"""What has to be done to get from one placement to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from advisor.inventory.inventory import Inventory

SPARE = "spare"
"""What a GPU is called that is needed only for a while."""
Place = int | str
"""A GPU by its number, or the spare one."""
Moving = Literal["move", "add", "remove"]
"""An adapter to a GPU, as new to a GPU, or off it."""
Serving = Literal["start", "restart", "stop", "route", "unroute"]
"""What is done with a server; `route` requests that name no adapter there as well, or, `unroute`, no longer."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do; all before it is done."""

    what: Moving | Serving
    gpu: Place
    """Where; of a move: where to."""
    adapter: int | None = None
    """Position in the inventory."""
    name: str | None = None
    """Of an adapter that the inventory does not have any more."""
    source: Place | None = None
    """Of a move: where from; None where the adapter is served by nobody meanwhile."""

    def document(self, inventory: Inventory) -> dict[str, Any]:
        """The step as plain data."""
        name = inventory.names[self.adapter] if self.adapter is not None else self.name
        return {
            "step": self.what,
            **({"adapter": name} if name is not None else {}),
            **({"from": self.source} if self.source is not None else {}),
            **({"to": self.gpu} if self.what in ("move", "add") else {"gpu": self.gpu}),
        }


@dataclass(frozen=True, slots=True)
class Changes:
    """What has to be done."""

    steps: tuple[Step, ...]
    kept: int
    """Adapters that stay on all of their GPUs."""
    moved: tuple[int, ...]
    added: tuple[int, ...]
    """Adapters that were on no GPU."""
    removed: tuple[str, ...]
    """Adapters that are on no GPU any more, or not in the inventory."""
    restarted: tuple[int, ...]
    """GPUs whose servers need other flags."""
    paused: tuple[int, ...] = ()
    """Adapters that nobody serves for a while, for nothing else helps."""
    detours: tuple[int, ...] = ()
    """Adapters that wait on another GPU until there is room where they belong."""
    overloaded: tuple[int, ...] = ()
    """GPUs that do not keep the objective before the first step."""
    forced: tuple[int, ...] = ()
    """GPUs that do not keep it on the way, for there is no other way."""
    routed_together: tuple[int, ...] = ()
    """Adapters whose new copies are to be sent requests only once all of them are loaded."""

    @property
    def spare(self) -> bool:
        """Whether one more GPU is needed for a while."""
        return any(SPARE in (step.gpu, step.source) for step in self.steps)

    def document(self, inventory: Inventory) -> dict[str, Any]:
        """The changes as plain data: what is under `changes` in the JSON of a placement."""
        names = inventory.names
        return {
            "kept": self.kept,
            "moved": [names[each] for each in self.moved],
            "added": [names[each] for each in self.added],
            "removed": list(self.removed),
            "restarted": list(self.restarted),
            "spare_gpu": self.spare,
            "paused": [names[each] for each in self.paused],
            "detours": [names[each] for each in self.detours],
            "overloaded_before": list(self.overloaded),
            "overloaded_meanwhile": list(self.forced),
            "routed_together": [names[each] for each in self.routed_together],
            "steps": [step.document(inventory) for step in self.steps],
        }

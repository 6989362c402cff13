"""The page of a placement: the fleet, GPU by GPU."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from advisor.inventory.inventory import Inventory
from advisor.names import counted, listed
from advisor.place.placement import Assignment, Placement
from advisor.report.occupancy import Occupancy, occupancy
from advisor.report.page.memory import Part, memory_parts
from advisor.report.page.page import render
from advisor.report.placement import headline, sections

SHOWN = 150
"""GPUs that are drawn before the rest is only counted: their page stays below 300 KB."""
NAMED = 12
"""Adapters of a GPU that are named before the rest is only counted."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is drawn of a GPU."""

    assignment: Assignment
    filled: Occupancy
    memory: list[Part]
    """What its memory holds, the KV cache by what is in use."""
    adapters: str
    """Who is on it, or for whom it stands by."""
    stands_by: bool
    """Whether it serves nobody but when another fails."""
    command: str

    @property
    def load_percent(self) -> tuple[float, float]:
        """Of the bar of its load: what adapters take and what base traffic takes, together 100 at most."""
        load = 100 * min(self.filled.load, 1.0)
        return round(load * (1 - self.filled.base), 1), round(load * self.filled.base, 1)

    @property
    def memory_percent(self) -> list[tuple[str, float]]:
        """The parts of the bar of its memory."""
        return [(each.kind, each.percent) for each in self.memory]

    @property
    def memory_told(self) -> str:
        """The same in words, for those who do not see it."""
        return ", ".join(f"{each.name} {each.percent} %" for each in self.memory)

    @property
    def slots_percent(self) -> float:
        """Of the slots, those in use."""
        return round(100 * self.filled.busy / self.assignment.settings.max_loras, 1)


def write(placement: Placement, inventory: Inventory) -> str:
    """The page, whole by itself."""
    first, *resting_on = headline(placement, inventory)
    gpus = [_row(each, inventory) for each in placement.assignments[:SHOWN]]
    more = len(placement.assignments) - len(gpus)
    return render(
        "fleet.html.j2",
        headline=first,
        resting_on=resting_on,
        unit=placement.unit,
        several=len({each.gpu_type.pair.name for each in placement.assignments}) > 1,
        gpus=gpus,
        base=any(row.filled.base for row in gpus),
        more=f"{counted(more, placement.unit)} more: the JSON has them all" if more else "",
        sections=[
            (title, [line.removeprefix("- ").strip() for line in lines])
            for title, lines in sections(placement, inventory)
        ],
    )


def _row(assignment: Assignment, inventory: Inventory) -> Row:
    filled, settings = occupancy(assignment, inventory), assignment.settings
    pair = assignment.gpu_type.pair
    names = [inventory.names[each] for each in assignment.adapters or assignment.standby]
    who = listed(names, NAMED) if names else "no adapter"
    stands_by = not assignment.adapters and bool(assignment.standby or assignment.base_standby)
    serve = ["vllm serve " + shlex.quote(inventory.model), *map(shlex.quote, assignment.args)]
    return Row(
        assignment,
        filled,
        [part for each in memory_parts(settings, pair.profile) for part in _by_use(each, filled)],
        f"stands by for {who}" if stands_by else who,
        stands_by,
        " \\\n    ".join(serve),
    )


def _by_use(part: Part, filled: Occupancy) -> list[Part]:
    """The KV cache as two parts, what is in use and what is not; any other as it is."""
    if part.kind != "kv":
        return [part]
    used = round(part.percent * min(filled.kv, 1.0), 1)
    return [Part("kv", "KV cache in use", used), Part("spare", "KV cache, free", round(part.percent - used, 1))]

"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from advisor.cli.terminal import streams
from advisor.cli.usage.duration import limit
from advisor.recommend.objective import Objective, ObjectiveName
from twin.service_level import TTFT_LIMIT_S, Limit

if TYPE_CHECKING:
    from advisor.inventory.inventory import Inventory
    from advisor.recommend.answer.recommendation import Recommendation
    from advisor.zoo.pair import Pair


class Listing(StrEnum):
    """The formats of the commands that list things."""

    TEXT = "text"
    JSON = "json"


InventoryFile = Annotated[Path, typer.Argument(metavar="INVENTORY", help="inventory.toml")]
Zoo = Annotated[Path | None, typer.Option("--zoo", metavar="DIR", help="Directory of pairs [default: the shipped one]")]
ObjectiveOption = Annotated[ObjectiveName, typer.Option("--objective", help="What a configuration must achieve")]
TtftLimit = Annotated[
    Limit,
    typer.Option(
        "--ttft-limit",
        parser=limit,
        metavar="TIME",
        help="Largest mean TTFT, s unless it says ms, or percentile: p99=500ms",
    ),
]
TTFT_LIMIT = f"{TTFT_LIMIT_S:g}s"
"""The default, as a user would write it."""
LONG_TTFT_S, LONG_ITL_S = 30.0, 1.0
"""Limits that nobody waits for: whoever writes 500 may well mean milliseconds."""
ItlLimit = Annotated[
    Limit | None,
    typer.Option(
        "--itl-limit",
        parser=limit,
        metavar="TIME",
        help="Largest mean ITL, s unless it says ms, or percentile: p95=60ms; for --objective latency",
    ),
]


def list_described(descriptions: Mapping[str, str]) -> NoReturn:
    """Write a line for each name with what it is, and end the command."""
    width = max(map(len, descriptions))
    for name, description in descriptions.items():
        streams.write(f"{name:<{width}}  {description}")
    raise typer.Exit


def objective_of(name: ObjectiveName, ttft_limit: Limit, itl_limit: Limit | None) -> Objective:
    """The objective that these options say.

    Raises:
        typer.BadParameter: an ITL limit for an objective that has none.
    """
    if itl_limit is not None and name is not ObjectiveName.LATENCY:
        raise typer.BadParameter(f"--itl-limit belongs to --objective latency; --objective {name} has none")
    for time, given, long_s in (("ttft", ttft_limit, LONG_TTFT_S), ("itl", itl_limit, LONG_ITL_S)):
        if given is not None and given.seconds > long_s:
            streams.note(f"--{time}-limit is {given.seconds:g} seconds, as a number without a unit is: ms are 500ms")
    return Objective(name, ttft_limit, itl_limit)


def recommendation_of(
    path: Path,
    objective: Objective,
    zoo: Path | None,
    log: tuple[Inventory, tuple[str, ...]] | None = None,
    recommend: Callable[[Inventory, Pair, Objective], Recommendation] | None = None,
) -> tuple[Inventory, Pair, Recommendation]:
    """An inventory, its pair, and what is recommended for it, by the models unless another way is given.

    In place of the inventory of a path there may be one that was made of a log, with what in it was assumed.

    Raises:
        InputError: bad input.
    """
    from advisor.inventory.inventory import load
    from advisor.recommend.recommend import recommend as by_models
    from advisor.zoo.pairs import find_pair

    inventory, assumed = log or (load(path), ())
    pair = find_pair(inventory.model, inventory.one_gpu(), zoo, inventory.engine)
    answer = (recommend or by_models)(inventory, pair, objective)
    answer = replace(answer, warnings=(*answer.warnings, *assumed))
    if inventory.placing:
        many = f"{', '.join(inventory.placing)} of adapters: for `advisor place`"
        many = f"{many}; this answer is about one {pair.basis.unit}"
        answer = replace(answer, warnings=(*answer.warnings, many))
    return inventory, pair, answer

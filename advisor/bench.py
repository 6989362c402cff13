"""`python -m advisor.bench INVENTORY`: what an answer takes, in this process, models loaded."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from advisor.errors import InputError
from advisor.features.vector import measure
from advisor.inventory.inventory import load
from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.report.table import table
from advisor.zoo.graph import load_graph
from advisor.zoo.pairs import find_pair
from twin.service_level import TTFT_LIMIT_S

SECONDS = 1.0
"""How long each is repeated."""


def bench(
    inventory: Annotated[Path, typer.Argument(help="inventory to answer for")],
    zoo: Annotated[Path | None, typer.Option(help="zoo that holds its pair [default: the shipped one]")] = None,
) -> None:
    """Print what all models, and a whole recommendation, take for an inventory: fastest, median and P99, microseconds.

    The models are asked for all there is: every tree and every ensemble, of both objectives.
    """
    asked = load(inventory)
    pair = find_pair(asked.model, asked.gpu, zoo)
    values = measure(asked.mix, pair.profile, ttft_limit_s=TTFT_LIMIT_S, max_loras=min(32, len(asked)))
    graphs = (load_graph(pair, "rules"), load_graph(pair, "serving"))
    questions = [(graph, graph.row(values), graph.outputs) for graph in graphs]

    def ask_all() -> None:
        for graph, row, outputs in questions:
            graph.ask(row, *outputs)

    rows = [
        {"what": f"all {sum(len(outputs) for _, _, outputs in questions)} outputs", **_times(ask_all)},
        {"what": f"recommend, {len(asked)} adapters", **_times(lambda: recommend(asked, pair, Objective()))},
    ]
    typer.echo(table(rows, list(rows[0])))


def _times(work: Callable[[], object]) -> dict[str, float]:
    took: list[float] = []
    until = time.perf_counter() + SECONDS
    while not took or time.perf_counter() < until:
        began = time.perf_counter()
        work()
        took.append(1e6 * (time.perf_counter() - began))
    return dict(zip(("fastest_us", "median_us", "p99_us"), np.quantile(took, [0, 0.5, 0.99]).tolist(), strict=True))


if __name__ == "__main__":
    try:
        typer.run(bench)
    except InputError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2)

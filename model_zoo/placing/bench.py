"""`python -m model_zoo.placing.bench`: every algorithm on every inventory, each placement verified by the twin."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from joblib import Parallel, delayed

from advisor.place.algorithms import ALGORITHMS
from advisor.place.place import place
from advisor.place.problem import GpuType, Problem
from advisor.place.verification.verification import verified
from advisor.report.table import table
from advisor.zoo.pairs import load_zoo
from model_zoo.placing.inventories import Case, cases
from twin.accuracy import macro_f1, smape
from twin.progress import watched

OURS, EXACT = "packing", "packing, exact"
WAYS = (EXACT, *ALGORITHMS)
"""Ours with the twin, then every algorithm by the models."""
VERIFIED = (101, 102, 103)
"""Seeds of the hours that placements are verified with; none was sought with them."""


class Row(NamedTuple):
    """What an algorithm made of an inventory."""

    case: str
    kind: str
    way: str
    adapters: int
    gpus: int
    bound: int
    seconds: float
    unplaced: int
    failing: int
    """GPUs of which an hour was not steady or out of memory."""
    throughput: list[list[float]]
    """Of each GPU and hour: expected, measured, tokens/s."""
    starved: list[list[bool]]
    """Of each GPU and hour: whether that was expected, and whether it was."""

    @property
    def holds(self) -> bool:
        """Whether every GPU held in every hour; adapters that no GPU serves are on none with any algorithm."""
        return not self.failing


def bench(
    *,
    gpus: Annotated[float, typer.Option(min=1, help="GPUs that every inventory takes at least, about")] = 8.0,
    clients: Annotated[Path | None, typer.Option(help="ServeGen's clients.csv; none: without them")] = None,
    only: Annotated[str, typer.Option(help="inventories whose name holds this")] = "",
    way: Annotated[list[str] | None, typer.Option(help="ways to place them [default: all]")] = None,
    jobs: Annotated[int, typer.Option(help="processes; -1: one for every core")] = 1,
    output: Annotated[
        Path | None, typer.Option("-o", help="write a line of JSON for each here; go on with those there")
    ] = None,
) -> None:
    """Place all inventories in all ways and print how many GPUs that took."""
    chosen = list(cases(load_zoo().pairs, gpus, clients, only))
    asked = [(case, each) for case in chosen for each in WAYS if way is None or each in way]
    known = {(row.case, row.way): row for row in _kept(output)}
    rows = [known[case.name, each] for case, each in asked if (case.name, each) in known]
    missing = [(case, each) for case, each in asked if (case.name, each) not in known]
    found = Parallel(n_jobs=jobs, return_as="generator")(delayed(partial(_row, *each))() for each in missing)
    for row in watched(found, "placing", len(missing)):
        rows.append(row)
        if output is not None:
            with output.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row._asdict()) + "\n")
    place_of = {(case.name, each): number for number, (case, each) in enumerate(asked)}
    for each in report(sorted(rows, key=lambda row: place_of[row.case, row.way])):
        typer.echo(each + "\n")


def _kept(path: Path | None) -> Iterator[Row]:
    """The rows of a bench that was interrupted."""
    if path is not None and path.exists():
        yield from (Row(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines())


def _row(case: Case, way: str) -> Row:
    exact, gpu_type = way == EXACT, GpuType(case.pair)
    problem = Problem(case.inventory, (gpu_type,), replicas=True)  # as the command does
    began = time.perf_counter()
    placement = place(problem, OURS if exact else way, exact=exact)
    took = time.perf_counter() - began
    throughput, starved, failing = [], [], 0
    # An exact placement brings hours of its own, which it was chosen by: those are not asked here.
    unseen = replace(placement, assignments=tuple(replace(each, verified=None) for each in placement.assignments))
    hours = [verified(unseen, problem, (seed,)) for seed in VERIFIED]
    for per_gpu in zip(*(hour.assignments for hour in hours), strict=True):
        failing += any(each.verified["missed"] for each in per_gpu if each.verified)
        for each in per_gpu:
            if each.verified and not each.verified["oom"] and each.verified["offered_tok_s"]:
                throughput.append([each.expected.throughput_tok_s, float(each.verified["throughput_tok_s"])])
                starved.append([bool(each.missed), bool(each.verified["missed"])])
    return Row(
        case.name,
        case.kind,
        way,
        len(case.inventory),
        placement.gpus,
        placement.lower_bound,
        took,
        len(placement.unplaced),
        failing,
        throughput,
        starved,
    )


def report(rows: Sequence[Row]) -> Iterator[str]:
    """The tables: of inventories, of algorithms, and of the models on the GPUs of all placements."""
    names, ways = (list(dict.fromkeys(each)) for each in ([row.case for row in rows], [row.way for row in rows]))
    of = {(row.case, row.way): row for row in rows}
    yield table([_inventory(name, ways, of) for name in names], ["inventory", "adapters", "bound", *ways])
    yield table([_algorithm(way, rows, of) for way in ways], list(_algorithm(ways[0], rows, of)))
    pairs = np.array([pair for row in rows for pair in row.throughput])
    flags = np.array([pair for row in rows for pair in row.starved])
    if len(pairs):
        figures = {
            "GPUs x hours": len(pairs),
            "throughput_smape_percent": smape(pairs[:, 1], pairs[:, 0]),
            "missed_macro_f1": macro_f1(flags[:, 1], flags[:, 0]),
        }
        yield table([figures], list(figures))


def _inventory(name: str, ways: Sequence[str], of: dict[tuple[str, str], Row]) -> dict[str, Any]:
    one = of[name, ways[0]]
    cells = {way: f"{of[name, way].gpus}{_mark(of[name, way])}" for way in ways}
    return {"inventory": name, "adapters": one.adapters, "bound": one.bound, **cells}


def _mark(row: Row) -> str:
    """What is wrong with a placement: GPUs that do not hold, adapters that are on none."""
    return (f" ({row.failing} fail)" if row.failing else "") + (f" ({row.unplaced} left)" if row.unplaced else "")


def _algorithm(way: str, rows: Iterable[Row], of: dict[tuple[str, str], Row]) -> dict[str, Any]:
    mine = [row for row in rows if row.way == way]
    gpus, failing = sum(row.gpus for row in mine), sum(row.failing for row in mine)
    return {
        "algorithm": way,
        "gpus": gpus,
        "over_bound_percent": 100 * float(np.mean([row.gpus / row.bound - 1 for row in mine])),
        "saved_by_ours_percent": _saved(OURS, mine, of),
        "saved_by_exact_percent": _saved(EXACT, mine, of),
        "hold_percent": 100 * float(np.mean([row.holds for row in mine])),
        "gpus_failing_percent": 100 * failing / max(gpus, 1),
        "seconds": float(np.mean([row.seconds for row in mine])),
    }


def _saved(ours: str, mine: Sequence[Row], of: dict[tuple[str, str], Row]) -> float | None:
    """GPUs that ours saves of those of placements that hold, in percent: mean over inventories."""
    saved = [1 - of[row.case, ours].gpus / row.gpus for row in mine if row.holds and (row.case, ours) in of]
    return 100 * float(np.mean(saved)) if saved else None


if __name__ == "__main__":
    typer.run(bench)

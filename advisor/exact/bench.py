"""`python -m advisor.exact.bench`: what the exact search finds beside the models, and beside a fuller search.

Inventories of many kinds are drawn from a seed. Every answer is served in hours that no search asked; its throughput is
set beside the most that is found with slots in small steps, all of them, under the rule of the exact search.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import typer

from advisor.errors import InputError
from advisor.exact.exact import exactly
from advisor.exact.hours import Hours, mean
from advisor.exact.search import HELD_IN
from advisor.exact.trials import Trials
from advisor.inventory.inventory import Inventory
from advisor.recommend.answer.recommendation import Recommendation
from advisor.recommend.choice.configuration import Configurator
from advisor.recommend.choice.search import enclose
from advisor.recommend.choice.selection import Candidates
from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.report.table import table
from advisor.zoo.pair import Pair
from advisor.zoo.pairs import load_zoo
from twin.arrivals import Phase
from twin.workload import Workload

UNSEEN = range(1000, 1016)
"""Seeds of hours that no search asks."""
SLOTS_APART, SIZES_APART = 1.1, 0.002
"""The fuller search tries slots so many times the ones before, and tells sizes apart by such a share."""
Draw = Callable[[np.random.Generator], Workload]


def bench(
    inventories: Annotated[int, typer.Option(min=1, help="how many, the kinds in turn")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="that they are drawn from")] = 0,
    *,
    fuller: Annotated[bool, typer.Option(help="search more fully as well, which takes most of the time")] = True,
) -> None:
    """Print a row for each inventory as it is done, then what they come to together."""
    generator, rows = np.random.default_rng(seed), list[dict[str, Any]]()
    pairs = [pair for pair in load_zoo().pairs if pair.profile.derivation is None]
    with ThreadPoolExecutor() as threads:
        for number in range(inventories):
            kind, pair = list(KINDS)[number % len(KINDS)], pairs[int(generator.integers(len(pairs)))]
            inventory = Inventory.of_workload(KINDS[kind](generator), pair.profile.pair)
            rows.append({"kind": kind, **side_by_side(inventory, pair, threads, fuller=fuller)})
            typer.echo(table(rows[-1:], list(rows[-1])))
    for line in _summary(rows):
        typer.echo(line)


def side_by_side(inventory: Inventory, pair: Pair, threads: Executor, *, fuller: bool) -> dict[str, Any]:
    """The answer of the models and the exact one as columns of a table; what each serves in hours nobody asked."""
    objective, began, began_cpu = Objective(), time.perf_counter(), time.process_time()
    exact = exactly(inventory, pair, objective, lambda _: None)
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
    hours = Hours.of(inventory, pair, objective, threads, lambda _: None)
    answers = {"models": recommend(inventory, pair, objective), "exact": exact}
    row: dict[str, Any] = {"of": len(inventory)}
    throughput = dict.fromkeys(answers, 0.0)
    for name, answer in answers.items():
        found = _served(hours, answer)
        throughput[name] = mean(found, "throughput_tok_s") or 0.0
        row[f"{name} N"], row[f"{name} G"] = answer.admission.adapters, answer.flags.get("max_loras", 0)
        row[f"{name} tok/s"] = throughput[name]
        row[f"{name} failed"] = sum(bool(hour.missed) for hour in found) / len(UNSEEN)
        row[f"{name} TTFT"] = mean(found, "ttft_ms") or 0.0
    if fuller and exact.feasible:
        row["best N"], row["best G"], most = _fullest(hours, exact)
        most = max(most, throughput["exact"])
        row |= {f"{name} given %": 100 * (1 - each / most) for name, each in throughput.items()}
    return {**row, "hours": len(exact.exact.runs) if exact.exact else 0, "s": took_s, "CPU s": cpu_s}


def _served(hours: Hours, answer: Recommendation) -> list[Any]:
    """The hours that no search asked, under the settings that are recommended."""
    if answer.settings is None:
        return []
    members = _positions(hours.inventory, answer.admission.admitted)
    return hours.simulate(members, answer.settings, UNSEEN, order=0, adapters=len(members))


def _positions(inventory: Inventory, names: tuple[str, ...]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    number = {name: i for i, name in enumerate(inventory.names)}
    return np.array([number[name] for name in names], dtype=np.int64)


def _fullest(hours: Hours, exact: Recommendation) -> tuple[int, int, float]:
    """The most adapters of the same order that hold, their slots and their throughput."""
    assert exact.exact is not None
    size, slots = exact.admission.adapters, int(exact.flags["max_loras"])
    order = _positions(hours.inventory, exact.exact.orders[exact.exact.order])
    configurator = Configurator(hours.pair, hours.objective)
    idle = np.empty(0, dtype=np.int64)
    trials = Trials(hours, configurator, Candidates(order, idle), hours.inventory.mix, len(order), len(order))

    def missed(size: int) -> list[str]:
        return trials.missed(size, slots, HELD_IN)

    best = slots
    for slots in _ladder(trials.allowed(trials.of, trials.of)):
        more = size + max(round(SIZES_APART * size), 1)
        if more <= trials.of and not missed(more):
            (size, _), best = enclose(more, trials.of, missed, apart=SIZES_APART), slots
    return size, best, mean(trials.ask(size, best, UNSEEN), "throughput_tok_s") or 0.0


def _ladder(most: int) -> Iterator[int]:
    slots = 1
    while slots < most:
        yield slots
        slots = max(slots + 1, round(slots * SLOTS_APART))
    yield most


def _summary(rows: list[dict[str, Any]]) -> Iterator[str]:
    for name in ("models", "exact"):
        failed = [row[f"{name} failed"] for row in rows if row[f"{name} N"]]
        given = [row[f"{name} given %"] for row in rows if f"{name} given %" in row]
        lost = f"; {np.mean(given):.2f} % of the throughput given away, at most {max(given):.2f} %" if given else ""
        yield f"{name}: {np.mean(failed):.1%} of the unseen hours fail{lost}"
    took = [row["s"] for row in rows]
    yield f"exact: {np.median(took):.1f} s in the median, at most {max(took):.1f} s"


def _mix(
    generator: np.random.Generator,
    count: int,
    tokens_s: float,
    *,
    ranks: tuple[int, ...] = (8, 16, 32),
    spread: float = 0.0,
    lengths: tuple[float, float] = (223.0, 196.0),
    cv: float = 1.0,
) -> Workload:
    """Adapters that bring so many tokens/s together, the logarithms of their rates so far spread."""
    share, ones = generator.lognormal(0.0, spread, count), np.ones(count)
    asked, answered = lengths
    return Workload(
        generator.choice(ranks, count).astype(np.float64),
        share / share.sum() * tokens_s / (asked + answered),
        asked * ones,
        0.85 * asked * ones,
        answered * ones,
        0.9 * answered * ones,
        cv * ones,
        correlation=-0.35,
    )


KINDS: dict[str, Draw] = {
    "alike": lambda g: _mix(g, 500, 6000, ranks=(8,)),
    "papers": lambda g: _mix(g, 400, g.uniform(2000, 8000), spread=0.7),
    "bursty": lambda g: _mix(g, 400, 6000, cv=4.0),
    "production": lambda g: _mix(g, 300, 5000, spread=2.0, cv=2.0, lengths=(800, 250)),
    "few busy": lambda g: _mix(g, 12, 5000, ranks=(16,)),
    "long answers": lambda g: _mix(g, 400, 5000, lengths=(223, 4000)),
    "thousands idle": lambda g: _mix(g, 5000, 6000, ranks=(8,)),
    "large ranks": lambda g: _mix(g, 200, 4000, ranks=(64, 256, 512)),
    "base traffic": lambda g: replace(_mix(g, 300, 4000), base=_mix(g, 1, 2000)),
    "shared prefix": lambda g: replace(
        _mix(g, 300, 9000, lengths=(900, 200)), shared_prefix=np.full(300, 600, dtype=np.int32)
    ),
    "phases": lambda g: replace(_mix(g, 400, 5000), phases=(Phase(900, 0.7), Phase(900, 1.3))),
    "log-normal gaps": lambda g: replace(
        _mix(g, 400, 5000, spread=1.0, cv=3.0), lognormal_gaps=np.ones(400, dtype=np.bool_)
    ),
    "all served": lambda g: _mix(g, int(g.integers(20, 200)), g.uniform(200, 1500), spread=1.0),
    "long prompts": lambda g: _mix(g, 300, 15_000, lengths=(4000, 60)),
    "two ranks": lambda g: _mix(g, 500, 6000, ranks=(8, 8, 8, 64)),
}


if __name__ == "__main__":
    try:
        typer.run(bench)
    except InputError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2)

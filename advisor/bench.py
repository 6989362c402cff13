"""`python -m advisor.bench INVENTORY`: what an answer takes, with the models loaded and as a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

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
"""How long each is repeated that needs no process of its own."""
PROCESSES = 7
"""Of each kind, in turn with the others, so that a machine that slows down does so for all."""
MANY = 100_000
"""Adapters of the largest inventory that is allowed."""
IMPORTS = "import numpy, pydantic, typer, onnxruntime, tomllib"
"""What a recommendation cannot do without."""

LAUNCHER = """\
import resource, subprocess, sys, time
began = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
wall_s, usage = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
print(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
sys.exit(code)
"""
"""Starts a command and tells what it took. A small process does it: a child's peak counts its parent's memory."""


class Process(NamedTuple):
    """What a finished process took."""

    wall_ms: float
    cpu_ms: float
    peak_mib: float


def bench(
    inventory: Annotated[Path, typer.Argument(help="inventory to answer for")],
    zoo: Annotated[Path | None, typer.Option(help="zoo that holds its pair [default: the shipped one]")] = None,
    many: Annotated[int, typer.Option(min=1, help="adapters of an inventory in which no two are alike")] = MANY,
    processes: Annotated[int, typer.Option(min=1, help="processes of each kind")] = PROCESSES,
) -> None:
    """Print what all models, and a whole recommendation, take for an inventory: fastest, median and P99, microseconds.

    The models are asked for all there is: every tree and every ensemble, of both objectives. Then the command as a
    process beside the bare imports, and for very many adapters: medians, and the median of the ratios.
    """
    asked = load(inventory)
    pair = find_pair(asked.model, asked.one_gpu(), zoo, asked.engine)
    values = measure(asked.mix, pair.profile, ttft_limit_s=TTFT_LIMIT_S, max_loras=min(32, len(asked)))
    graphs = (load_graph(pair.models, "rules"), load_graph(pair.models, "serving"))
    questions = [(graph, graph.row(values), graph.outputs) for graph in graphs]

    def ask_all() -> None:
        for graph, row, outputs in questions:
            graph.ask(row, *outputs)

    rows = [
        {"what": f"all {sum(len(outputs) for _, _, outputs in questions)} outputs", **_times(ask_all)},
        {"what": f"recommend, {len(asked)} adapters", **_times(lambda: recommend(asked, pair, Objective()))},
    ]
    typer.echo(table(rows, list(rows[0])))
    with tempfile.TemporaryDirectory() as folder:
        different = Path(folder) / "inventory.toml"
        different.write_text(_different(asked.model, asked.one_gpu(), many), encoding="utf-8")
        command = [sys.executable, "-m", "advisor", "recommend", *(["--zoo", str(zoo)] if zoo else [])]
        kinds = {
            "bare imports": [sys.executable, "-c", IMPORTS],
            f"advisor recommend, {len(asked):,} adapters": [*command, str(inventory)],
            f"advisor recommend, {many:,} adapters": [*command, str(different)],
        }
        typer.echo("\n" + table(_side_by_side(kinds, processes), ["process", *Process._fields, "percent_of_imports"]))


def _side_by_side(kinds: dict[str, list[str]], count: int) -> list[dict[str, str | float]]:
    """A row per kind of process: medians, and the median of the CPU time over that of the first kind beside it."""
    for words in kinds.values():  # once unmeasured: files come into memory, byte code is written
        _process(words)
    turns = [[_process(words) for words in kinds.values()] for _ in range(count)]
    rows: list[dict[str, str | float]] = []
    for kind, found in zip(kinds, zip(*turns, strict=True), strict=True):
        ratios = [one.cpu_ms / turn[0].cpu_ms for one, turn in zip(found, turns, strict=True)]
        medians = Process(*np.median(found, axis=0).tolist())._asdict()
        rows.append({"process": kind, **medians, "percent_of_imports": 100 * float(np.median(ratios))})
    return rows


def _process(words: Sequence[str]) -> Process:
    """Run a command; SystemExit where it fails."""
    done = subprocess.run([sys.executable, "-c", LAUNCHER, *words], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    wall_s, cpu_s, peak = map(float, done.stdout.split())
    return Process(1e3 * wall_s, 1e3 * cpu_s, peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))


def _different(model: str, gpu: str, adapters: int) -> str:
    """An inventory in which no two adapters are alike: 5 requests/s in sum, as one GPU serves."""
    generator = np.random.default_rng(0)
    rates = generator.uniform(0.5, 1.5, adapters) * 5 / adapters
    ranks, lengths = generator.choice([8, 16, 32], adapters), generator.uniform(50, 500, (adapters, 4))
    rows = (
        f'[[adapters]]\nname = "adapter-{i}"\nrank = {rank}\nrate = {rate}\n'
        f"input = {{ mean = {a:.1f}, std = {b:.1f} }}\noutput = {{ mean = {c:.1f}, std = {d:.1f} }}\n"
        for i, (rank, rate, (a, b, c, d)) in enumerate(zip(ranks, rates, lengths, strict=True))
    )
    return f'model = "{model}"\ngpu = "{gpu}"\n' + "".join(rows)


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

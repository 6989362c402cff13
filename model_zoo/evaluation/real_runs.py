"""What the advisor recommends for mixes that a real GPU served, beside the hours that were measured.

The models never see these runs. A recommendation is judged by the measured configuration that is nearest to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from advisor.inventory.inventory import Inventory
from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.zoo.pair import Pair
from calibrate.errors import CalibrationError
from calibrate.replay import same_model
from calibrate.runs import MeasuredRun, read_runs
from model_zoo.errors import ZooError
from twin.service_level import TTFT_LIMIT_S, Limit

ABOUT = (
    f"What is recommended for all adapters of a mix that a real GPU served, TTFT limit {TTFT_LIMIT_S:g} s, beside the "
    "measured hour nearest to it; throughput is relative to the best steady hour of the mix. Nothing was fitted to "
    "these recommendations, though the profile's step model was fitted to some of these hours."
)
"""What the table shows."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one way to choose adapters and slots for one mix."""

    group: str
    """The mix."""
    way: str
    adapters: int
    """Adapters chosen."""
    max_loras: int
    """Slots chosen."""
    nearest: MeasuredRun
    """The measured run that is nearest to that."""
    throughput_share: float
    """Its throughput over that of the best measured steady run."""
    steady: bool


def judge(pair: Pair, file: Path, ttft_limit_s: float = TTFT_LIMIT_S) -> list[Verdict]:
    """Every way beside the measured runs of the pair's model, mix by mix; nothing where there are none of it.

    Raises:
        ZooError: the file cannot be read.
        InputError: a file of the pair is missing or altered.
    """
    try:
        runs = [run for run in read_runs(file) if same_model(run.model, pair.name)]
    except CalibrationError as error:
        raise ZooError(str(error)) from error
    objective = Objective(ttft_limit=Limit(ttft_limit_s))
    mixes = [[run for run in runs if run.group == group] for group in sorted({run.group for run in runs})]
    return [verdict for mix in mixes for verdict in _of_mix(pair, mix, objective)]


def table(verdicts: Sequence[Verdict]) -> str:
    """The verdicts as a table in Markdown."""
    head = (
        "| mix | chosen by | adapters x slots | nearest measured | starts | starved | TTFT s | steady | throughput % |"
    )
    rows = [
        f"| {each.group} | {each.way} | {each.adapters} x {each.max_loras} "
        f"| {each.nearest.adapters} x {each.nearest.max_loras} "
        f"| {_yes(not each.nearest.measured.oom)} | {_yes(each.nearest.measured.starved)} "
        f"| {each.nearest.measured.ttft_ms / 1e3:.2f} | {_yes(each.steady)} | {100 * each.throughput_share:.1f} |"
        for each in verdicts
    ]
    return "\n".join([head, "|---" * 9 + "|", *rows])


def _of_mix(pair: Pair, runs: Sequence[MeasuredRun], objective: Objective) -> Iterator[Verdict]:
    steady = [run for run in runs if run.measured.steady(objective.ttft_limit_s)]
    if not steady:
        return
    best = max(steady, key=lambda run: run.measured.throughput_tok_s)
    answer = recommend(_inventory(pair, runs), pair, objective)
    adapters = max(answer.admission.adapters, 1)
    slots = answer.settings.max_loras if answer.settings else 1
    ways: dict[str, Callable[[int], int]] = {
        "advisor": lambda _: slots,
        "max_loras = 32": lambda count: min(32, count),
        "max_loras = number of adapters": lambda count: count,
    }
    chosen = [(way, adapters, of(adapters)) for way, of in ways.items()]
    for way, count, max_loras in [*chosen, ("best measured", best.adapters, best.max_loras)]:
        nearest = min(runs, key=lambda run: (_distance(run.adapters, count), _distance(run.max_loras, max_loras)))
        share = nearest.measured.throughput_tok_s / best.measured.throughput_tok_s
        yield Verdict(
            nearest.group, way, count, max_loras, nearest, share, nearest.measured.steady(objective.ttft_limit_s)
        )


def _inventory(pair: Pair, runs: Sequence[MeasuredRun]) -> Inventory:
    """All adapters of the mix: those of the run that served the most."""
    largest = max((run for run in runs if not run.measured.oom), key=lambda run: run.adapters)
    return Inventory.of_workload(largest.workload, pair.profile.pair)


def _distance(one: int, other: int) -> float:
    return abs(math.log(one / other))


def _yes(truth: bool) -> str:
    return "yes" if truth else "no"

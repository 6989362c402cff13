"""A placement as an operator reads it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from advisor.inventory.inventory import Inventory
from advisor.place.placement import Assignment, Placement
from advisor.place.problem import GpuType
from advisor.place.steps import SPARE, Changes, Step
from advisor.recommend.objective import Expectation
from advisor.report.occupancy import kv_in_use
from advisor.report.placement import write
from advisor.zoo.pair import Pair
from tests.advisor.inventories import of
from twin.settings import Settings
from twin.workload import Workload

GOLDEN = Path(__file__).with_name("golden")


@pytest.fixture
def inventory() -> Inventory:
    rate = np.array([0.5] * 10 + [8.0, 0.0])
    mix = Workload.alike(rate, rank=16.0, input_mean=200, input_std=100, output_mean=100, output_std=0)
    return replace(of(mix), names=(*(f"tenant-{i}" for i in range(10)), "cha\x1bt", "archive"))


@pytest.fixture
def placement(pair: Pair) -> Placement:
    gpu = GpuType(pair, 2.5)
    settings = Settings(8, 16, 16, 512, 2048, 0.9, 16_384)
    first = Assignment(
        gpu=0,
        gpu_type=gpu,
        adapters=(0, 1, 2, 3, 4, 10),
        settings=settings,
        flags={"max_loras": 8},
        expected=Expectation(1950.0, 1.0, 40.0, 120.0, 36_000, 0.99, 0.8),
        weights={10: 0.5},
        request_rate=6.5,
        token_rate=1950.0,
        load=0.81,
        active_adapters=5.2,
        verified={"missed": [], "hours": 3, "held": 3},
    )
    second = replace(first, gpu=3, adapters=(5, 6, 10), token_rate=1500.0, load=0.004, active_adapters=0.02)
    spare = replace(
        first, gpu=4, adapters=(), weights={}, token_rate=0.0, load=0.0, active_adapters=0.0, standby=(0, 5)
    )
    unplaced = {7: "no room on 3 GPUs", 8: "no room on 3 GPUs", 9: "pinned to GPU 7, but there are 3 GPUs"}
    return Placement((first, second, spare), unplaced, 2, "packing")


def test_everything_that_there_is_to_tell(placement: Placement, inventory: Inventory) -> None:
    first, second, spare = placement.assignments
    missed = replace(
        second, missed=("TTFT 2100.0 ms > 2000 ms",), verified={"missed": ["requests starve"], "hours": 3, "held": 2}
    )
    changes = Changes(
        steps=(
            Step("remove", 0, name="gone"),
            Step("start", 3),
            Step("start", SPARE),
            Step("move", SPARE, 5, source=0),
            Step("move", SPARE, 6, source=0),
            Step("restart", 0),
            Step("add", 0, 1),
            Step("remove", 0, 2),
            Step("move", 0, 2),
            Step("move", 3, 5, source=SPARE),
            Step("stop", 9),
        ),
        kept=3,
        moved=(5, 6),
        added=(1,),
        removed=("gone",),
        restarted=(0,),
        paused=(2,),
        detours=(5, 6),
        overloaded=(0,),
        forced=(3,),
    )
    told = replace(
        placement,
        assignments=(first, missed, spare),
        interrupted=True,
        changes=changes,
        warnings=("1 adapter of the previous placement is not in the inventory: gone",),
    )
    assert write(told, inventory) == (GOLDEN / "placement.txt").read_text().rstrip("\n")


def test_of_whom_only_a_shared_adapter_is_taken_over_is_said_apart(placement: Placement, inventory: Inventory) -> None:
    first, second, spare = placement.assignments
    spares = (replace(spare, standby=first.adapters), replace(spare, gpu=5, standby=(5, 6)))
    text = write(replace(placement, assignments=(first, second, *spares)), inventory, width=120)
    assert "  GPU 4 stands by for GPU 0: 6 adapters, and takes over 1 of 3 adapters of GPU 3\n" in text + "\n"
    assert "  GPU 5 takes over 2 of 3 adapters of GPU 3\n" in text + "\n"
    all_of_both = replace(spare, standby=(*first.adapters, 5, 6))
    text = write(replace(placement, assignments=(first, second, all_of_both)), inventory, width=120)
    assert "  GPU 4 stands by for GPU 0, GPU 3: 8 adapters\n" in text + "\n"


def test_fewer_gpus_than_are_needed_are_said_not_to_do(placement: Placement, inventory: Inventory) -> None:
    first, *others = placement.assignments
    short = replace(placement, assignments=(replace(first, missed=("TTFT",)), *others), lower_bound=9)
    assert write(short, inventory).startswith("3 GPUs cannot serve 8 of 12 adapters; at least 9 are needed\n")
    enough = write(replace(short, lower_bound=2), inventory, width=120)
    assert enough.startswith("3 GPUs serve 8 of 12 adapters; at least 2 are needed: 50% above the fewest possible")


def test_what_there_is_nothing_to_tell_of_is_not_told(placement: Placement, inventory: Inventory) -> None:
    alone = replace(placement.assignments[0], adapters=tuple(range(12)), weights={}, verified=None)
    optimal = replace(placement, assignments=(alone,), unplaced={}, lower_bound=1)
    text = write(optimal, inventory, full="#", empty="-")
    assert text.startswith("1 GPU serves all 12 adapters: optimal, no placement of them needs fewer\n")
    assert text.isascii()
    assert text.count("\n\n") == 1
    nothing = write(replace(placement, assignments=(), unplaced=dict.fromkeys(range(12), "no")), inventory)
    assert nothing.startswith("0 GPUs serve 0 of 12 adapters\n\nOn no GPU\n  tenant-0, ")


def test_the_kv_cache_in_use(placement: Placement, inventory: Inventory) -> None:
    # 6.5 requests/s for 100 x 40 ms each: 26 at a time, of 200 + 50 tokens on average
    assert kv_in_use(placement.assignments[0], inventory) == pytest.approx(26 * 250)


def test_types_have_a_column_where_there_are_several(placement: Placement, inventory: Inventory) -> None:
    assert " type " not in write(placement, inventory)


def test_no_line_is_longer_than_the_terminal(placement: Placement, inventory: Inventory, pair: Pair) -> None:
    first, second, spare = placement.assignments
    named = pair.profile.pair.model_copy(update={"name": "tiny-1b--rtx-pro-6000", "gpu": "rtx-pro-6000"})
    other = GpuType(replace(pair, profile=pair.profile.model_copy(update={"pair": named})))
    notes = ("a long warning " * 12).strip()
    many = replace(placement, assignments=(first, replace(second, gpu_type=other), spare), warnings=(notes,))
    for told in (placement, many):
        for width in (40, 60, 80, 100, 120):
            lines = write(told, inventory, width=width).splitlines()
            assert max(map(len, lines)) <= width, "\n".join(lines)
            for figure in ("5/8", "1,950", "40.0"):
                assert any(figure in line.split("  ") or f" {figure}" in line for line in lines)


def test_at_80_columns_a_gpu_is_one_line_with_bars_of_load_slots_and_memory(
    placement: Placement, inventory: Inventory
) -> None:
    many = replace(
        placement.assignments[0],
        active_adapters=179.0,
        settings=replace(placement.assignments[0].settings, max_loras=233, max_cpu_loras=300),
    )
    for first in (placement.assignments[0], many):
        table = write(replace(placement, assignments=(first,)), inventory, width=80).split("\n\n")[1].splitlines()
        assert len(table) == 2
        assert len(re.findall("[░▏▎▍▌▋▊▉█]+", table[1])) == 3, table[1]


def test_short_bars_tell_eighths(placement: Placement, inventory: Inventory) -> None:
    """Of four characters alone a load of 81 % would be that of 75 %."""
    assert "███▎ " in write(placement, inventory, width=80)
    assert "###- " in write(
        replace(placement, assignments=(replace(placement.assignments[0], load=0.7),)), inventory, full="#", empty="-"
    )


def test_nobody_holds_more_than_there_is_and_too_much_load_reads_as_that(
    placement: Placement, inventory: Inventory
) -> None:
    first = placement.assignments[0]
    crowded = replace(
        first, load=1.31, active_adapters=19.6, expected=replace(first.expected, itl_ms=4000.0, kv_capacity_tokens=900)
    )
    for width in (80, 120):
        table = write(replace(placement, assignments=(crowded,)), inventory, width=width).split("\n\n")[1]
        assert "131% overload" in table and "8/8" in table and "full" in table
        assert table.count("%") == 1, table


def test_answers_of_one_token_have_no_time_between_tokens(placement: Placement, inventory: Inventory) -> None:
    first = placement.assignments[0]
    single = replace(first, expected=replace(first.expected, one_token=True))
    assert "40.0" not in write(replace(placement, assignments=(single,)), inventory)
    assert "itl_ms" not in single.figures() and "itl_ms" in first.figures()

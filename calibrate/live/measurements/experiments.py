"""What published measurements leave open: experiments on few more servers than the plan has, and their results.

How a step's cost splits between adapters in the batch and `max_loras`, and what `--specialize-active-lora` changes;
what prompt tokens cost with LoRA; what async scheduling does; what `max_model_len` leaves of the memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rich.table import Table

from calibrate.live.measurements import plan
from calibrate.live.measurements.campaign import START, Campaign
from calibrate.live.measurements.plan import FullBatch, Hours, Idle, Loads, Measurement, Scale, Start

SPECIALIZED, SYNCHRONOUS, LONGER = "specialized", "synchronous", "longer"
FLAGS = {SPECIALIZED: "--specialize-active-lora", SYNCHRONOUS: "--no-async-scheduling"}
LONGER_TIMES = 4
"""`max_model_len` of the start that shows what longer requests leave."""


@dataclass(frozen=True, slots=True)
class ExperimentResult:
    """Two figures side by side."""

    experiment: str
    where: str
    one: float | str
    """Empty where it is not measured."""
    other: float | str
    unit: str


def with_experiments(starts: Sequence[Start], scale: Scale) -> tuple[Start, ...]:
    """The plan with what the experiments add to its servers, and with servers of their own after them."""
    by_slots = {start.settings.max_loras: start for start in starts if _in_use(start)}
    middle, largest = by_slots[scale.middle_slots], by_slots[scale.slots[-1]]
    prompts = tuple(one for count in (1, scale.slots[-1]) for one in plan.prompts_alone(scale, count))
    one_hour = tuple(one for one in middle.measurements if isinstance(one, Hours) and one.share == _share(scale))[:1]
    return (
        *(replace(start, measurements=start.measurements + prompts) if start is largest else start for start in starts),
        _variant(largest, SPECIALIZED, _in_use(largest)),
        _variant(middle, SYNCHRONOUS, (Idle(), plan.fullest(scale, middle.settings.max_loras), *one_hour)),
        replace(
            largest,
            settings=replace(
                largest.settings, max_model_len=LONGER_TIMES * (largest.settings.max_model_len or 0) or None
            ),
            measurements=(Idle(),),
            variant=LONGER,
        ),
    )


def results(campaign: Campaign) -> Iterator[ExperimentResult]:
    """Of the measurements that are there."""
    scale = campaign.scale
    plain = {start.settings.max_loras: start for start in campaign.starts if not start.variant and _in_use(start)}
    other = {start.variant: start for start in campaign.starts if start.variant}

    def figure(start: Start, one: Measurement, name: str = "itl_mean_ms") -> float | str:
        value = float(campaign.row(start, one.key).get(name, math.nan))
        return "" if math.isnan(value) else value

    for slots, start in plain.items():
        for batch in sorted({one.batch for one in _in_use(start)}):
            few, many = (_short(scale, batch, count) for count in (1, slots))
            where = f"{slots} slots, batch {batch}, 1 adapter, {slots}"
            yield ExperimentResult("adapters in the batch", where, figure(start, few), figure(start, many), "ms ITL")
    least, most = plain[scale.slots[0]], plain[scale.slots[-1]]
    for batch in sorted({one.batch for one in _in_use(least)}):
        one = _short(scale, batch, 1)
        where = f"{scale.slots[0]} slots, {scale.slots[-1]}, batch {batch}, 1 adapter"
        yield ExperimentResult("slots as such", where, figure(least, one), figure(most, one), "ms ITL")
    for one in _in_use(most):
        where = f"without, with; {scale.slots[-1]} slots, batch {one.batch}, {one.adapters} adapters"
        yield ExperimentResult(FLAGS[SPECIALIZED], where, figure(most, one), figure(other[SPECIALIZED], one), "ms ITL")
    bare = next(start for start in campaign.starts if not start.settings.max_loras)
    for count in (1, scale.slots[-1]):
        where = f"without LoRA, {count} of {scale.slots[-1]} adapters"
        figures = (_us_per_token(campaign, bare, 0), _us_per_token(campaign, most, count))
        yield ExperimentResult("a prompt token", where, *figures, "us")
    middle, synchronous = plain[other[SYNCHRONOUS].settings.max_loras], other[SYNCHRONOUS]
    for each in synchronous.measurements:
        for name, unit in (("itl_mean_ms", "ms ITL"), ("ttft_mean_ms", "ms TTFT")):
            figures = (figure(middle, each, name), figure(synchronous, each, name))
            yield ExperimentResult(FLAGS[SYNCHRONOUS], f"without, with; {each.key}", *figures, unit)
    lengths = f"{most.settings.max_model_len} tokens, {other[LONGER].settings.max_model_len}; {scale.slots[-1]} slots"
    yield ExperimentResult("max_model_len", lengths, _kv(campaign, most), _kv(campaign, other[LONGER]), "KV tokens")
    for start in plain.values():
        for each in start.measurements:
            if isinstance(each, Loads):
                figures = (figure(start, each, "disk_load_ms_mean"), figure(start, each, "memory_load_ms_mean"))
                yield ExperimentResult("loading", f"from disk, from host memory; rank {each.rank}", *figures, "ms")


def table(found: Iterator[ExperimentResult]) -> Table:
    """The results, one row each."""
    shown = Table(title="experiments", title_justify="left")
    for name in ("experiment", "where"):
        shown.add_column(name)
    for name in ("one", "other", "change"):
        shown.add_column(name, justify="right")
    shown.add_column("unit")
    for each in found:
        shown.add_row(each.experiment, each.where, *map(_shown, (each.one, each.other)), _change(each), each.unit)
    return shown


def _shown(figure: float | str) -> str:
    return figure or "-" if isinstance(figure, str) else f"{figure:,.4g}" if figure < 10_000 else f"{figure:,.0f}"


def _change(result: ExperimentResult) -> str:
    if isinstance(result.one, str) or isinstance(result.other, str) or not result.one:
        return ""
    return f"{100 * (result.other / result.one - 1):+.0f} %"


def _variant(start: Start, variant: str, measurements: Sequence[Measurement]) -> Start:
    settings = replace(start.settings, extra=(*start.settings.extra, FLAGS[variant]))
    return replace(start, settings=settings, measurements=tuple(measurements), variant=variant)


def _in_use(start: Start) -> list[FullBatch]:
    """The batches of short prompts for adapters."""
    return [
        one
        for one in start.measurements
        if isinstance(one, FullBatch) and one.adapters and one.prompt_tokens == plan.SHORT_PROMPT
    ]


def _short(scale: Scale, batch: int, adapters: int) -> FullBatch:
    return FullBatch(batch, plan.SHORT_PROMPT, round(scale.lengths.output_mean), adapters)


def _share(scale: Scale) -> float:
    """The traffic that is also sent to the server that schedules synchronously: busy, and not beyond what it bears."""
    return max(share for share in scale.validation_shares if share < 1)


def _us_per_token(campaign: Campaign, start: Start, adapters: int) -> float | str:
    """What prompts take beyond shorter ones, otherwise alike."""
    rows = [campaign.row(start, one.key) for one in plan.prompts_alone(campaign.scale, adapters)]
    if not all(rows):
        return ""
    short, long = rows[0], rows[-1]
    tokens = float(long["input_tokens"]) - float(short["input_tokens"])
    return 1e6 * (float(long["duration_s"]) - float(short["duration_s"])) / tokens


def _kv(campaign: Campaign, start: Start) -> float | str:
    row = campaign.row(start, START)
    if row.get("oom"):
        return "out of memory"
    return float(row["kv_capacity_tokens"]) if row else ""

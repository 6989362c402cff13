"""A placement as text: how many GPUs, a bar for each, who is on none and why, and what there is to do."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from advisor.inventory.inventory import Inventory
from advisor.names import counted, listed, printable
from advisor.place.placement import Assignment, Placement
from advisor.place.problem import BaseGpus
from advisor.place.steps import SPARE, Changes, Place, Step
from advisor.report.lines import NARROWEST, WIDTH, titled, wrapped
from advisor.report.occupancy import occupancy
from advisor.report.table import parts

BARS = (10, 8, 6, 5, 4, 3, 2, 0)
"""Characters of bars, of load, slots and KV cache alike: the first are taken for which there are columns."""
EIGHTHS = "▏▎▍▌▋▊▉"
"""Of a full block: short bars tell more with these."""
GAP = 2
"""Columns between two of the table."""
WORDS = {"type", "load", "slots", "KV"}
"""Columns of the table that begin at the left."""
REASONS = 8
"""Reasons for being on no GPU that are shown before the rest is only counted."""
STEPS = 40
"""Steps of a change that are shown before the rest is only counted."""
Row = Sequence[str]


def write(placement: Placement, inventory: Inventory, *, width: int = WIDTH, full: str = "█", empty: str = "░") -> str:
    """The placement as lines for a terminal, without colours, wrapped at so many columns.

    Bars are made of the two characters.
    """
    width = max(width, NARROWEST)
    blocks = ["\n".join(wrapped(line, width) for line in headline(placement, inventory))]
    if placement.assignments:
        blocks.append(_table(placement, inventory, width, full, empty))
    blocks += [titled(title, lines, width, hang=2) for title, lines in sections(placement, inventory)]
    return "\n\n".join(block for block in blocks if block)


def sections(placement: Placement, inventory: Inventory) -> list[tuple[str, list[str]]]:
    """What there is to tell beside the GPUs: titles and lines, of which there may be none."""
    return [
        (f"On no {placement.unit}", _unplaced(placement, inventory)),
        ("Not kept", _missed(placement)),
        ("Digital twin", _verified(placement)),
        ("Requests that name no adapter", _base(placement)),
        ("What binds", _with_more(placement)),
        ("Types that are not used", [f"{name}: {reason}" for name, reason in placement.unused.items()]),
        ("Replicas", _replicas(placement, inventory)),
        (f"If a {placement.unit} fails", _standby(placement)),
        ("Changes", _changes(placement.changes, inventory, placement.unit)),
        ("Warnings", [f"- {warning}" for warning in placement.warnings]),
    ]


def headline(placement: Placement, inventory: Inventory) -> list[str]:
    """How many GPUs serve whom and how far that is from the fewest possible, then what that rests on."""
    placed = len({adapter for each in placement.assignments for adapter in each.adapters})
    everyone = placed == len(inventory)
    who = (
        f"all {counted(len(inventory), 'adapter')}"
        if everyone
        else f"{placed:,} of {counted(len(inventory), 'adapter')}"
    )
    verb = "serves" if placement.gpus == 1 else "serve"
    if _too_few(placement):
        verb = "cannot serve"
    lines = [f"{counted(placement.gpus, placement.unit)}{_each(placement)} {verb} {who}{_bound(placement)}"]
    if placement.interrupted:
        lines.append("interrupted: the best placement found by then")
    if len({each.gpu_type.price for each in placement.assignments}) > 1 or placement.price != placement.gpus:
        lines.append(f"price {placement.price:,.10g}")
    bases = (f"{each.gpu_type.pair.name}: {each.gpu_type.pair.basis}" for each in placement.assignments)
    return [*lines, *dict.fromkeys(bases), *_rests_on(placement)]


def _rests_on(placement: Placement) -> Iterator[str]:
    """How little the rates rest on, where they were counted from few requests; and what allows for that."""
    rates = placement.counted
    if rates is None or not rates.few:
        return
    fullest = max(placement.assignments, key=lambda each: each.load, default=None)
    load, then = 0.0 if fullest is None else rates.most * fullest.load, ""
    if fullest is not None and load:
        then = f"; with the most of it {placement.unit} {fullest.gpu} has a load of {load:.0%}"
    if load > 1:
        then = f"{then}, and a headroom of {math.ceil(100 * (rates.most - 1)) / 100:g} leaves room for that"
    yield f"{rates.told}{then}"


def _each(placement: Placement) -> str:
    """How many GPUs a server has, where it has several."""
    spans = placement.assignments[0].gpu_type.pair.gpus if placement.assignments else 1
    return "" if spans == 1 else f" of {spans} GPUs{' each' if placement.gpus > 1 else ''}"


def _bound(placement: Placement) -> str:
    if not placement.assignments:
        return ""
    if placement.optimal:
        return ": optimal, no placement of them needs fewer"
    if placement.gpus == placement.lower_bound and not any(each.missed for each in placement.assignments):
        return ", and no placement of them needs fewer"
    needed = f"; at least {placement.lower_bound:,} {'is' if placement.lower_bound == 1 else 'are'} needed"
    if _too_few(placement):
        return needed
    beyond = placement.gpus / max(placement.lower_bound, 1) - 1
    return f"{needed}: {beyond:.0%} above the fewest possible at most"


def _too_few(placement: Placement) -> bool:
    """Whether the adapters placed are more than so many GPUs serve, as pins and a fixed number of GPUs can make it."""
    return 0 < placement.gpus < placement.lower_bound and not placement.optimal


def _table(placement: Placement, inventory: Inventory, width: int, full: str, empty: str) -> str:
    """A line for each GPU, with as many and as long bars as there are columns for; else in parts, one below the other.

    What is held is at most what there is; a load of more than that is an overload.
    """
    tables = (_cells(placement, inventory, length, full, empty) for length in BARS)
    sizes = [(cells, _widths(cells)) for cells in tables]
    fitting = (each for each in sizes if sum(each[1]) + GAP * (len(each[1]) - 1) <= width)
    cells, widths = next(fitting, sizes[0])
    left = [name in WORDS for name in cells[0]]
    lines = (
        (" " * GAP).join(row[i].ljust(widths[i]) if left[i] else row[i].rjust(widths[i]) for i in part)
        for part in parts(widths, width, GAP)
        for row in cells
    )
    return "\n".join(map(str.rstrip, lines))


def _cells(placement: Placement, inventory: Inventory, length: int, full: str, empty: str) -> list[Row]:
    """The header, and a row for each GPU, with bars of so many characters."""
    several = len({each.gpu_type.pair.name for each in placement.assignments}) > 1
    header = [placement.unit, *(["type"] if several else []), "load", "slots", "KV", "adapters", "rank"]
    rows: list[Row] = [[*header, "tokens/s", "ITL ms", "TTFT ms"]]
    for each in placement.assignments:
        settings, expected = each.settings, each.expected
        filled = occupancy(each, inventory)
        rows.append(
            [
                f"{each.gpu}",
                *([each.gpu_type.pair.gpu] if several else []),
                _bar(filled.load, length, full, empty)
                + f"{filled.load:4.0%}"
                + (" overload" if filled.load > 1 else ""),
                _bar(filled.busy / settings.max_loras, length, full, empty)
                + f"{filled.busy:.0f}/{settings.max_loras:,}",
                _bar(filled.kv, length, full, empty) + ("full" if filled.kv > 1 else f"{filled.kv:4.0%}"),
                f"{len(each.adapters):,}",
                f"{settings.max_lora_rank}",
                f"{each.token_rate:,.0f}",
                "-" if expected.one_token else f"{expected.itl_ms:,.1f}",
                f"{expected.ttft_ms:,.0f}",
            ]
        )
    return rows


def _widths(cells: Sequence[Row]) -> list[int]:
    return [max(map(len, column)) for column in zip(*cells, strict=True)]


def _bar(share: float, length: int, full: str, empty: str) -> str:
    """A bar and a space behind it; nothing where it has no length."""
    if not length:
        return ""
    steps = len(EIGHTHS) + 1 if full == "█" else 1
    count = min(max(round(share * length * steps), 1 if share > 0.005 else 0), length * steps)
    drawn = full * (count // steps) + (EIGHTHS[count % steps - 1] if count % steps else "")
    return drawn.ljust(length, empty) + " "


def _unplaced(placement: Placement, inventory: Inventory) -> list[str]:
    by_reason = defaultdict[str, list[str]](list)
    for adapter, reason in placement.unplaced.items():
        by_reason[reason].append(inventory.names[adapter])
    reasons = sorted(by_reason.items(), key=lambda each: -len(each[1]))
    lines = [f"{listed(names)}: {reason}" for reason, names in reasons[:REASONS]]
    if more := sum(len(names) for _, names in reasons[REASONS:]):
        lines.append(f"and {counted(more, 'adapter')} more for other reasons")
    return lines


def _missed(placement: Placement) -> list[str]:
    return [f"{placement.unit} {each.gpu}: {'; '.join(each.missed)}" for each in placement.assignments if each.missed]


def _verified(placement: Placement) -> list[str]:
    verified = {each.gpu: each.verified for each in placement.assignments if each.verified is not None}
    if not verified:
        return []
    wrong = {gpu: measures["missed"] for gpu, measures in verified.items() if measures["missed"]}
    kept, hours = len(verified) - len(wrong), f"in each of {min(each['hours'] for each in verified.values()):,} hours"
    first = f"the {placement.unit} keeps the objective {hours}"
    if wrong or kept > 1:
        first = f"{counted(kept, placement.unit)} of {len(verified):,} keep the objective {hours}"
    return [first, *(_worst(f"{placement.unit} {gpu}", verified[gpu], missed) for gpu, missed in wrong.items())]


def _worst(gpu: str, measures: Mapping[str, Any], missed: Sequence[str]) -> str:
    """How often a GPU misses, and by what in the worst of these hours."""
    hours = measures["hours"]
    return f"{gpu} misses it in {hours - measures['held']:,} of {hours:,} hours, at worst: {'; '.join(missed)}"


def _with_more(placement: Placement) -> list[str]:
    return [
        f"{placement.unit} {gpu} with a tenth more traffic: {'; '.join(missed) if missed else 'holds'}"
        for gpu, missed in placement.with_more.items()
    ]


def _replicas(placement: Placement, inventory: Inventory) -> list[str]:
    shares = defaultdict[int, list[tuple[int, float]]](list)
    for each in placement.assignments:
        for adapter, share in each.weights.items():
            shares[adapter].append((each.gpu, share))
    unit = placement.unit
    return [
        f"{printable(inventory.names[adapter])}: " + ", ".join(f"{unit} {gpu} {share:.0%}" for gpu, share in on)
        for adapter, on in _first(shares)
    ]


def _base(placement: Placement) -> list[str]:
    """Where they go, or why nowhere."""
    if placement.base_refused is not None:
        return [f"served by none: {placement.base_refused}"]
    served, unit = [each for each in placement.assignments if each.base], placement.unit
    if placement.base is None or not served:
        return []
    if len(served) == 1:
        share, where = "all", f"the {unit}" if placement.gpus == 1 else _numbered(unit, [served[0].gpu])
    else:
        share, where = f"{served[0].base:.1%}", f"each of {_numbered(unit, (one.gpu for one in served))}"
        where = f"each {unit}" if len(served) == placement.gpus else where
    if placement.base is BaseGpus.OWN:
        where += ", which have no adapters" if len(served) > 1 else ", which has no adapters"
    return [f"{share} of them to {where}"]


def _standby(placement: Placement) -> list[str]:
    spares = [each for each in placement.assignments if each.standby or each.base_standby]
    return [f"{placement.unit} {each.gpu} {_taken_over(each, placement)}" for each in spares]


def _taken_over(spare: Assignment, placement: Placement) -> str:
    """Whom it stands by for; of whom it takes over some adapters, which others share, that is said apart."""
    unit, standby = placement.unit, set(spare.standby)
    others = [each for each in placement.assignments if each.gpu != spare.gpu]
    part = [each for each in others if not standby.issuperset(each.adapters)]
    whole = [each for each in others if each not in part and (each.adapters or (spare.base_standby and each.base))]
    told, of_whole = list[str](), {adapter for each in whole for adapter in each.adapters}
    if whole:
        gpus = _numbered(unit, (each.gpu for each in whole))
        told.append(f"stands by for {gpus}: {counted(len(of_whole), 'adapter')}")
    if some := [
        f"{len(standby.intersection(each.adapters)):,} of {counted(len(each.adapters), 'adapter')} of {unit} {each.gpu}"
        for each in part
        if not standby.isdisjoint(each.adapters)
    ]:
        told.append(f"takes over {listed(some)}")
    return ", and ".join(told)


def _changes(changes: Changes | None, inventory: Inventory, unit: str) -> list[str]:
    if changes is None:
        return []
    if not changes.steps:
        return ["nothing: all adapters stay where they are"]
    names = inventory.names
    lines = [
        f"{len(changes.moved):,} moved, {len(changes.added):,} added, {len(changes.removed):,} removed, "
        f"{changes.kept:,} stay; {counted(len(changes.restarted), 'server')} with other flags"
    ]
    if changes.spare:
        lines.append(f"a spare {unit} is needed meanwhile: {listed([names[each] for each in changes.detours])}")
    elif changes.detours:
        lines.append(f"by way of another {unit}: {listed([names[each] for each in changes.detours])}")
    if changes.paused:
        lines.append(f"served by nobody for a while: {listed([names[each] for each in changes.paused])}")
    if changes.overloaded:
        lines.append(f"overloaded before the first step: {_numbered(unit, changes.overloaded)}")
    if changes.forced:
        lines.append(f"overloaded on the way, there is no other: {_numbered(unit, changes.forced)}")
    if changes.routed_together:
        who = listed([names[each] for each in changes.routed_together])
        lines.append(f"route to new copies only once all of the adapter's are loaded, or the first get too much: {who}")
    number = len(str(len(changes.steps)))
    steps = list(_runs(changes.steps))
    lines += [f"{i + 1:>{number}}. {_step(run, inventory, unit)}" for i, run in enumerate(steps[:STEPS])]
    if len(steps) > STEPS:
        lines.append(f"and {len(steps) - STEPS:,} more: the JSON has them all")
    return lines


def _numbered(unit: str, numbers: Iterable[int]) -> str:
    return listed([f"{unit} {number}" for number in numbers])


def _runs(steps: Sequence[Step]) -> Iterable[list[Step]]:
    """Steps of a kind that follow each other."""
    return (list(run) for _, run in groupby(steps, key=lambda step: (step.what, step.source, step.gpu)))


def _step(run: Sequence[Step], inventory: Inventory, unit: str) -> str:
    first = run[0]
    who = listed([inventory.names[each.adapter] if each.adapter is not None else each.name or "" for each in run], 4)
    gpu, source = _called(first.gpu, unit), _called(first.source, unit)
    spare = "a spare GPU" if unit == "GPU" else "spare GPUs"
    if first.what == "move" and first.source is None:
        return f"load on {gpu} again: {who}"
    return {
        "start": f"start {gpu}",
        "stop": f"stop {gpu}",
        "route": f"send requests that name no adapter to {gpu} as well",
        "unroute": f"send no more requests that name no adapter to {gpu}",
        "restart": f"start {gpu} anew with its flags: beside the old server on {spare}, or with a pause",
        "add": f"load on {gpu}: {who}",
        "remove": f"unload from {gpu}: {who}",
        "move": f"load on {gpu}, route there, unload from {source}: {who}",
    }[first.what]


def _called(gpu: Place | None, unit: str) -> str:
    return f"the spare {unit}" if gpu == SPARE else f"{unit} {gpu}"


def _first(shares: Mapping[int, list[tuple[int, float]]]) -> Iterable[tuple[int, list[tuple[int, float]]]]:
    return sorted(shares.items())[:20]

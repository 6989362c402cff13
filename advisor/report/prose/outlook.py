"""What binds, and what would help, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from advisor.names import counted, few, listed
from advisor.recommend.answer.counted import Counted
from advisor.recommend.answer.outlook import Binding, InFlight, Lever, Resource
from advisor.recommend.answer.recommendation import CAREFUL, Admission, Recommendation

if TYPE_CHECKING:
    from advisor.recommend.what_if.growth import Growth

BINDS: dict[Resource, tuple[str, str]] = {
    "nothing": ("nothing", ""),
    "compute": ("compute", "steps take longer the more is in flight, until requests wait"),
    "kv_cache": ("KV cache", "the memory for tokens of requests in flight runs out"),
    "adapter_slots": ("adapter slots", "requests wait for one, and there can be no more of them"),
    "slot_rank": ("rank of the slots", "all become as large as the largest rank needs that is admitted"),
    "host_memory": ("host memory", "max_cpu_loras holds no more adapters"),
    "max_num_seqs": ("max_num_seqs", "no more requests are served at once"),
    "max_num_batched_tokens": ("max_num_batched_tokens", "no more tokens fit into a step, and prompts wait"),
    "certainty": ("how sure the models are", "more may well do, which the digital twin can tell"),
    "ttft_limit": ("limit of the TTFT", "first tokens would come later than the objective allows"),
    "itl_limit": ("limit of the ITL", "tokens would come slower than the objective allows"),
}
"""What each is called, and what it means."""
USED: dict[Resource, str] = {
    "kv_cache": "KV cache",
    "adapter_slots": "adapter slots",
    "max_num_seqs": "max_num_seqs",
    "max_num_batched_tokens": "max_num_batched_tokens",
}

WITH_TRAFFIC = " with traffic"
"""Which adapters are counted, where others are idle: of those any number costs host memory alone."""
ALWAYS: tuple[Resource, ...] = ("kv_cache", "adapter_slots")
WORTH_TELLING = 0.5
"""The share in use from which on the others are worth a word."""


def what_binds(recommendation: Recommendation) -> tuple[str, list[tuple[str, str]]]:
    """A title, and what there is to say of it by labels; nothing where nobody asked."""
    binding = recommendation.binding
    if binding is None:
        return "", []
    binds = binding.load >= 1 or bool(recommendation.admission.rejected)
    name, meaning = BINDS[binding.what]
    unit = recommendation.basis.unit
    lines = [("load", _load(binding, WITH_TRAFFIC if recommendation.admission.idle else ""))]
    if (rates := recommendation.counted) is not None and rates.few and (most := _if_most_comes(binding, rates, unit)):
        lines.append(("", most))
    if binds:
        lines.insert(0, ("that is", meaning))
    elif not binding.at_least:
        lines.append(
            ("would bind", f"{name}: {meaning} (at the limit {_in_use(binding.at_limit, binds=binding.what)})")
        )
    if binding.missed and binding.what != "slot_rank":
        lines.append((f"with {binding.beyond:,}", "; ".join(binding.missed)))
    if (unsure := binding.unsure_up_to) is not None:
        lines.append(("unsure", f"up to {unsure:,} adapters the models rather say yes"))
    now = binding.in_flight
    in_flight = f"{few(now.requests)} requests of {few(now.adapters)} adapters at any moment; {_in_use(now)}"
    waited_for = [USED[key] for key, share in now.shares.items() if key in USED and share > 1]
    yet = f"nothing yet{f', but requests wait for {listed(waited_for)}' if waited_for else ''}"
    title = f"What binds{end(recommendation)}: {name if binds else yet}"
    return title, [*lines, ("in flight", in_flight)]


def end(recommendation: Recommendation) -> str:
    """Of which server figures beside the expectation are, where nobody measured the pair."""
    return "" if recommendation.uncertainty is None else f" at {CAREFUL}"


def end_expected(recommendation: Recommendation) -> str:
    """The same of the expectation."""
    return "" if (known := recommendation.uncertainty) is None else f" of {known.expected_of}"


def rests_on(recommendation: Recommendation) -> str:
    """How little the rates rest on, where they were counted from few requests; else empty."""
    rates = recommendation.counted
    return "" if rates is None or not rates.few else rates.told


def _if_most_comes(binding: Binding, rates: Counted, unit: str) -> str:
    """How near the limit is with the most that may come; empty where nobody looked so far."""
    load, comes = rates.most * binding.load, f"if {rates.most:.2g} times as much comes"
    if load > 1:
        return "" if binding.at_least else f"{comes}, {load:.2g} times what one {unit} serves"
    return f"{comes}, {load:.0%} of the limit{' or less' if binding.at_least else ''}"


def idle(admission: Admission, in_host: int) -> str:
    """What adapters cost that are never asked, where host memory holds so many of all."""
    who = "all of them" if admission.idle == admission.adapters else f"{admission.idle:,} of them"
    slots = f", and every slot is of rank {admission.idle_slot_rank} for theirs" if admission.idle_slot_rank else ""
    only = "" if slots else " only"
    they, are = ("it", "is") if admission.idle == 1 else ("they", "are")
    cost = f"{they} take{'s' if admission.idle == 1 else ''} host memory{only}"
    if admission.adapters > in_host:  # those that are asked push out who is not
        kept = max(in_host - admission.asked, 0)
        there = f"host memory has room for {kept:,} of them, and" if kept else "host memory has no room for them:"
        cost = f"{there} {admission.idle - kept:,} stay{'s' if admission.idle - kept == 1 else ''} on disk"
    return f"{who} {are} never asked: {cost}{slots}"


def _load(binding: Binding, with_traffic: str) -> str:
    """How far away the limit is; `with_traffic` says which adapters count, where there are idle ones as well."""
    more = binding.adapters - binding.admitted
    if binding.at_least:
        room = f"room for {more:,} more of this mix{with_traffic}"
        return f"{binding.load:.0%} of the limit or less: {room}, and nobody looked further"
    room = f"room for {more:,} more" if more else "no room for more"
    most = f"{counted(binding.adapters, 'adapter')} of this mix{with_traffic}"
    return f"{binding.load:.0%} of the limit, {most}: {room}"


def _in_use(in_flight: InFlight, binds: Resource | None = None) -> str:
    """What is in use, where something `binds` that more slots would not help."""
    told = []
    for key, share in ((key, in_flight.shares[key]) for key in USED):
        if key == "adapter_slots" and in_flight.slot_each:
            told.append("a slot for each adapter")
        elif share > 1:
            others = binds not in (None, "nothing", "adapter_slots") and key == "adapter_slots"
            told.append(f"{USED[key]} full (requests wait{'; more slots would serve no more' if others else ''})")
        elif key in ALWAYS or share >= WORTH_TELLING:
            told.append(f"{USED[key]} {share:.0%}")
    return f"in use: {', '.join(told)}"


def takes(growth: Growth, recommendation: Recommendation) -> str:
    """The most adapters, whatever the slots."""
    more, of = "at least " if growth.at_most else "", WITH_TRAFFIC if recommendation.admission.idle else ""
    ends = (
        " Curves end with the first number that misses the objective: behind it requests queue up for all of an hour, "
    )
    known = f"{ends}and the models do not know how bad that is." if any(each.ended for each in growth.curves) else ""
    unit, full = recommendation.basis.unit, ", all that host memory holds" if growth.host_full else ""
    most = f"{more}{counted(growth.adapters, 'adapter')}{of}{full}"
    return f"Of this mix one {unit} takes {most}, with slots to match.{known}"


def effect(lever: Lever, recommendation: Recommendation) -> str:
    """What a lever changes: "75 more adapters (281), 29 ms per answer token instead of 55"."""
    parts, expected = [], recommendation.expected
    if lever.max_loras is not None:
        before = 0 if recommendation.settings is None else recommendation.settings.max_loras
        parts.append(f"{lever.max_loras - before:,} more slots")
    if lever.adapters is not None:
        total = f"all {lever.adapters:,}" if lever.everyone else f"{lever.adapters:,}"
        admission = recommendation.admission
        of = WITH_TRAFFIC if admission.idle and not admission.rejected else ""
        parts.append(f"{lever.more:,} more adapter{'' if lever.more == 1 else 's'} ({total}{of})")
    if lever.itl_ms is not None and expected is not None:
        of = end_expected(recommendation)
        parts.append(
            f"{lever.itl_ms:,.0f} ms per answer token instead of {expected.itl_ms:,.0f}{of and f' ({of.strip()})'}"
        )
    return ", ".join([*parts, *([lever.note] if lever.note else [])])

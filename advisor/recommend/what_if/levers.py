"""Levers: what would help most if it were otherwise. The models are asked of each, as they were of the answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from advisor.inventory.inventory import Inventory
from advisor.names import counted, printable
from advisor.recommend.answer.outlook import Lever
from advisor.recommend.answer.reasons import SlotsMemory
from advisor.recommend.answer.recommendation import Recommendation
from advisor.recommend.objective import MOST_TTFT_LIMIT_S, Objective, ObjectiveName
from advisor.recommend.recommend import recommend
from advisor.recommend.server.context import TOLERATED, covering_len, refused_share
from advisor.recommend.server.launched import refusal
from advisor.recommend.uncertainty import admitting
from advisor.recommend.what_if.mix import Mix
from advisor.zoo.pair import Pair
from twin.service_level import Limit, words
from twin.settings import LORA_RANKS, slot_rank
from twin.workload import Workload

MOST = 3
"""Levers that are told, beside what LoRA costs."""
MOST_REFUSED = 0.5
"""Of the requests, the share that vLLM may refuse of adapters that something is said to have served."""
WORTH = 0.02
"""A lever that brings a smaller share more is none: the models know an adapter in fifty no better."""
FASTER = 0.9
"""Times the ITL that there is, or less, is worth telling."""
LOOSER_TTFT, LOOSER_ITL = 1.5, 1.25
"""Times the limits that there are, as far as many a user would go."""
FULLER = 0.95
"""The share of the GPU's memory up to which vLLM is run in the wild."""
BATCH = ("max_num_seqs", "max_num_batched_tokens")
"""Limits of it, which may be twice as high where they bind."""
BUSY = 3.0
"""Times the mean load of an adapter is what makes one of them a lever."""
SAMPLE, SAMPLE_TIMES = 5_000, 2
"""Of more adapters than the first, and than so many times those that are admitted, some are asked about."""
SMALLEST_RANK = 8
"""Lower ranks are hardly trained."""


@dataclass(frozen=True, slots=True)
class Otherwise:
    """An inventory and an objective that differ in one thing."""

    change: str
    inventory: Inventory
    objective: Objective
    fewer: int = 0
    """Adapters that are left out by it."""
    lets_in: bool = False
    """Whether it may let in adapters of large ranks that are left out."""
    note: str = ""


def levers(inventory: Inventory, pair: Pair, objective: Objective, answer: Recommendation) -> tuple[Lever, ...]:
    """What would help most, the best first, at most `MOST`; and what LoRA costs, where that is much.

    `answer` is what is recommended as things are.
    """
    ask = (
        _room(pair, answer)
        if answer.feasible and not answer.admission.rejected
        else _admission(inventory, pair, answer)
    )
    found = [lever for each in _otherwise(inventory, pair, objective, answer) if (lever := ask(each)) is not None]
    best = [*_accepting(inventory, pair, answer), *sorted(found, key=lambda lever: -_worth(lever, answer))][:MOST]
    return tuple(best if (plain := _without_lora(answer)) is None else [*best, plain])


def _sample(inventory: Inventory, answer: Recommendation) -> frozenset[str] | None:
    """Of very many adapters those that are admitted and some that are not, in the mix that there is; None: all.

    Of a mix that one GPU serves a part of it does not matter how many more there are of it.
    """
    asked = np.flatnonzero(inventory.workload.rate > 0)
    size = max(SAMPLE, SAMPLE_TIMES * answer.admission.adapters)
    if len(asked) <= size:
        return None
    some = asked[np.linspace(0, len(asked) - 1, size).astype(np.int64)]  # of each kind about its share
    return frozenset(answer.admission.admitted) | {inventory.names[i] for i in some}


def _too_large(inventory: Inventory, answer: Recommendation) -> frozenset[str]:
    """Who is left out for a rank that is larger than the slots that are recommended."""
    if not answer.feasible or answer.settings is None:
        return frozenset()
    above = np.flatnonzero(inventory.workload.rank > answer.settings.max_lora_rank)
    return frozenset(inventory.names[i] for i in above)


def _worth(lever: Lever, answer: Recommendation) -> float:
    """By how much it is better: times the adapters, or tokens in the time of one, whatever is more."""
    expected, before = answer.expected, (lever.adapters or 0) - lever.more
    faster = expected.itl_ms / lever.itl_ms if expected is not None and lever.itl_ms else 1.0
    return max((lever.adapters or 0) / max(before, 1), faster if not answer.admission.rejected else 1.0)


def _accepting(inventory: Inventory, pair: Pair, answer: Recommendation) -> Iterator[Lever]:
    """What serves requests that are refused: it brings no adapters, and comes before all that does."""
    fixed, refused = (
        inventory.fixed.get("max_model_len"),
        0.0 if answer.expected is None else answer.expected.refused_share,
    )
    own = pair.profile.memory.max_model_len
    if fixed is not None and refused > TOLERATED and (longer := min(covering_len(inventory.mix), own)) > fixed:
        left = refused_share(inventory.mix, longer)
        note = f"{left:.1%} of the requests refused instead of {refused:.1%}, and so much more to serve"
        yield Lever(f"max_model_len {longer:,}, not fixed at {fixed:,.0f}", note=note)


def _without_lora(answer: Recommendation) -> Lever | None:
    plain, expected = answer.without_lora, answer.expected
    if plain is None or expected is None or plain.itl_ms > FASTER * expected.itl_ms:
        return None
    note = f"at most {plain.load_ratio:.2g} times the tokens/s"
    itl_ms = None if expected.one_token else plain.itl_ms
    return Lever("the same traffic without LoRA, all of it on the base model", itl_ms=itl_ms, note=note)


def _room(pair: Pair, answer: Recommendation) -> Callable[[Otherwise], Lever | None]:
    """Asks where everyone is served: how many more of the mix could be, and how fast those are that there are."""
    now = answer.binding.adapters if answer.binding is not None else answer.admission.adapters

    def ask(otherwise: Otherwise) -> Lever | None:
        mix = Mix(otherwise.inventory, admitting(pair, otherwise.inventory), otherwise.objective)
        worth = now - otherwise.fewer + max(math.ceil(WORTH * now), 1)
        more = 0
        if answer.binding is not None and not answer.binding.at_least and worth <= mix.most and not mix.misses(worth):
            more = mix.limit(worth)[0] - (now - otherwise.fewer)
        here = mix.configuration(len(mix))
        if here is None or answer.expected is None or answer.settings is None:
            return None
        measured = pair.profile.derivation is None  # else the mix is of the careful end, ITL of the middle
        faster = measured and not otherwise.fewer and here.expected.itl_ms <= FASTER * answer.expected.itl_ms
        faster = faster and not answer.expected.one_token
        slots = here.settings.max_loras
        if not more and not faster:
            return None
        return Lever(
            otherwise.change,
            adapters=now - otherwise.fewer + more if more else None,
            more=more,
            itl_ms=here.expected.itl_ms if faster else None,
            max_loras=slots if slots > answer.settings.max_loras and _memory_bound(answer) else None,
            note=otherwise.note,
        )

    return ask


def _admission(inventory: Inventory, pair: Pair, answer: Recommendation) -> Callable[[Otherwise], Lever | None]:
    """Asks where not everyone is served: how many of the inventory would be."""
    now, slots = answer.admission.adapters, 0 if answer.settings is None else answer.settings.max_loras
    sample, too_large = _sample(inventory, answer), _too_large(inventory, answer)

    def ask(otherwise: Otherwise) -> Lever | None:
        if sample is not None:
            otherwise = replace(otherwise, inventory=otherwise.inventory.only(sample))
        if too_large and not otherwise.lets_in:  # these stay out: no need to ask again whether they should
            names = frozenset(otherwise.inventory.names) - too_large
            otherwise = replace(otherwise, inventory=otherwise.inventory.only(names))
        if now and not otherwise.fewer and not otherwise.lets_in:  # these may bring in who is left out
            admitted = otherwise.inventory.only(answer.admission.admitted)
            mix = Mix(admitted, admitting(pair, otherwise.inventory), otherwise.objective)
            if mix.misses(len(mix) + max(math.ceil(WORTH * len(mix)), 1)):
                return None
        found = recommend(otherwise.inventory, pair, otherwise.objective)
        if found.expected is not None and found.expected.refused_share > MOST_REFUSED:
            return None
        adapters = found.admission.adapters
        everyone = adapters == len(inventory) - otherwise.fewer
        more = adapters - now
        if more < (1 if everyone else max(math.ceil(WORTH * now), 1)) or found.settings is None:
            return None
        freed = found.settings.max_loras if found.settings.max_loras > slots and _memory_bound(answer) else None
        return Lever(otherwise.change, adapters, more, max_loras=freed, everyone=everyone, note=otherwise.note)

    return ask


def _memory_bound(answer: Recommendation) -> bool:
    return any(isinstance(reason, SlotsMemory) for step in answer.trace for reason in step.reasons)


def _large_left_out(inventory: Inventory, answer: Recommendation) -> bool:
    """Whether adapters are left out that need larger slots, of which memory may hold too few beside a long request."""
    if not answer.feasible or not answer.admission.rejected:
        return False
    admission = answer.admission
    admitted, others = (inventory.only(names).workload.rank.max() for names in (admission.admitted, admission.rejected))
    return slot_rank(float(others)) > slot_rank(float(admitted))


def _otherwise(inventory: Inventory, pair: Pair, objective: Objective, answer: Recommendation) -> Iterator[Otherwise]:
    """Everything that is asked, one thing each."""
    yield from _settings(inventory, pair, objective, answer)
    yield from _limits(inventory, objective)
    yield from _ranks(inventory, objective)
    yield from _traffic(inventory, objective)


def _settings(inventory: Inventory, pair: Pair, objective: Objective, answer: Recommendation) -> Iterator[Otherwise]:
    for name, value in inventory.fixed.items():
        if name == "max_model_len" and answer.expected is not None and answer.expected.refused_share > TOLERATED:
            continue  # who is refused today would be served as well: that is told by itself
        if not refusal((without := unfixed(inventory, name)).fixed, pair.profile):  # others may hang on it
            yield Otherwise(f"{name} left open, not fixed at {value:g}", without, objective)
        elif name == "max_num_seqs" and value < (most := int(inventory.fixed.get("max_num_batched_tokens", 0))):
            yield Otherwise(
                f"{name} {most:,}, not fixed at {value:,g}", _fixed(inventory, max_num_seqs=most), objective
            )
    if answer.binding is not None and (binds := answer.binding.what) in BATCH and binds not in inventory.fixed:
        twice = 2 * int(getattr(answer.settings, binds))
        if not refusal((larger := _fixed(inventory, **{binds: twice})).fixed, pair.profile):
            yield Otherwise(f"--{binds.replace('_', '-')}={twice}", larger, objective)
    memory = pair.profile.memory
    left_out = _large_left_out(inventory, answer)
    tight = _memory_bound(answer) or left_out
    longest = answer.settings.max_model_len if answer.settings is not None else memory.max_model_len
    if tight and "max_model_len" not in inventory.fixed and (needed := covering_len(inventory.mix)) < longest:
        shorter = _fixed(inventory, max_model_len=needed)
        yield Otherwise(f"--max-model-len={needed}", shorter, objective, lets_in=left_out)
    taken = memory.gpu_memory_utilization
    kv_cache = answer.binding is not None and answer.binding.what in ("kv_cache", "adapter_slots")
    if (tight or kv_cache) and taken < FULLER and "gpu_memory_utilization" not in inventory.fixed:
        more = _fixed(inventory, gpu_memory_utilization=FULLER)
        note = "not trained: counted by the memory it adds"
        yield Otherwise(f"--gpu-memory-utilization={FULLER:g}", more, objective, note=note, lets_in=left_out)
    if (gib := inventory.host_memory_gib) is not None:
        roomier = replace(inventory, host_memory_gib=2 * gib)
        yield Otherwise(f"host memory of {2 * gib:g} GiB instead of {gib:g}", roomier, objective)
    if inventory.workload.shared_prefix is not None and not inventory.server.get("enable_prefix_caching", True):
        cached = replace(inventory, server={**inventory.server, "enable_prefix_caching": 1})
        yield Otherwise("prefix caching switched on", cached, objective)


def _limits(inventory: Inventory, objective: Objective) -> Iterator[Otherwise]:
    ttft, itl = objective.ttft_limit, objective.itl_limit
    if objective.name is not ObjectiveName.PUBLISHED and LOOSER_TTFT * ttft.seconds <= MOST_TTFT_LIMIT_S:
        looser = Limit(LOOSER_TTFT * ttft.seconds, ttft.statistic)
        change = f"a limit of {_time(looser)} for {_named(ttft, 'ttft')} instead of {_time(ttft)}"
        yield Otherwise(change, inventory, replace(objective, ttft_limit=looser))
    if itl is not None:
        looser = Limit(LOOSER_ITL * itl.seconds, itl.statistic)
        change = f"a limit of {_time(looser)} for {_named(itl, 'itl')} instead of {_time(itl)}"
        yield Otherwise(change, inventory, replace(objective, itl_limit=looser))


def _ranks(inventory: Inventory, objective: Objective) -> Iterator[Otherwise]:
    """The largest ranks as large as the next ones, or half as large where all are alike."""
    rank = inventory.workload.rank
    slots = np.array([slot_rank(each) for each in rank])
    largest = int(slots.max())
    others = slots[slots < largest]
    lower = int(others.max()) if len(others) else LORA_RANKS[max(LORA_RANKS.index(largest) - 1, 0)]
    if SMALLEST_RANK <= lower < largest and "max_lora_rank" not in inventory.fixed:
        who = _who(inventory, slots == largest)
        trained = replace(inventory, workload=replace(inventory.workload, rank=np.minimum(rank, float(lower))))
        yield Otherwise(f"{who} at rank {lower} instead of {int(rank.max())}", trained, objective, lets_in=True)


def _traffic(inventory: Inventory, objective: Objective) -> Iterator[Otherwise]:
    """Without the busiest adapter; and the longest answers half as long."""
    workload = inventory.workload
    load = workload.rate * (workload.input_mean + workload.output_mean)
    busiest = int(np.argmax(load))
    if len(load) > 1 and load[busiest] >= BUSY * load.mean() and (np.delete(workload.rate, busiest) > 0).any():
        others = inventory.take(np.delete(np.arange(len(load)), busiest))
        share = load[busiest] / load.sum()
        change = f"without {printable(inventory.names[busiest])}, which brings {share:.0%} of the tokens"
        yield Otherwise(change, others, objective, fewer=1)
    asked = workload.rate > 0
    mean = float(np.average(workload.output_mean, weights=workload.rate))
    longest = asked & (workload.output_mean > mean)
    halved = longest if longest.any() and workload.output_mean.max() > 1.5 * mean else asked
    whose = "answers" if halved is asked else f"answers of {_who(inventory, halved)}"
    shorter = replace(inventory, workload=_answers_halved(workload, halved))
    yield Otherwise(f"{whose} half as long", shorter, objective)


def _answers_halved(workload: Workload, whose: NDArray[np.bool_]) -> Workload:
    times = np.where(whose, 0.5, 1.0)
    return replace(
        workload,
        output_mean=np.maximum(workload.output_mean * times, 1.0),
        output_std=workload.output_std * times,
        output_quantiles=(),
        tables=(),
    )


def _who(inventory: Inventory, whose: NDArray[np.bool_]) -> str:
    count = int(whose.sum())
    return printable(inventory.names[int(np.argmax(whose))]) if count == 1 else counted(count, "adapter")


def _fixed(inventory: Inventory, **settings: float) -> Inventory:
    return replace(inventory, fixed={**inventory.fixed, **settings}, server={**inventory.server, **settings})


def unfixed(inventory: Inventory, name: str) -> Inventory:
    """The inventory with that setting left open."""
    fixed = {key: value for key, value in inventory.fixed.items() if key != name}
    server = {key: value for key, value in inventory.server.items() if key != name}
    return replace(inventory, fixed=fixed, server=server)


def _named(limit: Limit, time: str) -> str:
    return f"the mean {time.upper()}" if limit.is_mean else words(limit.measure(time))


def _time(limit: Limit) -> str:
    return f"{limit.seconds:.3g} s" if limit.seconds >= 1 else f"{1e3 * limit.seconds:.3g} ms"

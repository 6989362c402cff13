"""Further flags: what they would change, in numbers. The expectation is of a server without them, so they are told
beside the answer and are no part of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace

from advisor.derive.llm.modules import TOGETHER
from advisor.inventory.inventory import Inventory
from advisor.names import counted, few
from advisor.recommend.answer.counted import Counted
from advisor.recommend.answer.recommendation import Further
from advisor.recommend.choice.configuration import Configuration
from advisor.recommend.load import Load, load_of
from advisor.recommend.objective import Objective
from advisor.together import crowd
from advisor.zoo.pair import Pair
from twin.settings import Settings

SINCE = {"lora_target_modules": (0, 19), "specialize_active_lora": (0, 15)}
"""The first release of vLLM that has a flag."""
PACKED = {name: frozenset(TOGETHER[name]) for name in ("qkv_proj", "gate_up_proj")}
"""What vLLM multiplies at once, and so has slots for together."""
WORTH = 0.05
"""Of a step, or of a slot: less is not worth a word."""
BUDGETS = (0.25, 0.5, 2.0, 4.0)
"""Times the token budget of a step, what else it may be."""
DEVIATIONS = 4.0
"""More requests than usual are seldom in flight than by so many standard deviations."""


def further_flags(
    inventory: Inventory, pair: Pair, objective: Objective, configuration: Configuration, admitted: list[str]
) -> tuple[Further, ...]:
    """The flags that are worth a thought for a server with these settings."""
    mates = crowd(inventory.only(admitted)).mates
    load, rates = load_of(pair, configuration, mates), Counted.of_few(inventory.counted_requests)
    today = int(inventory.server.get("max_num_seqs", 0))
    found = [*_told(_token_budget(load, objective), rates), *_seats(load, rates, today)]
    found += _target_modules(inventory, pair, configuration.settings, admitted)
    found += _told(_specialised(load), rates)
    return tuple(each for each in found if _has(pair.vllm, each.flag))


def _told(flags: Iterator[Further], rates: Counted | None) -> Iterator[Further]:
    """Flags that take the traffic as known, with what that rests on where it is little."""
    for each in flags:
        few = "" if rates is None else f"; so far as {counted(rates.requests, 'request')} tell the traffic"
        yield replace(each, why=f"{each.why}{few}")


def _token_budget(load: Load, objective: Objective) -> Iterator[Further]:
    """ITL against TTFT: a step full of prompt tokens holds up whoever is answered, and ends a prompt the sooner."""
    budget, limit = load.settings.max_num_batched_tokens, objective.itl_limit
    prompt, at_once = max(load.long_prompt, load.group_tokens), load.group_tokens > load.long_prompt
    others = [round(budget * times) for times in BUDGETS]
    if prompt + load.running <= load.profile.step.graph_tokens or load.running >= others[0]:
        return
    times = {tokens: load.prefill_ms(prompt, tokens) for tokens in (*others, budget)}
    told = {tokens: f"{step:,.0f} ms and {whole:,.0f} ms" for tokens, (step, whole) in times.items()}
    differing = "; ".join(f"{tokens:,}: {told[tokens]}" for tokens in others if told[tokens] != told[budget])
    if not differing:
        return
    cached = " beyond the shared prefix" if load.values["prefix_share"] else ""
    waits = "all others wait" if load.one_token else "whoever is answered waits"
    whose = (
        f"prompts of {prompt:,.0f} tokens{cached} that come at the same moment make"
        if at_once
        else f"a prompt of {prompt:,.0f} tokens{cached}, as one in a hundred is, makes"
    )
    why = (
        f"{whose} steps of up to {times[budget][0]:,.0f} ms, which {waits} for, and take{'' if at_once else 's'} "
        f"{times[budget][1]:,.0f} ms; {differing}"
    )
    keep = [
        tokens
        for tokens in others
        if limit is not None and not limit.is_mean and tokens < budget and limit.kept_by(times[tokens][0])
    ]
    if keep and limit is not None and not limit.kept_by(times[budget][0]):
        seats = f" --max-num-seqs={keep[-1]}" if load.settings.max_num_seqs > keep[-1] else ""
        why = f"would keep steps with prompts in them within {1e3 * limit.seconds:g} ms: with {budget:,}, {why}"
        yield Further(f"--max-num-batched-tokens={keep[-1]}{seats}", why)
        return
    yield Further(f"--max-num-batched-tokens={budget}", why)


def _seats(load: Load, rates: Counted | None, today: int) -> Iterator[Further]:
    """A limit of the batch bounds the time of a step when more comes than is expected; or than few requests tell.

    The limit of today stays where it is large enough.
    """
    if load.one_token:
        return  # prompts fill steps by their tokens
    in_flight, bursts = load.in_flight, max(load.values["cv_mean"], 1.0)
    most = 1.0 if rates is None else rates.most
    group = 1.0 + load.mates
    peak = most * in_flight + max(DEVIATIONS * bursts * math.sqrt(most * in_flight * group), load.mates)
    seats = 2 ** math.ceil(math.log2(max(2 * peak, 16)))
    kept = seats <= today < load.settings.max_num_seqs
    seats = today if kept else seats
    if kept or seats < load.settings.max_num_seqs / 2:
        even = (
            ""
            if rates is None
            else f", even if {most:.2g} times as much comes as {counted(rates.requests, 'request')} tell"
        )
        all_let_in = f"with {load.settings.max_num_seqs:,} all are let in, and every answer slows down"
        yield Further(
            f"--max-num-seqs={seats}",
            f"{'enough as it is today: ' if kept else ''}"
            f"about {few(in_flight)} requests are in flight, seldom more than {math.ceil(peak):,}{even}: if more come "
            "than expected, they then wait, and a step without prompts takes no more than "
            f"{load.step_ms(seats, seats):,.0f} ms; {all_let_in}",
        )


def _target_modules(inventory: Inventory, pair: Pair, settings: Settings, admitted: list[str]) -> Iterator[Further]:
    """Slots for the modules alone that adapters touch."""
    touched = [inventory.target_modules.get(name) for name in admitted]
    modules = frozenset[str]().union(*(each for each in touched if each is not None))
    if pair.shape is None:
        return
    linears = pair.shape.linears
    if None in touched or not modules <= {each.name for each in linears}:
        return  # of some it is not known, or embeddings are among them
    packed = {name: parts for name, parts in PACKED.items() if parts & modules}
    needed = modules.union(*packed.values())
    sides = {each.name: each.inputs + each.outputs for each in linears}
    share = sum(sides[name] for name in needed) / sum(sides.values())
    if share > 1 - WORTH:
        return
    flag = f"--lora-target-modules {' '.join(sorted({*modules, *packed}))}"
    memory = pair.profile.memory
    freed = (1 - share) * memory.kv_tokens_per_slot_rank * settings.max_loras * settings.max_lora_rank
    yield Further(
        flag,
        f"no adapter touches other modules: slots take about {share:.0%} of their memory, which leaves {freed:,.0f} "
        "tokens more for the KV cache, and steps have fewer kernels",
    )


def _specialised(load: Load) -> Iterator[Further]:
    """Kernels for the adapters of a step alone, not for all slots."""
    tokens = load.running + load.values["rate"] * load.values["input_mean"] * load.itl_ms / 1e3
    whole = load.step_ms(tokens, load.running)
    saved = whole - load.step_ms(tokens, load.running, max(load.active, 1.0))
    if saved > WORTH * whole:
        yield Further(
            "--specialize-active-lora",
            f"launches kernels for the adapters of a step, about {load.active:,.0f}, not for all "
            f"{load.settings.max_loras:,} slots: steps of {whole:,.1f} ms may be {saved:,.1f} ms shorter; the start "
            "takes longer, and CUDA graphs more memory",
        )


def _has(vllm: str, flag: str) -> bool:
    """Whether a vLLM of this version has a flag; one that nobody names here is older than all that are known."""
    (name,) = re.findall(r"^--([\w-]+)", flag)
    return tuple(map(int, re.findall(r"\d+", vllm)[:2])) >= SINCE.get(name.replace("-", "_"), (0, 0))

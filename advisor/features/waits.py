"""What requests wait for on a server in equilibrium: a slot, room in the KV cache, a seat in the batch, prompts.

Each is a queue of its own. Slots, room and seats are servers of which there are many, each taken for as long as an
adapter is in flight or an answer is written; prompts are computed one by one. Bursts make more of them taken at a time,
by as much as within that time they come together (`presence.peakedness`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from advisor.features import queueing
from advisor.features.estimate import State
from advisor.features.queueing import piled_up, wait_time
from advisor.features.served_mix import ServedMix

LEAST_DEVIATION = 0.3
"""Adapters in flight by which chance moves a server at least: they are whole ones."""


def waits(
    values: Mapping[str, float], served: ServedMix, state: State, *, slots: int, kv_tokens: float
) -> dict[str, float]:
    """The features `slot_wait`, `kv_wait`, `seat_wait` and `prompt_wait`, s on average over an hour, of a server in
    that state with so many slots and a KV cache of so many tokens; `values` are those that do not depend on the slots.
    """
    active, answer_s = state.active_adapters, values["output_mean"] * state.step_ms / 1e3
    # Long answers: the hour begins with none, and ends before as many run as would in the end.
    running = values["rate"] * answer_s * -math.expm1(-queueing.HOUR_S / answer_s)
    seats, room, uneven = float(served.profile.serving.max_num_seqs), *_room(values, served, active, kv_tokens)
    in_seats, in_room = (running * (state.peakedness + more) for more in (0.0, uneven))
    prompts = values["prompt_load"]
    return {
        "slot_wait": 0.0 if slots >= len(served.mix) else _for_slots(served, state, slots, answer_s),
        "kv_wait": wait_time(room, running, in_room, answer_s / room),
        "seat_wait": wait_time(seats, running, in_seats, answer_s / seats),
        "prompt_wait": float(piled_up(2.0 * (prompts * values["prompt_residual"] + values["burst_time"]), prompts)),
    }


def _for_slots(served: ServedMix, state: State, slots: int, answer_s: float) -> float:
    """Of the adapters none waits twice: who has a slot answers all that has come, and is asked again only later.

    So they wait as machines do for repair, one of `slots` that takes as long as an answer: no longer than the others
    take that are asked meanwhile. Adapters asked unevenly are as few alike ones as have as uneven rates.
    """
    each_s = answer_s / slots
    between_s = served.alike / (served.rate * len(served.mix))
    by_turns = max(served.alike * each_s - between_s - answer_s, 0.0)
    by_chance = wait_time(slots, state.active_adapters, state.deviation**2, each_s)
    most = max(state.deviation, LEAST_DEVIATION) * each_s
    return by_turns + by_chance * most / max(by_chance + most, 1e-300)


def _room(values: Mapping[str, float], served: ServedMix, active: float, kv_tokens: float) -> tuple[float, float]:
    """Requests that the KV cache holds beside what their prompts begin alike with, and the variance over mean that
    their sizes add to that of their number; no size is beyond the longest sequence.
    """
    shared, longest = served.shared, served.profile.memory.max_model_len
    held = max(served.request_tokens - shared, 1.0)
    prompts, answers = (values[f"{each}_mean"] * values[f"{each}_spread"] for each in ("input", "output"))
    most = max(longest / held - 1.0, 0.0) / 2
    return max((kv_tokens - active * shared) / held, 1.0), min((prompts**2 + (answers / 2) ** 2) / held**2, most)

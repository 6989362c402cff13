"""What binds: what keeps one GPU from serving more of a mix, and how far away that is."""

from __future__ import annotations

import math
from dataclasses import replace

from advisor.features.presence import mean_in_flight
from advisor.features.tokens import held_tokens, shared_tokens
from advisor.recommend.answer.outlook import Binding, InFlight, Resource
from advisor.recommend.choice.configuration import Configuration
from advisor.recommend.objective import BEST_GUESS, Objective
from advisor.recommend.what_if.mix import MOST_TIMES, Mix
from twin.profile import Profile
from twin.workload import Workload

SPREADS = 3.0
"""Standard deviations of the requests in flight (Poisson) that chance now and then adds to their mean."""
TIGHT = 0.8
"""Of what there is, the share in use on average from which on it counts as what runs out: requests come unevenly, so
that at times all of it is in use."""
HALF = 0.5
"""Of the seats, a smaller share in use on average does not run out where the models know twice as many."""
UNSURE = 1.1
"""So many times the adapters that are recommended and more are a best guess where certainty binds."""


def binding(mix: Mix, profile: Profile) -> Binding | None:
    """What binds as adapters are added to a mix that is served; None where it is not."""
    admitted = len(mix)
    limit, beyond = mix.limit(admitted)
    if limit < admitted:
        return None
    here, there = mix.configuration(admitted), mix.configuration(limit)
    if here is None or there is None:
        return None
    at_least, no_more = limit == mix.most, limit == mix.most and mix.most < MOST_TIMES * len(mix)
    at_limit = in_flight(mix.some(limit), there, profile)
    what, unsure_up_to = _runs_out(mix, limit, beyond, at_limit) if not at_least else ("nothing", None)
    return Binding(
        what="host_memory" if no_more else what,
        adapters=limit,
        at_least=at_least and not no_more,
        admitted=admitted,
        load=mix.some(admitted).offered_tok_s / mix.some(limit).offered_tok_s,
        beyond=beyond,
        missed=tuple(mix.misses(beyond)) if beyond else (),
        in_flight=in_flight(mix.some(admitted), here, profile),
        at_limit=at_limit,
        slot_tokens=profile.memory.kv_tokens_per_slot_rank * there.settings.max_lora_rank
        + profile.memory.kv_tokens_per_slot,
        unsure_up_to=unsure_up_to,
    )


def in_flight(workload: Workload, configuration: Configuration, profile: Profile) -> InFlight:
    """What is in flight of this traffic, by Little's law: what arrives until an answer is complete, of which what
    arrives while it is written is in the batch."""
    settings, expected, traffic = configuration.settings, configuration.expected, workload.traffic
    step_s, first_s, rate = expected.itl_ms / 1e3, expected.ttft_ms / 1e3, float(traffic.rate.sum())
    running = float(traffic.rate @ traffic.output_mean) * step_s
    wanting = mean_in_flight(workload, first_s, step_s)
    adapters = min(wanting, float(settings.max_loras))
    shared = shared_tokens(traffic, profile.memory.block_size)
    held = running * (held_tokens(traffic) - shared) + adapters * shared
    batched = running + float(traffic.rate @ traffic.input_mean) * step_s - rate * shared * step_s
    return InFlight(
        rate * first_s + running - rate * step_s,
        wanting,
        {
            "kv_cache": held / max(expected.kv_capacity_tokens, 1),
            "adapter_slots": wanting / settings.max_loras,
            "max_num_seqs": running / settings.max_num_seqs,
            "max_num_batched_tokens": batched / settings.max_num_batched_tokens,
        },
        slot_each=settings.max_loras >= len(workload),
    )


def _runs_out(mix: Mix, limit: int, beyond: int, at_limit: InFlight) -> tuple[Resource, int | None]:
    """What runs out at the limit; and up to where the models would guess that nothing does, where they are unsure."""
    here, there = mix.configuration(limit), mix.configuration(beyond)
    fullest = _fullest(at_limit, slots="max_loras" in mix.fixed or (here is not None and here.memory_bound))
    what: Resource = "compute"
    unsure_up_to = None
    if there is None:
        what = "kv_cache"
    elif there.expected.shortages:
        what = fullest
    elif there.expected.likely:
        late = any(name.startswith("ttft") for name in mix.objective.beyond(there.expected))
        what = "ttft_limit" if late else "itl_limit"
    elif at_limit.shares[fullest] >= TIGHT or (fullest == "max_num_seqs" and _seats_fill(at_limit, here)):
        what = fullest
    elif here is not None and here.memory_bound:  # fewer slots than the rules would have
        what = "adapter_slots"
    elif "max_num_seqs" not in mix.fixed and _larger_batch_bears(mix, limit, at_limit, here):
        what = "max_num_seqs"
    elif (unsure_up_to := _guessed(mix, limit)) is not None:
        what = "certainty"
    return what, unsure_up_to


def _seats_fill(at_limit: InFlight, here: Configuration | None) -> bool:
    """Whether chance alone fills the seats of a batch, as it does where they are few."""
    if here is None:
        return False
    seats = here.settings.max_num_seqs
    running = at_limit.shares["max_num_seqs"] * seats
    return running + SPREADS * math.sqrt(running) >= seats


def _larger_batch_bears(mix: Mix, limit: int, at_limit: InFlight, here: Configuration | None) -> bool:
    """Whether with twice the seats one GPU serves more than the models are unsure of: what is in flight on average says
    little of how many come at once.
    """
    if here is None or at_limit.shares["max_num_seqs"] < HALF:
        return False
    twice = 2 * here.settings.max_num_seqs
    return twice <= here.settings.max_num_batched_tokens and mix.bears(math.ceil(UNSURE * limit), max_num_seqs=twice)


def _fullest(at_limit: InFlight, *, slots: bool) -> Resource:
    """Of what there is a limit of, what is used most; slots only where there cannot be more of them."""
    shares = {name: share for name, share in at_limit.shares.items() if slots or name != "adapter_slots"}
    return max(shares, key=shares.__getitem__)


def _guessed(mix: Mix, limit: int) -> int | None:
    """Much more adapters than the limit, for which the models rather hold that the objective is kept; None if there
    are none."""

    def kept(size: int) -> bool:
        found = mix.configuration(size)
        return found is not None and not _best_guess(mix.objective, found)

    size = math.ceil(UNSURE * limit)
    if not kept(size):
        return None
    while size < mix.most and kept(more := min(math.ceil(UNSURE * size), mix.most)):
        size = more
    return size


def _best_guess(objective: Objective, found: Configuration) -> list[str]:
    """What a configuration misses if a chance of a half is enough."""
    required = min(found.expected.required_chance, BEST_GUESS)
    return objective.misses(replace(found.expected, required_chance=required))

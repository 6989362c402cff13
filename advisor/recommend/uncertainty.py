"""Recommendations for pairs that nobody measured: what nine of ten servers bear is admitted, the middle is expected."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from advisor import together
from advisor.derive.uncertainty import MEMORY, cautious, extremes, interval, moved
from advisor.features.estimate import estimate
from advisor.features.served_mix import ServedMix
from advisor.inventory.inventory import Inventory
from advisor.names import counted
from advisor.recommend.answer.recommendation import CAREFUL, MIDDLE, Recommendation, Uncertainty
from advisor.recommend.choice.configuration import Configurator, DoesNotFitError
from advisor.recommend.objective import Expectation, Objective
from advisor.recommend.server.context import settle_context
from advisor.recommend.server.launched import with_settings
from advisor.recommend.server.lora_cost import without_lora
from advisor.zoo.pair import Pair
from twin.profile import Profile
from twin.settings import Settings
from twin.workload import Workload


@dataclass(frozen=True, slots=True)
class Caution:
    """A pair as it is asked for what to admit."""

    pair: Pair
    decisive: str
    """What matters most of what is not known for sure."""
    measured_by: str
    """What would tell it."""


def cautious_pair(pair: Pair, inventory: Inventory) -> Caution:
    """The pair with the Profile that nine of ten servers do no worse than with this mix."""
    mix = inventory.mix
    asked = mix.take((mix.rate > 0).nonzero()[0])
    limit = settle_context(mix, pair.profile, inventory.server, inventory.fixed).max_model_len

    def served(profile: Profile) -> float:
        return math.log(
            max(estimate(ServedMix(asked, with_settings(profile, {"max_model_len": limit}))).max_adapters, 1e-9)
        )

    found = cautious(pair.profile, served)
    return Caution(replace(pair, profile=found.profile), found.decisive.name, found.decisive.measured_by)


def careful(pair: Pair, inventory: Inventory) -> Pair:
    """The pair as adapters are placed by it: of one that nobody measured, what nine of ten servers do no worse than."""
    notes = list(pair.notes)
    if pair.gpus > 1:
        notes.append(
            f"a server spans {pair.gpus} GPUs, and servers are what is counted and given here; in the inventory "
            "price, at_most and gpu are of servers, too"
        )
    if pair.profile.derivation is None or not (inventory.mix.rate > 0).any():
        return replace(pair, notes=tuple(notes))
    caution = cautious_pair(pair, inventory)
    notes.append(
        f"nobody measured {pair.name}: placed and expected is what nine of ten such servers bear; least known is "
        f"{caution.decisive}, told by {caution.measured_by}"
    )
    return replace(caution.pair, notes=tuple(notes))


def hedged(
    inventory: Inventory,
    pair: Pair,
    objective: Objective,
    recommend: Callable[[Inventory, Pair, Objective], Recommendation],
) -> Recommendation:
    """What `recommend` says of the careful Profile, with what is expected of the middle one, and how far that is off.

    Raises:
        InputError: as `recommend`.
    """
    caution = cautious_pair(pair, inventory)
    answer = recommend(inventory, caution.pair, objective)
    everyone = answer.admission.adapters == answer.admission.of
    hopeful = answer if everyone else recommend(inventory, pair, objective)
    up_to = max(hopeful.admission.adapters, answer.admission.adapters)
    uncertainty = Uncertainty(up_to, caution.decisive, caution.measured_by)
    if answer.settings is None:
        reason = f"at {CAREFUL} of what is known of this pair, {answer.reason}"
        if hopeful.settings is not None:
            reason += f"; by {MIDDLE} {counted(up_to, 'adapter')} would be served"
        return replace(answer, reason=reason, uncertainty=uncertainty)
    asked = settle_context(inventory.mix, caution.pair.profile, inventory.server, inventory.fixed).max_model_len
    admitted = inventory.only(answer.admission.admitted)
    configurator_of = partial(_configurator, answer.settings, admitted, objective, asked)
    served, middle = _expectation(answer, admitted, configurator_of(pair))
    assert answer.expected is not None
    if middle is None:  # the middle bears whatever the careful one bears; but models are no law
        return replace(answer, uncertainty=uncertainty)
    ranges = _ranges(answer, served, middle, pair, configurator_of)
    return replace(
        answer,
        expected=replace(middle, refused_share=answer.expected.refused_share),
        steady=answer.steady,
        without_lora=without_lora(served, pair.profile, answer.settings),
        uncertainty=replace(uncertainty, ranges=ranges),
    )


def _expectation(
    answer: Recommendation, admitted: Inventory, configurator: Configurator
) -> tuple[Workload, Expectation | None]:
    """The traffic of the admitted adapters, and what is expected of it under the settings of the answer."""
    assert answer.settings is not None
    mix = admitted.mix
    served = mix.take((mix.rate > 0).nonzero()[0])
    try:
        return served, configurator.expect(served, answer.settings.max_loras)
    except DoesNotFitError:
        return served, None


def _configurator(
    settings: Settings, admitted: Inventory, objective: Objective, max_model_len: int, pair: Pair
) -> Configurator:
    """Asks the models of a pair under these settings, with the longest sequence that they were chosen beside."""
    fixed = {
        "max_lora_rank": settings.max_lora_rank,
        "max_model_len": max_model_len,
        "gpu_memory_utilization": settings.gpu_memory_utilization,
        "max_num_seqs": settings.max_num_seqs,
        "max_num_batched_tokens": settings.max_num_batched_tokens,
    }
    crowd = together.crowd(admitted)
    return Configurator(pair, objective, fixed, together=lambda _: crowd)


def _ranges(
    answer: Recommendation,
    served: Workload,
    middle: Expectation,
    pair: Pair,
    configurator_of: Callable[[Pair], Configurator],
) -> dict[str, tuple[float, float]]:
    """Lowest and highest likely ITL, TTFT and size of the KV cache."""
    assert answer.settings is not None
    settings = answer.settings

    def expected(profile: Profile) -> Expectation:
        configurator = configurator_of(replace(pair, profile=profile))
        return configurator.expect(served, settings.max_loras)

    def capacity(way: float) -> int:
        memory = moved(pair.profile, {MEMORY: way}).memory
        slots, rank = settings.max_loras, settings.max_lora_rank
        return memory.kv_capacity_tokens(slots, rank, settings.gpu_memory_utilization)

    ends = [(expected(best), expected(worst)) for best, worst in extremes(pair.profile)]
    return {
        "itl_ms": interval(middle.itl_ms, [(best.itl_ms, worst.itl_ms) for best, worst in ends]),
        "ttft_ms": interval(middle.ttft_ms, [(best.ttft_ms, worst.ttft_ms) for best, worst in ends]),
        "kv_capacity_tokens": (capacity(1.0), capacity(-1.0)),
    }

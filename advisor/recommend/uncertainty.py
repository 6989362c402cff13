"""Recommendations for pairs that nobody measured: what nine of ten servers bear is admitted, the middle is expected."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from advisor import together
from advisor.derive.uncertainty import MEMORY, cautious, extremes, interval, moved
from advisor.features.estimate import estimate
from advisor.features.served_mix import ServedMix
from advisor.inventory.inventory import Inventory
from advisor.names import counted
from advisor.recommend.answer.recommendation import CAREFUL, MIDDLE, Recommendation, Uncertainty
from advisor.recommend.choice.configuration import Configurator, DoesNotFitError
from advisor.recommend.objective import Expectation, Objective
from advisor.recommend.server.context import accepted, settle_context
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
    asked = _asked(inventory)
    limit = settle_context(inventory.mix, pair.profile, inventory.server, inventory.fixed).max_model_len

    def served(profile: Profile) -> float:
        return math.log(
            max(estimate(ServedMix(asked, with_settings(profile, {"max_model_len": limit}))).max_adapters, 1e-9)
        )

    found = cautious(pair.profile, served)
    return Caution(replace(pair, profile=found.profile), found.decisive.name, found.decisive.measured_by)


def admitting(pair: Pair, inventory: Inventory) -> Pair:
    """The pair by which adapters are admitted: of one that nobody measured that of the careful end."""
    return pair if pair.profile.derivation is None else careful(pair, inventory)


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


Expecting = Callable[[Recommendation, Inventory, Objective, int], Callable[[Pair], Expectation]]
"""Of an answer, the inventory of those whom it admits, an objective, and the longest sequence that was asked for: what
serving them is like under its settings on the server of a pair."""


def by_models(
    answer: Recommendation, admitted: Inventory, objective: Objective, longest: int
) -> Callable[[Pair], Expectation]:
    """What the models expect; that raises a `DoesNotFitError` where the server does not start."""
    assert answer.settings is not None
    settings, served, crowd = answer.settings, _served(admitted, answer.settings), together.crowd(admitted)
    fixed = {
        "max_lora_rank": settings.max_lora_rank,
        "max_model_len": longest,
        "gpu_memory_utilization": settings.gpu_memory_utilization,
        "max_num_seqs": settings.max_num_seqs,
        "max_num_batched_tokens": settings.max_num_batched_tokens,
    }

    def expected(pair: Pair) -> Expectation:
        configurator = Configurator(pair, objective, fixed, together=lambda _: crowd)
        return configurator.expect(served, settings.max_loras)

    return expected


def hedged(
    inventory: Inventory,
    pair: Pair,
    objective: Objective,
    recommend: Callable[[Inventory, Pair, Objective], Recommendation],
    expecting: Expecting = by_models,
) -> Recommendation:
    """What `recommend` says of the careful Profile, with what is expected of the middle one, and how far that is off.

    Raises:
        InputError: as `recommend`.
    """
    caution = cautious_pair(pair, inventory)
    answer = recommend(inventory, caution.pair, objective)
    interrupted = answer.exact is not None and answer.exact.interrupted
    everyone = answer.admission.adapters == answer.admission.of
    hopeful = answer if everyone or interrupted else recommend(inventory, pair, objective)
    up_to = max(hopeful.admission.adapters, answer.admission.adapters)
    uncertainty = Uncertainty(up_to, caution.decisive, caution.measured_by)
    if answer.settings is None:
        reason = f"at {CAREFUL} of what is known of this pair, {answer.reason}"
        if hopeful.settings is not None:
            reason += f"; by {MIDDLE} {counted(up_to, 'adapter')} would be served"
        return replace(answer, reason=reason, uncertainty=uncertainty)
    if interrupted:
        return replace(answer, uncertainty=uncertainty)
    longest = settle_context(inventory.mix, caution.pair.profile, inventory.server, inventory.fixed).max_model_len
    admitted = inventory.only(answer.admission.admitted)
    expected = expecting(answer, admitted, objective, longest)
    assert answer.expected is not None
    try:
        middle = expected(pair)
    except DoesNotFitError:  # the middle bears whatever the careful one bears; but models are no law
        return replace(answer, uncertainty=uncertainty)
    return replace(
        answer,
        expected=replace(middle, refused_share=answer.expected.refused_share),
        steady=answer.steady,
        without_lora=without_lora(_served(admitted, answer.settings), pair.profile, answer.settings),
        uncertainty=replace(uncertainty, ranges=_ranges(answer.settings, middle, pair, expected)),
    )


def _asked(inventory: Inventory) -> Workload:
    """The traffic of those that are asked at times."""
    mix = inventory.mix
    return mix.take((mix.rate > 0).nonzero()[0])


def _served(admitted: Inventory, settings: Settings) -> Workload:
    """The same without the requests that vLLM refuses under these settings."""
    asked = _asked(admitted)
    return accepted(asked, settings.max_model_len) or asked


def _ranges(
    settings: Settings, middle: Expectation, pair: Pair, expected: Callable[[Pair], Expectation]
) -> dict[str, tuple[float, float]]:
    """Lowest and highest likely ITL, TTFT and size of the KV cache."""

    def capacity(way: float) -> int:
        memory = moved(pair.profile, {MEMORY: way}).memory
        return memory.kv_capacity_tokens(settings.max_loras, settings.max_lora_rank, settings.gpu_memory_utilization)

    ends = [
        (expected(replace(pair, profile=best)), expected(replace(pair, profile=worst)))
        for best, worst in extremes(pair.profile)
    ]
    return {
        "itl_ms": interval(middle.itl_ms, [(best.itl_ms, worst.itl_ms) for best, worst in ends]),
        "ttft_ms": interval(middle.ttft_ms, [(best.ttft_ms, worst.ttft_ms) for best, worst in ends]),
        "kv_capacity_tokens": (capacity(1.0), capacity(-1.0)),
    }

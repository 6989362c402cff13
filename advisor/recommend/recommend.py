"""From an inventory to a recommendation: how many adapters, which, under which flags, and why."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from advisor.features.vector import ESTIMATES, MIX_FEATURES, SERVING_FEATURES, UNITS, measure
from advisor.inventory.inventory import Inventory
from advisor.recommend.configuration import Configuration, Configurator, DoesNotFitError
from advisor.recommend.objective import Objective
from advisor.recommend.recommendation import Admission, Change, Recommendation, Step
from advisor.recommend.subset import Positions, order, spread
from advisor.zoo.pairs import Pair
from advisor.zoo.tree import load_tree
from twin.arrivals import mean_scale
from twin.workload import Workload


@dataclass(frozen=True, slots=True)
class Choice:
    """How many adapters of a mix to admit and how to serve them; or why none."""

    size: int
    """0 where nothing is feasible."""
    configuration: Configuration | None
    trace: tuple[Step, ...]
    """The steps that led to the size."""
    values: Mapping[str, float]
    """The features of all the adapters that there are."""
    reason: str | None = None
    """Why nothing is feasible."""


def recommend(inventory: Inventory, pair: Pair, objective: Objective) -> Recommendation:
    """Flags, admission, expectation and the rules behind them, all of the same set, from the shipped models alone.

    Raises:
        InputError: a shipped file is missing or altered.
    """
    ordered = order(inventory)
    chosen = choose(
        pair,
        objective,
        lambda size: inventory.mix.take(spread(ordered, size)),
        len(inventory),
        max_model_len=int(inventory.server.get("max_model_len", 0)) or None,
    )
    warnings = _extrapolations(pair, chosen.values, MIX_FEATURES) + _not_learned(inventory.workload)
    if chosen.configuration is None:
        return _refusal(inventory, pair, chosen, warnings)
    if chosen.size < len(inventory) and chosen.size == pair.manifest.max_adapters:
        warnings.append(f"no more than {chosen.size} adapters were simulated for this pair, so no more are admitted")
    settings, expected = chosen.configuration.settings, chosen.configuration.expected
    flags = settings.flags(pair.profile.memory.max_model_len)
    adapters = spread(ordered, chosen.size)
    further = [name for name in SERVING_FEATURES if name not in MIX_FEATURES]
    warnings += _extrapolations(pair, chosen.configuration.values, further)
    if chosen.configuration.memory_bound:
        warnings.append(
            f"memory allows only {settings.max_loras} adapter slots: the KV cache must hold one request of "
            "max_model_len tokens; a smaller max_model_len in [server] that still covers your requests allows more"
        )
    return Recommendation(
        basis=pair.basis,
        settings=settings,
        flags=flags,
        admission=_admission(inventory, adapters),
        expected=expected,
        steady=objective.steady(expected),
        trace=(*chosen.trace, *chosen.configuration.trace),
        warnings=tuple(warnings),
        changes=_changes(inventory, flags),
    )


def choose(
    pair: Pair, objective: Objective, subset: Callable[[int], Workload], of: int, *, max_model_len: int | None = None
) -> Choice:
    """The most adapters out of `of` that one GPU serves, with their configuration.

    `subset` gives so many of the adapters. The rules say where to begin; from there the size goes up or down to the
    most adapters for which the models expect the objective to be kept.
    """
    values = measure(subset(of), pair.profile, ttft_limit_s=objective.ttft_limit_s)
    trace = _admission_limit(pair, objective, values)
    limit, most = int(trace[-1].result), min(of, pair.manifest.max_adapters)
    configurator = Configurator(pair, objective, max_model_len)

    def misses(size: int) -> list[str]:
        found[size] = configurator.configure(subset(size))
        return objective.misses(found[size].expected)

    found: dict[int, Configuration] = {}
    size = max(min(most, limit), 1)
    try:
        first = misses(size)
        size, one_more = _largest(size, most, misses, first)
    except DoesNotFitError as error:
        return Choice(0, None, (*trace, *error.trace), values, str(error))
    if size < 1:
        reason = f"not even one adapter meets the objective {objective.name}: with 1, {one_more[0]}"
        if limit < 1:
            each = values["token_rate_mean"]
            reason = f"one adapter of this mix brings {each:.1f} tokens/s, more than one GPU serves: {one_more[0]}"
        return Choice(0, None, tuple(trace), values, reason)
    if one_more or size > limit:
        rule = f"with {size + 1}: {'; '.join(one_more)}" if one_more else f"with {size}: objective met"
        trace.append(Step("admission_limit", (rule,), size))
        limit = size
    trace.append(_comparison(of, limit))
    return Choice(size, found[size], tuple(trace), values)


def _admission_limit(pair: Pair, objective: Objective, values: Mapping[str, float]) -> list[Step]:
    """The load limit of the mix, and the number of adapters that it comes to."""
    load = load_tree(pair, objective.trees, "load_limit")(values)
    each, most = values["token_rate_mean"], pair.manifest.max_adapters
    limit = math.floor(load.value / each)
    rule = f"load_limit {load.value:.1f} / token_rate_mean {each:.3f} = {load.value / each:.2f}"
    steps = [Step("load_limit", load.rule, load.value)]
    if limit <= most:
        return [*steps, Step("admission_limit", (rule,), limit)]
    return [*steps, Step("admission_limit", (rule, f"adapters simulated for this pair <= {most}"), most)]


def _comparison(of: int, limit: int) -> Step:
    sign = "<=" if of <= limit else ">"
    return Step("adapters", (f"adapters in the inventory {of} {sign} admission_limit {limit}",), min(of, limit))


def _largest(start: int, most: int, misses: Callable[[int], list[str]], first: list[str]) -> tuple[int, list[str]]:
    """The largest size up to `most` that misses nothing, and what one more would miss (nothing where `most` is met).

    By strides from `start`, where `first` is missed, that double until the size is enclosed, then by bisection. The
    size is 0 where not even 1 will do.
    """
    low, high, failing = (0, start, first) if first else (start, most + 1, [])
    stride = max(start // 25, 1)
    while high - low > 1:
        middle = max(high - stride, low + 1) if first else min(low + stride, high - 1)
        enclosed = (first and low > 0) or (not first and failing)
        if enclosed:
            middle = (low + high) // 2
        if missed := misses(middle):
            high, failing = middle, missed
        else:
            low = middle
        stride *= 2
    return low, failing


def _extrapolations(pair: Pair, values: Mapping[str, float], names: Sequence[str]) -> list[str]:
    """A warning for each feature of the inventory outside the range that the models were trained on."""
    warnings = []
    for name in (name for name in names if name not in ESTIMATES):
        low, high = pair.manifest.range.get(name, (-math.inf, math.inf))
        value, slack = values[name], 1e-6 * max(abs(low), abs(high))
        if not low - slack <= value <= high + slack:
            unit = f" {UNITS[name]}" if UNITS[name] else ""
            warnings.append(f"{name} is {value:.4g}{unit}, outside the {low:.4g} to {high:.4g} of the training data")
    return warnings


def _not_learned(workload: Workload) -> list[str]:
    """A warning for each trait of the traffic that no feature tells the models of."""
    warnings = []
    if workload.lognormal_gaps is not None:
        count = int(workload.lognormal_gaps.sum())
        warnings.append(f"gaps are log-normal for {count:,} adapters, which the models were not trained on")
    if workload.phases:
        peak = max(phase.scale for phase in workload.phases) / mean_scale(workload.phases)
        warnings.append(
            f"rates or gaps switch over time, which the models were not trained on: they answer for mean rates, the "
            f"busiest phase brings {peak:.2g} times as much; a verification by the digital twin serves the phases"
        )
    return warnings


def _admission(inventory: Inventory, adapters: Positions) -> Admission:
    mix = inventory.mix.take(adapters)
    chosen = set(adapters.tolist())
    return Admission(
        of=len(inventory),
        request_rate=float(mix.rate.sum()),
        token_rate=mix.offered_tok_s,
        admitted=tuple(name for i, name in enumerate(inventory.names) if i in chosen),
        rejected=tuple(name for i, name in enumerate(inventory.names) if i not in chosen),
    )


def _changes(inventory: Inventory, flags: Mapping[str, int | float]) -> tuple[Change, ...]:
    """Where the recommendation differs from the settings in force today."""
    return tuple(
        Change(name, today, recommended)
        for name, recommended in flags.items()
        if (today := inventory.server.get(name)) is not None and today != recommended
    )


def _refusal(inventory: Inventory, pair: Pair, chosen: Choice, warnings: Sequence[str]) -> Recommendation:
    return Recommendation(
        basis=pair.basis,
        settings=None,
        flags={},
        admission=Admission(len(inventory), 0.0, 0.0, admitted=(), rejected=inventory.names),
        expected=None,
        steady=False,
        trace=chosen.trace,
        warnings=tuple(warnings),
        reason=chosen.reason,
    )

"""From an inventory to a recommendation: how many adapters, which, under which flags, and why."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from advisor import tree
from advisor.configuration import Configuration, Configurator, DoesNotFitError
from advisor.features import ESTIMATES, MIX_FEATURES, SERVING_FEATURES, UNITS, measure
from advisor.flags import Flags
from advisor.inventory import Inventory
from advisor.objective import Objective
from advisor.pairs import Pair
from advisor.recommendation import Admission, Change, Recommendation, Step
from advisor.subset import Positions, order, spread
from twin.arrivals import mean_scale
from twin.workload import Workload

MAX_EVALUATIONS = 14
"""Sizes tried, at most, in search of one that meets the objective."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """A set of adapters, by position in the inventory, with its configuration."""

    adapters: Positions
    configuration: Configuration


def recommend(inventory: Inventory, pair: Pair, objective: Objective) -> Recommendation:
    """Flags, admission, expectation and the rules behind them, all of the same set, from the shipped models alone.

    Raises:
        InputError: a shipped file is missing or altered.
    """
    values = measure(inventory.mix, pair.profile, ttft_limit_s=objective.ttft_limit_s)
    warnings = _extrapolations(pair, values, MIX_FEATURES) + _not_learned(inventory.workload)
    trace = _admission_limit(pair, objective, values)
    limit = int(trace[-1].result)
    if limit < 1:
        reason = f"one adapter of this mix brings {values['token_rate_mean']:.1f} tokens/s, more than one GPU serves"
        return _refusal(inventory, pair, reason, trace, warnings)
    size = min(len(inventory), limit)
    trace.append(_comparison(len(inventory), limit))
    if size < len(inventory) and limit == pair.manifest.max_adapters:
        warnings.append(f"no more than {limit} adapters were simulated for this pair, so no more are admitted")

    configurator = Configurator(pair, objective, inventory.server.max_model_len)
    ordered = order(inventory)

    def plan(size: int) -> _Plan:
        adapters = spread(ordered, size)
        return _Plan(adapters, configurator.configure(inventory.mix.take(adapters)))

    try:
        chosen = plan(size)
        if missed := objective.misses(chosen.configuration.expected):
            smaller = _largest(size, plan, objective)
            if smaller is None:
                reason = f"not even one adapter meets the objective {objective.goal}: with {size}, {missed[0]}"
                return _refusal(inventory, pair, reason, trace, warnings)
            chosen = smaller
            trace.append(Step("adapters", (f"with {size}: {'; '.join(missed)}",), len(chosen.adapters)))
    except DoesNotFitError as error:
        return _refusal(inventory, pair, str(error), [*trace, *error.trace], warnings)

    flags, expected = chosen.configuration.flags, chosen.configuration.expected
    admitted = inventory.mix.take(chosen.adapters)
    serving = measure(admitted, pair.profile, ttft_limit_s=objective.ttft_limit_s, max_loras=flags.max_loras)
    warnings += _extrapolations(pair, serving, [name for name in SERVING_FEATURES if name not in MIX_FEATURES])
    if chosen.configuration.memory_bound:
        warnings.append(
            f"memory allows only {flags.max_loras} adapter slots: the KV cache must hold one request of max_model_len "
            "tokens; a smaller max_model_len in [server] that still covers your requests allows more"
        )
    return Recommendation(
        pair=pair.name,
        model=pair.manifest.model,
        flags=flags,
        admission=_admission(inventory, chosen.adapters),
        expected=expected,
        steady=objective.steady(expected),
        trace=(*trace, *chosen.configuration.trace),
        warnings=tuple(warnings),
        changes=_changes(inventory, flags),
    )


def _admission_limit(pair: Pair, objective: Objective, values: Mapping[str, float]) -> list[Step]:
    """The load limit of the mix, and the number of adapters that it comes to."""
    load = tree.find(pair, objective.trees, "load_limit")(values)
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


def _largest(size: int, plan: Callable[[int], _Plan], objective: Objective) -> _Plan | None:
    """The largest plan below `size` that meets the objective, by bisection; None where not even one adapter does."""
    best: _Plan | None = None
    low, high = 0, size
    for _ in range(MAX_EVALUATIONS):
        if high - low <= 1:
            break
        middle = (low + high) // 2
        candidate = plan(middle)
        if objective.misses(candidate.configuration.expected):
            high = middle
        else:
            best, low = candidate, middle
    return best


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
            f"busiest phase brings {peak:.2g} times as much; --verify lets the twin serve the phases"
        )
    return warnings


def _admission(inventory: Inventory, adapters: Positions) -> Admission:
    mix = inventory.mix.take(adapters)
    chosen = set(adapters.tolist())
    return Admission(
        of=len(inventory),
        request_rate=float(mix.rate.sum()),
        token_rate=mix.token_rate,
        admitted=tuple(name for i, name in enumerate(inventory.names) if i in chosen),
        rejected=tuple(name for i, name in enumerate(inventory.names) if i not in chosen),
    )


def _changes(inventory: Inventory, flags: Flags) -> tuple[Change, ...]:
    """Where the recommendation differs from the settings in force today."""
    return tuple(
        Change(name, today, recommended)
        for name, recommended in flags.settings().items()
        if (today := getattr(inventory.server, name)) is not None and today != recommended
    )


def _refusal(
    inventory: Inventory, pair: Pair, reason: str, trace: Sequence[Step], warnings: Sequence[str]
) -> Recommendation:
    return Recommendation(
        pair=pair.name,
        model=pair.manifest.model,
        flags=None,
        admission=Admission(len(inventory), 0.0, 0.0, admitted=(), rejected=inventory.names),
        expected=None,
        steady=False,
        trace=tuple(trace),
        warnings=tuple(warnings),
        reason=reason,
    )

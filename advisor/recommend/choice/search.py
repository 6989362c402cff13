"""How many adapters of a mix one GPU serves: from where the rules point to the most that the models are sure of."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from advisor.recommend.answer.reasons import Asked, Kept, Missed, Quotient
from advisor.recommend.answer.recommendation import Step
from advisor.recommend.choice.base_traffic import too_much
from advisor.recommend.choice.configuration import Configuration, Configurator, DoesNotFitError
from advisor.zoo.tree import load_tree
from twin.workload import Workload

NOTHING_LEFT = 1e-3
"""Of what the GPU serves, the share that base traffic leaves for adapters: less is nothing."""
FILLS = 0.5
"""Of what the GPU serves, the share from which on it is for its load that an adapter is too much."""
PROBES, REACH = 5, 0.02
"""Above a size that misses so many more are tried, each so much larger: a classifier of trees may be unsure of one size
and sure of the next."""

STRIDE = 0.04
"""Of the size that a search starts from, the share that it goes up or down first."""


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


def choose(
    configurator: Configurator,
    subset: Callable[[int], Workload],
    of: int,
    which: str = "in the inventory",
    *,
    least: int = 1,
) -> Choice:
    """The most adapters out of `of` that one GPU serves, with their configuration.

    `subset` gives so many of the adapters, each set with those of every smaller one; `which` they are is for the trace.
    No fewer than `least` are wanted: where so many and a few more would miss the objective, none are chosen. Else all
    are tried first and, where they would miss it, the search goes up or down from what the rules say.
    """
    objective, found, everyone = configurator.objective, dict[int, Configuration](), subset(of)
    measured = configurator.measure(everyone)
    values, base = measured.values, everyone.base_tok_s
    trace, unit = _admission_limit(configurator, values, base), configurator.pair.basis.unit
    limit = int(trace[-1].result)

    def misses(size: int) -> list[str]:
        if size not in found:
            known = size == of
            found[size] = configurator.configure(everyone if known else subset(size), measured if known else None)
        return objective.misses(found[size].expected)

    try:
        if least > 1 and all(missed := [misses(size) for size in _about(least, of)]):
            wanted = f"all {of:,}" if least == of else f"{least:,}"
            return Choice(0, None, tuple(trace), values, f"not {wanted} of them: {missed[0][0]}")
        if not (one_more := misses(of)):
            size = of
        else:
            size, one_more = largest(max(min(of, limit), 1), of, misses)
    except DoesNotFitError as error:
        return Choice(0, None, (*trace, *error.trace), values, str(error))
    if size < 1:
        reason = f"not even one adapter meets the objective {objective.name}: with 1, {'; '.join(one_more)}"
        each = values["token_rate_mean"]
        beside = f" beside {base:,.0f} tokens/s of requests that name no adapter" if base else ""
        if base >= values["estimated_load"] * (1 - NOTHING_LEFT):  # rules of a mix know nothing of that
            return Choice(0, None, (), values, too_much(configurator, everyone))
        if of == 1:
            reason = f"not even the one adapter is served, of {each:,.0f} tokens/s{beside}: {'; '.join(one_more)}"
        elif limit < 1:
            reason = f"one adapter of this mix brings {each:,.1f} tokens/s, more than one {unit} serves{beside}"
            reason = f"{reason}: {one_more[0]}"
        if 1 in found and found[1].expected.unsure and not found[1].expected.shortages:
            reason += "; the models rather hold that it would, and the digital twin can tell"
        if each > FILLS * values["estimated_load"]:
            reason += f"; `advisor place` shares its requests among {unit}s"
        return Choice(0, None, tuple(trace), values, reason)
    if one_more or size > limit:
        end = Missed(size + 1, tuple(one_more)) if one_more else Kept(size)
        trace.append(Step("admission_limit", (end,), size))
        limit = size
    return Choice(size, found[size], (*trace, Step("adapters", (Asked(of, which, limit),), min(of, limit))), values)


def _about(size: int, most: int) -> tuple[int, ...]:
    """A size and a somewhat larger one, if there is one: a classifier may be unsure of one and sure of the next."""
    return tuple(sorted({size, min(math.ceil(size * (1 + PROBES * REACH)), most)}))


def _admission_limit(configurator: Configurator, values: Mapping[str, float], base: float) -> list[Step]:
    """The load limit of the mix, and the number of adapters that it comes to beside so many tokens/s without."""
    load = load_tree(configurator.pair.models, configurator.objective.trees, "load_limit")(values)
    limit = float(load.value)
    share = Quotient(limit, base, values["token_rate_mean"])
    return [Step("load_limit", load.reasons, limit), Step("admission_limit", (share,), math.floor(share.adapters))]


def largest(start: int, most: int, misses: Callable[[int], list[str]]) -> tuple[int, list[str]]:
    """The largest size up to `most` that misses nothing, and what one more misses (nothing where `most` is met).

    By strides from `start` that double until the size is enclosed, then by bisection; then somewhat larger sizes are
    tried as well, and the climb goes on from one that is met. One more than the answer has been tried and missed. The
    size is 0 where neither 1 nor a few more will do.
    """
    size, failing = enclose(start, most, misses)
    while failing:
        step = max(round(size * REACH), 1)
        beyond = (size + 1 + step * probe for probe in range(1, PROBES + 1))
        if (better := next((each for each in beyond if each <= most and not misses(each)), None)) is None:
            break
        size, failing = enclose(better, most, misses)
    return size, failing


def enclose(
    start: int, most: int, misses: Callable[[int], list[str]], *, stride: float = STRIDE, apart: float = 0.0
) -> tuple[int, list[str]]:
    """A size up to `most` that misses nothing, and what a larger one misses (nothing where `most` is met).

    By strides from `start` that double, the first of such a share of it, then by bisection, until the two are
    neighbours or no further `apart` than a share of the size. The size is 0 where not even 1 will do.
    """
    first = misses(start)
    low, high, failing = (0, start, first) if first else (start, most + 1, [])
    step = max(int(start * stride), 1)
    while high - low > max(apart * low, 1):
        middle = max(high - step, low + 1) if first else min(low + step, high - 1)
        if (first and low > 0) or (not first and failing):  # enclosed
            middle = (low + high) // 2
        if missed := misses(middle):
            high, failing = middle, missed
        else:
            low = middle
        step *= 2
    return low, failing

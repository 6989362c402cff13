"""From an inventory to a recommendation that the digital twin searched: simulated, not predicted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from advisor.exact.hours import Hour, Hours, mean
from advisor.exact.search import HELD_IN, SEARCHED_WITH, search, search_all
from advisor.exact.trials import Trials
from advisor.features.vector import measure
from advisor.inventory.inventory import Inventory
from advisor.recommend.answer.reasons import Failed, Held
from advisor.recommend.answer.recommendation import Exact, Recommendation, Step
from advisor.recommend.choice.configuration import Configuration, Configurator
from advisor.recommend.choice.search import Choice
from advisor.recommend.choice.selection import Candidates, Selection, Selector
from advisor.recommend.objective import Expectation, Objective
from advisor.recommend.recommend import recommend
from advisor.recommend.uncertainty import hedged
from advisor.simulation import DURATION_S
from advisor.zoo.pair import Pair
from advisor.zoo.predictor import PERCENTILES

EXPECTED_IN = 8
"""Hours of a derived pair's middle, and of each end of what is not known of it, that an expectation is the mean of."""


def exactly(inventory: Inventory, pair: Pair, objective: Objective, told: Callable[[str], None]) -> Recommendation:
    """How many adapters are admitted, with what slots, and what to expect, by the digital twin alone.

    Of a pair that nobody measured the careful end is searched, as the models are asked of it, then the middle, and what
    is expected are hours of the middle. An interrupt ends the search: the answer is the best found by then. `told` is
    told what is being simulated.

    Raises:
        InputError: the twin is not installed, a shipped file is missing or altered, or vLLM refuses the fixed settings.
        KeyboardInterrupt: nothing that holds had been found.
    """
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        searched = partial(_searched, threads=threads, told=told)
        if pair.profile.derivation is None or not (inventory.mix.rate > 0).any():
            return searched(inventory, pair, objective)
        return hedged(inventory, pair, objective, searched, partial(_simulated, threads=threads))


def _searched(
    inventory: Inventory, pair: Pair, objective: Objective, *, threads: Executor, told: Callable[[str], None]
) -> Recommendation:
    """The same of a Profile that is taken as it is."""
    hours = Hours.of(inventory, pair, objective, threads, told)
    answer = recommend(inventory, pair, objective, partial(ExactSelector, hours=hours))
    if hours.interrupted and not answer.feasible:
        raise KeyboardInterrupt
    orders = tuple(tuple(inventory.names[each] for each in order) for order in hours.orders)
    seeds = () if answer.expected is None else tuple(HELD_IN[: answer.expected.hours])
    runs = tuple(hour.document() for hour in hours)
    return replace(answer, exact=Exact(hours.duration_s, seeds, orders, hours.chosen, runs, hours.interrupted))


def _simulated(
    answer: Recommendation, admitted: Inventory, objective: Objective, longest: int, *, threads: Executor
) -> Callable[[Pair], Expectation]:
    """What hours of an answer are like on the server of a pair."""
    del longest  # the answer's settings have it
    everyone, seeds = np.arange(len(admitted)), HELD_IN[:EXPECTED_IN]

    def expected(pair: Pair) -> Expectation:
        assert answer.settings is not None and answer.expected is not None
        hours = Hours.of(admitted, pair, objective, threads, lambda _: None)
        found = hours.simulate(everyone, answer.settings, seeds, order=0, adapters=len(admitted))
        return _expected(answer.expected, found)

    return expected


@dataclass(frozen=True, slots=True)
class ExactSelector(Selector):
    """Selects adapters as the models' selector does, but lets the digital twin say how many of them one GPU serves."""

    hours: Hours = field(kw_only=True)

    def select(self) -> tuple[Selection, list[str]]:
        """As the models' selector; and the hours are told whose order was chosen."""
        chosen, told = Selector.select(self)
        self.hours.chosen = self.hours.number(chosen.candidates.order)
        return chosen, told

    @property
    def _told_by(self) -> str:
        return " (by the models, not simulated)"

    def _beside(self, first: int, others: Candidates) -> Selection:
        """What the models say: to search it by the twin would take as long as the whole answer."""
        by_models = Selector(
            self.inventory, self.mix, self.pair, self.objective, self.fixed, self.weights, self.longest
        )
        return by_models._beside(first, others)

    def _choose(self, configurator: Configurator, candidates: Candidates, of: int, in_host: int, least: int) -> Choice:
        trials = Trials(self.hours, configurator, candidates, self.mix, of, in_host)
        held_in = HELD_IN[: max(round(len(HELD_IN) * DURATION_S / self.hours.duration_s), len(SEARCHED_WITH))]
        if self.hours.interrupted:
            return Choice(0, None, (), {}, "interrupted")
        try:
            size, slots = (search_all if least == of else search)(trials, held_in)
        except KeyboardInterrupt:
            self.hours.interrupted = True
            size, slots = trials.best(len(SEARCHED_WITH)) or (0, 0)
        if not size:
            return Choice(0, None, (), {}, _refused(trials))
        return Choice(size, _configuration(trials, size, slots), (_why_size(trials, size, slots),), {})


def _configuration(trials: Trials, size: int, slots: int) -> Configuration:
    part, hours = trials.part(size), trials.hours
    by_models, allowed = trials.configurator.configure(part), trials.configurator.slots(part)
    return Configuration(
        settings=trials.configurator.settings(part, slots),
        expected=_expected(by_models.expected, trials.asked[size, slots].values()),
        trace=(by_models.trace[0], _why_slots(trials, size, slots)),
        values=measure(part, hours.pair.profile, ttft_limit_s=hours.objective.ttft_limit_s, max_loras=slots),
        memory_bound=by_models.memory_bound and slots == allowed[-1],
    )


def _expected(by_models: Expectation, hours: Iterable[Hour]) -> Expectation:
    """The means of these hours; what nothing was measured of, as requests of a month, is left to the models."""
    hours = list(hours)
    throughput, offered = (mean(hours, name) or 0.0 for name in ("throughput_tok_s", "offered_tok_s"))
    times = {name: mean(hours, name) for name in ("itl_ms", "ttft_ms", *PERCENTILES)}
    found = {name: by_models.time_ms(name) if time_ms is None else time_ms for name, time_ms in times.items()}
    return replace(
        by_models,
        throughput_tok_s=throughput,
        share=throughput / offered if offered else 1.0,
        itl_ms=found.pop("itl_ms"),
        ttft_ms=found.pop("ttft_ms"),
        kv_capacity_tokens=int(hours[0].measures["kv_capacity_tokens"]),
        chance=1.0,
        percentiles=found,
        margins={},
        shortages=(),
        hours=len(hours),
    )


def _why_size(trials: Trials, size: int, slots: int) -> Step:
    """What holds, and what more does not."""
    more = [key for key in sorted(trials.asked) if key[0] > size and trials.failing(*key)]
    return Step("adapters", tuple(_found(trials, *key) for key in [(size, slots), *more[:1]]), size)


def _why_slots(trials: Trials, size: int, slots: int) -> Step:
    """What others would be like."""
    others = [each for each in trials.slots(size) if each != slots and trials.asked[size, each]]
    return Step("max_loras", tuple(_found(trials, size, each) for each in others) or ("no others were tried",), slots)


def _found(trials: Trials, size: int, slots: int) -> Held | Failed:
    hours, failing = trials.asked[size, slots], trials.failing(size, slots)
    if failing is None:
        return Held(size, slots, len(hours), mean(hours.values(), "itl_ms") or 0.0)
    return Failed(size, slots, failing.seed, tuple(failing.missed))


def _refused(trials: Trials) -> str:
    """Why nobody is admitted."""
    failing = [key for key in sorted(trials.asked) if trials.failing(*key)]
    return f"not even one adapter holds: {_found(trials, *failing[0])}" if failing else "no adapter was tried"

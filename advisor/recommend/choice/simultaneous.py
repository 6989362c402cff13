"""What requests do to each other that come at the same moment: models take those of adapters as independent."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist

import numpy as np

from advisor.recommend.load import Load
from advisor.together import Crowd
from advisor.zoo.predictor import Prediction

MOST_LOAD = 0.95
"""Of a server that is asked for more, what a queue comes to within an hour is for the models to say."""
MARGIN = 1.15
"""Times the mean TTFT that is worked out is what hours keep below: an hour has few groups, each with other prompts. Of
18 hours of six groups near their limit the twin's were up to 13 % above."""
SIZES = 15
"""Groups of prompts, from few tokens to many, that steps are worked out for."""
_NORMAL = NormalDist()


def beside_others(predicted: Prediction, load: Load, crowd: Crowd) -> Prediction:
    """The prediction for a server at such a load, with what those do to each other who are asked at the same moment."""
    if crowd.size == 1:
        return predicted
    batch = _Batch(predicted, load, crowd)
    predicted = replace(predicted, itl_ms=batch.itl_ms, percentiles={**predicted.percentiles, **batch.percentiles()})
    return _later(predicted, load, crowd, batch.prompts_ms)


def _later(predicted: Prediction, load: Load, crowd: Crowd, prompts_ms: float) -> Prediction:
    """With the wait for prompts and slots.

    Of k that come at once, the mean one waits for (k - 1) / 2 prompts and the last for all others, and whoever else is
    there makes that 1 / (1 - load) times as long (the queue M^[k]/G/1). Prompts take no less than the steps do that all
    of them come in, for which the first of them are answered already. Those that have no slot among them wait for one
    answer, the next as many for two.
    """
    values = load.values
    alone = 1.0 - min(values["load_share"], MOST_LOAD)
    prompt_ms = max(1e3 * values["prompt_time"], prompts_ms / (1.0 + crowd.mates))
    mean_ms = crowd.mates / 2 * prompt_ms / alone
    answers = np.arange(min(crowd.size, int(values["adapters"]))) // load.settings.max_loras  # that each waits for
    answer_ms, waits = values["output_mean"] * predicted.itl_ms, dict[str, float]()
    for name, share in (("ttft_p50_ms", 0.5), ("ttft_p95_ms", 0.05), ("ttft_p99_ms", 0.01)):
        if crowd.share > share:
            beyond = share / crowd.share
            waits[name] = 2 * mean_ms * (1 - beyond) + answer_ms * float(
                np.quantile(answers, 1 - beyond, method="higher")
            )
    mean_ms = crowd.share * (mean_ms + answer_ms * float(answers.mean()))
    percentiles = {name: each + waits.get(name, 0.0) for name, each in predicted.percentiles.items()}
    return replace(predicted, ttft_ms=predicted.ttft_ms + mean_ms, percentiles=percentiles)


@dataclass(frozen=True)
class _Batch:
    """Steps that are fuller than those of independent requests, for whoever is answered among a crowd."""

    predicted: Prediction
    """Of independent requests."""
    load: Load
    crowd: Crowd

    @cached_property
    def mates(self) -> float:
        """Others of the own group, as far as there are slots for them."""
        return min(self.crowd.mates, self.load.settings.max_loras - 1.0)

    @cached_property
    def still_there(self) -> float:
        """Of these, those that are answered at any moment of an answer: two answers overlap for as long as the shorter
        one takes, which of log-normal lengths X and Y is E[min(X, Y)] / E[X]."""
        spread = math.sqrt(math.log1p(self.load.values["output_spread"] ** 2))
        return self.mates * 2.0 * _NORMAL.cdf(-spread / math.sqrt(2.0))

    @property
    def prompts_ms(self) -> float:
        """What all prompts of a group take, on average."""
        return sum(ms for ms, *_ in self._prompts) / SIZES

    @property
    def itl_ms(self) -> float:
        """Mean, of all requests: those of a group who are answered already wait for the others' prompts."""
        load, running = self.load, self.load.running
        plain_ms = load.step_ms(1.0 + running, 1.0 + running, active=max(load.active, 1.0))
        waited = sum(
            part * (1.0 - running / answered) * max(ms - plain_ms, 0.0)
            for ms, part, answered in self._prompts
            if answered > running  # in the first step of a group none of it is answered
        )
        return self.predicted.itl_ms * self._longer(self.crowd.share * self.still_there) + waited

    def percentiles(self) -> dict[str, float]:
        """Those of the ITL: at the upper ones all of the group are still there, or its prompts fill the step."""
        name, shares = "itl_p50_ms", {"itl_p95_ms": 0.05, "itl_p99_ms": 0.01}
        told = {key: self.predicted.percentiles[key] for key in (name, *shares)}
        if self.crowd.share >= 0.5:
            told[name] *= self._longer(self.still_there)
        steps = sorted(self._prompts, reverse=True)
        lengths, parts = [ms for ms, *_ in steps], np.cumsum([part for _, part, _ in steps])
        for key, share in shares.items():
            if self.crowd.share > share:
                told[key] *= self._longer(self.mates)
            if (place := int(np.searchsorted(parts, share))) < len(lengths):
                told[key] = max(told[key], lengths[place])
        return told

    def _longer(self, more: float) -> float:
        """Times as long as a step with whoever runs beside a request is one with so many requests more in it."""
        load, values = self.load, self.load.values
        there, active = 1.0 + load.running, max(load.active, 1.0)
        others = more * max(1.0 - values["active_adapters"] / values["adapters"], 0.0)  # that are not active anyway
        with_more = min(active + others, load.settings.max_loras)
        return load.step_ms(there + more, there + more, active=with_more) / load.step_ms(there, there, active=active)

    @cached_property
    def _prompts(self) -> tuple[tuple[float, float, float], ...]:
        """Steps with the prompts of a group: how long each takes, of all gaps between tokens those that it is, and how
        many requests are being answered.

        Of the group, those are answered already whose prompts came in the steps before; beside them whoever ran.
        """
        load, values = self.load, self.load.values
        running, group = load.running, 1.0 + self.mates
        gaps = group * max(values["output_mean"] - 1.0, 0.0) / self.crowd.share * SIZES
        mean, budget = group * values["input_mean"], max(load.settings.max_num_batched_tokens - running, 1.0)
        variance = math.log1p(values["input_spread"] ** 2 / group)
        active, steps = min(load.active + group, load.settings.max_loras), list[tuple[float, float, float]]()
        for size in range(SIZES):
            deviation = math.sqrt(variance) * _NORMAL.inv_cdf((size + 0.5) / SIZES)
            tokens = mean * math.exp(deviation - variance / 2) * (1.0 - values["prefix_share"])
            for step in range(math.ceil(tokens / budget)):
                answered = running + group * min(step * budget / tokens, 1.0)
                batched = min(budget, tokens - step * budget) + answered
                ms = load.step_ms(batched, answered, active=active)
                steps.append((ms, answered / gaps if gaps else 0.0, answered))
        return tuple(steps)

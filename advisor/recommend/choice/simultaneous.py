"""What requests wait for each other that come at the same moment: models take those of adapters as independent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from advisor.together import Crowd
from advisor.zoo.predictor import Prediction

MOST_LOAD = 0.95
"""Of a server that is asked for more, what a queue comes to within an hour is for the models to say."""


def beside_others(predicted: Prediction, values: Mapping[str, float], crowd: Crowd) -> Prediction:
    """The prediction with what those wait for each other who are asked at the same moment.

    Models take requests of different adapters as independent. Of k that come at once, the mean one waits for
    (k - 1) / 2 prompts and the last for all others, and whoever else is there makes that 1 / (1 - load) times as
    long (the queue M^[k]/G/1). Those that have no slot among them wait for one answer, the next as many for two.
    """
    if crowd.size == 1:
        return predicted
    alone = 1.0 - min(values["load_share"], MOST_LOAD)
    mean_ms = (crowd.size - 1) / 2 * 1e3 * values["prompt_time"] / alone
    waits = {"ttft_p50_ms": mean_ms, "ttft_p95_ms": 2 * mean_ms, "ttft_p99_ms": 2 * mean_ms}
    answers = np.arange(min(crowd.size, int(values["adapters"]))) // int(values["max_loras"])  # that each waits for
    answer_ms = values["output_mean"] * predicted.itl_ms
    for name, share in (("ttft_p50_ms", 0.5), ("ttft_p95_ms", 0.05), ("ttft_p99_ms", 0.01)):
        if crowd.share > share:
            waits[name] += answer_ms * float(np.quantile(answers, 1 - share / crowd.share, method="higher"))
    mean_ms += crowd.share * answer_ms * float(answers.mean())
    percentiles = {name: each + waits.get(name, 0.0) for name, each in predicted.percentiles.items()}
    return replace(predicted, ttft_ms=predicted.ttft_ms + mean_ms, percentiles=percentiles)

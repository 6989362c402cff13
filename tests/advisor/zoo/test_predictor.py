"""What is predicted: what the graph answers, times the feature that the manifest says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from advisor.features.vector import measure
from advisor.zoo import predictor
from advisor.zoo.graph import load_graph
from advisor.zoo.pair import Pair
from advisor.zoo.predictor import Prediction, Predictor
from tests.advisor.small_zoo import random_mix


@pytest.fixture(params=range(4))
def values(pair: Pair, request: pytest.FixtureRequest) -> dict[str, float]:
    """The features of a mix."""
    mix = random_mix(np.random.default_rng(request.param))
    return measure(mix, pair.profile, ttft_limit_s=2.0, max_loras=8)


def predicted(pair: Pair, values: dict[str, float], **times: str) -> Prediction:
    """What is predicted if times are multiples of these features."""
    ensembles = [
        entry.model_copy(update={"times": times.get(entry.output, "")}) for entry in pair.models.manifest.ensembles
    ]
    models = replace(pair.models, manifest=pair.models.manifest.model_copy(update={"ensembles": ensembles}))
    return Predictor(models, "steady")(values)


def test_a_time_is_a_multiple_of_the_feature_that_the_manifest_names(pair: Pair, values: dict[str, float]) -> None:
    plain = predicted(pair, values)
    found = predicted(pair, values, itl_ms="step_time", ttft_ms="first_token_time")
    assert found.itl_ms == pytest.approx(plain.itl_ms * values["step_time"])
    assert found.ttft_ms == pytest.approx(plain.ttft_ms * values["first_token_time"])
    assert (found.share, found.chance) == (plain.share, plain.chance)
    of_zoo = Predictor(pair.models, "steady")(values)
    assert (of_zoo.itl_ms, of_zoo.ttft_ms) == pytest.approx((found.itl_ms, plain.ttft_ms))


def test_the_share_is_one_of_what_the_slots_can_serve(pair: Pair, values: dict[str, float]) -> None:
    graph, light, heavy = (
        load_graph(pair.models, "serving"),
        {**values, "slots_load_share": 0.5},
        {**values, "slots_load_share": 4.0},
    )
    for each in (light, heavy):
        (logarithm,) = graph.ask(graph.row(each), "throughput_share")
        expected = min(np.exp(logarithm) / max(each["slots_load_share"], 1.0), 1.0)
        assert predicted(pair, each).share == pytest.approx(expected)


def test_percentiles_never_fall() -> None:
    times = {"itl_p50_ms": 5.0, "itl_p95_ms": 9.0, "itl_p99_ms": 8.0, "ttft_p50_ms": 3.0, "ttft_p95_ms": 2.0}
    assert list(predictor._rising(times).values()) == [5.0, 9.0, 9.0, 3.0, 3.0]

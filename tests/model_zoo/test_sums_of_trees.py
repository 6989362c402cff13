"""Sums of rules leave the zoo answering as imodels did, also on the very thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imodels import RuleFitRegressor

from model_zoo.export import INPUT, ensembles_to_onnx
from model_zoo.families import SteadyFigs
from model_zoo.sums_of_trees import round_down
from tests.model_zoo.test_export import FEATURES, at_thresholds, workloads


def figs(seed: int) -> SteadyFigs:
    x, y = workloads(seed, 300)
    return SteadyFigs(max_rules=10).fit(x, np.log(y))


def rulefit(seed: int) -> RuleFitRegressor:
    x, y = workloads(seed, 300)
    return RuleFitRegressor(n_estimators=20, max_rules=20, cv=False, random_state=0).fit(x, np.log(y))


def thresholds(model: Any) -> np.ndarray:
    """Every number that the model compares with."""
    if isinstance(model, RuleFitRegressor):
        return np.array([float(x) for rule in model.rules_without_feature_names_ for x in rule.agg_dict.values()])
    nodes, found = list(model.trees_), []
    for node in nodes:
        if node.left is not None:
            found.append(node.threshold)
            nodes += [node.left, node.right]
    return np.array(found)


@pytest.mark.parametrize("make", [figs, rulefit])
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_exported_model_answers_as_the_original(make: Any, seed: int) -> None:
    model = make(seed)
    exported = ensembles_to_onnx({"model": model}, {"model": FEATURES})
    assert exported == ensembles_to_onnx({"model": make(seed)}, {"model": FEATURES})
    session = onnxruntime.InferenceSession(exported)
    for x in (workloads(seed + 1, 200)[0], at_thresholds(thresholds(model), seed)[:200]):
        (value,) = session.run(["model"], {INPUT: x})
        np.testing.assert_allclose(value[:, 0], model.predict(x), rtol=1e-5, atol=1e-5)


@given(st.floats(-(2.0**60), 2.0**60), st.floats(-(2.0**60), 2.0**60, width=32))
def test_a_threshold_rounded_down_decides_as_the_exact_one(threshold: float, value: float) -> None:
    assert (value <= float(round_down(threshold))) == (value <= threshold)

"""Families side by side: every output, no mix in training and test, SMAPE of what a logarithm stands for."""

from __future__ import annotations

import numpy as np
import pytest

from model_zoo.training.comparison import Score, Task, table_of
from twin.accuracy import smape


def task(kind: str) -> Task:
    return Task("x", np.zeros((2, 1), dtype=np.float32), np.zeros(2), np.arange(2), kind)


def test_errors_are_those_of_the_numbers_behind_logarithms() -> None:
    true, predicted = np.array([10.0, 200.0, 3.0]), np.array([12.0, 150.0, 3.0])
    assert task("log").error(np.log(true), np.log(predicted)) == pytest.approx(smape(true, predicted))
    assert task("class").error(np.array([0.0, 1.0, 1.0]), np.array([0.2, 0.7, 0.9])) == 0


def test_the_best_of_an_output_is_in_bold() -> None:
    families = ("linear", "Bayesian ridge", "PLS", "random forest", "RuleFit", "FIGS", "gradient boosting")
    text = table_of(Score("N*", name, float(i + 1), {}, 0.0) for i, name in enumerate(families))
    assert text.splitlines()[-1] == "| N* | **1.00** | 2.00 | 3.00 | 4.00 | 5.00 | 6.00 | 7.00 |"

"""Gradient boosting as it is shipped: few and large trees, for an answer takes time by the tree."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from model_zoo.errors import ZooError
from twin.progress import watched

SETTINGS = {
    "loss": "absolute_error",  # of a few runs chance decides; the mean of their logarithms is nobody's hour
    "max_iter": 120,
    "max_leaf_nodes": 40,
    "learning_rate": 0.15,
    "min_samples_leaf": 20,
    "l2_regularization": 1.0,
}
"""Those of a regressor."""
LIGHT = {"max_iter": 60, "max_leaf_nodes": 24, "learning_rate": 0.2}
"""In place of the usual ones: of percentiles, which answers are not chosen by unless somebody limits them."""


def regressor(**settings: Any) -> HistGradientBoostingRegressor:
    """Gradient-boosted trees with histograms of the features; `settings` in place of the usual ones."""
    return HistGradientBoostingRegressor(early_stopping=False, random_state=0, **{**SETTINGS, **settings})


class LogOdds(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A boosted classifier of 0 and 1 whose prediction is the log-odds of 1."""

    def __init__(self, classifier: HistGradientBoostingClassifier) -> None:
        """A classifier with all its settings."""
        self.classifier = classifier

    def fit(self, x: Any, y: Any) -> LogOdds:
        """Fit the classifier.

        Raises:
            ZooError: all of `y` are 0, or all 1.
        """
        if len(np.unique(y)) < 2:
            raise ZooError(
                "the runs all end alike, so nothing tells when an objective is missed; the grid needs more mixes"
            )
        self.classifier_ = clone(self.classifier).fit(x, y)
        return self

    def predict(self, x: Any) -> Any:
        """The log-odds, shape (rows,)."""
        return self.classifier_.decision_function(x)


class Fit(NamedTuple):
    """A model that is still to be fitted, and what to."""

    model: RegressorMixin
    x: Any
    """Shape (rows, features)."""
    y: Any
    """Shape (rows,)."""

    def fitted(self) -> Any:
        """A copy of the model, fitted: one process may fit it to several folds."""
        return clone(self.model).fit(self.x, self.y)


def fitted(fits: Iterable[Fit], jobs: int) -> list[Any]:
    """The models of fits, in their order, by so many processes.

    Raises:
        ZooError: a `LogOdds` has nothing to tell apart.
    """
    fits = list(fits)
    models = Parallel(n_jobs=jobs, return_as="generator")(delayed(Fit.fitted)(each) for each in fits)
    return list(watched(models, "fitting", len(fits)))

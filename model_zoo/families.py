"""The families of models that are compared, each with the settings that are searched.

All are regressors: a class is learned as 0 and 1, so that what comes out is its probability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from imodels import FIGSRegressor, RuleFitRegressor
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from model_zoo.errors import ZooError

FamilyName = Literal["linear", "Bayesian ridge", "PLS", "random forest", "RuleFit", "FIGS", "gradient boosting"]


class SteadyFigs(FIGSRegressor):  # type: ignore[misc]
    """FIGS with ties between splits broken alike each time, which imodels leaves to numpy's global state."""

    def fit(self, *args: Any, **kwargs: Any) -> SteadyFigs:
        """Fit with that state set, and put it back."""
        state = np.random.get_state()
        np.random.seed(0)
        try:
            super().fit(*args, **kwargs)
        finally:
            np.random.set_state(state)
        return self


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


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of model and what is tried of it."""

    model: RegressorMixin
    """With the settings that are not searched."""
    grid: Mapping[str, Sequence[object]]
    """Settings that are searched."""


BOOSTING = {
    "max_iter": 120,
    "max_leaf_nodes": 40,
    "learning_rate": 0.15,
    "min_samples_leaf": 20,
    "l2_regularization": 1.0,
}
"""The usual settings of gradient boosting."""


def boosting(**settings: Any) -> HistGradientBoostingRegressor:
    """Gradient-boosted trees with histograms of the features; few and large: an answer takes time by the tree."""
    return HistGradientBoostingRegressor(early_stopping=False, random_state=0, **{**BOOSTING, **settings})


FAMILIES: dict[FamilyName, Family] = {
    "linear": Family(make_pipeline(StandardScaler(), LinearRegression()), {}),
    "Bayesian ridge": Family(
        make_pipeline(StandardScaler(), BayesianRidge()), {"bayesianridge__lambda_1": [1e-6, 1e-2, 1.0]}
    ),
    "PLS": Family(
        make_pipeline(StandardScaler(), PLSRegression(scale=False)), {"plsregression__n_components": [2, 4, 8]}
    ),
    "random forest": Family(
        RandomForestRegressor(n_estimators=30, n_jobs=1, random_state=0),
        {"max_features": [0.4, 1.0], "min_samples_leaf": [1, 4]},
    ),
    # The strength of the Lasso is searched here; imodels' own search for a number of rules takes minutes.
    "RuleFit": Family(
        RuleFitRegressor(n_estimators=30, max_rules=None, cv=False, random_state=0),
        {"alpha": [1e-3, 3e-3, 1e-2], "tree_size": [4, 8]},
    ),
    "FIGS": Family(SteadyFigs(), {"max_rules": [12, 30], "max_trees": [3, None]}),
    "gradient boosting": Family(boosting(), {"learning_rate": [0.07, 0.15], "max_leaf_nodes": [8, 40]}),
}
"""As in Agulló et al. 2025 (arXiv 2508.08343), and gradient boosting."""

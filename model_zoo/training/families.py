"""The families of models that are compared, each with the settings that are searched.

All are regressors: a class is learned as 0 and 1, so that what comes out is its probability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from imodels import FIGSRegressor, RuleFitRegressor
from sklearn.base import RegressorMixin
from sklearn.cross_decomposition import PLSRegression
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from model_zoo.training import boosting

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


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of model and what is tried of it."""

    model: RegressorMixin
    """With the settings that are not searched."""
    grid: Mapping[str, Sequence[object]]
    """Settings that are searched."""


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
    "gradient boosting": Family(boosting.regressor(), {"learning_rate": [0.07, 0.15], "max_leaf_nodes": [8, 40]}),
}
"""As in Agulló et al. 2025 (arXiv 2508.08343), and gradient boosting."""

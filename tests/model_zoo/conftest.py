"""Small models on one thread, and a pair that the made-up law makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

from model_zoo.campaign.grid import Grid
from model_zoo.pair import make
from model_zoo.training import admission, boosting
from tests.model_zoo.law import campaign
from twin.profile import Profile


@pytest.fixture(scope="session", autouse=True)
def _small_models() -> Iterator[None]:
    """Few trees, cross-validated in two: the tests have few runs to learn from. On one thread: see `model_zoo.pair`."""
    few = {"max_iter": 20, "max_leaf_nodes": 24}
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1):
        patch.setattr(admission, "TREES", {"steady": few, "published": few})
        patch.setattr(boosting, "SETTINGS", {**boosting.SETTINGS, **few})
        for name in boosting.LIGHT:
            patch.setitem(boosting.LIGHT, name, boosting.SETTINGS[name])
        patch.setattr(admission, "FOLDS", 2)
        yield


GRID = Grid(mixes=30, duration_s=3600.0, slots=(0.5, 1.0, 3.0), max_adapters=96)
COMMAND = "python -m model_zoo build"


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the campaign of `files` keeps its mixes."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="session")
def files(profile: Profile, work: Path) -> dict[str, bytes]:
    """A pair that the made-up law makes."""
    return make(campaign(profile, work, GRID), COMMAND)

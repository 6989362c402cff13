"""A profile, and a server that costs nothing to simulate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from model_zoo import admission, boosting
from model_zoo.campaign import Campaign
from model_zoo.grid import Grid
from model_zoo.pair import make
from twin.engine.simulation import Measures
from twin.profile import Profile
from twin.settings import Settings
from twin.workload import Workload


def law_of_serving(profile: Profile, server: Settings, workload: Workload, *, duration_s: float, seed: int) -> Measures:
    """A made-up law instead of a simulation: pressure on tokens and on slots, and a cliff where it passes 1."""
    assert seed >= 0
    offered = workload.offered_tok_s
    active = float(-np.expm1(-workload.rate * workload.output_mean * 0.05).sum())
    for_slots = active / server.max_loras if server.max_loras < len(workload.rate) else 0.0
    pressure = max(offered / (9000 - 4 * server.max_loras), for_slots)
    arrivals = round(float(workload.rate.sum()) * duration_s)
    share = min(1.0, 1 / pressure)
    return Measures(
        oom=False,
        kv_capacity_tokens=profile.memory.kv_capacity_tokens(server.max_loras, server.max_lora_rank, 0.9),
        offered_tok_s=offered,
        throughput_tok_s=share * offered,
        itl_ms=15 + 0.1 * server.max_loras + 0.1 * active,
        ttft_ms=50 + 2000 * math.exp(min(30 * (pressure - 1), 7)),
        arrivals=arrivals,
        completed=math.ceil(share * arrivals),
        waiting_end=arrivals - math.ceil(share * arrivals),
    )


@pytest.fixture(scope="session", autouse=True)
def _small_models() -> Iterator[None]:
    """Few trees, cross-validated in two: the tests have few runs to learn from."""
    few = {"max_iter": 20, "max_leaf_nodes": 24}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(admission, "TREES", {"steady": few, "published": few})
        patch.setattr(boosting, "SETTINGS", {**boosting.SETTINGS, **few})
        patch.setattr(admission, "FOLDS", 2)
        yield


GRID = Grid(mixes=20, duration_s=3600.0, slots=(1, 8, 48), max_adapters=128)
COMMAND = "python -m model_zoo build"


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the campaign of `files` keeps its mixes."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="session")
def files(profile: Profile, work: Path) -> dict[str, bytes]:
    """A pair that the made-up law makes."""
    campaign = Campaign(profile, GRID, seed=0, work=work, jobs=1, simulate=law_of_serving)
    return make(campaign, profile.to_toml().encode(), COMMAND)

"""Servers that cost nothing to simulate, and campaigns of them; cheap to import, for other processes do."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path

import numpy as np

from model_zoo.campaign.campaign import Campaign
from model_zoo.campaign.grid import Grid
from model_zoo.campaign.profiles import Profiles
from twin.engine.simulation import Measures
from twin.profile import Profile
from twin.service_level import Statistic, measure
from twin.settings import Settings
from twin.workload import Workload

TIMES: dict[Statistic, float] = {"mean": 1.0, "p50": 0.8, "p95": 1.5, "p99": 3.0}
"""Times the mean is what percentile."""
MIXES = Grid(mixes=12, duration_s=3600.0, slots=(0.5, 1.0, 3.0), max_adapters=64)


def law_of_serving(profile: Profile, server: Settings, workload: Workload, *, duration_s: float, seed: int) -> Measures:
    """A made-up law instead of a simulation: pressure on tokens and on slots, and a cliff where it passes 1."""
    assert seed >= 0
    offered = workload.offered_tok_s
    active = float(-np.expm1(-workload.rate * workload.output_mean * 0.05).sum())
    for_slots = active / server.max_loras if server.max_loras < len(workload.rate) else 0.0
    pressure = max(offered / (9000 - 4 * server.max_loras), for_slots)
    arrivals = round(float(workload.rate.sum()) * duration_s)
    share = min(1.0, 1 / pressure)
    means = {
        "itl": 15 + 0.1 * server.max_loras + 0.1 * active,
        "ttft": 50 + 2000 * math.exp(min(30 * (pressure - 1), 7)),
    }
    return Measures(
        oom=False,
        kv_capacity_tokens=profile.memory.kv_capacity_tokens(server.max_loras, server.max_lora_rank, 0.9),
        offered_tok_s=offered,
        throughput_tok_s=share * offered,
        **{measure(time, statistic): TIMES[statistic] * mean for time, mean in means.items() for statistic in TIMES},
        arrivals=arrivals,
        completed=math.ceil(share * arrivals),
        waiting_end=arrivals - math.ceil(share * arrivals),
    )


def slow_law(profile: Profile, server: Settings, workload: Workload, *, duration_s: float, seed: int) -> Measures:
    """Takes a while."""
    time.sleep(0.002)
    return law_of_serving(profile, server, workload, duration_s=duration_s, seed=seed)


def campaign(profile: Profile, work: Path, grid: Grid = MIXES) -> Campaign:
    return Campaign(Profiles((profile,)), grid, seed=0, work=work, jobs=1, simulate=law_of_serving)


def slow(profile: Profile, work: Path, scheduler: str = "") -> Campaign:
    """One that is not over before somebody is killed."""
    return dataclasses.replace(campaign(profile, work), simulate=slow_law, scheduler=scheduler)

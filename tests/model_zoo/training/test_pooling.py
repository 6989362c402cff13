"""A pair's own models, one set for all, and both: judged alike on mixes that none of them has seen."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from model_zoo.campaign.grid import Grid
from model_zoo.campaign.profiles import Profiles
from model_zoo.training.dataset import Tables, is_held_out, tabulate
from model_zoo.training.pooling import HEADINGS, both, pooled, table_of
from tests.model_zoo.law import campaign
from twin.profile import Profile

GRID = Grid(mixes=300, duration_s=3600.0, slots=(0.5, 1.0, 3.0), max_adapters=96)
Split = tuple[Tables, Tables, Profiles]


@pytest.fixture(scope="module")
def split(profile: Profile, tmp_path_factory: pytest.TempPathFactory) -> Split:
    drawn = dataclasses.replace(
        campaign(profile, tmp_path_factory.mktemp("pooling"), GRID), profiles=Profiles((profile,), drawn=True)
    )
    train, held_out = tabulate(drawn.findings(), drawn.profiles, GRID.max_adapters).split()
    return train, held_out, drawn.profiles


def test_every_set_of_models_is_judged_by_the_same_mixes(profile: Profile, split: Split) -> None:
    train, held_out, profiles = split
    scores = list(pooled(train, held_out, profiles))
    own, common, both = scores
    assert [(one.pair, one.models) for one in scores] == [
        (profile.pair.name, name) for name in ("own", "common", "both")
    ]
    assert own.trained < common.trained == both.trained
    mine = {each.number for each in held_out.runs.recipes if profiles.of(each) == profile}
    assert all(0 < one.held_out <= len(mine) and all(map(is_held_out, held_out.runs.recipes)) for one in scores)
    assert len({one.held_out for one in scores}) == 1
    # The law of serving knows no Profile, so that only a pair's own mixes tell what happens.
    assert own.limit < 20 and own.below < 20 and max(own.expected[:2]) < 10
    lines = table_of(iter(scores)).splitlines()
    assert lines[0].count("|") == lines[-1].count("|") == len(HEADINGS) + 1


def test_of_both_a_pair_counts_as_much_as_all_others(split: Split, profile: Profile) -> None:
    train, _, profiles = split
    own = train.runs.where(np.array([profiles.of(each) == profile for each in train.runs.recipes]))
    counted = both(train.runs, own).recipes
    mine = sum(profiles.of(each) == profile for each in counted)
    assert set(counted) == set(train.runs.recipes)
    assert mine / len(counted) == pytest.approx(0.5, abs=0.1)

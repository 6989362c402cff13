"""What is learned: from the mixes to train on alone, and on the side that costs less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from sklearn.tree import export_text

from advisor.features.vector import SLOTS_FEATURES
from advisor.zoo.manifest import Manifest
from model_zoo.campaign.campaign import Campaign
from model_zoo.campaign.grid import sample
from model_zoo.campaign.profiles import Profiles
from model_zoo.campaign.runs import PUBLISHED, STEADY, Objective, SimulatedRun
from model_zoo.campaign.search import Exploration, Findings
from model_zoo.pair import MANIFEST, RULES, SERVING, make
from model_zoo.training.dataset import Table, is_held_out
from model_zoo.training.export import INPUT, trees_to_onnx
from model_zoo.training.fit import fit_tree
from model_zoo.training.labels import SlotChoice
from tests.model_zoo.conftest import COMMAND, GRID
from tests.model_zoo.law import law_of_serving
from tests.model_zoo.training.test_labels import run
from twin.profile import Profile


class OtherwiseHeldOut(Campaign):
    """A campaign whose held-out mixes are served by another law."""

    def findings(self) -> Findings:
        """Slower, with half of the adapters served."""
        found = super().findings()
        searched, at_points = (tuple(map(self._changed, part)) for part in (found.searched, found.at_points))
        return Findings(searched, at_points)

    def _changed(self, explored: Exploration) -> Exploration:
        if not is_held_out(explored.recipe):
            return explored
        return replace(explored, runs=tuple(map(self._slower, explored.runs)))

    def _slower(self, run: SimulatedRun) -> SimulatedRun:
        missed = run.adapters > 12
        measures = replace(run.measures, itl_ms=3 * run.measures.itl_ms, ttft_ms=9e4 if missed else 100.0)
        return SimulatedRun(run.adapters, run.max_loras, measures)


def test_nothing_that_is_shipped_has_seen_the_mixes_it_is_judged_by(
    profile: Profile, work: Path, files: Mapping[str, bytes]
) -> None:
    campaign = OtherwiseHeldOut(Profiles((profile,)), GRID, seed=0, work=work, jobs=1, simulate=law_of_serving)
    others = make(campaign, COMMAND)
    usual, other = (Manifest.model_validate_json(made[MANIFEST]) for made in (files, others))
    assert [tree.error for tree in usual.trees] != [tree.error for tree in other.trees], "they are judged by them"
    assert (files[RULES], files[SERVING]) == (others[RULES], others[SERVING])
    assert [entry.margin for entry in usual.ensembles] == [entry.margin for entry in other.ensembles]
    assert [entry.required for entry in usual.chances] == [entry.required for entry in other.chances]


@pytest.mark.parametrize(("objective", "enough"), [(STEADY, 0.75), (PUBLISHED, 0.5)])
def test_a_rule_gives_slots_enough_for_most_of_the_mixes_that_look_alike(objective: Objective, enough: float) -> None:
    """Too few starve requests: they have to do for three mixes out of four, where the TTFT does not count for half."""
    best = np.random.default_rng(0).permutation(np.arange(1, 101))
    alike = Table(
        SLOTS_FEATURES,
        np.ones((len(best), len(SLOTS_FEATURES)), dtype=np.float32),
        tuple(sample(len(best), seed=0)),
        tuple(SlotChoice(objective, 128, run(128, int(slots))) for slots in best),
    )
    tree = fit_tree(alike, lambda choice: choice.best.max_loras, "max_loras", objective.name)
    (answer,) = set(tree.predict(alike))
    assert np.mean(best <= answer) == pytest.approx(enough, abs=0.05)


def test_what_is_written_into_the_leaves_is_what_the_tree_answers_exports_and_prints() -> None:
    """By private fields of scikit-learn, which a new version may use otherwise."""
    mixes = sample(80, seed=0)
    column = SLOTS_FEATURES.index("rate_spread")
    x = np.ones((len(mixes), len(SLOTS_FEATURES)), dtype=np.float32)
    x[40:, column] = 2.0
    best = [*np.arange(1, 41), *np.arange(101, 141)]
    labels = tuple(SlotChoice(STEADY, 256, run(256, int(slots))) for slots in best)
    table = Table(SLOTS_FEATURES, x, tuple(mixes), labels)
    fitted = fit_tree(table, lambda choice: choice.best.max_loras, "max_loras", "steady")
    low, high = fitted.predict(table)[[0, -1]]
    assert len(set(fitted.predict(table))) > 1
    graph = trees_to_onnx({"slots": fitted.tree}, {"slots": SLOTS_FEATURES})
    (answers,) = onnxruntime.InferenceSession(graph).run(["slots"], {INPUT: x})
    np.testing.assert_allclose(answers[[0, -1], 0], [low, high], rtol=1e-6)
    printed = export_text(fitted.tree, feature_names=SLOTS_FEATURES, decimals=4)
    assert f"[{low:.4f}]" in printed
    assert f"[{high:.4f}]" in printed
    assert (30 <= low <= 40, 130 <= high <= 140) == (True, True), "three of four of each kind have enough"

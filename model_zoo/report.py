"""All judgements of a pair's models, on mixes they have not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from advisor.pairs import Pair
from model_zoo.campaign import Campaign
from model_zoo.dataset import Tables
from model_zoo.evaluation import Line, judge_limits, judge_serving
from model_zoo.runs import OBJECTIVES, PUBLISHED, STEADY, Objective
from model_zoo.search import Exploration
from model_zoo.training import TARGETS, EnsembleOutput, Models, TreeOutput
from model_zoo.trials import Answer, ask, try_all, try_slots

DEFAULTS = {"steady": STEADY, "published": PUBLISHED}
"""The goal that an objective is judged by where only one is."""


@dataclass(frozen=True, slots=True)
class Report:
    """How the models fare."""

    limits: dict[Objective, list[Line]]
    """N*; the first line is of all TTFT limits, the second of the default one."""
    slots: dict[Objective, list[Line]]
    """Slots for given adapters; the first line is ours."""
    whole: dict[Objective, list[Line]]
    """Adapters and slots together; the first line is ours."""
    answers: dict[Objective, list[Answer]]
    """What the advisor says of the mixes kept aside."""
    serving: list[Line]
    """What to expect of a configuration; the first lines are in the order of `TARGETS`."""

    def of_tree(self, objective: Objective, output: TreeOutput) -> dict[str, float]:
        """The errors that a tree is shipped with."""
        line = self.limits[objective][1] if output == "load_limit" else self.slots[objective][0]
        return _rounded(line)

    def of_ensemble(self, output: EnsembleOutput) -> dict[str, float]:
        """The errors that an ensemble is shipped with."""
        return _rounded(self.serving[list(TARGETS).index(output)])

    def of_chance(self, objective: Objective) -> dict[str, float]:
        """The errors that a chance is shipped with: of telling who keeps it, and of the answers that come of it."""
        told = self.serving[len(TARGETS) + OBJECTIVES.index(objective)]
        return {**_rounded(told), **_rounded(self.whole[objective][0])}

    def sections(self) -> dict[str, list[Line]]:
        """All lines, under the titles of what they judge."""
        limits = {f"N*, {each}": lines for each, lines in self.limits.items()}
        slots = {f"Slots for given adapters, {each}": lines for each, lines in self.slots.items()}
        whole = {f"Adapters and slots together, {each}": lines for each, lines in self.whole.items()}
        return {**limits, **whole, **slots, "What to expect of a configuration": self.serving}


def judge(
    models: Models, pair: Pair, tables: tuple[Tables, Tables], unseen: Sequence[Exploration], campaign: Campaign
) -> Report:
    """Judge the models, and the answers that the advisor gives with them as `pair`, by the mixes kept aside.

    `tables` are those trained on and those of the mixes kept aside, `unseen` what was run of the latter.
    """
    train, aside = tables
    most = campaign.grid.max_adapters
    answers = {each: ask(unseen, pair, DEFAULTS[each], most) for each in OBJECTIVES}
    return Report(
        {
            each: judge_limits(aside.limits[each], train.limits[each], models.load_limit[each], most)
            for each in OBJECTIVES
        },
        {each: try_slots(aside.slots[each], models, DEFAULTS[each], campaign) for each in OBJECTIVES},
        {each: try_all(answers[each], DEFAULTS[each], campaign) for each in OBJECTIVES},
        answers,
        judge_serving(aside.serving, train.serving, models),
    )


def _rounded(line: Line) -> dict[str, float]:
    return {name: round(value, 3) for name, value in line.errors.items()}

"""A shipped decision tree: an answer and the rule that led to it, read from the same file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from advisor.errors import InputError
from advisor.zoo.graph import load_graph
from advisor.zoo.manifest import Tree as Entry
from advisor.zoo.models import Models

Output = Literal["load_limit", "max_loras"]


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison on the way from the root to a leaf; both numbers are float32, as the model compares them."""

    feature: str
    above: bool
    """Whether the way leads to values above the threshold, or to those up to it."""
    threshold: float

    def __str__(self) -> str:
        return f"{self.feature} {self._sign} {_digits(self.threshold, 4)}"

    @property
    def _sign(self) -> str:
        return ">" if self.above else "<="

    def holds(self, value: float) -> bool:
        """Whether a value of the feature satisfies the condition."""
        return (value > self.threshold) == self.above

    def at(self, value: float) -> str:
        """The condition with a value in it: "rate_spread 0.031 <= 0.88"; digits enough to tell the two apart."""
        for digits in range(4, 10):  # nine digits tell any two float32 apart
            shown, threshold = _digits(value, digits), _digits(self.threshold, digits)
            if shown != threshold:
                break
        return f"{self.feature} {shown} {self._sign} {threshold}"


@dataclass(frozen=True, slots=True)
class Met:
    """A condition, and the value of the feature that met it."""

    condition: Condition
    value: float

    def __str__(self) -> str:
        return self.condition.at(self.value)


@dataclass(frozen=True, slots=True)
class Product:
    """The factor of a leaf, and the feature that it multiplies."""

    factor: float
    feature: str
    value: float

    def __str__(self) -> str:
        return f"{_digits(self.factor, 6)} x {self.feature} {_digits(self.value, 6)}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One leaf of a tree: the conditions that lead to it and nowhere else, and its value (a factor, see `times`)."""

    conditions: tuple[Condition, ...]
    value: float
    share: float
    """Of the training workloads, those that the rule covers."""


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer with the rule that produced it."""

    value: float
    reasons: tuple[Met | Product, ...]
    """The conditions, with the values that met them; and the product, where the leaf is a factor."""

    @property
    def rule(self) -> tuple[str, ...]:
        """The reasons as lines."""
        return tuple(map(str, self.reasons))


class Tree:
    """One decision tree."""

    def __init__(self, models: Models, entry: Entry) -> None:
        """Load the tree of a manifest's entry.

        Raises:
            InputError: its file is not what was shipped, or carries no readable nodes.
        """
        self.entry = entry
        self._model = load_graph(models, "rules")
        try:
            nodes = json.loads(self._model.metadata[entry.name])
            self._nodes = {**nodes, "threshold": [float(threshold) for threshold in nodes["threshold"]]}
            self._leaves = dict(self._walk(0, (), set()))
        except (KeyError, ValueError, IndexError, TypeError, ArithmeticError, RecursionError) as error:
            raise InputError(f"{self._model.path}: the nodes of {entry.name} cannot be read: {error!r}") from error

    @property
    def rules(self) -> list[Rule]:
        """Every rule of the tree, leaf by leaf."""
        return list(self._leaves.values())

    def __call__(self, values: Mapping[str, float]) -> Decision:
        """Answer from the ONNX model, and explain by the rule of the leaf that the nodes lead to.

        Where the manifest's entry says `times`, the leaf is multiplied by that feature.

        Raises:
            InputError: the nodes do not lead to what the model answered; then the file is broken.
        """
        row = self._model.row(values)
        (answer,) = self._model.ask(row, self.entry.name)
        seen = dict(zip(self._model.features, map(float, row[0]), strict=True))
        rule = self._leaves[self._leaf(seen)]
        if float(np.float32(rule.value)) != answer:
            raise InputError(f"{self._model.path}: its nodes and its answers disagree; make the models again")
        met = tuple(Met(condition, seen[condition.feature]) for condition in rule.conditions)
        if not self.entry.times:
            return Decision(answer, met)
        product = Product(answer, self.entry.times, values[self.entry.times])
        return Decision(answer * product.value, (*met, product))

    def _leaf(self, seen: Mapping[str, float]) -> int:
        """The leaf that these features, float32, end in."""
        nodes, node = self._nodes, 0
        while nodes["left"][node] >= 0:
            side = "left" if seen[nodes["feature"][node]] <= nodes["threshold"][node] else "right"
            node = nodes[side][node]
        return int(node)

    def _walk(self, node: int, conditions: tuple[Condition, ...], seen: set[int]) -> Iterator[tuple[int, Rule]]:
        """The leaves below a node, with their rules; `seen` are the nodes passed, none of which comes again."""
        nodes = self._nodes
        if not 0 <= node < len(nodes["left"]) or node in seen:
            raise ValueError(f"no way leads to node {node}, or more than one")
        seen.add(node)
        if nodes["left"][node] < 0:
            mentioned = list(dict.fromkeys(each.feature for each in conditions))
            ordered = sorted(conditions, key=lambda each: (mentioned.index(each.feature), not each.above))
            yield node, Rule(tuple(ordered), float(nodes["value"][node]), float(nodes["share"][node]))
            return
        feature, threshold = nodes["feature"][node], nodes["threshold"][node]
        if feature not in self._model.features:
            raise ValueError(f"{feature!r} is no input of the graph")
        for side, above in (("left", False), ("right", True)):
            # Further down the way a threshold on the same side is tighter, so it replaces the earlier one.
            others = tuple(each for each in conditions if (each.feature, each.above) != (feature, above))
            yield from self._walk(nodes[side][node], (*others, Condition(feature, above, threshold)), seen)


@cache
def load_tree(models: Models, objective: Literal["steady", "published"], output: Output) -> Tree:
    """The tree for an objective and an output, loaded once.

    Raises:
        InputError: there is none, or its file is not what was shipped.
    """
    trees = (tree for tree in models.manifest.trees if (tree.objective, tree.output) == (objective, output))
    return Tree(models, models.only(trees, f"{objective} {output} tree"))


def _digits(number: float, digits: int) -> str:
    """A number with this many significant digits, in plain notation where that is readable."""
    return f"{number:.{digits}g}" if abs(number) < 10**digits else f"{number:.0f}"

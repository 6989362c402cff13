"""All rules of a pair, read from the shipped trees themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from advisor.zoo.manifest import Tree as Entry
from advisor.zoo.pair import Pair
from advisor.zoo.tree import Rule, Tree

UNITS = {"load_limit": "tokens/s", "max_loras": "slots"}


def explain(pair: Pair) -> list[dict[str, Any]]:
    """Every tree as plain data: objective, output, error on held-out workloads, rules.

    Raises:
        InputError: a shipped file is missing or altered.
    """
    trees = (Tree(pair.models, entry) for entry in pair.models.manifest.trees)
    return [
        {
            "objective": tree.entry.objective,
            "output": tree.entry.output,
            "error": tree.entry.error,
            "times": tree.entry.times,
            "rules": [
                {"if": list(map(str, rule.conditions)), "then": rule.value, "share": rule.share} for rule in tree.rules
            ],
            "text": [sentence(rule, tree.entry) for rule in tree.rules],
        }
        for tree in trees
    ]


def sentence(rule: Rule, entry: Entry) -> str:
    """A rule as "IF ... AND ... THEN ..."."""
    conditions = " AND ".join(map(str, rule.conditions)) or "anything"
    answer = f"{rule.value:.4g} x {entry.times}" if entry.times else f"{rule.value:,.1f} {UNITS[entry.output]}"
    return f"IF {conditions} THEN {entry.output} = {answer} ({rule.share:.1%} of the training workloads)"


def text(trees: list[dict[str, Any]]) -> Iterator[str]:
    """The rules as lines for a terminal."""
    for tree in trees:
        errors = ", ".join(f"{name} {value:.2f}" for name, value in tree["error"].items())
        yield f"{tree['output']}, objective {tree['objective']} ({errors})"
        yield from (f"  {line}" for line in tree["text"])

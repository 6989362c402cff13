"""Arguments: one line to paste behind `vllm serve MODEL`; empty when nothing is feasible."""

from __future__ import annotations

import shlex

from advisor.recommend.answer.recommendation import Recommendation


def write(recommendation: Recommendation) -> str:
    """The flags as one line of shell words."""
    return shlex.join(recommendation.args)

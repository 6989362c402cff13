"""TOML: the same keys as JSON."""

from __future__ import annotations

import tomli_w

from advisor.recommend.answer.recommendation import Recommendation


def write(recommendation: Recommendation) -> str:
    """The whole answer as TOML text."""
    return tomli_w.dumps(recommendation.document()).rstrip("\n")

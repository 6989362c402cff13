"""JSON: the documented keys, one object."""

from __future__ import annotations

import json

from advisor.recommend.answer.recommendation import Recommendation


def write(recommendation: Recommendation) -> str:
    """The whole answer as JSON text."""
    return json.dumps(recommendation.document(), indent=2)

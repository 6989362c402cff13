"""YAML: the same keys as JSON."""

from __future__ import annotations

import yaml

from advisor.recommend.recommendation import Recommendation

_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # ten times as fast where PyYAML was built with libyaml


def write(recommendation: Recommendation) -> str:
    """The whole answer as YAML text."""
    text: str = yaml.dump(recommendation.document(), Dumper=_Dumper, sort_keys=False, width=120)
    return text.rstrip("\n")

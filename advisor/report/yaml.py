"""YAML: the same keys as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from advisor.recommend.answer.recommendation import Recommendation

_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # ten times as fast where PyYAML was built with libyaml


def write(recommendation: Recommendation) -> str:
    """The whole answer as YAML text."""
    return dump(recommendation.document())


def dump(document: Mapping[str, Any]) -> str:
    """Plain data as YAML text."""
    text: str = yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, width=120)
    return text.rstrip("\n")

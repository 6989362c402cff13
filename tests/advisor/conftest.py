"""The small zoo, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.zoo import pairs
from advisor.zoo.pair import Pair
from tests.advisor.small_zoo import NAME, build


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with one pair."""
    return build(tmp_path_factory.mktemp("zoo"))


@pytest.fixture(scope="session")
def pair(zoo: Path) -> Pair:
    """The pair of the small zoo."""
    return pairs.named(NAME, zoo)

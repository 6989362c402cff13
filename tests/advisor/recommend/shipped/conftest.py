"""The pair that most of these tests ask."""

from __future__ import annotations

import pytest

from advisor.zoo.pair import Pair
from advisor.zoo.pairs import find_pair


@pytest.fixture(scope="module")
def llama() -> Pair:
    return find_pair("llama-3.1-8b-instruct", "h100-64gb")

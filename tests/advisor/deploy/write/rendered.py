"""Launch files for tests: of adapters with any names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from advisor.deploy.write import render
from advisor.deploy.write.render_context import AS_MEASURED, Options
from advisor.inventory.inventory import Inventory, parse
from advisor.recommend.answer.recommendation import Recommendation
from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.zoo.pair import Pair
from tests.advisor import inventories

HOSTILE = [
    "a\"b'c",
    "two\nlines: [x]",
    "{{ 7 * 7 }}{% for x in y %}",
    "$(touch owned) `touch owned` ${HOME} $HOME $$",
    "- # : & * ! | > % @ \\",
    "\u2028\x85\x7f\x1b[31m 😀 --max-loras=1",
    "--lora-modules",
]


def serving(
    pair: Pair, names: Sequence[str], sources: Mapping[str, str | None] | None = None
) -> tuple[Inventory, Recommendation]:
    """An inventory of adapters with these names, loaded from these sources or else from /from/ their names."""
    given = {name: f"/from/{name}" for name in names} if sources is None else sources
    document: dict[str, Any] = {
        "model": "tiny-1b",
        "gpu": "test-gpu",
        "lengths": {"input": {"mean": 100, "std": 50}, "output": {"mean": 100, "std": 50}},
        "adapters": [
            {"name": name, "rank": 8, "rate": 0.05} | ({"source": given[name]} if given[name] else {}) for name in names
        ],
    }
    inventory = parse(inventories.toml(document))
    answer = recommend(inventory, pair, Objective())
    assert answer.admission.rejected == ()
    return inventory, answer


NAMES = st.lists(inventories.names | st.sampled_from(HOSTILE), min_size=1, max_size=5, unique=True)


def text(
    template: str,
    pair: Pair,
    names: Sequence[str],
    sources: Mapping[str, str | None] | None = None,
    options: Options = AS_MEASURED,
) -> tuple[str, Recommendation]:
    """A rendered template, and what it was rendered from."""
    inventory, answer = serving(pair, names, sources)
    return render.render(template, answer, inventory, pair, options).text, answer


def modules(words: Sequence[str]) -> list[dict[str, str]]:
    """What arguments of --lora-modules say."""
    return [json.loads(word) for word in words]


def undollared(word: str) -> str:
    """What compose and Kubernetes make of a word; a single dollar would be a variable."""
    assert "$" not in re.sub(r"\$\$", "", word)
    return word.replace("$$", "$")

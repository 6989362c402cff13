"""What is rendered for an inventory is found to be right for it, whatever the template and the inventory."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from advisor.check.check import Checker
from advisor.check.finding import Severity
from advisor.check.target import Target
from advisor.deploy.write import render, template
from advisor.deploy.write.render_context import AS_MEASURED, Options
from advisor.errors import InputError
from advisor.inventory.inventory import parse
from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.zoo.pair import Pair
from advisor.zoo.pairs import find_pair
from tests.advisor import inventories

SERVERS = ("serve", "systemd", "vllm-config", "compose", "kubernetes", "kserve", "kubeai", "llm-d", "production-stack")
SERVERS += ("ray-serve", "nim")
"""Templates of a whole server. The others tell of adapters, or of none that our readers know."""
GROUPS = st.lists(
    st.fixed_dictionaries(
        {
            "rank": st.sampled_from([1, 4, 8, 16, 20, 32, 64]),
            "rate": st.sampled_from([0.0, 0.001, 0.025, 0.05, 0.3]),
            "count": st.integers(1, 60),
        },
        optional={"source": st.sampled_from(["org/adapter", "s3://bucket/adapter", "/adapters/one"])},
    ),
    min_size=1,
    max_size=4,
)
OPTIONS = st.sampled_from([AS_MEASURED, Options(at_run_time=True), Options(vllm="0.32", enforce=True)])


def document(model: str, gpu: str, groups: list[dict[str, Any]]) -> str:
    """An inventory of such adapters."""
    return inventories.toml(
        {
            "model": model,
            "gpu": gpu,
            "lengths": {"input": {"mean": 200, "std": 150}, "output": {"mean": 150, "std": 100}},
            "adapters": [{"name": f"group-{i}", **group} for i, group in enumerate(groups)],
        }
    )


@pytest.mark.parametrize("model", ["tiny-1b", "llama-3.1-8b-instruct", "qwen2.5-7b-instruct"])
@settings(max_examples=5, deadline=None)
@given(GROUPS, OPTIONS)
def test_nothing_is_found(pair: Pair, model: str, groups: list[dict[str, Any]], options: Options) -> None:
    assume(any(group["rate"] for group in groups))
    any_pair = pair if model == "tiny-1b" else find_pair(model, "h100-64gb")
    inventory = parse(document(any_pair.model, any_pair.gpu, groups))
    answer = recommend(inventory, any_pair, Objective())
    assume(answer.feasible)
    checker = Checker(Target(inventory, any_pair, Objective()))
    for file in template.shipped():
        name = template.name(file)
        try:
            rendered = render.render(name, answer, inventory, any_pair, options)
        except InputError as error:
            assert name in ("kserve", "kubeai"), error  # these load adapters from no path
            continue
        checked = checker.check_text(rendered.name, rendered.text)
        assert not checked.unreadable
        assert checked.servers == (name in SERVERS) or name == "lora-syncer", name
        standing = [
            finding
            for finding in checked.standing
            if not (options.vllm and finding.severity is Severity.REMARK and finding.rule == "another-vllm")
        ]
        assert standing == [], f"{name}: {standing}"

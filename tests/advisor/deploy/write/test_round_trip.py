"""What is rendered is read again as the server that was meant: by the readers of `advisor check`."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.deploy.deployment import Deployment
from advisor.deploy.finder import find
from advisor.deploy.write import template
from advisor.deploy.write.render_context import AS_MEASURED, Options
from advisor.recommend.answer.recommendation import RUNTIME
from advisor.zoo.pair import Pair
from tests.advisor.deploy.write.rendered import NAMES, text

SIMPLE = st.from_regex("[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
PLAIN_NAMES = st.lists(SIMPLE, min_size=1, max_size=20, unique=True)
KNOWN_NAMES = NAMES.filter(lambda names: not any("{{" in name or "{%" in name for name in names))
"""A reader cannot tell a name of braces from a template's own."""
OPTIONS = st.sampled_from([AS_MEASURED, Options(vllm="0.32", enforce=True), Options(at_run_time=True)])
UNDOLLARED_NAMES = KNOWN_NAMES.filter(lambda names: not any("$" in name for name in names))
"""vLLM takes a dollar in its file as it is, but others fill such files in."""
ANY_NAME = {
    **dict.fromkeys(("compose", "kubernetes", "production-stack", "serve", "systemd"), KNOWN_NAMES),
    "vllm-config": UNDOLLARED_NAMES,
}
"""Templates that take whatever adapters are called."""
SERVERS = ("kserve", "kubeai", "llm-d", "nim", "ray-serve", *ANY_NAME)
"""Templates of a whole server."""
MORE = {"production-stack": {"enable_prefix_caching": "True"}, "ray-serve": {"max_num_adapters_per_replica": "*"}}
"""Settings that a platform has beside those of the recommendation."""


def read(name: str, rendered: str) -> Deployment:
    file = next(file for file in template.shipped() if template.name(file) == name).removesuffix(template.SUFFIX)
    (deployment,) = find(rendered, file)
    # The script passes on what it is given.
    assert {problem.code for problem in deployment.problems} <= ({"unknown-arguments"} if name == "serve" else set())
    assert not deployment.partial or name == "serve"
    return deployment


def flags_of(deployment: Deployment) -> dict[str, str]:
    """What counts of the settings, but for the adapters."""
    found = {flag.name: flag.value.text or "?" if flag.value else "True" for flag in deployment.flags}
    return {name: value for name, value in found.items() if name not in ("lora_modules", "enable_lora", "model")}


@pytest.mark.parametrize("name", SERVERS)
@settings(max_examples=8, deadline=None)
@given(st.data())
def test_a_server_is_read_again(pair: Pair, name: str, data: st.DataObject) -> None:
    options = data.draw(OPTIONS)
    names = data.draw(ANY_NAME.get(name, PLAIN_NAMES))
    sources = {each: f"hf://org/{i}" for i, each in enumerate(names)}
    rendered, answer = text(name, pair, names, sources, options)
    deployment = read(name, rendered)
    wanted = {flag: str(value) for flag, value in answer.flags.items()}
    found = flags_of(deployment)
    if options.enforce:
        assert int(found.pop("max_num_queued_reqs")) > 0
    for more, value in MORE.get(name, {}).items():
        assert found.pop(more) == (wanted["max_loras"] if value == "*" else value)
    assert found == wanted
    loads = name not in ("nim", "ray-serve") and (name == "kubeai" or not options.at_run_time)
    assert {adapter.name: adapter.source for adapter in deployment.adapters} == (sources if loads else {})
    if deployment.image:
        assert deployment.image.text == f"vllm/vllm-openai:v{'0.32.0' if options.vllm else '0.8.5'}"
    if deployment.model:
        assert (deployment.model.text or "").removeprefix("hf://") == "example/Tiny-1B"
    if options.at_run_time and name not in ("nim", "ray-serve", "vllm-config"):
        assert {each: deployment.environment[each].text for each in RUNTIME} == RUNTIME


@settings(max_examples=20, deadline=None)
@given(KNOWN_NAMES)
def test_adapters_for_the_lora_syncer_are_read_again(pair: Pair, names: list[str]) -> None:
    (deployment,) = find(text("lora-syncer", pair, names)[0], "lora-syncer.yaml")
    assert {adapter.name: adapter.source for adapter in deployment.adapters} == {
        name: f"/from/{name}" for name in names
    }


@pytest.mark.parametrize("file", ["envoy.yaml", "litellm.yaml", "nginx.conf", "load-adapters.sh", "benchmark.sh"])
def test_these_are_no_servers(pair: Pair, file: str) -> None:
    assert find(text(template.name(file), pair, ["lora-0"])[0], file) == []

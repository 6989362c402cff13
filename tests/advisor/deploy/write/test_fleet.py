"""A launch file for each GPU and template, under names of their own, with the adapters of that GPU."""

from __future__ import annotations

import pytest
import yaml

from advisor.deploy.write import template
from advisor.deploy.write.fleet import launch_files
from advisor.zoo.pair import Pair
from tests.advisor.deploy.write.placements import placed
from tests.advisor.deploy.write.rendered import modules, undollared
from tests.advisor.deploy.write.test_templates import FORMATS, read

NAMES = ["a", "b", "both"]
GPUS = {0: {0: 1.0, 2: 0.75}, 7: {1: 1.0, 2: 0.25}}


def test_every_gpu_gets_a_file_of_every_template(pair: Pair) -> None:
    inventory, placement = placed(pair, NAMES, GPUS)
    names = [name for name in template.descriptions() if name not in ("kserve", "kubeai", "llm-d")]
    files = launch_files(placement, inventory, names)
    assert len({file.name for file in files}) == len(files) == 2 * len(names)
    for file, (gpu, name) in zip(files, [(gpu, name) for gpu in GPUS for name in names], strict=True):
        assert file.name.startswith(f"gpu-{gpu}.{name}.")
        read(name, file.text)
        if name != "compose":
            assert set(FORMATS[name].adapters(file.text)) == {NAMES[adapter] for adapter in GPUS[gpu]}


def test_what_has_a_name_is_named_after_its_server(pair: Pair) -> None:
    inventory, placement = placed(pair, NAMES, GPUS)
    compose, kubernetes = launch_files(placement, inventory, ["compose", "kubernetes"])[2:]
    ((service, content),) = yaml.safe_load(compose.text)["services"].items()
    assert service == "gpu-7"
    words = [undollared(word) for word in content["command"]]
    assert modules(words[words.index("--lora-modules") + 1 :]) == [
        {"name": n, "path": f"/from/{n}"} for n in ("b", "both")
    ]
    deployment, exposed = yaml.safe_load_all(kubernetes.text)
    assert deployment["metadata"]["name"] == exposed["metadata"]["name"] == "gpu-7"
    assert deployment["spec"]["selector"]["matchLabels"] == exposed["spec"]["selector"] == {"app": "gpu-7"}
    assert deployment["spec"]["template"]["metadata"]["labels"] == {"app": "gpu-7"}
    assert "-f gpu-7.kubernetes.yaml" in kubernetes.text


def test_limits_are_for_the_share_of_the_requests_that_comes(pair: Pair) -> None:
    inventory, placement = placed(pair, NAMES, GPUS)
    first, second = (each.served(inventory) for each in placement.assignments)
    assert first.names == ("a", "both")
    assert first.workload.rate.tolist() == pytest.approx([0.05, 0.0375])
    assert second.workload.rate.tolist() == pytest.approx([0.05, 0.0125])

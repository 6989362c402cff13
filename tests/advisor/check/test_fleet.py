"""Each server of a fleet is judged by the adapters that it is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from advisor.check.fleet import Named, named, placed
from advisor.check.target import Target
from advisor.deploy.deployment import Adapter, Deployment, Place
from advisor.inventory.inventory import parse
from advisor.place.changes.previous import Running
from tests.advisor.check.commands import GOOD, INVENTORY, read, target

LEGAL = [f"legal-{i}" for i in range(32)]
SUPPORT = [f"support-{i}" for i in range(32)]
BASE = INVENTORY + "\n[base]\nrate = 3.0\n"


def server(*names: str, file: str = "a.sh", kind: str = "shell", name: str = "") -> Deployment:
    here = Place(1, 1, 0, 0)
    (found,) = read(GOOD)
    return replace(found, file=file, kind=kind, name=name, adapters=tuple(Adapter(each, None, here) for each in names))


def rates(against: Target | None) -> dict[str, float]:
    assert against is not None
    return dict(zip(against.inventory.names, against.inventory.workload.rate.tolist(), strict=True))


def together(*servers: Deployment, inventory: str = INVENTORY) -> Named:
    found = named(target(inventory), servers)
    assert isinstance(found, Named)
    return found


def test_files_that_name_all_adapters_between_them_are_a_fleet() -> None:
    legal, support = server(*LEGAL), server(*SUPPORT)
    fleet = together(legal, support)
    assert rates(fleet.target(legal)) == dict.fromkeys(LEGAL, 0.05)
    assert rates(fleet.target(support)) == dict.fromkeys(SUPPORT, 0.025)
    assert fleet.target(legal) is fleet.target(legal)


def test_who_is_named_by_several_shares_its_requests_among_them() -> None:
    one, other = server(*LEGAL, *SUPPORT[:16]), server(*LEGAL[:8], *SUPPORT[16:])
    fleet = together(one, other)
    assert rates(fleet.target(one))["legal-0"] == pytest.approx(0.025)
    assert rates(fleet.target(one))["legal-8"] == pytest.approx(0.05)
    assert rates(fleet.target(other))["legal-0"] == pytest.approx(0.025)


def test_one_server_in_two_formats_is_one() -> None:
    both = [server(*names, kind=kind) for names in (LEGAL, SUPPORT) for kind in ("shell", "compose")]
    assert rates(together(*both).target(both[0])) == dict.fromkeys(LEGAL, 0.05)


def test_who_stands_by_for_others_is_judged_by_its_file() -> None:
    legal, support, spare = server(*LEGAL), server(*SUPPORT), server(*LEGAL, *SUPPORT)
    fleet = together(legal, support, spare)
    assert fleet.target(spare) is None
    assert rates(fleet.target(legal)) == dict.fromkeys(LEGAL, 0.05)


def test_requests_that_name_none_go_to_all_or_to_those_without_adapters() -> None:
    legal, support, none = server(*LEGAL), server(*SUPPORT), server()
    spread = together(legal, support, inventory=BASE).target(legal)
    own = together(legal, support, none, inventory=BASE)
    beside = own.target(legal)
    assert spread is not None
    assert beside is not None
    assert spread.inventory.workload.base is not None
    assert spread.inventory.workload.base.rate.tolist() == [1.5]
    assert beside.inventory.workload.base is None
    assert own.target(none) is None


@pytest.mark.parametrize("servers", [[LEGAL], [LEGAL + SUPPORT], [LEGAL + SUPPORT, LEGAL], [["x"], ["y"]], [[], []]])
def test_less_than_two_that_divide_them_are_none(servers: list[list[str]]) -> None:
    assert named(target(), [server(*names) for names in servers]) is None


def test_a_part_of_a_fleet_is_told_of() -> None:
    busy = target(INVENTORY.replace("rate = 0.05", "rate = 2.0"))
    told = [named(busy, servers) for servers in ([server(*LEGAL)], [server(*LEGAL), server(*SUPPORT[:8])])]
    assert str(told[0]).startswith("1 server names 32 of the inventory's 64 adapters, more than one GPU serves: ")
    assert str(told[1]).startswith("2 servers name 40 of the inventory's 64 adapters, more than one GPU serves: ")


def test_other_models_do_not_count() -> None:
    other = replace(server(*SUPPORT), model=read(GOOD.replace("meta-llama/Llama-3.1-8B-Instruct", "a/b"))[0].model)
    assert named(target(), [server(*LEGAL), other]) is None


GPUS: Mapping[int, Running] = {
    0: Running(tuple(LEGAL), {}, None, base=1.0, weights={"legal-0": 0.25}),
    1: Running(("legal-0", *SUPPORT, "gone"), {}, None, weights={"legal-0": 0.75}),
    2: Running((), {}, None, standby=(*LEGAL, *SUPPORT)),
}


def test_a_placement_tells_who_is_where() -> None:
    like = target(BASE)
    fleet = placed(parse(BASE), GPUS, [like.pair], like.objective)
    first, second = (fleet.target(server(file=f"launch/gpu-{gpu}.compose.yaml")) for gpu in (0, 1))
    assert rates(first) == {**dict.fromkeys(LEGAL, 0.05), "legal-0": pytest.approx(0.0125)}
    assert rates(second) == {**dict.fromkeys(SUPPORT, 0.025), "legal-0": pytest.approx(0.0375)}
    assert first is not None
    assert second is not None
    assert first.inventory.workload.base is not None
    assert second.inventory.workload.base is None
    assert first.elsewhere["support-0"] == "GPU 1"
    assert fleet.target(server(name="gpu-2")) is None


def test_a_server_is_known_by_its_name_or_else_by_its_adapters() -> None:
    like = target()
    fleet = placed(parse(INVENTORY), GPUS, [like.pair], like.objective)
    assert fleet.gpu(server(*SUPPORT[:3], file="other.sh")) == 1
    assert fleet.gpu(server(*SUPPORT, name="gpu-0")) == 0
    assert fleet.gpu(server(*LEGAL, *SUPPORT)) == 2
    assert fleet.gpu(server("stranger", file="gpu-7.sh")) is None

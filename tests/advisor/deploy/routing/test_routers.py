"""Router maps send every adapter to the servers that it is on, whatever it is called; their own readers read them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.deploy.write import router
from advisor.errors import InputError
from advisor.inventory.inventory import Inventory
from advisor.place.placement import Placement
from advisor.zoo.pair import Pair
from tests.advisor.deploy.write.placements import placed
from tests.advisor.deploy.write.rendered import NAMES
from tests.advisor.deploy.write.test_templates import nginx

Routes = dict[str, dict[str, float]]
"""Adapter -> server -> share of its requests; 0 for a standby."""
MODEL = "example/Tiny-1B"
LOCAL = "http://127.0.0.1:80{gpu:02}"


def expected(inventory: Inventory, placement: Placement) -> Routes:
    routes: Routes = {}
    for each in placement.assignments:
        for adapter in each.adapters:
            routes.setdefault(inventory.names[adapter], {})[f"gpu-{each.gpu}"] = each.weights.get(adapter, 1.0)
    for adapter, gpu in placement.standby.items():
        routes[inventory.names[adapter]][f"gpu-{gpu}"] = 0.0
    return routes


def shares(parts: dict[str, float]) -> dict[str, float]:
    return {server: part / sum(parts.values()) for server, part in parts.items()}


def from_json(text: str) -> Routes:
    read = json.loads(text)
    assert read["model"] == MODEL
    assert all(url == f"http://{server}:8000" for server, url in read["servers"].items())
    return {
        name: {target["server"]: 0.0 if target.get("standby") else target["weight"] for target in targets}
        for name, targets in read["adapters"].items()
    }


def from_litellm(text: str) -> Routes:
    read = yaml.safe_load(text)
    assert read["router_settings"]["routing_strategy"] == "simple-shuffle"
    routes: Routes = {}
    for row in read["model_list"]:
        params, name = row["litellm_params"], row["model_name"]
        assert params["model"] == f"hosted_vllm/{name}"
        assert params["api_base"].endswith("/v1")
        server = params["api_base"].removeprefix("http://").partition(":")[0]
        routes.setdefault(name, {})[server] = params.get("weight", 0)
        assert params.get("order", 1) == (1 if "weight" in params else 2)
    assert len(set(routes.pop(MODEL).values())) == 1
    return {name: shares(parts) for name, parts in routes.items()}


NAME = {"type": "string", "minLength": 1, "maxLength": 253, "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"}
BACKEND = {
    "type": "object",
    "properties": {
        "group": {"const": "inference.networking.k8s.io"},
        "kind": {"const": "InferencePool"},
        "name": NAME,
        "weight": {"type": "integer", "minimum": 0, "maximum": 1_000_000},
    },
    "required": ["group", "kind", "name", "weight"],
    "additionalProperties": False,
}
MATCH = {
    "type": "object",
    "properties": {
        "headers": {
            "type": "array",
            "minItems": 1,
            "maxItems": 16,
            "items": {
                "type": "object",
                "properties": {
                    "type": {"enum": ["Exact", "RegularExpression"]},
                    "name": {"type": "string", "maxLength": 256, "pattern": r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$"},
                    "value": {"type": "string", "minLength": 1, "maxLength": 4096},
                },
                "required": ["name", "value"],
                "additionalProperties": False,
            },
        }
    },
    "additionalProperties": False,
}
SPECS: dict[tuple[str, str], dict[str, Any]] = {
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): {
        "parentRefs": {"type": "array", "maxItems": 32, "items": {"type": "object", "required": ["name"]}},
        "rules": {
            "type": "array",
            "minItems": 1,
            "maxItems": 16,
            "items": {
                "type": "object",
                "properties": {
                    "backendRefs": {"type": "array", "maxItems": 16, "minItems": 1, "items": BACKEND},
                    "matches": {"type": "array", "maxItems": 64, "minItems": 1, "items": MATCH},
                    "timeouts": {
                        "type": "object",
                        "properties": {"request": {"pattern": r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"}},
                        "additionalProperties": False,
                    },
                },
                "additionalProperties": False,
            },
        },
    },
    ("inference.networking.k8s.io/v1", "InferencePool"): {
        "selector": {
            "type": "object",
            "properties": {
                "matchLabels": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 63}}
            },
            "required": ["matchLabels"],
            "additionalProperties": False,
        },
        "targetPorts": {
            "type": "array",
            "minItems": 1,
            "maxItems": 8,
            "items": {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
        },
        "endpointPickerRef": {
            "type": "object",
            "properties": {"name": NAME, "port": {"type": "object", "required": ["number"]}},
            "required": ["name", "port"],
            "additionalProperties": False,
        },
    },
}
"""What the custom resources' definitions (Gateway API 1.4, its inference extension 1.0) demand of what is written."""


def from_gateway_api(text: str) -> Routes:
    routes: Routes = {}
    pools, names = set[str](), []
    for document in filter(None, yaml.safe_load_all(text)):
        spec = SPECS[document["apiVersion"], document["kind"]]
        resource = {
            "properties": {
                "metadata": {"properties": {"name": NAME}, "required": ["name"], "additionalProperties": False},
                "spec": {"properties": spec, "required": list(spec), "additionalProperties": False},
            },
            "required": ["apiVersion", "kind", "metadata", "spec"],
        }
        jsonschema.Draft202012Validator(resource).validate(document)
        names.append((document["kind"], document["metadata"]["name"]))
        if document["kind"] == "InferencePool":
            pools.add(document["metadata"]["name"])
            continue
        for rule in document["spec"]["rules"]:
            targets = {each["name"]: each["weight"] for each in rule["backendRefs"]}
            for match in rule["matches"]:
                (header,) = match["headers"]
                assert header["name"] == "X-Gateway-Model-Name"
                assert header["value"] not in routes
                routes[header["value"]] = targets
    assert len(set(names)) == len(names)
    assert all(set(targets) <= pools for targets in routes.values())
    assert set(routes.pop(MODEL)) == pools if len(pools) <= 16 else len(routes.pop(MODEL)) == 16
    return {name: shares(parts) for name, parts in routes.items()}


READERS = {"json": from_json, "litellm": from_litellm, "gateway-api": from_gateway_api}


@settings(max_examples=25, deadline=None)
@given(names=NAMES, data=st.data())
def test_every_adapter_is_routed_to_where_it_is(pair: Pair, names: list[str], data: st.DataObject) -> None:
    gpus: dict[int, dict[int, float]] = {}
    standby: dict[int, int] = {}
    for adapter in range(len(names)):
        on = data.draw(st.lists(st.integers(0, 3), max_size=3, unique=True))
        for gpu in on:
            gpus.setdefault(gpu, {})[adapter] = 1 / len(on)
        if len(on) == 1 and data.draw(st.booleans()):
            standby[adapter] = (on[0] + 1) % 4
    standby = {adapter: gpu for adapter, gpu in standby.items() if gpu in gpus}
    inventory, placement = placed(pair, names, dict(sorted(gpus.items())), standby=standby)
    if not gpus:
        with pytest.raises(InputError, match="nothing to route: no adapter is on a GPU"):
            router.render("json", placement, inventory)
        return
    wanted = expected(inventory, placement)
    for name, read in READERS.items():
        try:
            text = router.render(name, placement, inventory).text
        except InputError as error:
            assert str(error).startswith(f"{name}: ")
            assert name != "json"
            continue
        found = read(text)
        if name == "gateway-api":
            wanted = {each: {gpu: share for gpu, share in on.items() if share} for each, on in wanted.items()}
        assert found.keys() == wanted.keys()
        for adapter, on in wanted.items():
            assert found[adapter] == pytest.approx(on, abs=0.02)


@settings(max_examples=15, deadline=None)
@given(NAMES)
def test_nginx_takes_any_names(pair: Pair, names: list[str]) -> None:
    inventory, placement = placed(pair, names, {0: dict.fromkeys(range(len(names)), 1.0)})
    try:
        text = router.render("nginx", placement, inventory, LOCAL).text
    except InputError as error:
        assert "does not tell the cases of letters apart" in str(error)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "nginx.conf"
        path.write_text(text)
        nginx(path)


def test_many_adapters_and_servers_stay_within_the_bounds_of_their_resources(pair: Pair) -> None:
    names = [f"tenant-{i}" for i in range(200)]
    gpus = {gpu: dict.fromkeys(range(gpu, 200, 20), 1.0) for gpu in range(1, 20)}
    gpus[0] = dict.fromkeys(range(0, 200, 20), 1.0)
    inventory, placement = placed(pair, names, gpus)
    assert from_gateway_api(router.render("gateway-api", placement, inventory).text) == expected(inventory, placement)
    one = {0: dict.fromkeys(range(200), 1.0)}
    inventory, placement = placed(pair, names, one)
    assert from_gateway_api(router.render("gateway-api", placement, inventory).text) == expected(inventory, placement)


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("http://gpu-{gpu}:8000", ["gpu-0:8000", "gpu-11:8000"]),
        ("https://10.0.0.{gpu}/", ["10.0.0.0:443", "10.0.0.11:443"]),
        ("http://[::1]:80{gpu:02}", ["[::1]:8000", "[::1]:8011"]),
    ],
)
def test_where_servers_answer(pair: Pair, url: str, addresses: list[str]) -> None:
    inventory, placement = placed(pair, ["a", "b"], {0: {0: 1.0}, 11: {1: 1.0}})
    servers = router.context(placement, inventory, url)["servers"]
    assert [server["address"] for server in servers] == addresses
    assert not any(server["url"].endswith("/") for server in servers)


@pytest.mark.parametrize(
    "url",
    [
        "gpu-{gpu}:8000",
        "http://gpu-{gpu.real}:8000",
        "http://x{gpu!r}",
        "http://{gpu:99}",
        "http://{gpu}:99999",
        "",
        "http://a b{gpu}",
    ],
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(InputError, match="not where a server answers"):
        router.checked_url(url)


def test_one_address_for_all_is_refused(pair: Pair) -> None:
    inventory, placement = placed(pair, ["a", "b"], {0: {0: 1.0}, 1: {1: 1.0}})
    with pytest.raises(InputError, match=r"all servers would answer at one address: \{gpu\} is missing in 'http://h'"):
        router.render("json", placement, inventory, "http://h")


def test_an_unknown_router(pair: Pair) -> None:
    inventory, placement = placed(pair, ["a"], {0: {0: 1.0}})
    with pytest.raises(
        InputError, match=r"^no router 'ngnix'; did you mean 'nginx'\?; there are gateway-api, json, litellm, nginx$"
    ):
        router.render("ngnix", placement, inventory)


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=8))
def test_whole_parts_keep_the_proportions(weights: list[float]) -> None:
    parts = router.whole_parts(weights)
    assert min(parts) >= 1
    assert max(parts) <= router.PARTS
    for part, weight in zip(parts, weights, strict=True):
        assert part / sum(parts) == pytest.approx(weight / sum(weights), abs=0.08)
    assert router.whole_parts([0.5, 0.5]) == [1, 1]
    assert router.whole_parts([0.75, 0.25]) == [3, 1]

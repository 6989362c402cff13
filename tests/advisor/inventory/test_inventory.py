"""Inventories: what is written is what is read."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from advisor.errors import InputError
from advisor.inventory.inventory import GpuChoice, Inventory, load, parse
from tests.advisor import inventories
from tests.advisor.inventories import PLAIN


@given(inventories.documents())
def test_round_trip(document: dict[str, Any]) -> None:
    inventory = parse(inventories.toml(document))
    gpu = document["gpu"]["name"] if isinstance(document["gpu"], dict) else document["gpu"]
    assert (inventory.model, inventory.gpu) == (document["model"], gpu)
    assert inventory.workload.correlation == document["lengths"]["correlation"]
    assert len(inventory) == sum(row.get("count", 1) for row in document["adapters"]) == len(set(inventory.names))
    workload, mix = inventory.workload, inventory.workload.stationary()
    assert [(phase.duration_s, phase.scale, phase.cv) for phase in workload.phases] == [
        (phase["duration"], phase.get("scale", 1.0), phase.get("cv")) for phase in document["phases"]
    ]
    assert mix.offered_tok_s == pytest.approx(workload.offered_tok_s)
    assert inventory.mix.offered_tok_s >= mix.offered_tok_s * (1 - 1e-9)
    position = 0
    for row in document["adapters"]:
        for i in range(row.get("count", 1)):
            assert inventory.names[position] == (f"{row['name']}-{i}" if "count" in row else row["name"])
            assert inventory.sources[position] == row.get("source")
            for key, told in (("gpu", inventory.pins), ("apart", inventory.apart), ("replicas", inventory.replicas)):
                assert told.get(inventory.names[position]) == row.get(key)
            assert mix.rank[position] == row["rank"]
            assert workload.rate[position] == row["rate"]
            assert mix.cv[position] == row.get("cv", 1.0)
            lognormal = workload.lognormal_gaps is not None and workload.lognormal_gaps[position]
            assert lognormal == (row.get("gaps") == "lognormal")
            for kind in ("input", "output"):
                check_length(inventory, position, kind, row.get(kind, document["lengths"][kind]))
            position += 1


def check_length(inventory: Inventory, position: int, kind: str, length: dict[str, float]) -> None:
    mean, std = (getattr(inventory.mix, f"{kind}_{moment}")[position] for moment in ("mean", "std"))
    laws = getattr(inventory.workload, f"{kind}_quantiles")
    if "mean" in length:
        assert (mean, std) == (length["mean"], length["std"])
        assert not laws or laws[position] is None
    else:
        law = laws[position]
        assert (mean, std) == (law.mean, law.std)
        middle = NormalDist()
        for name, tokens in length.items():
            assert law(np.array([middle.inv_cdf(int(name[1:]) / 100)])) == pytest.approx(tokens)


def test_adapters_that_are_hardly_asked() -> None:
    inventory = parse(PLAIN.replace("rate = 0.025", "rate = -0.0"))
    assert inventory.workload.rate.tolist() == [0.1] * 60 + [0.0]
    assert not np.signbit(inventory.workload.rate).any()
    with pytest.raises(InputError, match=r"^inventory: every rate is 0, so there is no traffic"):
        parse(re.sub(r"rate = \S+", "rate = 0", PLAIN))


@given(inventories.documents())
def test_base_traffic_is_read_as_an_adapters_is(document: dict[str, Any]) -> None:
    inventory = parse(inventories.toml(document))
    given = document.get("base", {"rate": 0.0})
    base = inventory.workload.base
    assert (base is None) == (given["rate"] == 0.0)
    if base is None:
        return
    row = {"name": "<base>", "rank": 8} | given
    (alike,) = (parse(inventories.toml(document | {"adapters": [row]})).workload,)
    for name in ("rate", "input_mean", "input_std", "output_mean", "output_std", "cv"):
        assert getattr(base, name) == getattr(alike, name), name
    assert (len(base), base.phases) == (1, ())
    gaps = [False] if base.lognormal_gaps is None else base.lognormal_gaps.tolist()
    assert gaps == [given.get("gaps") == "lognormal"]
    assert inventory.only(inventory.names[:1]).workload.base is base


def test_settings_that_must_stay_are_in_force_today() -> None:
    inventory = parse(
        PLAIN + "[server]\nmax_loras = 8\nmax_num_seqs = 64\n[fixed]\nmax_loras = 8\nmax_model_len = 999\n"
    )
    assert inventory.fixed == {"max_loras": 8, "max_model_len": 999}
    assert inventory.server == {"max_loras": 8, "max_num_seqs": 64, "max_model_len": 999}
    assert parse(PLAIN).fixed == {}


def test_prompts_that_begin_alike() -> None:
    for_all = parse(
        PLAIN.replace("output =", "shared_prefix = 40\noutput =", 1).replace("rank = 8", "rank = 8\nshared_prefix = 0")
    )
    assert for_all.workload.shared_prefix is not None
    assert for_all.workload.shared_prefix.tolist() == [40] * 60 + [0]
    of_one = parse(PLAIN.replace("rank = 8", "rank = 8\nshared_prefix = 99"))
    assert of_one.workload.shared_prefix is not None
    assert of_one.workload.shared_prefix.tolist() == [0] * 60 + [99]
    assert parse(PLAIN).workload.shared_prefix is None
    assert parse(PLAIN + "[server]\nenable_prefix_caching = false\n").server == {"enable_prefix_caching": False}


def test_where_adapters_may_be_placed() -> None:
    types = '[[gpus]]\ntype = "big"\nprice = 2.5\nat_most = 8\n[[gpus]]\ntype = "small"\nprice = 1'
    text = PLAIN.replace('gpu = "test-gpu"', types)
    text = text.replace("count = 60", 'count = 2\napart = "sql"\nreplicas = 3')
    inventory = parse(text + "gpu = 4\n")
    assert inventory.gpus == (GpuChoice("big", 2.5, 8), GpuChoice("small", 1.0, None))
    assert inventory.pins == {"tenant": 4}
    assert inventory.apart == {"sql-0": "sql", "sql-1": "sql"}
    assert inventory.replicas == {"sql-0": 3, "sql-1": 3}
    assert inventory.placing == ["gpu", "apart", "replicas"]
    with pytest.raises(InputError, match=r"^\[\[gpus\]\] names 2 types, which .* gpu = \"big\""):
        inventory.one_gpu()
    one = parse(PLAIN.replace('gpu = "test-gpu"', '[[gpus]]\ntype = "test-gpu"'))
    assert (one.one_gpu(), one.gpus) == ("test-gpu", (GpuChoice("test-gpu"),))
    assert (parse(PLAIN).gpus, parse(PLAIN).placing) == ((), [])


def test_only_keeps_the_named_adapters_in_order() -> None:
    inventory = parse(PLAIN).only({"tenant", "sql-3", "sql-1"})
    assert inventory.names == ("sql-1", "sql-3", "tenant")
    assert inventory.mix.rank.tolist() == [16, 16, 8]
    assert inventory.sources == (None, None, "adapters/tenant")


def test_lengths_from_files(tmp_path: Path) -> None:
    (tmp_path / "short.csv").write_text("output, input ,model\n10,1,a\n30,3,b\n")
    (tmp_path / "long.jsonl").write_text('{"input": 4000, "output": 7}\n\n{"input": 2000, "output": 9}\n')
    text = PLAIN.replace("input = { mean = 100, std = 90 }\noutput = { mean = 110, std = 100 }", 'file = "short.csv"')
    text = text.replace("count = 60", "count = 2") + 'lengths = "long.jsonl"\n'
    text += (
        '[[adapters]]\nname = "own"\nrank = 8\nrate = 1\ninput.mean = 5\ninput.std = 1\noutput.p1 = 3\noutput.p99 = 3\n'
    )
    inventory = load(inventories.write(tmp_path, text))
    short, again, long, own = inventory.workload.tables
    assert short is again is not None
    assert long is not None
    assert own is None
    assert inventory.mix.input_mean.tolist() == [2, 2, 3000, 5]
    assert inventory.mix.output_mean == pytest.approx([20, 20, 8, 3])
    assert inventory.mix.output_std == pytest.approx([10, 10, 1, 0], abs=1e-6)
    assert inventory.only(["tenant"]).workload.tables == (long,)


def test_every_example_is_understood() -> None:
    for example in (Path(__file__).parents[3] / "examples").glob("*.toml"):
        assert len(load(example)) > 0, example


def test_without_traffic_names_and_ranks_are_enough() -> None:
    bare = (
        'model = "m"\ngpu = "g"\n[[adapters]]\nname = "a"\nrank = 8\ncount = 2\n[[adapters]]\nname = "b"\nrank = 16\n'
    )
    inventory = parse(bare, traffic=False)
    assert inventory.names == ("a-0", "a-1", "b")
    assert inventory.workload.rank.tolist() == [8, 8, 16]
    assert inventory.workload.rate.tolist() == [0, 0, 0]
    with pytest.raises(InputError, match="rate"):
        parse(bare)
    for wrong, message in (
        (bare.replace("rank = 16", "rank = 600"), "inventory:9: .*rank"),
        (bare.replace('"b"', '"a-1"'), "2 adapters are named 'a-1'"),
        (bare + "rate = -1\n", "rate"),
    ):
        with pytest.raises(InputError, match=message):
            parse(wrong, traffic=False)


def test_without_traffic_the_rest_stays_as_it_is(tmp_path: Path) -> None:
    text = PLAIN + "[server]\nmax_loras = 8\n"
    whole, bare = parse(text), parse(text, traffic=False)
    assert (bare.names, bare.sources, bare.server) == (whole.names, whole.sources, whole.server)
    assert np.array_equal(bare.workload.rank, whole.workload.rank)
    parse(PLAIN.replace("[lengths]", '[lengths]\nfile = "missing.csv"'), folder=tmp_path, traffic=False)

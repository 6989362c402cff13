"""Inventories: what is written is what is read, and what is wrong is said in one line."""

from __future__ import annotations

from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.inventory.inventory import Inventory, load, parse
from tests.advisor import inventories
from tests.advisor.inventories import PLAIN


@given(inventories.documents())
def test_round_trip(document: dict[str, Any]) -> None:
    inventory = parse(inventories.toml(document))
    assert (inventory.model, inventory.gpu) == (document["model"], document["gpu"])
    assert inventory.workload.correlation == document["lengths"]["correlation"]
    assert len(inventory) == sum(row.get("count", 1) for row in document["adapters"]) == len(set(inventory.names))
    workload, mix = inventory.workload, inventory.mix
    assert [(phase.duration_s, phase.scale, phase.cv) for phase in workload.phases] == [
        (phase["duration"], phase.get("scale", 1.0), phase.get("cv")) for phase in document["phases"]
    ]
    assert mix.offered_tok_s == pytest.approx(workload.offered_tok_s)
    position = 0
    for row in document["adapters"]:
        for i in range(row.get("count", 1)):
            assert inventory.names[position] == (f"{row['name']}-{i}" if "count" in row else row["name"])
            assert inventory.sources[position] == row.get("source")
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


@settings(max_examples=300)
@given(st.data())
def test_mutilated_text_is_refused_in_one_line(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(PLAIN)))
    stop = data.draw(st.integers(start, min(start + 30, len(PLAIN))))
    junk = data.draw(st.text(max_size=12) | st.sampled_from(['"', "[", "]]", "= 1", "-", "1e999", "nan", "{}", '"""']))
    try:
        parse(PLAIN[:start] + junk + PLAIN[stop:])
    except InputError as error:
        assert "\n" not in str(error)


@settings(max_examples=200)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["name", "mean", "p50", "p95", "<Length>", "duration", "x"]), inner)
        ),
        max_leaves=5,
    ),
    st.sampled_from(["model", "lengths", "lengths.input", "adapters", "phases", "server", "server.max_loras"]),
)
def test_a_value_of_any_type_anywhere_gives_one_line(value: Any, place: str) -> None:
    document: dict[str, Any] = {"model": "m", "gpu": "g", "lengths": {}, "server": {}, "adapters": [], "phases": []}
    table = document
    *outer, key = place.split(".")
    for name in outer:
        table = table[name]
    table[key] = value
    try:
        text = inventories.toml(document)
    except TypeError:  # TOML has no null
        return
    with pytest.raises(InputError) as error:
        parse(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rank = 8", "rank = 1024", "inventory:16: adapters entry 2 ('tenant'): rank is 1024, but must be a whole"),
        ("rate = 0.1", "rate = -1", "inventory:11: adapters entry 1 ('sql'): rate is -1, but must be a number of req"),
        ("rate = 0.1", "rate = 1e9", "rate is 1000000000.0, but must be"),
        ("rate = 0.1", "rate = nan", "rate is nan, but must be"),
        ("rate = 0.1", "rat = 0.1", "inventory:11: adapters entry 1 ('sql'): unknown key 'rat'; did you mean 'rate'?"),
        ("[lengths]", "[lenghts]", "inventory:4: unknown key 'lenghts'; did you mean 'lengths'?"),
        ("mean = 100", "average = 100", "inventory:5: lengths: input: unknown key 'average'; valid keys are mean, std"),
        ("count = 60", "count = 0", "count is 0, but must be a whole number from 1 to 100,000"),
        ("count = 60", "count = 100000", "100,001 adapters; at most 100,000"),
        ('"tenant"', '"sql-7"', "2 adapters are named 'sql-7'"),
        ("input = { mean = 100, std = 90 }", "", "adapter 'sql' has no input lengths; add input ="),
        ("mean = 100, std = 90", "p50 = 100", "inventory:5: lengths: input is a table, but must be a table { mean = "),
        (
            "mean = 100, std = 90",
            "p50 = 9, p95 = 8",
            "two or more quantiles { p50 = tokens, p95 = tokens } that do not",
        ),
        ("mean = 100, std = 90", "p50 = 9, p100 = 80", "inventory:5: lengths: input: unknown key 'p100'; did you mean"),
        (
            "mean = 100, std = 90",
            "p50 = 9, p95 = 0",
            "inventory:5: lengths: input: p95 is 0, but must be tokens per req",
        ),
        ("mean = 100, std = 90", "p50 = 9, '<Length>' = 1", "input: unknown key '<Length>'; valid keys are p1 to p99"),
        ("rank = 16", 'rank = 16\ngaps = "even"', """gaps is 'even', but must be "gamma" or "lognormal\""""),
        (
            "[lengths]",
            "[[phases]]\nlength = 3\n[lengths]",
            "inventory:5: phases entry 1: unknown key 'length'; valid keys",
        ),
        (
            "[lengths]",
            "[[phases]]\nscale = 2\n[lengths]",
            "phases entry 1: 'duration' is missing; it must be a number of s",
        ),
        ("[lengths]", "[[phases]]\nduration = 60\nscale = 0\n[lengths]", "phases: every scale is 0, so nothing ever"),
        (
            "[lengths]",
            '[lengths]\nfile = "x.csv"',
            "lengths: both file and input or output are given; keep one of them",
        ),
        ("rate = 0.1", 'rate = 0.1\nlengths = "none.csv"', "none.csv: cannot read the file: No such file"),
        ("rate = 0.1", 'rate = 0.1\nlengths = "x.csv"\ninput.mean = 1\ninput.std = 1', "both lengths and input or"),
        ('gpu = "test-gpu"', "", "'gpu' is missing; it must be the short name"),
        ("[[adapters]]", "[[adaptors]]", "unknown key 'adaptors'; did you mean 'adapters'?"),
        ("[lengths]", "[server]\nmax_lora_rank = 24\n[lengths]", "inventory:5: server: max_lora_rank is 24, but must"),
        ("rank = 16", "rank = 1" + "0" * 5000, "not readable as TOML"),
        ("rank = 16", "rank = " + "[" * 9000, "not readable as TOML"),
        ("rank = 16", "rank = ", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_remedy(old: str, new: str, message: str) -> None:
    assert old in PLAIN
    with pytest.raises(InputError) as error:
        parse(PLAIN.replace(old, new, 1))
    assert message in str(error.value)


def test_no_line_is_named_where_it_cannot_be_known() -> None:
    text = PLAIN.replace('source = "adapters/tenant"', 'source = """\n[[adapters]]\n"""\nrat = 1')
    with pytest.raises(InputError, match=r"^inventory: adapters entry 2 \('tenant'\): unknown key 'rat'"):
        parse(text)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"adapters = []"])
def test_files_that_are_no_inventories(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "inventory.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=str(path)):
        load(path)


def test_missing_file_and_directory(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.toml"):
        with pytest.raises(InputError, match="cannot read the inventory"):
            load(path)


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
    assert inventory.mix.output_std == pytest.approx([10, 10, 1, 0], abs=1e-9)
    assert inventory.only(["tenant"]).workload.tables == (long,)


def test_every_example_is_understood() -> None:
    for example in (Path(__file__).parents[3] / "examples").glob("*.toml"):
        assert len(load(example)) > 0, example

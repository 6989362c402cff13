"""Inventories: what is written is what is read, and what is wrong is said in one line."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.inventory.engine import GpuFigures
from advisor.inventory.inventory import GpuChoice, Inventory, load, parse
from advisor.inventory.schema import Adapter, Base, File, GpuEntry, Length, Lengths, PhaseEntry, SettingsTable
from advisor.inventory.synonyms import SYNONYMS
from tests.advisor import inventories
from tests.advisor.inventories import PLAIN


@given(inventories.documents())
def test_round_trip(document: dict[str, Any]) -> None:
    inventory = parse(inventories.toml(document))
    gpu = document["gpu"]["name"] if isinstance(document["gpu"], dict) else document["gpu"]
    assert (inventory.model, inventory.gpu) == (document["model"], gpu)
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
    st.sampled_from(["model", "lengths", "lengths.input", "adapters", "base", "phases", "server", "server.max_loras"]),
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
        (
            "[lengths]",
            "vllm = 0.33\n[lengths]",
            'vllm: 0.33 is a number, but must be a text in quotes, such as vllm = "0.33"',
        ),
        ("rate = 0.1", "rat = 0.1", "inventory:11: adapters entry 1 ('sql'): unknown key 'rat'; did you mean 'rate'?"),
        ("[lengths]", "[lenghts]", "inventory:4: unknown key 'lenghts'; did you mean 'lengths'?"),
        ("mean = 100", "average = 100", "inventory:5: lengths: input: unknown key 'average'; did you mean 'mean'?"),
        ("count = 60", "count = 0", "count is 0, but must be a whole number from 1 to 100,000"),
        ("count = 60", "count = 100000", "100,001 adapters; at most 100,000"),
        ('"tenant"', '"sql-7"', "inventory:15: adapters entry 2 ('sql-7'): 2 adapters are named 'sql-7'"),
        (
            "input = { mean = 100, std = 90 }",
            "",
            "adapters entry 1 ('sql'): no input lengths; add input = {",
        ),
        (
            "mean = 100, std = 90",
            "p50 = 100",
            "inventory:5: lengths: input: a single quantile; two or more are needed, such as { p50 = 120, p95 = 800 }",
        ),
        (
            "mean = 100, std = 90",
            "p50 = 9, p95 = 8",
            "inventory:5: lengths: input: p95 is 8, below the 9 of p50; quantiles must not fall",
        ),
        (
            "mean = 100, std = 90",
            "mean = 9, p95 = 80",
            "inventory:5: lengths: input: both quantiles and mean or std are given",
        ),
        (
            "mean = 100, std = 90",
            "std = 9",
            "inventory:5: lengths: input: 'mean' is missing; it must be tokens per",
        ),
        (
            "input = { mean = 100, std = 90 }",
            "input = 200",
            "inventory:5: lengths: input is 200, but must be a table",
        ),
        (
            "mean = 100, std = 90",
            "p50 = 9, p100 = 80",
            "inventory:5: lengths: input: unknown key 'p100'; valid keys are mean and std, or two or more of p1 to p99",
        ),
        (
            "mean = 100, std = 90",
            "p50 = 9, p95 = 0",
            "inventory:5: lengths: input: p95 is 0, but must be tokens per req",
        ),
        (
            "mean = 100, std = 90",
            "p50 = 9, '<Length>' = 1",
            "input: unknown key '<Length>'; valid keys are mean and s",
        ),
        ("rank = 16", 'rank = 16\ngaps = "even"', """gaps is 'even', but must be "gamma" or "lognormal\""""),
        (
            "[lengths]",
            "[[phases]]\nlength = 3\n[lengths]",
            "inventory:5: phases entry 1: unknown key 'length'; did you mean 'duration'?",
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
            "inventory:5: lengths: both file and input or output are given; keep one of them",
        ),
        ("rate = 0.1", 'rate = 0.1\nlengths = "none.csv"', "none.csv: cannot read the file: No such file"),
        (
            "rate = 0.1",
            'rate = 0.1\nlengths = "x.csv"\ninput.mean = 1\ninput.std = 1',
            "both lengths and input or",
        ),
        ("rate = 0.1", "rate = 5e-324", "inventory:11: adapters entry 1 ('sql'): rate is 5e-324, but must be a number"),
        ("[lengths]", "[[phases]]\nduration = 60\nscale = 1e-300\n[lengths]", "scale is 1e-300, but must be a factor"),
        ("rate = 0.1", "rate = 1001", "or 0: registered, hardly asked"),
        ("[lengths]", "[fixed]\nmax_lora = 4\n[lengths]", "fixed: unknown key 'max_lora'; did you mean 'max_loras'?"),
        (
            "[lengths]",
            "[server]\nmax_loras = 8\n[fixed]\nmax_loras = 4\n[lengths]",
            "inventory:7: fixed: max_loras is 4, but 8 in [server]; give it once, or the same value",
        ),
        ("rank = 16", "a" + ".a" * 32 + " = 1", "inventory:10: more than 32 names joined by dots"),
        ('gpu = "test-gpu"', "", "'gpu' is missing; it must be the short name"),
        (
            "[lengths]",
            '[[gpus]]\ntype = "x"\n[lengths]',
            "inventory:2: both gpu and [[gpus]] are given; keep one of them",
        ),
        ('gpu = "test-gpu"', "gpus = []", "'gpu' is missing; it must be the short name"),
        (
            'gpu = "test-gpu"',
            '[[gpus]]\ntype = "a"\n[[gpus]]\ntype = "A"',
            "inventory:5: gpus entry 2: two entries are for A; keep one of them",
        ),
        (
            'gpu = "test-gpu"',
            '[[gpus]]\ntype = "a"\nprice = 2\n[[gpus]]\ntype = "b"',
            "inventory:5: gpus entry 2: no price, which other types have; give all of them one, or none",
        ),
        (
            'gpu = "test-gpu"',
            '[[gpus]]\ntype = "a"\ncost = 2',
            "inventory:4: gpus entry 1: unknown key 'cost'; did you mean 'price'?",
        ),
        (
            'gpu = "test-gpu"',
            "[[gpus]]\nprice = 2",
            "inventory:2: gpus entry 1: 'type' is missing; it must be the short",
        ),
        (
            'gpu = "test-gpu"',
            '[[gpus]]\ntype = "a"\nat_most = 0',
            "inventory:4: gpus entry 1: at_most is 0, but must be a whole number from 1 to 100,000: how many there are",
        ),
        (
            "rank = 16",
            'rank = 16\ngpu = "h100"',
            "inventory:11: adapters entry 1 ('sql'): gpu is 'h100', but must be a whole number: the GPU that",
        ),
        ("rank = 16", "rank = 16\ngpu = -1", "gpu is -1, but must be a whole number"),
        (
            "rank = 16",
            "rank = 16\nreplicas = 0",
            "replicas is 0, but must be a whole number from 1 to 100,000: t",
        ),
        (
            "output =",
            "shared_prefix = 100\noutput =",
            "inventory:6: lengths: shared_prefix is 100, but the mean input of 'sql' is 100 tokens; it must be less",
        ),
        ("rank = 8", "rank = 8\nshared_prefix = 200", "('tenant'): shared_prefix is 200, but the mean input"),
        ("rank = 8", "rank = 8\nshared_prefix = -1", "shared_prefix is -1, but must be a whole number of tokens that"),
        ("rank = 8", "rank = 8\nsystem_prompt = 9", "unknown key 'system_prompt'; did you mean 'shared_prefix'?"),
        ("[lengths]", "[server]\nenable_prefix_caching = 1\n[lengths]", "is 1, but must be true or false"),
        ("[lengths]", "[fixed]\nenable_prefix_caching = true\n[lengths]", "fixed: unknown key 'enable_prefix_caching'"),
        ("rank = 16", "rank = 16\nreplica = 2", "unknown key 'replica'; did you mean 'replicas'?"),
        ("rank = 16", "rank = 16\nanti-affinity = 2", "unknown key 'anti-affinity'; did you mean 'apart'?"),
        ("rank = 16", "rank = 16\napart = 2", "apart is 2, but must be a text that names a group of adapters"),
        ("[[adapters]]", "[base]\nrat = 2\n[[adapters]]", "inventory:9: base: unknown key 'rat'; did you mean 'rate'?"),
        (
            "[[adapters]]",
            "[base]\nrate = -2\n[[adapters]]",
            "inventory:9: base: rate is -2, but must be a number of req",
        ),
        ("[[adapters]]", "[base]\ncv = 2\n[[adapters]]", "inventory:8: base: 'rate' is missing; it must be a number"),
        (
            "[[adapters]]",
            "[base]\nrate = 1\nname = 'x'\n[[adapters]]",
            "unknown key 'name'; valid keys are rate, input",
        ),
        (
            "output = { mean = 110, std = 100 }",
            "[base]\nrate = 1\noutput = { mean = 9, std = 9 }",
            "no output lengths; add output",
        ),
        (
            "[[adapters]]",
            '[base]\nrate = 1\nlengths = "f.csv"\ninput = { mean = 9, std = 9 }\n[[adapters]]',
            "inventory:10: base: both lengths and input or output are given; keep one of them",
        ),
        ("[[adapters]]", "[base_traffic]\nrate = 1\n[[adapters]]", "unknown key 'base_traffic'; did you mean 'base'?"),
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


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("source", "path", "source"),
        ("source", "lora_path", "source"),
        ("source", "Source", "source"),
        ("rate", "rps", "rate"),
        ("rate", "qps", "rate"),
        ("rate", "requests_per_second", "rate"),
        ("rate", "request-rate", "rate"),
        ("rank", "r", "rank"),
        ("rank", "max_rank", "rank"),
        ("rank", "rnk", "rank"),
        ("count", "copies", "count"),
        ("std", "sigma", "std"),
        ("model", "base_model", "model"),
        ("gpu", "device", "gpu"),
        ("input", "prompt_tokens", "input"),
        ("max_loras", "slots", "max_loras"),
        ("max_loras", "max-loras", "max_loras"),
        ("max_lora_rank", "max_rank", "max_lora_rank"),
        ("rate", "colour", None),
        ("rate", "path2", None),
    ],
)
def test_the_hint_for_an_unknown_key_is_the_key_that_was_meant(old: str, new: str, hint: str | None) -> None:
    text = PLAIN + "[server]\nmax_loras = 8\nmax_lora_rank = 16\n"
    with pytest.raises(InputError) as error:
        parse(re.sub(rf"\b{old} =", f"{new} =", text, count=1))
    expected = f"did you mean {hint!r}?" if hint else "valid keys are name, rank, rate, count, input, output"
    assert f"unknown key {new!r}; {expected}" in str(error.value)


def test_every_synonym_leads_to_a_key_there_is_and_is_none_itself() -> None:
    sections = (File, GpuFigures, GpuEntry, Lengths, Length, Adapter, Base, PhaseEntry, SettingsTable)
    known = {field.alias or key for section in sections for key, field in section.model_fields.items()}
    assert set(SYNONYMS) <= known
    for section in sections:
        words = [word for key in section.model_fields for word in SYNONYMS.get(key, "").split()]
        assert len(set(words)) == len(words), section
        assert not set(words) & set(section.model_fields), section


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


def test_what_is_no_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, message in (
        (tmp_path, "a folder; an inventory is a TOML file"),
        (Path(), r"a folder \(or is its name empty\?\); an inventory is a TOML file"),
        (tmp_path / "none.toml", "cannot read: No such file or directory; an inventory is a TOML file"),
        (Path("/dev/zero"), "a device; an inventory is a TOML file"),
        (pipe, "a pipe that nothing comes from; an inventory is a TOML file"),
    ):
        with pytest.raises(InputError, match=message):
            load(path)


@pytest.mark.parametrize(("source", "wanted"), [(f"printf %s '{PLAIN}'", 61), ("yes", "more than 33,554,432 bytes")])
def test_a_pipe_is_read_up_to_a_limit(source: str, wanted: int | str) -> None:
    with subprocess.Popen(["sh", "-c", source], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        path = Path(f"/dev/fd/{process.stdout.fileno()}")
        if isinstance(wanted, int):
            assert len(load(path)) == wanted
        else:
            with pytest.raises(InputError, match=wanted):
                load(path)
        process.kill()


PIECES = st.sampled_from(
    ["a.", '"a".', "a . ", "[", "]", "{", "}", "[[", "]]", "{a=", "a=[", '"', '""', '"""', "\\", '\\"', "'", "'''",
     "#", "\n", "\na=", ",", "1", "1_0", "1.1", "1e9", "0x1", "-", " ", "\t", "true", "\nx.y.z=1", "[a.b]\n", "[[a]]\n"]
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.lists(PIECES, min_size=1, max_size=4), st.sampled_from([1, 3, 30_000])), max_size=3))
def test_no_text_takes_long_to_read(parts: list[tuple[list[str], int]]) -> None:
    text = "".join("".join(pieces) * times for pieces, times in parts)
    began = time.perf_counter()
    with pytest.raises(InputError) as error:
        parse(text)
    assert time.perf_counter() - began < 2 + len(text) / 1e6
    assert "\n" not in str(error.value)


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

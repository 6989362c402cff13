"""What is wrong with an inventory is said in one line, with its place and what would be right."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.inventory.inventory import parse
from tests.advisor import inventories
from tests.advisor.inventories import PLAIN


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
        (
            "rank = 16",
            'rank = 16\ntarget_modules = ["q_proj", 3]',
            "target_modules: entry 2 is 3, but must be an entry of a list of the modules",
        ),
        (
            "rank = 16",
            'rank = 16\ntarget_modules = ["v\\u0000oj"]',
            "target_modules: entry 1 is 'v\\x00oj', but must be",
        ),
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

"""Figures of a GPU: what any may have is answered or refused in a line, and what none has is a slip of a unit."""

from __future__ import annotations

import math
from typing import Any

import jsonschema
import pytest
import tomli
from hypothesis import example, given, settings
from hypothesis import strategies as st

from advisor.derive.gpus import gpu as gpus
from advisor.derive.gpus.figures import BOUNDS
from advisor.errors import InputError
from advisor.inventory.inventory import Inventory, parse
from advisor.inventory.json_schema import json_schema
from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.zoo.pairs import find_pair

CARD = {"memory_gib": 24.0, "bandwidth_gb_s": 900.0, "bf16_tflops": 100.0, "clock_ghz": 1.695}
SCHEMA = jsonschema.Draft202012Validator(json_schema())
TRAFFIC = """
[lengths]
input = { mean = 223, std = 191 }
output = { mean = 196, std = 181 }

[[adapters]]
name = "tenant"
count = 20
rank = 16
rate = 0.05
"""


def text(figures: dict[str, Any], *keys: str, model: str = "meta-llama/Llama-3.1-8B-Instruct") -> str:
    card = "\n".join(f"{name} = {value!r}" for name, value in figures.items())
    return f'model = "{model}"\n' + "\n".join(keys) + f'\n[gpu]\nname = "card"\nlike = "l40s"\n{card}\n{TRAFFIC}'


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("clock_ghz", 1695, "its highest clock in GHz, 0.5 to 10; write 1.695 if that is in MHz"),
        ("clock_ghz", 1.695e9, "write 1.695 if that is in Hz"),
        ("clock_ghz", 0.000001, "its highest clock in GHz, 0.5 to 10"),
        ("memory_gib", 24564, "the GiB that its driver reports, 2 to 2,000; write 23.99 if that is in MiB"),
        ("memory_gib", 24000, "write 23.44 if that is in MiB"),
        ("memory_gib", 25757220864, "write 23.99 if that is in bytes"),
        ("memory_gib", 0.08, "write 74.51 if that is in TB"),
        ("bandwidth_gb_s", 0.9, "its memory's GB/s, 50 to 60,000; write 900 if that is in TB/s"),
        ("bandwidth_gb_s", 900_000, "write 900 if that is in MB/s"),
        ("bandwidth_gb_s", 0.001, "its memory's GB/s, 50 to 60,000"),
        ("bf16_tflops", 0.165, "dense TFLOP/s in bf16, 5 to 15,000; write 165 if that is in PFLOP/s"),
        ("bf16_tflops", 165_000, "write 165 if that is in GFLOP/s"),
        ("bf16_tflops", 1.65e14, "write 165 if that is in FLOP/s"),
        ("bf16_tflops", 0.0001, "dense TFLOP/s in bf16, 5 to 15,000"),
        ("fp8_tflops", 0, "dense TFLOP/s in fp8, 10 to 50,000; left out where it has none"),
        ("fp8_tflops", 0.33, "write 330 if that is in PFLOP/s"),
        ("link_gb_s", 0.45, "in one direction, 2 to 3,600; write 450 if that is in TB/s"),
        ("link_gb_s", 32_000, "write 32 if that is in MB/s"),
        ("memory_gib", -24, "the GiB that its driver reports, 2 to 2,000"),
        ("memory_gib", 10**400, "the GiB that its driver reports, 2 to 2,000"),
        ("memory_gib", True, "the GiB that its driver reports, 2 to 2,000"),
    ],
)
def test_a_figure_that_no_gpu_has_is_refused_with_the_unit_that_was_likely_meant(
    name: str, value: float, said: str
) -> None:
    written = text({**CARD, name: value}).replace("True", "true")
    with pytest.raises(InputError) as error:
        parse(written)
    message = str(error.value)
    line = 2 + written[: written.index(f"\n{name} =")].count("\n")
    assert message.startswith(f"inventory:{line}: gpu: {name} is ") and said in message
    assert "\n" not in message and not SCHEMA.is_valid(tomli.loads(written))


@pytest.mark.parametrize("value", ["inf", "nan", "-inf"])
@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_what_is_no_number_is_no_figure(name: str, value: str) -> None:
    with pytest.raises(InputError, match=f"gpu: {name} is -?{value.strip('-')}, but must be"):
        parse(text({**CARD, name: math.nan}).replace("nan", value))


@pytest.mark.parametrize("name", sorted(gpus.catalogue().gpus))
def test_every_gpu_of_the_catalogue_lies_well_within(name: str) -> None:
    """A thousand times as much does not, nor a thousandth."""
    known = gpus.catalogue().gpus[name]
    for figure, bounds in BOUNDS.items():
        value = getattr(known, figure)
        if value:
            assert bounds.low * 1.5 <= value <= bounds.high / 1.5
            assert not bounds.holds(value * 1000) and not bounds.holds(value / 1000)


figures = st.fixed_dictionaries(
    {name: st.floats(BOUNDS[name].low, BOUNDS[name].high) for name in ("memory_gib", "bandwidth_gb_s", "bf16_tflops")},
    optional={
        name: st.floats(BOUNDS[name].low, BOUNDS[name].high) for name in ("fp8_tflops", "link_gb_s", "clock_ghz")
    },
)
ENDS = ({name: each.low for name, each in BOUNDS.items()}, {name: each.high for name, each in BOUNDS.items()})
MODELS = ("Qwen/Qwen2.5-0.5B-Instruct", "meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-405B-Instruct")


@settings(max_examples=15)
@given(figures, st.sampled_from(MODELS), st.sampled_from([1, 2, 16]), st.sampled_from(["", "fp8", "awq"]))
@example({**ENDS[0], "memory_gib": 24.0}, MODELS[1], 1, "")
@example({**ENDS[0], "memory_gib": 2000.0}, MODELS[2], 1, "")
@example({**ENDS[0], "memory_gib": 2000.0}, MODELS[2], 16, "fp8")
@example(ENDS[1], MODELS[0], 1, "")
@example(ENDS[0], MODELS[0], 2, "")
def test_whatever_a_gpu_may_have_is_answered_or_refused_in_a_line(
    figures: dict[str, float], model: str, several: int, quantization: str
) -> None:
    keys = [f"tensor_parallel = {several}", *([f'quantization = "{quantization}"'] if quantization else [])]
    try:
        inventory: Inventory = parse(text(figures, *keys, model=model))
        pair = find_pair(inventory.model, inventory.gpu, engine=inventory.engine)
        answer = recommend(inventory, pair, Objective())
    except InputError as error:
        assert "\n" not in str(error)
        return
    if answer.expected is not None:
        assert all(math.isfinite(each) for each in (answer.expected.itl_ms, answer.expected.throughput_tok_s))

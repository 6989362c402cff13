"""Every format tells the same answer."""

from __future__ import annotations

import json
import shlex
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from advisor import report as formats
from advisor.features.vector import UNITS
from advisor.recommend.answer.outlook import Binding, InFlight, Lever
from advisor.recommend.answer.reasons import Asked, Missed, NextRank, Quotient
from advisor.recommend.answer.recommendation import Admission, Change, Further, Recommendation, Step
from advisor.recommend.objective import Expectation, Objective
from advisor.report import Format
from advisor.report.prose.features import conditions
from advisor.report.schemas.answer import answer_schema
from advisor.zoo.basis import Basis
from advisor.zoo.tree import Condition, Met, Product
from twin.service_level import Limit
from twin.settings import Settings

GOLDEN = Path(__file__).with_name("golden")

SETTINGS = Settings(96, 128, 16, 2048, 2048, 0.9, 131_072)
ADMITTED = Recommendation(
    basis=Basis("tiny-1b--test-gpu", "example/Tiny-1B", "test-gpu", "0.8.5", "A. Tester 2026", "2026-11-21"),
    settings=SETTINGS,
    flags=SETTINGS.flags(131_072),
    admission=Admission(
        of=140,
        request_rate=7.5,
        token_rate=3142.5,
        admitted=tuple(f"tenant-{i}" for i in range(128)),
        rejected=("yes", "na\x1b[31mme", "naïve", *(f"late-{i}" for i in range(9))),
        principle="the mix is kept",
    ),
    expected=Expectation(3130.04, 0.996, 44.004, 180.02, 235_584, 0.97, 0.92),
    steady=True,
    trace=(
        Step(
            "load_limit",
            (
                Met(Condition("rate_spread", False, 0.88), 0.031),
                Met(Condition("rate_mean", True, 0.03), 0.058),
                Met(Condition("rate_spread", True, 0.001), 0.031),
                Product(1.5, "steady_load", 2102.17),
            ),
            3153.25,
        ),
        Step("admission_limit", (Quotient(3153.25, 0.0, 24.551),), 128),
        Step("admission_limit", (Missed(129, ("TTFT 2100.00 ms > 2000 ms",)),), 128),
        Step("adapters", (Asked(140, "in the inventory", 128),), 128),
        Step("max_lora_rank", (NextRank(16, 16),), 16),
        Step("max_loras", (Met(Condition("no_such_feature", False, 64.5), 61.2),), 96),
    ),
    warnings=("rate_spread is 0.031, outside the 0.04 to 2 of the training data",),
    changes=(Change("max_loras", 32, 96),),
)
IN_FLIGHT = InFlight(
    138.0, 61.2, {"kv_cache": 0.41, "adapter_slots": 0.64, "max_num_seqs": 0.07, "max_num_batched_tokens": 0.5}
)
EXPLORED = replace(
    ADMITTED,
    objective=Objective(ttft_limit=Limit(0.5, "p99")),
    binding=Binding(
        "compute", 128, False, 128, 1.0, 129, ("TTFT 2100.00 ms > 2000 ms",), IN_FLIGHT, IN_FLIGHT, 768.0, 150
    ),
    levers=(
        Lever("answers half as long", 140, 12, itl_ms=30.0, everyone=True),
        Lever("--max-model-len=8192", 135, 7, max_loras=136, note="a note"),
    ),
)
REFUSED = replace(
    ADMITTED,
    settings=None,
    flags={},
    expected=None,
    steady=False,
    reason="one adapter of this mix brings 9000.0 tokens/s, more than one GPU serves",
    admission=Admission(2, 0.0, 0.0, (), ("a", "b")),
    trace=ADMITTED.trace[:1],
    warnings=(),
    changes=(),
)
VERIFIED = replace(
    ADMITTED,
    verified={
        "oom": False,
        "kv_capacity_tokens": 235_584,
        "throughput_tok_s": 3127.8,
        "starved": False,
        "steady": False,
        "itl_ms": 53.2,
        "ttft_ms": 2183.8,
        "ttft_p99_ms": None,
        "missed": ["TTFT 2,183.8 ms > 2000 ms"],
    },
)


@pytest.mark.parametrize(
    ("name", "answer"), [("admitted", ADMITTED), ("refused", REFUSED), ("verified", VERIFIED), ("explored", EXPLORED)]
)
def test_text_for_the_operator(name: str, answer: Recommendation) -> None:
    assert formats.write(answer, Format.TEXT) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8").rstrip("\n")


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("answer", [ADMITTED, REFUSED, VERIFIED, EXPLORED])
def test_no_line_is_longer_than_the_terminal_but_those_of_the_command(answer: Recommendation, width: int) -> None:
    for full_trace in (False, True):
        text = formats.write(answer, Format.TEXT, width=width, full_trace=full_trace)
        command = {line for line in text.splitlines() if line.endswith("\\") or line.startswith("    --")}
        assert all(len(line) <= width for line in text.splitlines() if line not in command)
        if answer.feasible:
            assert " \\\n    ".join(["vllm serve example/Tiny-1B", *answer.args]) in text


def test_the_schema_of_answers_knows_what_binds_and_what_would_help() -> None:
    schema, document = answer_schema(), EXPLORED.document()
    jsonschema.validate(document, schema)
    assert document.keys() <= schema["properties"].keys()
    assert document["binding"].keys() <= schema["properties"]["binding"]["properties"].keys()
    for lever in document["levers"]:
        assert lever.keys() <= schema["properties"]["levers"]["items"]["properties"].keys()


def test_the_complete_trace_is_that_of_the_document() -> None:
    text = formats.write(ADMITTED, Format.TEXT, width=200, full_trace=True)
    for step in ADMITTED.document()["trace"]:
        for rule in step["rule"]:
            assert rule in text


def test_a_feature_without_words_is_told_by_its_name() -> None:
    assert "no such feature is 61.2, below 64.5" in formats.write(ADMITTED, Format.TEXT)
    for name in UNITS:
        told = next(conditions([Met(Condition(name, True, 1.0), 2.5)], None, set()))
        assert "2.5" in told and "above 1" in told and "_" not in told


def test_a_meaning_is_told_where_it_first_stands_alone() -> None:
    assert " ".join(formats.write(ADMITTED, Format.TEXT).split()).count("standard deviation") == 1


def test_text_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in formats.write(ADMITTED, Format.TEXT)


@pytest.mark.parametrize("answer", [ADMITTED, REFUSED, VERIFIED, EXPLORED])
def test_json_toml_and_yaml_hold_the_same_document(answer: Recommendation) -> None:
    document = answer.document()
    assert json.loads(formats.write(answer, Format.JSON)) == document
    assert tomllib.loads(formats.write(answer, Format.TOML)) == document
    assert yaml.safe_load(formats.write(answer, Format.YAML)) == document


def test_documented_keys() -> None:
    document = ADMITTED.document()
    assert list(document) == [
        "pair", "model", "gpu", "vllm", "measured", "built", "feasible", "flags", "args", "admission", "expected",
        "trace", "warnings", "changes",
    ]  # fmt: skip
    assert list(document["flags"]) == [
        "max_loras", "max_cpu_loras", "max_lora_rank", "max_num_seqs", "max_num_batched_tokens",
        "gpu_memory_utilization",
    ]  # fmt: skip
    assert list(document["admission"]) == [
        "adapters", "of", "request_rate", "token_rate", "admitted", "rejected", "principle",
    ]  # fmt: skip
    assert list(document["expected"]) == [
        "throughput_tok_s", "itl_ms", "ttft_ms", "steady", "starved", "kv_capacity_tokens",
    ]  # fmt: skip
    assert {tuple(step) for step in document["trace"]} == {("output", "rule", "result")}
    assert REFUSED.document()["reason"].startswith("one adapter")
    assert "ttft_p99_ms" not in VERIFIED.document()["verified"]


def test_args_are_shell_words_that_spell_the_flags() -> None:
    words = shlex.split(formats.write(ADMITTED, Format.ARGS))
    assert words == ADMITTED.args
    assert words[0] == "--enable-lora"
    assert spelt(words[1:]) == ADMITTED.document()["flags"]
    assert formats.write(REFUSED, Format.ARGS) == ""


def spelt(words: list[str]) -> dict[str, Any]:
    """`--max-loras=96` and the like as settings."""
    pairs = (word.removeprefix("--").split("=") for word in words)
    return {name.replace("-", "_"): json.loads(value) for name, value in pairs}


def test_a_long_label_is_apart_from_what_it_stands_before() -> None:
    assert "\n  2,018 adapters 1,513 tokens/s" in formats.write(
        replace(
            VERIFIED,
            verified={
                **(VERIFIED.verified or {}),
                "best": True,
                "neighbours": [{"change": "2,018 adapters", "throughput_tok_s": 1513.0, "missed": [], "better": False}],
            },
        ),
        Format.TEXT,
    )


@pytest.mark.parametrize(
    ("today", "told"), [(64, "64 -> 2048, or stays 64: see"), (8, "8 -> 2048, or 64: see"), (2048, "")]
)
def test_a_setting_that_further_flags_say_otherwise_is_told_with_both(today: int, told: str) -> None:
    changes = (Change("max_num_seqs", today, 2048),) if today != 2048 else ()
    answer = replace(ADMITTED, changes=changes, further=(Further("--max-num-seqs=64", "why"),))
    assert ("see further flags" in (text := formats.write(answer, Format.TEXT))) == bool(told) and told in text


def test_a_twin_that_disagrees() -> None:
    assert VERIFIED.disproved
    assert not ADMITTED.disproved
    assert not replace(VERIFIED, verified={**(VERIFIED.verified or {}), "missed": []}).disproved


def test_a_time_is_rounded_once_wherever_it_is_told() -> None:
    """52.0512 ms is 52.1 ms, though 52.05 as documents have it would be told as 52.0."""
    assert ADMITTED.expected is not None
    answer = replace(ADMITTED, expected=replace(ADMITTED.expected, itl_ms=52.0512, percentiles={"ttft_p99_ms": 446.46}))
    assert "ITL          52.1 ms\n" in formats.write(answer, Format.TEXT)
    document = answer.document()["expected"]
    assert (document["itl_ms"], document["ttft_p99_ms"]) == (52.05, 446.5)


def test_percentiles_stand_behind_their_means_and_unless_simulated_are_about_so_much() -> None:
    times = {"itl_p50_ms": 40.04, "itl_p99_ms": 270.2, "ttft_p99_ms": 446.4}
    assert ADMITTED.expected is not None
    learned = replace(ADMITTED, expected=replace(ADMITTED.expected, percentiles=times))
    text = formats.write(learned, Format.TEXT)
    assert "ITL          44.0 ms; P50 about 40, P99 about 270\n" in text
    assert "TTFT         180 ms; P99 about 446\n" in text
    simulated = replace(ADMITTED, expected=replace(ADMITTED.expected, percentiles=times, hours=32))
    assert "ITL          44.0 ms; P50 40.0, P99 270.2\n" in formats.write(simulated, Format.TEXT)
    assert "percentiles" not in learned.document()["expected"]
    assert learned.document()["expected"]["ttft_p99_ms"] == 446.4

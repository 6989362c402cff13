"""Every format tells the same answer."""

from __future__ import annotations

import json
import shlex
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from advisor import report as formats
from advisor.recommend.objective import Expectation
from advisor.recommend.recommendation import Admission, Change, Recommendation, Step
from advisor.report import Format
from advisor.zoo.basis import Basis
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
        Step("load_limit", ("rate_std 0.031 <= 0.88", "rate_mean 0.058 > 0.03"), 3153.25),
        Step("admission_limit", ("load_limit 3153.2 / token_rate_mean 24.551 = 128.44",), 128),
        Step("adapters", ("adapters in the inventory 140 > admission_limit 128",), 128),
        Step("max_lora_rank", ("largest rank 16 <= 16, the next that vLLM accepts",), 16),
        Step("max_loras", ("active_adapters 61.2 <= 64.5",), 96),
    ),
    warnings=("rate_std is 0.031 requests/s, outside the 0.04 to 2 of the training data",),
    changes=(Change("max_loras", 32, 96),),
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


@pytest.mark.parametrize(("name", "answer"), [("admitted", ADMITTED), ("refused", REFUSED), ("verified", VERIFIED)])
def test_text_for_the_operator(name: str, answer: Recommendation) -> None:
    assert formats.write(answer, Format.TEXT) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8").rstrip("\n")


def test_text_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in formats.write(ADMITTED, Format.TEXT)


@pytest.mark.parametrize("answer", [ADMITTED, REFUSED, VERIFIED])
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


def test_a_twin_that_disagrees() -> None:
    assert VERIFIED.disproved
    assert not ADMITTED.disproved
    assert not replace(VERIFIED, verified={**(VERIFIED.verified or {}), "missed": []}).disproved


def test_percentiles_stand_behind_their_means_and_estimates_are_called_so() -> None:
    times = {"itl_p50_ms": 40.04, "itl_p99_ms": 270.2, "ttft_p99_ms": 446.4}
    assert ADMITTED.expected is not None
    learned = replace(ADMITTED, expected=replace(ADMITTED.expected, percentiles=times))
    text = formats.write(learned, Format.TEXT)
    assert "ITL          44.0 ms; P50 40.0, P99 270.2\n" in text
    assert "TTFT         180 ms; P99 446\n" in text
    assert "percentiles" not in learned.document()["expected"]
    assert learned.document()["expected"]["ttft_p99_ms"] == 446.4
    estimated = replace(ADMITTED, expected=replace(ADMITTED.expected, percentiles=times, estimated=True))
    assert "ITL          44.0 ms; P50 about 40, P99 about 270\n" in formats.write(estimated, Format.TEXT)
    assert estimated.document()["expected"]["percentiles"] == "estimated from the means"

"""The committed profiles: they load, and say of published server starts what happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from twin.profile import load

PAIRS = Path(__file__).parents[2] / "model_zoo" / "pairs"
LLAMA, QWEN = "llama-3.1-8b-instruct--h100-64gb", "qwen2.5-7b-instruct--h100-64gb"


@pytest.mark.parametrize(
    ("pair", "max_lora_rank", "largest", "too_many"),
    [
        (LLAMA, 8, 384, None),
        (LLAMA, 16, 224, 256),
        (LLAMA, 32, 96, 128),
        (QWEN, 8, 384, None),
        (QWEN, 16, 384, None),
        (QWEN, 32, 224, 256),
    ],
)
def test_most_slots_that_started(pair: str, max_lora_rank: int, largest: int, too_many: int | None) -> None:
    """Agulló et al. 2025: vLLM 0.8.5, default max_model_len, 0.9 of 64 GB."""
    memory = load(PAIRS / pair / "profile.toml").memory
    assert memory.kv_capacity_tokens(largest, max_lora_rank, 0.9) >= memory.max_model_len
    if too_many is not None:
        assert memory.kv_capacity_tokens(too_many, max_lora_rank, 0.9) < memory.max_model_len


@pytest.mark.parametrize(
    ("pair", "slots", "rank", "tokens"), [(LLAMA, 128, 16, 212_032), (LLAMA, 96, 32, 168_064), (QWEN, 64, 16, 601_664)]
)
def test_reported_capacities(pair: str, slots: int, rank: int, tokens: int) -> None:
    memory = load(PAIRS / pair / "profile.toml").memory
    assert memory.kv_capacity_tokens(slots, rank, 0.9) == pytest.approx(tokens, rel=0.03)


@pytest.mark.parametrize("pair", [LLAMA, QWEN])
def test_provenance(pair: str) -> None:
    profile = load(PAIRS / pair / "profile.toml")
    assert profile.pair.name == pair
    assert set(profile.fits) == {"memory", "step", "scheduling", "loading", "front_end"}
    assert all("arXiv" in fit.source for fit in profile.fits.values())
    assert profile.fits["step"].mape_percent < 5
    assert sum(profile.fits["step"].contributions.values()) > 10
    assert " /" not in profile.command
    assert ".." not in profile.command

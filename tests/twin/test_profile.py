"""Profiles survive the way to disk and back, and a broken one is told in one line."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from twin.profile import Fit, Profile, ProfileError, load


def test_round_trip(profile: Profile, tmp_path: Path) -> None:
    path = tmp_path / "profile.toml"
    path.write_text(profile.to_toml())
    assert load(path) == profile


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("base_ms = 12", "base_ms = -1"), "step.base_ms: Input should be greater than or equal to 0"),
        (("base_ms = 12", "basis_ms = 12"), "step.base_ms: Field required"),
        (("base_ms = 12", "base_ms = 1" + 400 * "0"), "step.base_ms: Input should be a finite number"),
        (("base_ms = 12", "base_ms = " + 3000 * "["), "nested|not valid TOML"),
        (("[pair]", "[pair"), "not valid TOML"),
    ],
)
def test_broken_profiles_name_the_place(
    profile: Profile, tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    path = tmp_path / "profile.toml"
    path.write_text(profile.to_toml().replace(*change, 1))
    with pytest.raises(ProfileError, match=message) as error:
        load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value).replace("\n\n", "")


def test_missing_profile(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="cannot read the profile"):
        load(tmp_path / "none.toml")


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("section", ["memory", "step", "scheduling", "loading", "front_end", "serving", "fits"])
def test_numbers_must_be_finite(profile: Profile, tmp_path: Path, section: str, value: float) -> None:
    fit = Fit(rows=1, mape_percent=1, p95_percent=1, range={"slots": (1, 2)}, source="here", contributions={"base": 1})
    told = tomllib.loads(profile.model_copy(update={"fits": {"step": fit}}).to_toml())
    for place, key in numbers(told[section]):
        path, right = tmp_path / "profile.toml", place[key]
        place[key] = value
        path.write_text(tomli_w.dumps(told))
        place[key] = right
        with pytest.raises(ProfileError, match=rf"{section}\..*finite number$") as error:
            load(path)
        assert "\n" not in str(error.value)


def numbers(table: Any) -> list[tuple[Any, Any]]:
    """Where numbers stand: the table or array, and the key or index."""
    found = []
    for key, value in table.items() if isinstance(table, dict) else enumerate(table):
        if isinstance(value, dict | list):
            found += numbers(value)
        elif isinstance(value, int | float):
            found.append((table, key))
    assert found or not table
    return found


@given(st.floats(0.01, 1), st.floats(0.01, 1), st.integers(1, 64))
def test_more_of_the_gpus_memory_is_more_kv_cache(profile: Profile, one: float, other: float, slots: int) -> None:
    less, more = sorted((one, other))
    capacity = [profile.memory.kv_capacity_tokens(slots, 16, share) for share in (less, more)]
    assert capacity[0] <= capacity[1]
    gained = profile.memory.kv_tokens_per_utilization * (more - less)
    assert capacity[1] - capacity[0] == pytest.approx(gained, abs=profile.memory.block_size)

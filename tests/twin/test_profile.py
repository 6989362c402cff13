"""Profiles survive the way to disk and back, and a broken one is told in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from twin.profile import Profile, ProfileError, load


def test_round_trip(profile: Profile, tmp_path: Path) -> None:
    path = tmp_path / "profile.toml"
    path.write_text(profile.to_toml())
    assert load(path) == profile


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("base_ms = 12", "base_ms = -1"), "step.base_ms: Input should be greater than or equal to 0"),
        (("base_ms = 12", "basis_ms = 12"), "step.base_ms: Field required"),
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

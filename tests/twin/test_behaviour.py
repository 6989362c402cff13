"""Which version of vLLM behaves like which recorded one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.behaviour import VERSIONS, behaviour_of


@pytest.mark.parametrize(
    ("version", "recorded"),
    [
        ("0.8.5", "0.8.5"),
        ("0.8.5.post1", "0.8.5"),
        ("v0.8.5", "0.8.5"),
        ("0.8", "0.8.5"),
        ("0.10.2", "0.8.5"),
        ("0.23", "0.8.5"),
        ("0.24", "0.24.0"),
        ("0.24.0", "0.24.0"),
        ("0.24.0+cu130", "0.24.0"),
        ("0.24.0rc1", "0.24.0"),
        ("0.24.0.dev7+g1234567", "0.24.0"),
        ("0.24.0rc2.dev3+gabcdef0.cu130", "0.24.0"),
        ("0.31.9", "0.24.0"),
        ("0.32", "0.32.0"),
        ("0.32.0", "0.32.0"),
        ("0.32.4", "0.32.0"),
        ("0.33", "0.33.0"),
        ("0.33.0", "0.33.0"),
        ("1", "0.33.0"),
        ("1.0.0", "0.33.0"),
    ],
)
def test_a_version_behaves_like_the_newest_recorded_one_before_it(version: str, recorded: str) -> None:
    assert behaviour_of(version) == VERSIONS[recorded]


@pytest.mark.parametrize("version", ["0.8.4", "0.8.4.post9", "0.8.0", "0.7", "0.6.1", "0.1.dev1+g1234567"])
def test_a_version_older_than_any_recorded_one(version: str) -> None:
    with pytest.raises(ValueError, match=f"vLLM .* is older than {next(iter(VERSIONS))}"):
        behaviour_of(version)


@pytest.mark.parametrize("version", ["", "latest", "dev", "0.24.x", "0.8.5-custom build", "0..8", "\u0968"])
def test_what_is_no_version(version: str) -> None:
    with pytest.raises(ValueError, match=r"is not a version of vLLM, such as 0\.8\.5"):
        behaviour_of(version)


@given(st.tuples(st.just(0), st.integers(9, 60)), st.integers(0, 20), st.sampled_from(["", "rc1", ".dev3", ".post1"]))
def test_builds_of_a_release_behave_as_it_and_no_line_behaves_unlike_its_releases(
    line: tuple[int, int], patch: int, suffix: str
) -> None:
    release = ".".join(map(str, (*line, patch)))
    assert behaviour_of(f"{release}{suffix}") == behaviour_of(release) == behaviour_of(".".join(map(str, line)))

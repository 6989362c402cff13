"""What is kept comes back as it was or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_zoo.campaign.kept import BrokenFileError, Kept

in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@in_one_folder
@given(value=values)
def test_a_value_comes_back_and_its_file_is_json(tmp_path: Path, value: object) -> None:
    kept = Kept(tmp_path, "key")
    kept.write("mix", value)
    assert json.dumps(kept.read("mix")) == json.dumps(value), "as text, for nan differs from itself"
    assert json.dumps(json.loads(kept.path("mix").read_text())["value"]) == json.dumps(value)
    assert [path.name for path in tmp_path.iterdir()] == ["mix.json"]


@in_one_folder
@given(data=st.data())
def test_no_change_of_a_file_goes_unnoticed(tmp_path: Path, data: st.DataObject) -> None:
    kept = Kept(tmp_path, "key")
    kept.write("mix", [[1, 8], {"ttft_ms": 120.5, "starved": False}])
    written = kept.path("mix").read_bytes()
    start = data.draw(st.integers(0, len(written)))
    end = data.draw(st.integers(start, len(written)))
    changed = written[:start] + data.draw(st.binary(max_size=8)) + written[end:]
    kept.path("mix").write_bytes(changed)
    if changed == written:
        assert kept.read("mix") == [[1, 8], {"ttft_ms": 120.5, "starved": False}]
    else:
        with pytest.raises(BrokenFileError):
            kept.read("mix")


def test_a_file_of_another_name_or_another_campaign_is_not_believed(tmp_path: Path) -> None:
    kept = Kept(tmp_path, "key")
    kept.write("1", [1])
    kept.path("2").write_bytes(kept.path("1").read_bytes())
    with pytest.raises(BrokenFileError, match=r"2\.json"):
        kept.read("2")
    with pytest.raises(BrokenFileError, match=r"1\.json"):
        Kept(tmp_path, "other key").read("1")
    assert kept.read("3") is None

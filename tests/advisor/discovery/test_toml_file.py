"""Discoveries as inventory files: new ones are inventories, and old ones keep what people wrote."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from advisor.discovery import toml_file
from advisor.discovery.discovery import Adapter, Discovery, LeftOut, Phase, Traffic
from advisor.discovery.portrait import portrait
from advisor.errors import InputError
from advisor.inventory.inventory import parse

FOUND = Discovery(
    (
        Adapter(
            "sql",
            16,
            "/adapters/sql",
            Traffic(180, 0.05, {"mean": 223.0, "std": 191.0}, {"p50": 100.0, "p99": 900.0}),
            ("q_proj", "v_proj"),
        ),
        Adapter("legal", 24, None, Traffic(rate=0.0123456, cv=2.04)),
    ),
    lengths=Traffic(input={"mean": 223.0, "std": 191.0}, output={"mean": 196.0, "std": 181.0}),
    phases=(Phase(43_200, 0.4), Phase(43_200, 1.6)),
)


def new(found: Discovery) -> str:
    return toml_file.new(found, model="m", gpu="g", command="advisor inventory scan .")


def test_a_new_file_is_an_inventory() -> None:
    inventory = parse(new(FOUND))
    assert inventory.names == ("sql", "legal")
    assert inventory.sources == ("/adapters/sql", None)
    assert inventory.target_modules == {"sql": {"q_proj", "v_proj"}}
    assert inventory.workload.rank.tolist() == [16, 24]
    assert inventory.workload.rate.tolist() == [0.05, 0.01235]
    assert inventory.workload.cv.tolist() == [1, 2]
    assert [phase.scale for phase in inventory.workload.phases] == [0.4, 1.6]
    assert "rank = 24  # a slot of 32" in new(FOUND)


def test_base_traffic_that_was_found_is_read_back_and_portrayed() -> None:
    inventory = parse(new(replace(FOUND, base=Traffic(rate=1.5, input={"mean": 90.0, "std": 9.0}))))
    base = inventory.workload.base
    assert base is not None
    assert (base.rate.tolist(), base.input_mean.tolist(), base.output_mean.tolist()) == ([1.5], [90], [196])
    shown = portrait(inventory)
    assert (shown.base_request_rate, shown.base_token_rate) == (1.5, 1.5 * (90 + 196))
    assert "base model   beside them 1.5 requests/s, 429 tokens/s that name no adapter" in shown.as_text()
    assert "base model" not in portrait(parse(new(FOUND))).as_text()


def test_what_is_not_known_stands_there_as_a_comment() -> None:
    text = new(Discovery((Adapter("sql", traffic=Traffic(180)),), base=Traffic(7)))
    assert tomli.loads(text)["adapters"] == [{"name": "sql"}]
    assert "# rate = ?  # 180 requests were counted" in text and "# rate = ?  # 7 requests were counted" in text
    assert toml_file.lacking(text) == {"rank": ["sql"], "rate": ["sql"]}


names = st.text(min_size=1, max_size=20).filter(lambda name: "\0" not in name)


@given(st.lists(names, min_size=1, max_size=5, unique=True), names)
def test_any_name_comes_back_as_itself(given: list[str], reason: str) -> None:
    found = Discovery(
        tuple(Adapter(name, 8, name, Traffic(rate=0.1)) for name in given),
        lengths=FOUND.lengths,
        left_out=(LeftOut(reason, reason),),
        notes=(reason,),
    )
    for text in (new(found), toml_file.into(new(replace(found, adapters=())), found, "file")):
        assert [each["name"] for each in tomli.loads(text)["adapters"]] == given
        assert [each["source"] for each in tomli.loads(text)["adapters"]] == given


OLD = """\
# my fleet
model = "m"
gpu = "g"   # ours

[[adapters]]
name = "sql"  # the best
rank = 8
rate = 1.0
[[adapters]]
name = "tenant"
count = 3
rank = 8
rate = 0.1
cv = 3
[[adapters]]
name = "quiet"
rank = 8
"""


def test_what_is_found_is_written_into_a_file_whose_comments_stay() -> None:
    text = toml_file.into(OLD, FOUND, "file")
    assert text.startswith('# my fleet\nmodel = "m"\ngpu = "g"   # ours\n')
    assert 'name = "sql"  # the best\nrank = 16\nrate = 0.05\n' in text
    inventory = parse(text.replace('name = "quiet"\n', 'name = "quiet"\nrate = 0\n'))
    assert inventory.names == ("sql", "tenant-0", "tenant-1", "tenant-2", "quiet", "legal")
    assert "count = 3" in text


def test_what_stood_in_place_of_a_value_goes_when_it_is_known() -> None:
    ranks = Discovery((Adapter("sql", 16), Adapter("legal", 8)))
    traffic = Discovery((Adapter("sql", traffic=Traffic(rate=0.5)),), base=Traffic(rate=1.0), model="m")
    for known, then in ((ranks, traffic), (traffic, ranks)):
        text = toml_file.new(replace(known, model=None), model=None, gpu=None, command="advisor inventory")
        assert "# model = ?" in text and ("# rate = ?" in text or "# rank = ?" in text)
        both = toml_file.into(text, replace(then, model="m"), "file")
        assert "# model = ?" not in both and "# gpu = ?" in both
        sql = next(part for part in both.split("[[adapters]]") if '"sql"' in part)
        assert tomli.loads(f"[x]{sql}")["x"] == {"name": "sql", "rank": 16, "rate": 0.5}
        assert "= ?" not in sql
    assert toml_file.into(toml_file.new(ranks, model="m", gpu="g", command="c"), traffic, "f").count("# rate = ?") == 1


def test_an_entry_with_a_count_is_taken_apart_where_its_adapters_are_told_apart() -> None:
    text = toml_file.into(OLD, Discovery((Adapter("tenant-1", traffic=Traffic(rate=2.0)),), complete=True), "file")
    rows = {each["name"]: each for each in tomli.loads(text)["adapters"]}
    assert [rows[f"tenant-{i}"]["rate"] for i in range(3)] == [0.1, 2.0, 0.1]
    assert all(rows[f"tenant-{i}"]["cv"] == 3 for i in range(3))
    assert rows["quiet"]["rate"] == 0
    assert toml_file.unseen(text, Discovery((Adapter("tenant-1"),), complete=True)) == ["sql", "tenant-0", "tenant-2"]


def test_a_model_that_the_file_lacks_is_written_first() -> None:
    text = toml_file.into("# mine\n[lengths]\n", Discovery(model="org/m", adapters=(Adapter("a", 8),)), "file")
    assert tomli.loads(text)["model"] == "org/m"


@pytest.mark.parametrize("text", ["a = ", "adapters = 3", "adapters = [{name = 'a'}]", "[adapters]"])
def test_what_cannot_be_added_to_is_an_error_in_one_line(text: str) -> None:
    with pytest.raises(InputError):
        toml_file.into(text, FOUND, "file")


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\n\n[base]\nrate = 1\n"])
def test_a_new_entry_stands_apart_from_the_one_before_it(end: str) -> None:
    text = 'model = "m"\n\n[[adapters]]\nname = "old"\nrank = 8\nrate = 1' + end
    written = toml_file.into(text, Discovery((Adapter("a", 8), Adapter("b", 8))), "i")
    assert [each["name"] for each in tomli.loads(written)["adapters"]] == ["old", "a", "b"]
    assert written.count("\n\n[[adapters]]") == 3 and "\n\n\n" not in written

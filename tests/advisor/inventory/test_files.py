"""Files that are none, that are no inventories, or that never end."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.inventory.inventory import load, parse
from tests.advisor.inventories import PLAIN


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"adapters = []"])
def test_files_that_are_no_inventories(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "inventory.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=str(path)):
        load(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, message in (
        (tmp_path, "a folder; an inventory is a TOML file"),
        (Path(), r"a folder \(or is its name empty\?\); an inventory is a TOML file"),
        (tmp_path / "none.toml", "cannot read: No such file or directory; an inventory is a TOML file"),
        (Path("/dev/zero"), "a device; an inventory is a TOML file"),
        (pipe, "a pipe that nothing comes from; an inventory is a TOML file"),
    ):
        with pytest.raises(InputError, match=message):
            load(path)


@pytest.mark.parametrize(("source", "wanted"), [(f"printf %s '{PLAIN}'", 61), ("yes", "more than 33,554,432 bytes")])
def test_a_pipe_is_read_up_to_a_limit(source: str, wanted: int | str) -> None:
    with subprocess.Popen(["sh", "-c", source], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        path = Path(f"/dev/fd/{process.stdout.fileno()}")
        if isinstance(wanted, int):
            assert len(load(path)) == wanted
        else:
            with pytest.raises(InputError, match=wanted):
                load(path)
        process.kill()


PIECES = st.sampled_from(
    ["a.", '"a".', "a . ", "[", "]", "{", "}", "[[", "]]", "{a=", "a=[", '"', '""', '"""', "\\", '\\"', "'", "'''",
     "#", "\n", "\na=", ",", "1", "1_0", "1.1", "1e9", "0x1", "-", " ", "\t", "true", "\nx.y.z=1", "[a.b]\n", "[[a]]\n"]
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.lists(PIECES, min_size=1, max_size=4), st.sampled_from([1, 3, 30_000])), max_size=3))
def test_no_text_takes_long_to_read(parts: list[tuple[list[str], int]]) -> None:
    text = "".join("".join(pieces) * times for pieces, times in parts)
    began = time.perf_counter()
    with pytest.raises(InputError) as error:
        parse(text)
    assert time.perf_counter() - began < 2 + len(text) / 1e6
    assert "\n" not in str(error.value)

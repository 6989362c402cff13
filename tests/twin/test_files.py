from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from twin.files import File, write_all, write_whole


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_whole(file, b"first, and longer")
    write_whole(file, b"second")
    assert file.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [file]


def test_the_umask_decides_who_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "text", b"")
        write_whole(tmp_path / "program", b"", mode=0o777)
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("text", "program")] == [0o640, 0o750]


@pytest.mark.parametrize("hard_links", [True, False])
def test_what_is_there_stays_unless_it_may_be_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool
) -> None:
    if not hard_links:
        monkeypatch.setattr(os, "link", _no_hard_links)
    for name in ("file", "link", "dangling"):
        path = tmp_path / name
        if name == "file":
            path.write_text("theirs")
        else:
            path.symlink_to("file" if name == "link" else "nowhere")
        with pytest.raises(FileExistsError):
            write_whole(path, b"ours", overwrite=False)
    write_whole(tmp_path / "free", b"ours", overwrite=False)
    assert (tmp_path / "free").read_bytes() == b"ours"
    assert (tmp_path / "file").read_text() == "theirs"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "file", "free", "link"]


def _no_hard_links(*_: object, **__: object) -> None:
    raise PermissionError(1, "Operation not permitted")


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    theirs, link = tmp_path / "theirs", tmp_path / "link"
    theirs.write_text("theirs")
    link.symlink_to(theirs)
    write_whole(link, b"ours")
    assert not link.is_symlink() and link.read_bytes() == b"ours"
    assert theirs.read_text() == "theirs"


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _link_to_device(path: Path) -> None:
    path.symlink_to("/dev/null")


@pytest.mark.parametrize("make", [Path.mkdir, _pipe, _link_to_device])
def test_what_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "it")
    with pytest.raises(OSError, match="not a regular file"):
        write_whole(tmp_path / "it", b"ours")
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(file, b"new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_ctrl_c_leaves_a_whole_file_and_nothing_else(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys; from twin.files import File, write_all, write_whole\n"
        "while True:\n"
        "    write_whole(pathlib.Path(sys.argv[1]), b'x' * 5_000_000)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "a")], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "a").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    writer.send_signal(signal.SIGINT)
    writer.wait(60)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").stat().st_size == 5_000_000


def test_several_files_appear_together_or_not_at_all(tmp_path: Path) -> None:
    files = [File(tmp_path / name, name.encode()) for name in ("a", "b", "c")]
    files[2].path.mkdir()
    with pytest.raises(OSError, match="not a regular file"):
        write_all(files)
    files[2].path.rmdir()
    files[2].path.write_text("theirs")
    with pytest.raises(FileExistsError):
        write_all(files, overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    write_all(files)
    assert sorted((path.name, path.read_text()) for path in tmp_path.iterdir()) == [(name, name) for name in "abc"]

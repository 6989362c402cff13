"""Which files are looked at."""

from __future__ import annotations

from pathlib import Path

from advisor.check.search import files


def test_a_folder_is_searched_and_what_others_wrote_left_out(tmp_path: Path) -> None:
    kept = ["Dockerfile", "a.yaml", "b/c/values.yml", "b/run.sh", "b/Dockerfile.gpu", "z.tf", "app.py", "x.service"]
    left_out = ["README.md", ".git/a.yaml", "node_modules/a.json", "venv/x.py", "weights.safetensors", "b/notes.txt"]
    for name in [*kept, *left_out]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "serve").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "tool").write_bytes(b"\x7fELF")
    kept.append("bin/serve")
    (tmp_path / "data.json").write_text("x" * 2**21)
    (tmp_path / "broken.yaml").symlink_to(tmp_path / "nowhere")
    found = [path.relative_to(tmp_path).as_posix() for path in files([tmp_path])]
    assert sorted(found) == sorted(kept)
    assert found == [path.relative_to(tmp_path).as_posix() for path in files([tmp_path])]
    some = [path.relative_to(tmp_path).as_posix() for path in files([tmp_path], ["b/*", "*.py"])]
    assert sorted(some) == ["Dockerfile", "a.yaml", "bin/serve", "x.service", "z.tf"]


def test_what_is_named_is_looked_at_whatever_its_name_and_once(tmp_path: Path) -> None:
    note = tmp_path / "notes.txt"
    note.write_text("x")
    assert list(files([note, tmp_path, note, Path("-"), Path("missing")])) == [note, Path("-"), Path("missing")]

"""A campaign is known by all the code that its runs depend on, and by nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from model_zoo.campaign import fingerprint
from model_zoo.campaign.fingerprint import PACKAGES, SOURCES, code_and_libraries, imported

SEARCH = "model_zoo.campaign.search"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Our sources, to be changed."""
    for package in PACKAGES:
        shutil.copytree(SOURCES / package, tmp_path / package, ignore=shutil.ignore_patterns("pairs", "__pycache__"))
    return tmp_path


@pytest.mark.parametrize(
    "file",
    [
        "twin/engine/scheduler/scheduler.py",
        "twin/lengths.py",
        "advisor/features/estimate.py",
        "model_zoo/campaign/grid.py",
    ],
)
def test_another_statement_in_what_a_run_depends_on_is_another_campaign(copy: Path, file: str) -> None:
    before = code_and_libraries(SEARCH, copy)
    assert before == code_and_libraries(SEARCH), "wherever the sources lie"
    path = copy / file
    path.write_text(f"{path.read_text()}\nELSE = 1\n")
    assert code_and_libraries(SEARCH, copy) != before


def test_comments_docstrings_and_what_runs_do_not_import_change_nothing(copy: Path) -> None:
    before = code_and_libraries(SEARCH, copy)
    scheduler, docs = copy / "twin/engine/scheduler/scheduler.py", '"""Of a constant."""'
    scheduler.write_text(f"# A comment.\n\n\n{scheduler.read_text()}\n{docs}\n")
    for other in (
        "twin/engine/simulator.py",
        "advisor/cli/main.py",
        "model_zoo/training/fit.py",
        "model_zoo/campaign/lock.py",
    ):
        (copy / other).write_text("raise SystemExit")
    assert code_and_libraries(SEARCH, copy) == before


def test_what_is_imported_only_where_it_is_needed_counts_too(tmp_path: Path) -> None:
    (tmp_path / "twin").mkdir()
    (tmp_path / "twin/__init__.py").write_text("import numpy")
    (tmp_path / "twin/a.py").write_text("def late():\n    import twin.b.c as c\n    from advisor import x")
    (tmp_path / "twin/b").mkdir()
    (tmp_path / "twin/b/__init__.py").write_text("from twin.b.d import thing")
    for name in ("c", "d", "e"):
        (tmp_path / f"twin/b/{name}.py").write_text("thing = 1")
    assert set(imported("twin.a", tmp_path)) == {"twin", "twin.a", "twin.b", "twin.b.c", "twin.b.d"}


@pytest.mark.parametrize("library", ["numpy", "numba", "scipy"])
def test_another_library_is_another_campaign(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    before = code_and_libraries(SEARCH)
    versions = {"numpy": "1", "numba": "1", "scipy": "1"}
    monkeypatch.setattr(fingerprint, "version", versions.__getitem__)
    ones = code_and_libraries(SEARCH)
    versions[library] = "2"
    assert len({before, ones, code_and_libraries(SEARCH)}) == 3

"""Machine code is kept where it can be, never outlives what it was made from, and no broken file stops the twin.

Tried on a tiny package around a copy of `twin.engine.compiled`: compiling the twin itself takes half a minute.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numba
import pytest

from twin.engine import compiled

COST = """
from twin.engine.compiled import jit
@jit
def cost(steps):
    return 12.0 * steps
"""
SERVE = """
from twin.engine.compiled import entry_point
from twin.words.cost import cost
@entry_point
def serve(steps):
    return cost(steps)
"""


class Package:
    """A package `twin` of three modules, whose `serve(2)` is 24 as written, in an environment of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = folder / "twin"
        self.cost = self.root / "words" / "cost.py"
        for each in (self.root / "engine", self.root / "words", folder / "tmp"):
            each.mkdir(parents=True)
        shutil.copy(compiled.__file__, self.root / "engine" / "compiled.py")
        (self.root / "engine" / "serving.py").write_text(SERVE)
        self.cost.write_text(COST)
        self.monkeypatch = monkeypatch
        self.cache, self.temporary = folder / "cache", folder / "tmp"
        monkeypatch.setenv("XDG_CACHE_HOME", str(self.cache))
        monkeypatch.setattr(tempfile, "tempdir", str(self.temporary))
        for name in [name for name in os.environ if name.startswith("NUMBA_")]:
            monkeypatch.delenv(name)

    def start(self) -> tuple[ModuleType, ModuleType]:
        """`compiled` and `serving`, imported as by a new process."""
        found = []
        for name in ("engine.compiled", "words.cost", "engine.serving"):
            spec = importlib.util.spec_from_file_location(
                f"twin.{name}", self.root.joinpath(*name.split(".")).with_suffix(".py")
            )
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            self.monkeypatch.setitem(sys.modules, f"twin.{name}", module)
            sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
            spec.loader.exec_module(module)
            sys.dont_write_bytecode = before
            found.append(module)
        return found[0], found[2]

    def served(self) -> tuple[float, bool]:
        """What a new process answers, and whether it had to compile for it."""
        module, serving = self.start()
        had = module.compiled_before(serving.serve)
        answer = serving.serve(2)
        assert module.compiled_before(serving.serve)
        assert bool(serving.serve._cache_hits) == had
        return answer, not had

    def files(self, folder: Path) -> list[Path]:
        return sorted(path for path in folder.rglob("twin.engine.serving.serve-*"))

    def lock(self) -> None:
        """No cache folder can be made any more: not even by root."""
        self.cache.write_text("a file, no folder")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    for name in ("words", "words.cost"):
        monkeypatch.setitem(sys.modules, f"twin.{name}", ModuleType(f"twin.{name}"))
    return Package(tmp_path, monkeypatch)


def test_compiled_once_and_anew_when_any_source_changes(package: Package) -> None:
    assert package.served() == (24.0, True)
    assert package.served() == (24.0, False)
    package.cost.write_text(COST.replace("12.0", "36.0"))
    assert package.served() == (72.0, True)
    assert not list(package.root.rglob("__pycache__"))


def test_where_no_cache_folder_can_be_written_a_private_temporary_one_is(package: Package) -> None:
    package.lock()
    assert package.served() == (24.0, True)
    assert package.served() == (24.0, False)
    (folder,) = package.temporary.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    package.cost.write_text(COST.replace("12.0", "36.0"))
    assert package.served() == (72.0, True)


def test_where_nothing_can_be_written_nothing_is_kept_and_it_says_so(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    package.lock()
    monkeypatch.setattr(tempfile, "tempdir", str(package.cache))
    for answer, cost in ((24.0, COST), (72.0, COST.replace("12.0", "36.0"))):
        package.cost.write_text(cost)
        assert package.served() == (answer, True)
    assert not package.start()[0].kept()
    assert not list(package.root.rglob("*.nbi"))


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="POSIX owners")
@pytest.mark.parametrize("spoil", ["mode", "link", "owner"])
def test_a_temporary_folder_that_others_can_write_to_is_not_used(
    package: Package, monkeypatch: pytest.MonkeyPatch, spoil: str
) -> None:
    package.lock()
    folder = package.temporary / f"adapter-advisor-{os.getuid()}"
    if spoil == "link":
        (package.temporary / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(package.temporary / "elsewhere")
    else:
        folder.mkdir()
        folder.chmod(0o777 if spoil == "mode" else 0o700)
    if spoil == "owner":
        mine = os.getuid()
        other = package.temporary / f"adapter-advisor-{mine + 1}"
        folder.rename(other)
        monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    assert package.served() == (24.0, True)
    assert package.served() == (24.0, True)


@pytest.mark.parametrize("broken", [b"", b"rubbish", slice(None, -100), slice(1, None)])
def test_a_broken_file_is_replaced(package: Package, broken: bytes | slice) -> None:
    package.served()
    (path,) = package.files(package.cache)
    whole = path.read_bytes()
    path.write_bytes(broken if isinstance(broken, bytes) else whole[broken])
    assert package.served() == (24.0, True)
    assert package.served() == (24.0, False)


def test_a_file_that_is_whole_but_no_machine_code_is_replaced(package: Package) -> None:
    package.served()
    (path,) = package.files(package.cache)
    path.write_bytes(hashlib.sha256(b"no pickle").digest() + b"no pickle")
    assert package.start()[1].serve(2) == 24.0
    assert package.served() == (24.0, False)


def test_machine_code_is_taken_from_a_cache_that_cannot_be_written(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    package.served()
    refused = OSError("read-only file system")

    def refuse(*_: object, **__: object) -> None:
        raise refused

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert package.served() == (24.0, False)
    assert not package.start()[0].kept()


def test_settings_of_numba_that_change_machine_code_have_their_own(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = package.start()[0].store().write
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    assert package.start()[0].store().write == plain
    monkeypatch.setenv("NUMBA_BOUNDSCHECK", "1")
    assert package.start()[0].store().write != plain


@pytest.mark.parametrize(
    "change",
    [
        lambda module, patch: patch.setattr(module.numba, "__version__", "0.0.1"),
        lambda module, patch: patch.setattr(module.sys, "version", "3.99"),
        lambda module, patch: patch.setattr(module.llvm, "get_host_cpu_name", lambda: "another"),
    ],
)
def test_another_numba_python_or_cpu_has_its_own(
    package: Package, monkeypatch: pytest.MonkeyPatch, change: Callable[[ModuleType, pytest.MonkeyPatch], None]
) -> None:
    module = package.start()[0]
    before = module._fingerprint()
    change(module, monkeypatch)
    assert module._fingerprint() != before


def test_folders_that_nobody_has_used_for_a_month_are_removed(package: Package) -> None:
    long_ago = time.time() - 31 * 86_400
    own = package.start()[0].store().write
    unused, recent, foreign = (own.parent / name for name in ("twin-0123456789ab", "twin-00", "other"))
    for folder in (unused, recent, foreign):
        folder.mkdir()
        (folder / "file").touch()
    for folder in (own, unused, foreign):
        os.utime(folder, (long_ago, long_ago))
    package.start()[0].store()
    assert own.stat().st_mtime > long_ago + 86_400
    assert not unused.exists()
    assert recent.exists()
    assert foreign.exists()


def test_the_users_choice_of_a_cache_folder_is_respected(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "chosen"))
    package.served()
    assert len(package.files(tmp_path / "chosen")) == 1
    assert not package.files(package.cache)


@pytest.mark.usefixtures("package")
def test_importing_the_twin_leaves_numba_as_it_is_and_compiles_nothing() -> None:
    code = (
        "import numba\n"
        "def settings(): return {k: v for k, v in vars(numba.config).items() if k.isupper()}\n"
        "before = settings(); from twin.engine.compiled import compiled_before; "
        "from twin.engine.serving import serve; compiled = compiled_before(serve)\n"
        "assert settings() == before; assert not compiled"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_numba_without_its_compiler(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
    module, serving = package.start()
    assert serving.serve(2) == 24.0
    assert module.compiled_before(serving.serve)

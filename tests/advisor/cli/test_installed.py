"""The installed command starts anywhere, cheaply, and on any terminal."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.advisor import inventories
from tests.advisor.cli.command import COMMAND, Run
from tests.advisor.inventories import PLAIN


def test_as_a_module(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path)
    words = [sys.executable, "-m", "advisor", "recommend", path, "--zoo", path.parent / "none"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == run("recommend", path, zoo=path.parent / "none").stderr


def test_recommend_pays_for_no_heavy_import_and_no_thread(zoo: Path, tmp_path: Path) -> None:
    path = inventories.write(tmp_path)
    code = f"""
import sys
sys.argv = ["advisor", "recommend", {str(path)!r}, "--zoo", {str(zoo)!r}, "--format", "args"]
from advisor.cli.main import main
try:
    main()
finally:
    heavy = {{"numba", "sklearn", "scipy", "pandas", "onnx", "rich", "jinja2", "yaml", "twin.engine", "skl2onnx"}}
    print(sorted(heavy & set(sys.modules)), file=sys.stderr)
    from threadpoolctl import threadpool_info
    print({{pool["num_threads"] for pool in threadpool_info() if pool["internal_api"] == "openblas"}}, file=sys.stderr)
"""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.startswith("--enable-lora")
    assert done.stderr == "[]\n{1}\n"


def test_who_only_asks_for_help_or_completes_a_word_waits_for_no_library() -> None:
    code = """
import sys
from advisor.cli.app import app
print(sorted({"numpy", "onnxruntime", "pydantic", "tomli"} & set(sys.modules)), end="")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]"


def test_the_shipped_zoo_answers_from_another_directory(tmp_path: Path) -> None:
    example = Path(__file__).parents[3] / "examples" / "inventory.toml"
    path = shutil.copy(example, tmp_path)
    done = subprocess.run(
        [COMMAND, "recommend", path, "--format", "json"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["pair"] == "llama-3.1-8b-instruct--h100-64gb"


def test_a_terminal_without_the_letters_of_a_name(zoo: Path, tmp_path: Path) -> None:
    path = inventories.write(tmp_path, PLAIN.replace('"tenant"', '"naïve-😀"').replace("rate = 0.1", "rate = 0.6"))
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for form in ("text", "toml"):
        words = [COMMAND, "recommend", path, "--format", form, "--zoo", zoo]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")

"""What other repositories run: the hooks of pre-commit and the action of GitHub, as their runners run them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.advisor.check.commands import GOOD, INVENTORY
from tests.schemas import schema

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
BAD = GOOD.replace("--max-lora-rank 16", "--max-lora-rank 8")
GIT = {
    **{f"GIT_{who}_{what}": "advisor" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    **{"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"},
}


def run(*words: str | Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command with the tools of this environment in front."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        words,
        cwd=folder,
        env={**inherited, **GIT, "PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def commit(folder: Path) -> str:
    """All that is in a folder as a commit; its name."""
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "--allow-empty", "-m", "all"]):
        done = run("git", *words, folder=folder)
        assert done.returncode == 0, done.stderr
    return run("git", "rev-parse", "HEAD", folder=folder).stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with an inventory and its settings."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "inventory.toml").write_text(INVENTORY)
    (folder / "advisor.toml").write_text('inventory = "inventory.toml"\n')
    return folder


@pytest.fixture
def hooks(tmp_path: Path) -> tuple[Path, str]:
    """The hooks as a repository that offers them. They use the advisor that is installed: nothing is downloaded."""
    folder = tmp_path / "hooks"
    folder.mkdir()
    offered = (ROOT / ".pre-commit-hooks.yaml").read_text()
    assert offered.count("language: python") == 2
    (folder / ".pre-commit-hooks.yaml").write_text(offered.replace("language: python", "language: system"))
    return folder, commit(folder)


def pre_commit(project: Path, hooks: tuple[Path, str], hook: str) -> subprocess.CompletedProcess[str]:
    """Run one of the hooks on all files of a project."""
    document = {"repos": [{"repo": str(hooks[0]), "rev": hooks[1], "hooks": [{"id": hook}]}]}
    (project / ".pre-commit-config.yaml").write_text(yaml.safe_dump(document))
    commit(project)
    home = str(project.parent / "pre-commit")
    return run("pre-commit", "run", "--all-files", "--color=never", folder=project, PRE_COMMIT_HOME=home)


def test_the_hooks_are_what_pre_commit_takes() -> None:
    done = run("pre-commit", "validate-manifest", ".pre-commit-hooks.yaml", folder=ROOT)
    assert (done.returncode, done.stderr) == (0, "")


def test_pre_commit_stops_a_bad_file_and_lets_a_good_one_pass(project: Path, hooks: tuple[Path, str]) -> None:
    (project / "serve.sh").write_text(f"#!/bin/sh\n{BAD}\n")
    (project / "values.yaml").write_text("replicas: 2\n")
    failed = pre_commit(project, hooks, "advisor-check")
    assert failed.returncode == 1, failed.stderr
    assert "serve.sh:2:" in failed.stdout
    assert "[AD101]" in failed.stdout
    (project / "serve.sh").write_text(f"#!/bin/sh\n{GOOD}\n")
    passed = pre_commit(project, hooks, "advisor-check")
    assert passed.returncode == 0, passed.stdout


def test_pre_commit_mends_what_is_sure(project: Path, hooks: tuple[Path, str]) -> None:
    script = project / "serve.sh"
    script.write_text(f"#!/bin/sh\n{BAD}  # the largest\n")
    assert "files were modified by this hook" in pre_commit(project, hooks, "advisor-fix").stdout
    assert script.read_text() == f"#!/bin/sh\n{GOOD}  # the largest\n"
    assert pre_commit(project, hooks, "advisor-fix").returncode == 0


def action() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
    return document


def test_the_action_is_what_github_takes() -> None:
    jsonschema.validate(action(), schema("github-action.json"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first step of the action has installed the advisor; what that depends on comes from here."""
    folder = tmp_path_factory.mktemp("action")
    source = folder / "source"
    for name in ("advisor", "twin", "calibrate", "model_zoo", "templates"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "CHANGELOG.md"):
        shutil.copy(ROOT / name, source / name)
    offline = {"PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_DEPS": "1", "PIP_NO_COMPILE": "1", "PIP_NO_INDEX": "1"}
    done = step(0, folder, folder, {}, action_path=source, **offline)
    assert done.returncode == 0, done.stderr
    return folder


def step(
    number: int, temp: Path, folder: Path, inputs: dict[str, str], action_path: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Execute a step as the runner does: its script in a file, its expressions put in, and bash with its options."""
    document = action()
    given = {name: each.get("default", "") for name, each in document["inputs"].items()} | inputs
    values = {"github.action_path": str(action_path), **{f"inputs.{name}": value for name, value in given.items()}}
    wanted = document["runs"]["steps"][number]
    for name, text in wanted["env"].items():
        environment[name] = values[text.removeprefix("${{ ").removesuffix(" }}")]
    assert "${{" not in wanted["run"]
    script = temp / f"step-{number}.sh"
    script.write_text(wanted["run"])
    environment |= {"RUNNER_TEMP": str(temp), "PYTHONPATH": sysconfig.get_path("purelib")}
    return run("bash", "--noprofile", "--norc", "-e", "-o", "pipefail", script, folder=folder, **environment)


def test_the_action_annotates_what_is_bad(installed: Path, project: Path) -> None:
    (project / "deploy").mkdir()
    (project / "deploy" / "serve.sh").write_text(f"#!/bin/sh\n{BAD}\n")
    bad = step(1, installed, project, {"src": "deploy", "args": "--ignore AD303"})
    assert bad.returncode == 1, bad.stderr
    (line,) = bad.stdout.splitlines()
    assert line.startswith("::error file=deploy/serve.sh,line=2,")
    (project / "deploy" / "serve.sh").write_text(f"#!/bin/sh\n{GOOD}\n")
    (project / "advisor.toml").unlink()
    for inputs in ({}, {"inventory": "inventory.toml"}):
        good = step(1, installed, project, inputs)
        assert (good.returncode, good.stdout.strip(), good.stderr) == (0, "", "")


def test_what_an_input_holds_is_no_command(installed: Path, project: Path) -> None:
    done = step(1, installed, project, {"src": "$(touch pwned) `touch pwned`; touch pwned", "args": "--exit-zero"})
    assert done.returncode == 2
    assert not (project / "pwned").exists()

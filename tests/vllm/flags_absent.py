"""Up to which release vLLM had not got a flag, read from the sources of its releases, into advisor's list of flags.

    python -m tests.vllm.flags_absent FOLDER

FOLDER has a folder for each release, called as it ("0.8.5"), with the release's source distribution unpacked: every
release between two that are there counts as the earlier one.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.version import Version

LIST = Path(__file__).parents[2] / "advisor/deploy/arguments/vllm_flags.txt"
SOURCES = ("vllm/engine/arg_utils.py", "vllm/entrypoints/cli/serve.py", "vllm/entrypoints/**/cli_args.py")


def flags(release: Path) -> set[str]:
    """The flags of `vllm serve` in a release's sources: those added by name, and fields of the server's arguments."""
    return {found.replace("_", "-") for pattern in SOURCES for path in release.glob(pattern) for found in _in(path)}


def _in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument":
            names = [each.value for each in node.args if isinstance(each, ast.Constant)]
            yield from (name for name in names if isinstance(name, str) and name.startswith("--"))
        if isinstance(node, ast.ClassDef) and node.name.endswith("FrontendArgs"):
            fields = [each.target for each in node.body if isinstance(each, ast.AnnAssign)]
            yield from (f"--{field.id}" for field in fields if isinstance(field, ast.Name))


def main() -> None:
    releases = {each.name: flags(each) for each in Path(sys.argv[1]).iterdir() if each.is_dir()}
    order = sorted(releases, key=Version)
    lines = []
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            names = {each for each in line.partition(" : ")[0].split() if each.startswith("--")}
            first = next((at for at, release in enumerate(order) if names & releases[release]), 0)
            line = re.sub(r" absent=\S+", "", line) + (f" absent={order[first - 1]}" if first else "")  # noqa: PLW2901
        lines.append(line)
    LIST.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""What our code does, as a hash: of the modules that one of them imports, directly or not, without comments."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

SOURCES = Path(__file__).parents[2]
"""Where our packages lie side by side."""
PACKAGES = ("advisor", "model_zoo", "twin")
LIBRARIES = ("numpy", "numba", "scipy")
"""Those that decide what a simulation comes to."""


def code_and_libraries(module: str, sources: Path = SOURCES) -> str:
    """SHA-256 of a module, of all of ours that it imports, and of the libraries' versions.

    Docstrings and comments do not count: a campaign of an hour is not repeated for a better wording.
    """
    digest = hashlib.sha256(" ".join(f"{library} {version(library)}" for library in LIBRARIES).encode())
    for name, tree in sorted(imported(module, sources).items()):
        digest.update(f"\n{name} {ast.dump(_WithoutProse().visit(tree))}".encode())
    return digest.hexdigest()


def imported(module: str, sources: Path = SOURCES) -> dict[str, ast.Module]:
    """The module and all of ours that it imports, however late, by name."""
    found: dict[str, ast.Module] = {}
    unseen = {module}
    while unseen:
        name = unseen.pop()
        file = _file(name, sources)
        if file is not None and name not in found:
            found[name] = ast.parse(file.read_bytes(), str(file))
            unseen |= set(_imports(found[name]))
    return found


def _file(name: str, sources: Path) -> Path | None:
    """The source of a module; none where that is not ours, or no module but something in one."""
    path = sources.joinpath(*name.split("."))
    files = (path / "__init__.py", path.with_name(f"{path.name}.py"))
    return next((file for file in files if name.split(".", maxsplit=1)[0] in PACKAGES and file.is_file()), None)


def _imports(tree: ast.Module) -> Iterator[str]:
    """All that may be a module: in `from a.b import c` that is a, a.b and a.b.c."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for parts in (name.split(".") for name in names):
            yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


class _WithoutProse(ast.NodeTransformer):
    """Drops strings that stand for themselves: docstrings, of attributes too."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:  # ast's own spelling
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node

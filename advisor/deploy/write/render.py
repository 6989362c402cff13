"""Launch files from a recommendation, by templates: shipped ones by name, or a user's own by path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from advisor.deploy.write import confined, template
from advisor.deploy.write.quoting import RefusedError
from advisor.deploy.write.render_context import AS_MEASURED, Options, context
from advisor.deploy.write.template import MistakeError
from advisor.errors import InputError
from advisor.inventory.inventory import Inventory
from advisor.recommend.answer.recommendation import Recommendation
from advisor.zoo.pair import Pair
from twin.files import File, write_all


class FileThereError(InputError):
    """A launch file is there already."""


@dataclass(frozen=True, slots=True)
class LaunchFile:
    """A rendered file."""

    name: str
    text: str


def render(
    name: str,
    recommendation: Recommendation,
    inventory: Inventory,
    pair: Pair,
    options: Options = AS_MEASURED,
) -> LaunchFile:
    """Render one template: the name of a shipped one (with or without its endings) or a path.

    Raises:
        InputError: no such template, a mistake in it, nothing feasible to render, or something that cannot be said in
            this format or done by this vLLM.
    """
    if not recommendation.feasible:
        raise InputError(f"nothing to render: {recommendation.reason}")
    file, text, ours = template_of(name)
    named = ".".join(filter(None, [options.server, file.removesuffix(template.SUFFIX) or file]))
    fill = template.fill if ours else confined.fill
    try:
        rendered = fill(text, {**context(recommendation, inventory, pair, options), "file": named})
    except RefusedError as error:
        raise InputError(f"{name}: {error}") from error
    except MistakeError as error:
        line = f":{error.line}" if error.line else ""
        raise InputError(f"{name}{line}: mistake in the template: {error}") from error
    return LaunchFile(named, rendered)


def template_of(name: str) -> tuple[str, str, bool]:
    """The file and text of a template, and whether it is a shipped one.

    Raises:
        InputError: there is none.
    """
    for file, text in template.shipped().items():
        if name in _names(file):
            return file, text, True
    return Path(name).name, template.read(Path(name)), False


def unsourced(recommendation: Recommendation, inventory: Inventory) -> tuple[str, ...]:
    """The admitted adapters of which the inventory does not say where to load them from."""
    admitted = set(recommendation.admission.admitted)
    rows = zip(inventory.names, inventory.sources, strict=True)
    return tuple(name for name, source in rows if name in admitted and source is None)


def write(launch_files: Sequence[LaunchFile], directory: Path, *, replace: bool = False) -> list[Path]:
    """Write files into a directory, made where it is missing: all of them, each whole, or none.

    Raises:
        FileThereError: there is a file of that name, and `replace` is false.
        InputError: two files of one name, a symbolic link in the place of one, or they cannot be written.
    """
    paths = [directory / file.name for file in launch_files]
    if len(set(paths)) < len(paths):
        raise InputError(f"two templates make the same file in {directory}: {', '.join(path.name for path in paths)}")
    if links := [str(path) for path in paths if path.is_symlink()]:
        raise InputError(f"{', '.join(links)}: a symbolic link, neither followed nor replaced; remove it first")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_all(
            [
                File(path, file.text.encode(), 0o777 if file.text.startswith("#!") else 0o666)
                for path, file in zip(paths, launch_files, strict=True)
            ],
            overwrite=replace,
        )
    except FileExistsError as error:
        if directory.is_dir():
            there = [str(path) for path in paths if path.exists()]
            raise FileThereError(f"{', '.join(there)}: already there") from error
        raise InputError(f"{directory}: cannot write: not a directory") from error
    except OSError as error:
        raise InputError(f"{error.filename or directory}: cannot write: {error.strerror}") from error
    return paths


def _names(file: str) -> tuple[str, ...]:
    """What a shipped template may be called."""
    return file, file.removesuffix(template.SUFFIX), template.name(file)

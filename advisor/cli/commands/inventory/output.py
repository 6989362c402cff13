"""Where what was found goes to: stdout, a new inventory, or into one that is there."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Collection
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from advisor.cli.terminal import streams
from advisor.errors import InputError
from advisor.names import listed

if TYPE_CHECKING:
    from advisor.discovery.discovery import Discovery


class InventoryFormat(StrEnum):
    """How a discovery is written."""

    TOML = "toml"
    JSON = "json"


Model = Annotated[
    str | None, typer.Option("--model", metavar="ID", help="The base model, as requests and files name it")
]
Gpu = Annotated[str | None, typer.Option("--gpu", metavar="NAME", help="The GPU's short name, for the inventory")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="A new inventory [default: stdout]")
]
Into = Annotated[Path | None, typer.Option("--into", metavar="FILE", help="Add to this inventory; its comments stay")]
Force = Annotated[bool, typer.Option("--force", help="Replace FILE of --output if it is there")]
Form = Annotated[InventoryFormat, typer.Option("--format", help="An inventory, or what was found as JSON")]


_DOORS = {
    "rank": "`advisor inventory scan` reads it from their folders",
    "rate": "`advisor inventory from-log` and `from-metrics` know it",
}


def base_names(model: str | None) -> Collection[str]:
    """Names under which requests ask the base model: the one that is named, or else the models of all pairs."""
    if model is not None:
        return {model, model.rpartition("/")[2]}
    from advisor.zoo.pairs import load_zoo

    return {pair.model for pair in load_zoo().pairs}


class Writer:
    """Writes what is found where the options say; made before the work begins, so that mistakes are told at once."""

    def __init__(
        self,
        *,
        model: str | None,
        gpu: str | None,
        output: Path | None,
        into: Path | None,
        force: bool,
        form: InventoryFormat,
    ) -> None:
        if output is not None and into is not None:
            raise typer.BadParameter("--output makes a new inventory, --into adds to one: keep one of them")
        if form is InventoryFormat.JSON and into is not None:
            raise typer.BadParameter("--into adds to an inventory; --format json has none")
        if output is not None and not force and (output.exists() or output.is_symlink()):
            raise InputError(_there_already(output))
        self._gpu, self._output, self._into, self._force, self._form = gpu, output, into, force, form
        self._text = "" if into is None else _read(into)
        self.model = model or _model_in(self._text)
        """The base model, as the options or the inventory name it; None where neither does."""

    def base_names(self) -> Collection[str]:
        """Names under which requests ask the base model."""
        return base_names(self.model)

    def write(self, found: Discovery) -> None:
        """Write it, and tell on stderr what could not be known."""
        from advisor.discovery import naming, toml_file

        if self._into is not None:
            found = naming.as_in(self._text, found)
        for each in found.left_out:
            streams.note(f"left out: {each.where}: {each.reason}")
        for note in found.notes:
            streams.note(note)
        if self._form is InventoryFormat.JSON:
            text = json.dumps(toml_file.as_json(found, model=self.model, gpu=self._gpu), indent=2) + "\n"
        elif self._into is not None:
            text = toml_file.into(self._text, found, str(self._into))
            if names := toml_file.unseen(text, found):
                streams.note(f"not seen, so their rates stay as they are: {listed(names)}")
        else:
            text = toml_file.new(found, model=self.model, gpu=self._gpu, command=shlex.join(["advisor", *sys.argv[1:]]))
        if self._form is InventoryFormat.TOML:
            for key, names in toml_file.lacking(text).items():
                streams.note(f"still needed: {key} of {listed(names)}; {_DOORS[key]}")
        if (path := self._into or self._output) is None:
            streams.write(text, end="")
        else:
            _save(path, text, overwrite=self._force or path is self._into)


def _read(path: Path) -> str:
    from advisor import input_file
    from advisor.inventory.inventory import MAX_BYTES

    if str(path) == "-":
        raise InputError("--into: a file is needed that can be written to")
    return input_file.read_text(path, "an inventory is a TOML file; -o makes a new one", MAX_BYTES)


def _model_in(text: str) -> str | None:
    import tomli

    try:
        model = tomli.loads(text).get("model")
    except (tomli.TOMLDecodeError, RecursionError):
        return None  # told when it is written into
    return model if isinstance(model, str) else None


def _there_already(path: Path) -> str:
    return f"{path}: is there already; --into adds to it, --force replaces it"


def _save(path: Path, text: str, *, overwrite: bool) -> None:
    from twin.files import write_whole

    try:
        if path.is_symlink():
            path = path.resolve() if overwrite else path
        write_whole(path, text.encode(), overwrite=overwrite)
    except FileExistsError:
        raise InputError(_there_already(path)) from None
    except OSError as error:
        raise InputError(f"{path}: cannot write: {error.strerror}") from error

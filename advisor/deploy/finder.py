"""Which reader reads a file: by its name, or else by what it looks like."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from advisor.deploy import sign
from advisor.deploy.arguments.word import Word
from advisor.deploy.deployment import Deployment, NotReadableError, bounded
from advisor.deploy.source import Source, relocated

if TYPE_CHECKING:
    from advisor.deploy.formats.shell import Document

MAX_CHARACTERS = 2**20
"""Of a file: deployment files that people write have a few thousand."""
MAX_NESTING = 4
"""Documents in scripts in documents."""

_NAMES = (
    (re.compile(r".*\.(?:sh|bash|zsh|ksh|dash|sbatch|slurm|pbs|lsf|command|profile)"), "shell"),
    (re.compile(r"(?:gnu|bsd)?makefile.*|.*\.mk|justfile"), "shell"),
    (re.compile(r".*\.pyi?"), "python"),
    (re.compile(r"(?:.*\.)?(?:docker|container)file(?:[.-].*)?"), "dockerfile"),
    (re.compile(r".*\.(?:service|container)"), "unit"),
    (re.compile(r".*\.(?:ya?ml|json|tf|tfvars|hcl|nomad|tofu|properties|env)|\.env.*"), "document"),
)
_SHELLS = re.compile(r"#!\s*\S*?(?:/|\s)(?:env\s+(?:-S\s+)?)?(?:ba|da|z|k|a)?sh\b")
_PYTHON = re.compile(r"#!.*python")
_IMPORT = re.compile(r"^(?:from\s+[\w.]+\s+import\s|import\s+[\w.]+)", re.MULTILINE)
_FROM = re.compile(r"\s*FROM\s+(?!.*\bimport\b)\S", re.IGNORECASE)
_KEY = re.compile(r"\s*(?:---|%YAML|\{\{|-\s|[\w\"'./-]+[ \t]*:(?:\s|$))")


def find(text: str, file: str) -> list[Deployment]:
    """The vLLM servers that a file describes: none in a file that is something else.

    Args:
        text: Of the file.
        file: Its path as it is given; "-" for the standard input. Files that it names by --config are looked for
            beside it.

    Raises:
        NotReadableError: it cannot be read as what it seems to be; the message is one line.
    """
    if not sign.SERVER.search(text):
        return []
    if len(text) > MAX_CHARACTERS:
        raise NotReadableError(f"too long for a deployment file: more than {MAX_CHARACTERS:,} characters")
    try:
        return _Finder(file).find(text, file, 0)
    except RecursionError as error:
        raise NotReadableError("nested too deeply to be read") from error


def kind_of(text: str, file: str) -> str:
    """shell, python, dockerfile, unit or document: by its first line, its name, or what stands in it."""
    line = text[: text.find("\n")] if "\n" in text else text
    for pattern, kind in ((_SHELLS, "shell"), (_PYTHON, "python")):
        if pattern.match(line):
            return kind
    return _named(file) or _looks_like(text, file)


def _named(file: str) -> str | None:
    name = PurePath(file).name.lower()
    return next((kind for pattern, kind in _NAMES if pattern.fullmatch(name)), None)


def named_like_one(name: str) -> bool:
    """Whether a file of this name may describe a server, by its name alone."""
    return any(pattern.fullmatch(name.lower()) for pattern, _ in _NAMES)


def _looks_like(text: str, file: str) -> str:
    from advisor.deploy import documents

    if sign.UNIT.search(text):
        return "unit"
    if _FROM.match(_first_line(text, "ARG")):
        return "dockerfile"
    if _KEY.match(_first_line(text)) or documents.syntax(text, file) != "yaml":
        return "document"
    return "python" if _IMPORT.search(text) else "shell"


def _first_line(text: str, skipped: str = "#") -> str:
    """The first line that is no comment and does not begin with what is skipped."""
    lines = (line for line in text.splitlines() if line.strip())
    return next((line for line in lines if not line.lstrip().startswith(("#", skipped))), "")


class _Finder:
    """Reads one file and those inside of it."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.held: dict[str, Source] = {}
        """Files that the file itself writes, by their names."""
        self.used: set[str] = set()
        """Names of those that a command reads by --config."""

    def find(self, text: str, name: str, depth: int) -> list[Deployment]:
        kind = kind_of(text, name)
        if kind == "document":
            return self.document(text, name)
        source = Source.of(text)
        if kind == "python":
            from advisor.deploy.formats import python

            return python.read(source, self.file, config=self.config)
        if kind == "unit":
            from advisor.deploy.formats import unit

            return unit.read(source, self.file, config=self.config)
        if kind == "dockerfile":
            return self.dockerfile(source, depth)
        return self.shell(source, depth)

    def document(self, text: str, name: str) -> list[Deployment]:
        from advisor.deploy import documents

        try:
            return documents.read_document(text, name, config=self.config)
        except NotReadableError as error:
            # A name that promises no format: nginx.conf and config.pbtxt are none of ours, and none is broken.
            if name == "-" or not PurePath(name).suffix or _named(name) or "{{" in str(error):
                raise
            return []

    def dockerfile(self, source: Source, depth: int) -> list[Deployment]:
        from advisor.deploy.formats import dockerfile

        found, documents = dockerfile.read(source, self.file, config=self.config)
        if documents:
            self.held |= {PurePath(document.name).name: document.source for document in documents}
            found, _ = dockerfile.read(source, self.file, config=self.config)
        return self.with_documents(found, documents, depth)

    def shell(self, source: Source, depth: int) -> list[Deployment]:
        from advisor.deploy.formats import shell

        # Twice where it writes files, since commands may name them by --config: before a file is known, and after.
        script = shell.read(source, self.file, config=self.config)
        if script.documents:
            self.held |= {PurePath(document.name).name: document.source for document in script.documents}
            script = shell.read(source, self.file, config=self.config)
        return self.with_documents(script.deployments, script.documents, depth)

    def with_documents(
        self, found: Sequence[Deployment], documents: Sequence[Document], depth: int
    ) -> list[Deployment]:
        """The servers of a file and those of the files that it writes, in their order."""
        every = list(found)
        for document in documents if depth < MAX_NESTING else ():
            if PurePath(document.name).name not in self.used:
                every += self.inner(document.source, document.name, depth + 1)
                bounded(len(every))
        return sorted(every, key=lambda each: each.place.start)

    def inner(self, source: Source, name: str, depth: int) -> list[Deployment]:
        """The servers in a file that another holds; none where it cannot be read, since it may be no file at all."""
        if not sign.SERVER.search(source.text):
            return []
        held, self.held = self.held, {}  # their places are those of the text around
        try:
            found = self.find(source.text, name, depth)
        except NotReadableError:
            return []
        finally:
            self.held = held
        return [relocated(each, source, file=self.file) for each in found]

    def config(self, name: str) -> Sequence[tuple[str, Sequence[Word]]] | None:
        """What a file that is named says, one that the file holds or one beside it: YAML of --config, or variables."""
        from advisor.deploy.formats import env_format, yaml_format

        base = PurePath(name).name
        held = self.held.get(base)
        try:
            if held is not None:
                self.used.add(base)
                entries = yaml_format.read_config(held.text, self.file)
                return [(key, [_moved(word, held) for word in words]) for key, words in entries]
            path = self._beside(name)
            if path is None:
                return None
            read = yaml_format.read_config if path.suffix in (".yaml", ".yml") else env_format.read_variables
            entries = read(path.read_text(encoding="utf-8"), str(path))
            return [(key, [_of(word, str(path)) for word in words]) for key, words in entries]
        except (NotReadableError, OSError, ValueError):
            return None

    def _beside(self, name: str) -> Path | None:
        """The file of that name beside this one, or in the same folder without the folders it is named with."""
        folder = Path() if self.file == "-" else Path(self.file).parent
        for path in (folder / name, folder / PurePath(name).name):
            if path.is_file() and path.stat().st_size <= MAX_CHARACTERS:
                return path
        return None


def _moved(word: Word, source: Source) -> Word:
    """A word of a text in a file, at its place in the file."""
    offsets = [*word.source.offsets]
    inner = source.inner(word.source.text, offsets, ends=word.source.ends)
    return replace(word, source=inner)


def _of(word: Word, file: str) -> Word:
    """A word of another file."""
    return replace(word, source=replace(word.source, file=file))

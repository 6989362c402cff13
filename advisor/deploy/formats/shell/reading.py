"""A script that is being read, and those in its strings: what is found, and how much may be followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from advisor.deploy.arguments.config_file import ReadConfig
from advisor.deploy.arguments.word import Word
from advisor.deploy.deployment import Deployment, NotReadableError
from advisor.deploy.source import Source

MAX_NESTED = 8
"""Scripts in strings of scripts."""
MAX_WORK = 200_000
"""Characters that variables, loops, functions and strings put together, beside three times the script's own: a script
that doubles a variable over and over ends here, within a second."""
MAX_STEPS = 20_000
"""Statements that are followed, a second's worth: people's scripts have hundreds."""


@dataclass(frozen=True, slots=True)
class Document:
    """A file that a script writes or hands to a command: the text of a here-document."""

    name: str
    """What the script calls it, or what the command that gets it takes: "manifest.yaml", "-.py"; may be empty."""
    source: Source


@dataclass(slots=True)
class Script:
    """What was found in a script."""

    deployments: list[Deployment] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)


@dataclass(slots=True)
class Reading:
    """One script and those in its strings."""

    file: str
    kind: str
    """What servers are said to be found in."""
    config: ReadConfig | None
    unknown: Sequence[str]
    """What stands in the text for something that is not known."""
    limit: int
    """Characters that may be put together."""
    found: Script = field(default_factory=Script)
    work: int = 0
    """Characters that have been put together."""
    steps: int = 0
    """Statements that have been followed."""
    nested: int = 0
    """Scripts in strings that are being followed, each in the one before."""
    launches: int = 0
    """Servers that were started, also those that are told already."""
    seen: set[tuple[object, ...]] = field(default_factory=set)
    """What tells the servers that were found apart."""

    def spend(self, characters: int) -> None:
        """Count characters that are put together.

        Raises:
            NotReadableError: they are too many.
        """
        self.work += characters
        if self.work > self.limit:
            raise NotReadableError("a script that puts together more than can be followed")

    def step(self) -> None:
        """Count a statement.

        Raises:
            NotReadableError: they are too many.
        """
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise NotReadableError(f"a script of more than {MAX_STEPS:,} steps, which is not followed further")

    def marked(self, word: Word) -> Word:
        """A word that is said not to be known where it has such a part."""
        hole = next((each for each in self.unknown if each in word.text), "")
        return replace(word, unknown=hole) if hole and not word.unknown else word

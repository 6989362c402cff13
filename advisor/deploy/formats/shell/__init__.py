"""vLLM servers in shell scripts: what the words of a command are once a shell has put its variables in.

Nothing is run. tree-sitter reads the script; assignments, arrays, defaults, functions, loops over known words and
here-documents are followed, and what depends on anything else stays unknown, by its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from advisor.deploy.arguments.config_file import ReadConfig
from advisor.deploy.arguments.word import Word
from advisor.deploy.formats.shell.commands import follow
from advisor.deploy.formats.shell.reading import MAX_WORK, Document, Reading, Script
from advisor.deploy.source import Source
from advisor.deploy.syntax.shell_words import Piece, Variable

__all__ = ["Document", "Script", "read"]


def read(
    source: Source,
    file: str,
    *,
    kind: str = "shell",
    config: ReadConfig | None = None,
    variables: Mapping[str, Word] | None = None,
    unknown: Sequence[str] = (),
) -> Script:
    """What a script starts, and the documents it holds, at their places in the file that the source is of.

    Args:
        source: The script: a file, or a string in one.
        file: What the file is called.
        kind: What servers are said to be found in.
        config: Reads the file that a command names by --config.
        variables: Those that the script is run with, as far as they are known.
        unknown: What stands in the text for something that is not known.

    Raises:
        NotReadableError: variables, loops and functions put together more than `MAX_WORK`.
    """
    reading = Reading(file, kind, config, unknown, MAX_WORK + 3 * len(source.text))
    given = {name: Variable(((Piece(word.source, word.unknown),),)) for name, word in (variables or {}).items()}
    follow(reading, source, given, set(given), 0)
    return reading.found

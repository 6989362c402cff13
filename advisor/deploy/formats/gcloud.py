"""What `gcloud` deploys: a container whose arguments are one word, joined by commas."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from advisor.deploy.arguments.word import Word
from advisor.deploy.formats.docker_run import Container, contained
from advisor.deploy.syntax.tree import Scalar

_DELIMITER = re.compile(r"\^([^^]+)\^")


def read(words: Sequence[Word]) -> Container | None:
    """The container of a `gcloud` command that names an image; None of any other command."""
    at = next((i for i, word in enumerate(words) if word.text.rpartition("/")[2] == "gcloud"), None)
    if at is None:
        return None
    given = _options(words[at + 1 :])
    image = given.get("image") or given.get("container-image-uri")
    if image is None:
        return None
    variables: dict[str, Scalar] = {}
    for name in ("set-env-vars", "update-env-vars", "container-env-vars"):
        for pair in _parts(given.get(name)):
            key, equals, _ = pair.text.partition("=")
            if equals:
                variables[key] = Scalar(pair.source.part(len(key) + 1, len(pair.text)), unknown=pair.unknown)
    command = _parts(given.get("command") or given.get("container-command"))
    arguments = _parts(given.get("args") or given.get("container-args"))
    return contained("gcloud", image.value(), variables, command[:1], [*command[1:], *arguments])


def _options(words: Sequence[Word]) -> Mapping[str, Word]:
    """The values of options, written behind = or as the next word."""
    found: dict[str, Word] = {}
    for at, word in enumerate(words):
        option, equals, _ = word.text.partition("=")
        if not option.startswith("--"):
            continue
        if equals:
            found[option[2:]] = _part(word, len(option) + 1, len(word.text))
        elif at + 1 < len(words):
            found[option[2:]] = words[at + 1]
    return found


def _parts(word: Word | None) -> list[Word]:
    """A word at its commas, or at what it says itself: ^;^a;b."""
    if word is None:
        return []
    chosen = _DELIMITER.match(word.text)
    start, delimiter = (chosen.end(), chosen[1]) if chosen else (0, ",")
    parts: list[Word] = []
    while start <= len(word.text):
        end = word.text.find(delimiter, start)
        end = len(word.text) if end < 0 else end
        parts.append(_part(word, start, end))
        start = end + len(delimiter)
    return parts


def _part(word: Word, start: int, end: int) -> Word:
    source = word.source.part(start, end)
    return Word(source, word.unknown if word.unknown in source.text else "", word.quote)

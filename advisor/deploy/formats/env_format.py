"""Files of environment variables (.env), for images that turn these into vLLM's flags."""

from __future__ import annotations

import io
from collections.abc import Iterator

from advisor.deploy.arguments import insertions, wrappers
from advisor.deploy.arguments.word import Word
from advisor.deploy.context import Context
from advisor.deploy.deployment import Deployment, NotReadableError
from advisor.deploy.server import Server, deployment
from advisor.deploy.source import Source
from advisor.deploy.syntax.tree import Scalar

MAX_CHARACTERS = 1_000_000
"""Of one file: people's have 2,000."""


def read(text: str, file: str) -> list[Deployment]:
    """The server that a wrapper's variables describe, or a variable that holds vLLM's arguments; else none.

    Raises:
        NotReadableError: they are no variables.
    """
    source = Source.of(text)
    variables = dict(_read(source))
    context = Context(file, source, "environment file")
    variables = {name: context.filled(value, variables) for name, value in variables.items()}
    wrapped = wrappers.read(variables, "", "")
    if wrapped is None:
        return []
    export = "export " if text.lstrip().startswith("export ") else ""
    first = wrapped.flags[0].place if wrapped.flags else next(iter(variables.values())).place
    last = max((flag.place.end for flag in wrapped.flags), default=first.end)
    server = Server(
        first,
        words=wrapped.words,
        before=wrapped.flags,
        problems=wrapped.problems,
        adapters=wrapped.adapters,
        environment=variables,
        model=wrapped.model,
        defaults=wrapped.defaults,
        insertion=insertions.below(source, last, export + "{name}={value}", wrapped.names),
        kind=f"{wrapped.wrapper} environment",
    )
    return [deployment(server, context)]


def read_variables(text: str, file: str) -> list[tuple[str, list[Word]]]:
    """The variables of a file that another one names, each with its value in one word.

    Raises:
        NotReadableError: they are no variables.
    """
    source = Source.of(text)
    variables = dict(_read(source))
    context = Context(file, source, "environment file")
    return [(name, [context.word(value, variables)]) for name, value in variables.items()]


def _read(source: Source) -> Iterator[tuple[str, Scalar]]:
    """Every variable with the place of its value."""
    from dotenv.parser import parse_stream

    if len(source.text) > MAX_CHARACTERS:
        raise NotReadableError(f"too long to be read as variables: more than {MAX_CHARACTERS:,} characters")
    at = 0
    for binding in parse_stream(io.StringIO(source.text, newline="")):
        original = binding.original.string
        if binding.key is not None and binding.value is not None:
            start = original.find(binding.value, original.find("=") + 1) if binding.value else -1
            quote = original[start - 1] if start > 0 and original[start - 1] in "'\"" else ""
            if start >= 0:
                yield binding.key, Scalar(source.part(at + start, at + start + len(binding.value)), quote=quote)
            else:
                offsets = [at] * len(binding.value) + [at + len(original.rstrip("\r\n"))]
                yield binding.key, Scalar(source.inner(binding.value, offsets))
        at += len(original)

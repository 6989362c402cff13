"""SageMaker LMI's serving.properties."""

from __future__ import annotations

from advisor.deploy.arguments import insertions, wrappers
from advisor.deploy.context import Context
from advisor.deploy.deployment import Deployment, NotReadableError
from advisor.deploy.server import Server, deployment
from advisor.deploy.source import Source
from advisor.deploy.syntax.tree import Scalar

MAX_CHARACTERS = 1_000_000
"""Of one file: people's have 1,000."""

MAX_LINES = 100
"""Of one value: the library's time grows with their square."""


def read(text: str, file: str) -> list[Deployment]:
    """The server that properties describe; none if they are not LMI's, or of another engine.

    Raises:
        NotReadableError: they are no properties.
    """
    source = Source.of(text)
    found = {name.removeprefix("option."): value for name, value in _read(source).items() if name[:7] == "option."}
    engine = _read(source).get("engine")
    if engine is not None and engine.text.strip().lower() not in ("python", "mpi", "vllm"):
        return []
    wrapped = wrappers.properties(found)
    if wrapped is None:
        return []
    last = max((flag.place.end for flag in wrapped.flags), default=next(iter(found.values())).place.end)
    server = Server(
        next(iter(found.values())).place,
        before=wrapped.flags,
        problems=wrapped.problems,
        model=wrapped.model,
        defaults=wrapped.defaults,
        insertion=insertions.below(source, last, "{name}={value}", wrapped.names),
        kind="LMI serving.properties",
    )
    return [deployment(server, Context(file, source, "LMI serving.properties"))]


def _read(source: Source) -> dict[str, Scalar]:
    """Every property with the place of its value."""
    import javaproperties

    if len(source.text) > MAX_CHARACTERS:
        raise NotReadableError(f"too long to be read as properties: more than {MAX_CHARACTERS:,} characters")
    lines = 0
    for line in source.text.splitlines():
        lines = lines + 1 if line.endswith("\\") else 0
        if lines > MAX_LINES:
            raise NotReadableError(f"not properties: a value of more than {MAX_LINES} lines")
    found: dict[str, Scalar] = {}
    at = 0
    try:
        for each in javaproperties.parse(source.text):
            if isinstance(each, javaproperties.KeyValue):
                found[each.key] = _value(source, each.value, at, each.source)
            at += len(each.source)
    except (ValueError, UnicodeError) as error:
        raise NotReadableError(f"not properties: {error}") from error
    return found


def _value(source: Source, value: str, at: int, line: str) -> Scalar:
    """A value, whose characters are followed where it has no escapes and goes over no lines."""
    end = len(line.rstrip("\r\n"))
    start = end - len(value)
    if start >= 0 and line[start:end] == value:
        return Scalar(source.part(at + start, at + end))
    return Scalar(source.inner(value, [at] * len(value) + [at + end]))

"""vLLM servers in Dockerfiles: what an image starts, its ENTRYPOINT, CMD and ENV put together over its stages.

Own code reads the lines: of the libraries, one takes here-documents and blank lines for instructions, one loses the
whole file at a comment, and the one around Docker's own parser is built for Linux alone. Values are JSON and shell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from advisor.deploy.arguments import command, insertions
from advisor.deploy.arguments.config_file import ReadConfig
from advisor.deploy.arguments.word import Word
from advisor.deploy.context import Context
from advisor.deploy.deployment import Deployment, Insertion, NotReadableError, Place, Problem, Value
from advisor.deploy.formats import docker_run, shell
from advisor.deploy.formats.shell import Document
from advisor.deploy.server import Server, deployment
from advisor.deploy.source import Source, joined
from advisor.deploy.syntax import yaml_tree
from advisor.deploy.syntax.python_trees import words_of
from advisor.deploy.syntax.tree import Scalar
from advisor.deploy.syntax.tree import Sequence as Items

MAX_STAGES = 200
"""Of one file: people have ten."""
_INSTRUCTION = re.compile(r"[ \t]*(?P<name>[A-Za-z]+)(?P<gap>[ \t]+|(?=\\?\s*$))")
_HEREDOC = re.compile(r"<<(?P<tabs>-?)(?P<quote>[\"']?)(?P<name>[A-Za-z_]\w*)(?P=quote)")
_NOTHING = re.compile(r"[ \t]*(?:#.*)?$")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a Dockerfile."""

    name: str
    """CMD"""
    body: Source
    """What follows the name, without continuations and the comments between them."""
    documents: tuple[Source, ...]
    """Its here-documents."""


@dataclass(frozen=True, slots=True)
class _Command:
    """An ENTRYPOINT or CMD."""

    place: Place
    items: Items | None
    """Of the exec form."""
    script: Source | None
    """Of the shell form."""

    @property
    def words(self) -> list[Word]:
        return words_of(self.items) if self.items else []


@dataclass(slots=True)
class _Stage:
    image: Value
    environment: dict[str, Scalar] = field(default_factory=dict)
    arguments: dict[str, Scalar] = field(default_factory=dict)
    entry: _Command | None = None
    command: _Command | None = None
    own: bool = False
    """Whether it says itself what it starts."""
    base: bool = False
    """Whether another stage begins with it."""


def read(source: Source, file: str, *, config: ReadConfig | None = None) -> tuple[list[Deployment], list[Document]]:
    """The servers that the images of a Dockerfile start, and the files that are written in it."""
    found = _Dockerfile(Context(file, source, "Dockerfile", config=config))
    for instruction in instructions(source):
        found.take(instruction)
    last = found.stages[-1:]
    stages = [stage for stage in found.stages if not stage.base and (stage.own or stage in last)]
    return [each for stage in stages for each in found.started(stage)], found.documents


def instructions(source: Source) -> Iterator[Instruction]:
    """The instructions of a Dockerfile in their order."""
    text = source.text
    escape = "`" if re.match(r"(?:#.*\n)*#\s*escape\s*=\s*`", text) else "\\"
    goes_on = re.compile(re.escape(escape) + r"[ \t\r]*$")
    lines = list(_lines(text))
    at = 0
    while at < len(lines):
        start, end = lines[at]
        at += 1
        name = _INSTRUCTION.match(text, start, end)
        if name is None or _NOTHING.match(text, start, end):
            continue
        parts: list[Source] = []
        start = name.end()
        while True:
            more = goes_on.search(text, start, end)
            parts.append(source.part(start, more.start() if more else end))
            while more and at < len(lines) and _NOTHING.match(text, *lines[at]):
                at += 1  # comments and blank lines between
            if not more or at == len(lines):
                break
            start, end = lines[at]
            at += 1
        kept = [part for part in parts if part.text] or parts[:1]
        body = joined(kept) if len(kept) > 1 else kept[0]
        documents: list[Source] = []
        for marker in _HEREDOC.finditer(body.text) if name["name"].upper() in ("RUN", "COPY", "ADD") else ():
            first = lines[at][0] if at < len(lines) else len(text)
            while at < len(lines) and text[slice(*lines[at])].strip("\t" if marker["tabs"] else "") != marker["name"]:
                at += 1
            last = lines[at][0] if at < len(lines) else len(text)
            at += 1
            documents.append(source.part(first, last))
        yield Instruction(name["name"].upper(), body, tuple(documents))


def _lines(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield start, end - (text[start:end].endswith("\r"))
        start = end + 1


class _Dockerfile:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.arguments: dict[str, Scalar] = {}
        self.stages: list[_Stage] = []
        self.names: dict[str, _Stage] = {}
        self.documents: list[Document] = []

    def take(self, instruction: Instruction) -> None:
        """Carry an instruction out, as far as it matters."""
        self._hold(instruction)
        do: Callable[[Source], None] | None = {
            "FROM": self._from, "ARG": self._arg, "ENV": self._env, "ENTRYPOINT": self._entry, "CMD": self._cmd,
        }.get(instruction.name)  # fmt: skip
        if do is not None and (self.stages or instruction.name in ("FROM", "ARG")):
            do(instruction.body)

    def _hold(self, instruction: Instruction) -> None:
        words = instruction.body.text.split()
        for number, document in enumerate(instruction.documents):
            target = words[-1] if words and instruction.name in ("COPY", "ADD") else ""
            written = re.search(r">\s*([^\s;&|>]+)", instruction.body.text)
            name = target or (written[1] if written else "-.sh")
            self.documents.append(Document(name if number == 0 or not target.endswith("/") else "", document))

    def _filled(self, scalar: Scalar) -> Scalar:
        """With arguments and variables put in, whose defaults count."""
        stage = self.stages[-1] if self.stages else None
        known = {**self.arguments, **(stage.arguments if stage else {}), **(stage.environment if stage else {})}
        return self.context.filled(scalar, known)

    def _pairs(self, body: Source) -> Iterator[tuple[str, Scalar | None]]:
        words = command.split(body)
        if words and "=" not in words[0].text:  # ENV NAME the rest
            rest = body.text.find(words[0].text) + len(words[0].text)
            value = body.part(rest, len(body.text))
            stripped = len(value.text) - len(value.text.lstrip())
            yield words[0].text, Scalar(value.part(stripped, len(value.text.rstrip()))) if value.text.strip() else None
            return
        for word in words:
            name, equals, _ = word.text.partition("=")
            if equals:
                yield name, Scalar(word.source.part(len(name) + 1, len(word.text)), quote=word.quote)

    def _arg(self, body: Source) -> None:
        into = self.stages[-1].arguments if self.stages else self.arguments
        for word in command.split(body):
            name, equals, _ = word.text.partition("=")
            if equals:
                into[name] = self._filled(Scalar(word.source.part(len(name) + 1, len(word.text)), quote=word.quote))

    def _env(self, body: Source) -> None:
        stage = self.stages[-1]
        stage.environment |= {name: self._filled(value) for name, value in self._pairs(body) if value is not None}

    def _from(self, body: Source) -> None:
        words = [word for word in command.split(body) if not word.text.startswith("--")]
        if not words or len(self.stages) >= MAX_STAGES:
            return
        image = self.context.filled(Scalar(words[0].source), self.arguments)
        base = self.names.get(image.text.lower())
        stage = _Stage(image.value)
        if base is not None:
            base.base = True
            stage = replace(base, environment=dict(base.environment), arguments={}, base=False)
        self.stages.append(stage)
        if len(words) >= 3 and words[1].text.lower() == "as":
            self.names[words[2].text.lower()] = stage

    def _entry(self, body: Source) -> None:
        stage = self.stages[-1]
        stage.entry, stage.own = self._command(body), True

    def _cmd(self, body: Source) -> None:
        stage = self.stages[-1]
        stage.command, stage.own = self._command(body), True

    def _command(self, body: Source) -> _Command:
        if body.text.lstrip().startswith("["):
            try:
                documents = yaml_tree.read(body, json=True)
            except NotReadableError:
                documents = []
            if documents and isinstance(documents[0], Items):
                return _Command(body.whole, documents[0], None)
        return _Command(body.whole, None, body)

    # What an image starts

    def started(self, stage: _Stage) -> list[Deployment]:
        entry, cmd = stage.entry, stage.command
        if entry is None and cmd is None:  # what the base image starts is not said here
            return docker_run.wrapped(stage.environment, stage.image, self.context)
        last = cmd or entry
        place = (entry or cmd or _Command(self.context.source.place(0, 0), None, None)).place
        server = Server(place, environment=stage.environment, image=stage.image, insertion=_insertion(last))
        script = entry.script if entry and entry.script else None
        words = (entry.words if entry else []) + (cmd.words if cmd else [])
        if script is None and cmd is not None and cmd.script is not None:
            script = cmd.script if not (entry and entry.items and entry.items.items) else None
        if script is None and (inner := command.script(words)) is not None:
            script = inner.source
        serves = entry is None and command.serves(stage.image.text or "")
        if script is not None:
            return self._script(script, stage, serves)
        launch = command.launched(words)
        problems: tuple[Problem, ...] = ()
        if launch is None and serves and words and words[0].text == "serve":
            launch = command.Launch(words[1:], True)
        if launch is not None and serves:
            problems = (_doubled(words[0].place),)
        if launch is None and serves:
            launch = command.Launch(words, True)
        if launch is not None:
            return [
                deployment(
                    replace(server, words=launch.words, serve=launch.serve, own=launch.own, problems=problems),
                    self.context,
                )
            ]
        return docker_run.wrapped(stage.environment, stage.image, self.context)

    def _script(self, script: Source, stage: _Stage, serves: bool) -> list[Deployment]:
        known = {name: Word(value.source) for name, value in stage.environment.items() if not value.unknown}
        found = shell.read(
            script, self.context.file, kind="Dockerfile", config=self.context.config, variables=known
        ).deployments
        environment = {name: value.value for name, value in stage.environment.items()}
        doubled = (_doubled(script.whole),) if serves else ()
        return [
            replace(
                each,
                environment={**environment, **each.environment},
                image=each.image or stage.image,
                problems=(*each.problems, *doubled),
            )
            for each in found
        ]


def _doubled(place: Place) -> Problem:
    return Problem(
        "doubled-command",
        "the image starts with vllm serve already, and what stands here comes behind it: unrecognized arguments, "
        "vLLM does not start; give the arguments alone, or an ENTRYPOINT",
        place,
    )


def _insertion(last: _Command | None) -> Insertion | None:
    return insertions.as_item(last.items) if last is not None and last.items is not None else None

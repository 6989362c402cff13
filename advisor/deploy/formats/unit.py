"""vLLM servers in systemd units, ExecStart with the unit's environment put in, and in files of the same form: Podman's
and supervisord's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from advisor.deploy.arguments import command
from advisor.deploy.arguments.command import Launch
from advisor.deploy.arguments.config_file import ReadConfig
from advisor.deploy.arguments.word import Word
from advisor.deploy.context import Context
from advisor.deploy.deployment import Deployment, Insertion, Value
from advisor.deploy.formats import docker_run, shell
from advisor.deploy.server import Server, deployment
from advisor.deploy.source import Source, joined, shown
from advisor.deploy.syntax.tree import Scalar

_SECTION = re.compile(r"\s*\[([^\]]+)\]\s*$")
_HOLE = re.compile(r"\$\$|\$\{(?P<curly>[A-Za-z_]\w*)\}|\$(?P<bare>[A-Za-z_]\w*)|%%|%[a-zA-Z]")


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of a unit, with those that go on behind it."""

    section: str
    name: str
    value: Source


def read(source: Source, file: str, *, config: ReadConfig | None = None) -> list[Deployment]:
    """The servers that a unit starts."""
    settings = list(_settings(source))
    environment: dict[str, Scalar] = {}
    for setting in settings:
        if setting.name == "Environment":
            for word in command.split(setting.value):
                name, equals, _ = word.text.partition("=")
                if equals:
                    environment[name] = Scalar(word.source.part(len(name) + 1, len(word.text)), quote=word.quote)
    context = Context(file, source, "systemd unit", config=config)
    found: list[Deployment] = []
    for setting in settings:
        if setting.section == "Service" and setting.name in ("ExecStart", "ExecStartPre", "ExecStartPost"):
            found += _started(setting.value, environment, context)
        elif setting.section.startswith("program:") and setting.name == "command":
            found += _started(setting.value, environment, replace(context, kind="supervisord"))
    image = next((each.value for each in settings if each.section == "Container" and each.name == "Image"), None)
    if image is not None:
        found += _contained(image, settings, environment, replace(context, kind="Quadlet"))
    return found


def _settings(source: Source) -> Iterator[Setting]:
    """The settings of a unit: lines that end in a backslash go on, comments between them or not."""
    section, text, at = "", source.text, 0
    while at < len(text):
        parts: list[Source] = []
        while at < len(text):
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
            line = text[at:end].rstrip("\r")
            start, at = at, end + 1
            if line.lstrip().startswith(("#", ";")):
                if parts:
                    continue
                break
            goes_on = line.endswith("\\")
            parts.append(source.part(start, start + len(line) - goes_on))
            if not goes_on:
                break
        kept = [part for part in parts if part.text]
        if not kept:
            continue
        whole = _with_blanks(kept)
        if named := _SECTION.match(whole.text):
            section = named[1]
        elif "=" in whole.text:
            name = whole.text.partition("=")[0]
            yield Setting(section, name.strip(), whole.part(len(name) + 1, len(whole.text)))


def _with_blanks(parts: list[Source]) -> Source:
    """Lines that go on are put together with a blank between."""
    whole: list[Source] = []
    for part in parts:
        if whole:
            whole.append(shown(" ", whole[-1].part(len(whole[-1].text), len(whole[-1].text))))
        whole.append(part)
    return joined(whole) if len(whole) > 1 else whole[0]


def _started(value: Source, environment: dict[str, Scalar], context: Context) -> list[Deployment]:
    start = len(value.text) - len(value.text.lstrip(" \t@-:+!|"))
    value = value.part(start, len(value.text))
    words = [each for word in command.split(value) for each in _filled(word, environment)]
    if not words:
        return []
    box = docker_run.read(words)
    if box is not None:
        words = box.words
    launch = (box.launch if box else None) or command.launched(words)
    own = dict(environment) if box is None else {}
    if launch is not None:
        return [_deployment(launch, value, own, context, box)]
    script = command.script(words)
    if script is None:
        return []
    known = {name: Word(each.source) for name, each in own.items()}
    found = shell.read(
        script.source,
        context.file,
        kind=context.kind,
        config=context.config,
        variables=known,
        unknown=[script.unknown] if script.unknown else (),
    )
    values = {name: each.value for name, each in own.items()}
    return [replace(each, environment={**values, **each.environment}) for each in found.deployments]


def _deployment(
    launch: Launch,
    value: Source,
    environment: dict[str, Scalar],
    context: Context,
    box: docker_run.Container | None = None,
) -> Deployment:
    end = len(value.text.rstrip())
    found = deployment(
        Server(
            value.place(0, end),
            words=launch.words,
            serve=launch.serve,
            own=launch.own,
            environment=environment,
            image=box.image if box else None,
            problems=(box.doubled,) if box and box.doubled else (),
            insertion=Insertion(value.place(end, end), " {flag}={value}"),
        ),
        context,
    )
    return replace(found, environment={**found.environment, **box.environment}) if box else found


def _contained(
    image: Source, settings: list[Setting], environment: dict[str, Scalar], context: Context
) -> list[Deployment]:
    """The server of a container that Podman runs as a unit."""
    arguments = [each.value for each in settings if each.section == "Container" and each.name == "Exec"]
    words = [
        each for word in (command.split(arguments[-1]) if arguments else ()) for each in _filled(word, environment)
    ]
    launch = command.launched(words)
    name = image.text.strip()
    if launch is None and command.serves(name):
        launch = Launch(words, True)
    if launch is None:
        return []
    value = arguments[-1] if arguments else image
    found = _deployment(launch, value, environment, context)
    return [replace(found, image=Value(name, image.whole))]


def _filled(word: Word, environment: dict[str, Scalar]) -> list[Word]:
    """A word with the unit's variables in it: `$NAME` alone is taken apart at blanks, `${NAME}` is not."""
    if word.text.startswith("$") and (alone := _HOLE.fullmatch(word.text)) and alone["bare"]:
        value = environment.get(alone["bare"])
        return (
            [Word(each.source) for each in command.split(value.source)] if value else [replace(word, unknown=word.text)]
        )
    parts: list[Source] = []
    unknown, at = "", 0
    for hole in _HOLE.finditer(word.text):
        parts.append(word.source.part(at, hole.start()))
        at = hole.end()
        known = environment.get(hole["curly"] or hole["bare"] or "")
        if hole.group() in ("$$", "%%"):
            parts.append(word.source.part(hole.start(), hole.start() + 1))
        elif known is not None:
            parts.append(known.source)
        else:
            unknown = unknown or hole.group()
            parts.append(word.source.part(hole.start(), hole.end()))
    parts.append(word.source.part(at, len(word.text)))
    kept = [part for part in parts if part.text]
    source = joined(kept) if len(kept) > 1 else kept[0] if kept else word.source
    return [replace(word, source=source, unknown=unknown, splits=False)]

"""What `docker run` starts: an image with arguments for its server, or a command in place of it."""

from __future__ import annotations

import re
from collections.abc import Mapping as Variables
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from advisor.deploy import server
from advisor.deploy.arguments import command
from advisor.deploy.arguments.command import Launch
from advisor.deploy.arguments.word import Word
from advisor.deploy.context import Context
from advisor.deploy.deployment import Deployment, Problem, Value
from advisor.deploy.source import Source, shown
from advisor.deploy.syntax.tree import Layout, Mapping, Scalar

_PROGRAMS = ("docker", "podman", "nerdctl")
_SWITCHES = re.compile(
    r"-[ditqP]+|--(?:detach|interactive|tty|rm|init|privileged|publish-all|read-only|no-healthcheck|oom-kill-disable|"
    r"sig-proxy|disable-content-trust|quiet|replace|tls-verify)"
)
"""Options of `docker run` that take no value: all others do."""
_NAME = re.compile(r"[A-Za-z_]\w*")
_ASSIGNED = re.compile(rf"({_NAME.pattern})=")


@dataclass(frozen=True, slots=True)
class Container:
    """A container that a command runs."""

    kind: str
    image: Value
    variables: dict[str, Scalar]
    launch: Launch | None
    words: list[Word]
    """The command in the container, where the image does not start the server by itself."""
    doubled: Problem | None = None

    @property
    def environment(self) -> dict[str, Value]:
        return {name: scalar.value for name, scalar in self.variables.items()}


def read(words: Sequence[Word], exported: Variables[str, Word] = MappingProxyType({})) -> Container | None:
    """The container that a command runs, with the exported variables that it is given by name; None if it runs none."""
    at = next(
        (i for i, word in enumerate(words) if word.text.rpartition("/")[2] in (*_PROGRAMS, "kubectl", "oc")), None
    )
    if at is None:
        return None
    verb = next((i for i in range(at + 1, min(at + 4, len(words))) if words[i].text in ("run", "create")), None)
    if verb is None:
        return None
    program = words[at].text.rpartition("/")[2]
    options, rest = _options(words[verb + 1 :], program in _PROGRAMS)
    variables: dict[str, Scalar] = {}
    for name, value in options:
        if name not in ("e", "env"):
            continue
        if assigned := _ASSIGNED.match(value.text):
            part = value.source.part(assigned.end(), len(value.text))
            variables[assigned[1]] = Scalar(part, quote=value.quote, unknown=value.unknown)
        elif value.text in exported:
            word = exported[value.text]
            variables[value.text] = Scalar(word.source, quote=word.quote, unknown=word.unknown)
        elif _NAME.fullmatch(value.text):  # passed on from where the command runs
            variables[value.text] = Scalar(value.source, quote=value.quote, unknown=f"${value.text}")
    given = dict(options)
    entry, image = given.get("entrypoint"), given.get("image")
    if program in _PROGRAMS:
        image, rest = (rest[0], rest[1:]) if rest else (None, rest)
    elif "command" in given and rest:
        entry, rest = rest[0], rest[1:]
    if image is None:
        return None
    return contained(f"{program} run", image.value(), variables, [entry] if entry else [], rest)


def _options(words: Sequence[Word], docker: bool) -> tuple[list[tuple[str, Word]], list[Word]]:
    """The options of a command that runs a container, and what comes behind them."""
    found: list[tuple[str, Word]] = []
    at = 0
    while at < len(words):
        word = words[at]
        option, equals, _ = word.text.partition("=")
        at += 1
        if word.text == "--":
            break
        if not word.text.startswith("-"):
            if not docker or (word.unknown and word.splits and at < len(words)):
                continue  # options that are not known, or kubectl's name of the pod
            at -= 1
            break
        name = option.lstrip("-")
        if equals:
            found.append((name, replace(word, source=word.source.part(len(option) + 1, len(word.text)))))
        elif _SWITCHES.fullmatch(option) if docker else name in ("command", "rm", "stdin", "tty", "it", "i", "t"):
            found.append((name, word))
        elif at < len(words):
            found.append((name, words[at]))
            at += 1
    return found, list(words[at:])


def contained(
    kind: str, image: Value, variables: dict[str, Scalar], entry: Sequence[Word], rest: list[Word]
) -> Container:
    """A container with what takes the place of the image's entry point, if anything does, and the words behind it."""
    if entry or not command.serves(image.text or ""):
        return Container(kind, image, variables, None, [*entry, *rest])
    launch = command.launched(rest)
    doubled = None
    if launch is not None and rest[0].text.rpartition("/")[2] in ("vllm", "python", "python3"):
        doubled = Problem(
            "doubled-command",
            "the image starts `vllm serve` itself, and this is put behind it: vLLM does not start; "
            "give the arguments alone, or --entrypoint",
            rest[0].place,
        )
    return Container(kind, image, variables, launch or Launch(rest, True), rest, doubled)


def wrapped(variables: Variables[str, Scalar], image: Value, context: Context) -> list[Deployment]:
    """The server of an image that turns environment variables into flags: none if it is not such an image."""
    at = Source("", [image.place.start], context.source.lines)
    entries = tuple((Scalar(shown(name, value.source)), value) for name, value in variables.items())
    environment = Mapping(entries, image.place, Layout())
    title = Scalar(shown("image", at)), Scalar(shown(image.text or "", at))
    mapping = Mapping((title, (Scalar(shown("environment", at)), environment)), image.place, Layout())
    return [replace(each, image=image, place=image.place) for each in server.wrapped(mapping, context) or ()]

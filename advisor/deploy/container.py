"""A container, service or task: an image, a command with arguments, and an environment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping as Variables
from dataclasses import replace

from advisor.deploy.arguments import command, insertions
from advisor.deploy.arguments.word import Word
from advisor.deploy.context import ENVIRONMENT, IMAGE, Context
from advisor.deploy.deployment import Deployment, Insertion, Place, Problem
from advisor.deploy.formats.scripts import read_script
from advisor.deploy.server import Server, deployment
from advisor.deploy.syntax.tree import Mapping, Node, Scalar, Sequence

COMMANDS = ("entrypoint", "Entrypoint", "entryPoint", "command", "Command", "cmd", "Cmd")
"""Keys of what is run, in the order in which it is put together; arguments come behind."""
ARGUMENTS = re.compile(r"arg|option|flag|param|cmd|command", re.IGNORECASE)
"""Keys under which lists and texts may be arguments of a server."""
_SHELL_HOLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
_PODS = re.compile(r"^Kubernetes (?:Deployment|StatefulSet|DaemonSet|ReplicaSet|Pod|Job|ReplicationController)$")
_SHELL = re.compile(r"[\n;|<>`]|&&|\$\(")


def read(mapping: Mapping, context: Context) -> list[Deployment] | None:
    """The servers that a container starts: none if it is something else, None if it is no container at all."""
    lists = _arguments(mapping)
    if not lists:
        return None
    variables = context.environment(mapping)
    words = [word for _, node in lists for word in _words(node, context, variables)]
    context.spend(len(words))
    image = context.image(mapping)
    start = _start(lists, mapping)
    server = Server(start, environment=variables, image=image, name=context.name or mapping.text("name"))
    if _PODS.match(context.kind) and image is None and _in_pod(context):
        context = replace(context, partial=True)
    text = image.text if image and image.text else ""
    script = command.script(words) or _source(mapping, words, context)
    launch = command.launched(words)
    if script is None and launch is None and len(lists) == 1 and isinstance(lists[0][1], Scalar):
        script = _as_script(lists[0][1], context, variables)
    if script is not None:
        found = read_script(script, context, {name: value for name, value in variables.items() if not value.unknown})
        return [_around(each, server, context) for each in found] or None
    server = replace(server, problems=tuple(_not_put_in(lists, variables)) if _PODS.match(context.kind) else ())
    if launch is not None:
        doubled = command.serves(text) and not _replaces(mapping, context)
        problem = (*server.problems, *((_doubled(words[0]),) if doubled else ()))
        return [deployment(replace(server, words=launch.words, serve=launch.serve, problems=problem,
                                   own=launch.own,
                                   insertion=_insertion(lists)), context)]  # fmt: skip
    return _flags_alone(mapping, lists, words, server, context)


def _flags_alone(
    mapping: Mapping, lists: list[tuple[str, Node]], words: list[Word], server: Server, context: Context
) -> list[Deployment] | None:
    """A server that the image starts, whose flags are all that is said of it."""
    text = (server.image.text if server.image else "") or ""
    problems = server.problems
    names = command.flag_names(words)
    ours = command.serves(text) or context.serves or mapping.text("modelCommand") == "vllmServe"  # llm-d's word
    if command.serves(text) and words and words[0].text == "serve":
        problems, words = (*problems, _doubled(words[0])), words[1:]
    commands = [key for key, _ in lists if key in COMMANDS]
    if commands and _replaces(mapping, context) and not (words and words[0].text.startswith("-")) and not ours:
        words = words[next((at for at, word in enumerate(words) if word.text.startswith("-")), len(words)) :]
        ours = False
    sure = ours or "vllm" in " ".join((text, context.kind, *context.path)).lower()
    around = " ".join((text, *(word.text for word in words[:3])))
    if not words or command.other(around) or not (ours or command.speaks_vllm(names, sure=sure)):
        return None
    if ours and not names and not command.serves(text):
        return None
    return [deployment(replace(server, words=words, own=ours, problems=problems, insertion=_insertion(lists)), context)]


def _arguments(mapping: Mapping) -> list[tuple[str, Node]]:
    """The lists and texts of a container that make its command, in their order."""
    found = [(key, mapping.index[key]) for key in COMMANDS if key in mapping]
    found += [
        (key, node)
        for key, node in mapping.index.items()
        if key not in (*COMMANDS, *ENVIRONMENT, *IMAGE, "modelCommand") and ARGUMENTS.search(key)
    ]
    return [(key, node) for key, node in found if _is_list(node) or (isinstance(node, Scalar) and _is_text(node))]


def _is_list(node: Node) -> bool:
    return isinstance(node, Sequence) and any(isinstance(item, Scalar) for item in node.items)


def _is_text(node: Scalar) -> bool:
    return node.kind == "str" and ("--" in node.text or "vllm" in node.text)


def _words(node: Node, context: Context, variables: Variables[str, Scalar]) -> list[Word]:
    """The words of a list, one an item, or of a text."""
    if isinstance(node, Sequence):
        return [context.word(item, variables) for item in node.items if isinstance(item, Scalar)]
    if not isinstance(node, Scalar):
        return []
    filled = context.filled(node, variables)
    if not filled.unknown:
        return command.split(filled.source)
    words = command.split(filled.source)
    return [context.word(Scalar(word.source), variables) for word in words]


def _not_put_in(lists: list[tuple[str, Node]], variables: Variables[str, Scalar]) -> Iterator[Problem]:
    """Variables of a pod's container that are written as a shell has them, where no shell runs."""
    items = [item for _, node in lists if isinstance(node, Sequence) for item in node.items]
    for item in items:
        hole = _SHELL_HOLE.search(item.text) if isinstance(item, Scalar) else None
        if isinstance(item, Scalar) and hole and (name := hole[1] or hole[2]) in variables:
            yield Problem(
                "invalid-value",
                f"{item.text}: Kubernetes puts in $({name}) and nothing else; this reaches vLLM as it stands, "
                "and vLLM does not start",
                item.source.place(*hole.span()),
                f"$({name})",
            )


def _as_script(node: Scalar, context: Context, variables: Variables[str, Scalar]) -> Word | None:
    """A text with more than one command in it: a shell runs it."""
    return context.word(node, variables) if _SHELL.search(node.text) and "vllm" in node.text else None


def _source(mapping: Mapping, words: list[Word], context: Context) -> Word | None:
    """The script of an Argo template, which its command is handed as a file."""
    source = mapping.scalar("source")
    name = words[0].text.rpartition("/")[2] if words else ""
    return context.word(source) if source is not None and name in command.SHELLS else None


def _start(lists: list[tuple[str, Node]], mapping: Mapping) -> Place:
    """Where a server is said to stand: at the key of its arguments."""
    key = mapping.key(lists[-1][0])
    return key.place if key else mapping.place


def _insertion(lists: list[tuple[str, Node]]) -> Insertion | None:
    for _, node in reversed(lists):
        if isinstance(node, Sequence):
            return insertions.as_item(node)
        if isinstance(node, Scalar):
            return insertions.behind(node)
    return None


def _replaces(mapping: Mapping, context: Context) -> bool:
    """Whether the command takes the place of the image's entry point: not that of compose, nor of Nomad."""
    if context.compose:
        return any(mapping.get(key) is not None for key in ("entrypoint", "Entrypoint"))
    node = mapping.get("command")
    return node is not None and not (isinstance(node, Scalar) and node.text.startswith("-"))


def _in_pod(context: Context) -> bool:
    return context.path[-1:] in (("containers",), ("initContainers",))


def _doubled(word: Word) -> Problem:
    return Problem(
        "doubled-command",
        "the image starts with vllm serve already, and what stands here comes behind it: unrecognized arguments, "
        "vLLM does not start",
        word.place,
    )


def _around(found: Deployment, server: Server, context: Context) -> Deployment:
    """A server of a script, with what is known of the container that runs it."""
    environment = {name: value.value for name, value in server.environment.items()}
    return replace(
        found,
        kind=context.kind,
        name=server.name or found.name,
        environment=environment | dict(found.environment),
        image=found.image or server.image,
        partial=found.partial or context.partial,
        loader=context.loader,
        flags=tuple(context.marked(flag) for flag in found.flags),
    )

"""What makes a Deployment: the settings of a server, wherever they were found."""

from __future__ import annotations

from collections.abc import Mapping as Variables
from collections.abc import Sequence as Words
from dataclasses import dataclass, field

from advisor.deploy.arguments import command, insertions, wrappers
from advisor.deploy.arguments.command_line import read_arguments
from advisor.deploy.arguments.word import Word
from advisor.deploy.context import ENVIRONMENT, Context
from advisor.deploy.deployment import Adapter, Deployment, Flag, Insertion, Place, Problem, Value
from advisor.deploy.syntax.tree import Mapping, Scalar


@dataclass(frozen=True, slots=True)
class Server:
    """What makes a Deployment, wherever it was found."""

    place: Place
    words: Words[Word] = ()
    serve: bool = True
    own: bool = True
    """Whether the words go to vLLM itself: a wrapper has flags of its own."""
    before: tuple[Flag, ...] = ()
    """Flags that come before the words."""
    adapters: tuple[Adapter, ...] = ()
    problems: tuple[Problem, ...] = ()
    environment: Variables[str, Scalar] = field(default_factory=dict)
    image: Value | None = None
    model: Value | None = None
    gpu: Value | None = None
    insertion: Insertion | None = None
    defaults: Variables[str, str] = field(default_factory=dict)
    name: str = ""
    kind: str = ""


def deployment(server: Server, context: Context) -> Deployment:
    """What vLLM reads of a server's settings."""
    extra = server.environment.get("VLLM_ADDITIONAL_ARGS")
    words = list(server.words)
    if extra is not None and not any("VLLM_ADDITIONAL_ARGS" in word.text for word in words):
        more = [context.word(extra)] if extra.unknown else command.split(extra.source)
        behind = 1 if server.serve and words and not words[0].text.startswith("-") else 0
        words = [*words[:behind], *more, *words[behind:]]
    found = read_arguments(words, serve=server.serve, own=server.own, config=context.config)
    return Deployment(
        file=context.file,
        kind=server.kind or context.kind,
        name=server.name or context.name,
        place=server.place,
        flags=tuple(context.marked(flag) for flag in (*server.before, *found.flags)),
        environment={name: value.value for name, value in server.environment.items()},
        model=found.model or server.model or (context.model.value if context.model else None),
        image=server.image,
        gpu=server.gpu,
        adapters=(*server.adapters, *found.adapters),
        loader=context.loader,
        partial=context.partial or found.open,
        defaults=dict(server.defaults),
        problems=(*server.problems, *found.problems),
        insertion=server.insertion,
    )


def wrapped(mapping: Mapping, context: Context) -> list[Deployment] | None:
    """A server whose image turns environment variables into flags."""
    variables = context.environment(mapping)
    if not variables:
        return None
    image = context.image(mapping)
    found = wrappers.read(variables, (image.text if image else "") or "", " ".join(context.path) + context.kind)
    if found is None:
        return None
    node = next((mapping.get(key) for key in ENVIRONMENT if mapping.get(key) is not None), None)
    key = next((mapping.key(key) for key in ENVIRONMENT if key in mapping), None)
    server = Server(
        key.place if key else mapping.place,
        words=found.words,
        before=found.flags,
        adapters=found.adapters,
        problems=found.problems,
        environment=variables,
        image=image,
        model=found.model,
        defaults=found.defaults,
        insertion=insertions.as_variable(node, found.names),
        name=context.name or mapping.text("name"),
        kind=f"{context.kind}, {found.wrapper}" if found.wrapper not in context.kind else context.kind,
    )
    return [deployment(server, context)]

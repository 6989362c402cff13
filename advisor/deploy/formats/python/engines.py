"""Engines that a program makes: vLLM's own classes, and those of frameworks around them."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, replace

from advisor.deploy.arguments import insertions
from advisor.deploy.arguments.spellings import setting
from advisor.deploy.arguments.values import read_value
from advisor.deploy.context import Context
from advisor.deploy.deployment import Flag, Insertion, Problem
from advisor.deploy.formats.python.servers import Servers
from advisor.deploy.server import Server, deployment
from advisor.deploy.source import Source
from advisor.deploy.syntax.python_calls import ENGINES
from advisor.deploy.syntax.python_places import dotted
from advisor.deploy.syntax.python_trees import STAR
from advisor.deploy.syntax.tree import Mapping, Node, Scalar

WRAPPED = frozenset(("VLLM", "Vllm", "VLLMOpenAI"))
"""LangChain's and LlamaIndex's classes: engine arguments stand in vllm_kwargs."""


@dataclass(slots=True)
class _Engine:
    """An engine's arguments, to which attributes may be added after it is made."""

    server: Server
    flags: list[Flag]
    partial: bool
    context: Context


class Engines(Servers):
    """The engines of one program."""

    def __init__(self, source: Source, context: Context) -> None:
        super().__init__(source, context)
        self.modules: dict[str, str] = {}
        """Imported names, each with its module."""
        self.aliases: dict[str, str] = {}
        self.engines: dict[str, _Engine] = {}
        self.frames: list[list[Node]] = []
        """What the functions that are being followed return, the innermost last."""

    def engine_of(self, call: ast.Call) -> bool:
        name = dotted(call.func) or ""
        first, _, last = name.rpartition(".")
        module = self.modules.get(first.partition(".")[0] if first else name, "vllm")
        return self.aliases.get(last, last) in ENGINES and module.partition(".")[0] == "vllm"

    def engine(self, call: ast.Call, within: Mapping | None = None) -> None:
        keywords = self.values.keywords(call)
        entries = list(keywords.entries)
        if within is not None:
            entries = [*within.entries, *(each for each in entries if each[0].text != "vllm_kwargs")]
        model = keywords.get("model")
        if model is None and call.args and not isinstance(call.args[0], ast.Starred):
            model = self.values.value(call.args[0])
        flags, problems, partial = flags_of(entries)
        server = Server(
            self.values.place(call),
            problems=tuple(problems),
            environment=dict(self.environment),
            model=model.value if isinstance(model, Scalar) else None,
            gpu=self.gpu,
            insertion=self.behind(call) if within is None else insertions.as_key(within, insertions.spelled(())),
        )
        for each in call.keywords:
            self.use(self.values.value(each.value))
        self.engines[self.key(call)] = _Engine(server, flags, partial, self.context)

    def key(self, call: ast.Call) -> str:
        """What an engine goes by until it has a name."""
        return f"{call.lineno}:{call.col_offset} {len(self.frames)}"

    def emit(self, engine: _Engine) -> None:
        context = replace(engine.context, partial=engine.partial)
        self.tell([deployment(replace(engine.server, before=tuple(engine.flags)), context)])

    def behind(self, call: ast.Call) -> Insertion | None:
        """Where one more keyword is written."""
        names = {name: name for name in insertions.SETTINGS}
        parts: list[ast.expr] = [*call.args, *(each.value for each in call.keywords)]
        if not parts:
            end = self.values.span(call)[1] - 1
            return Insertion(self.context.source.place(end, end), "{name}={value}", names)
        end = max(self.values.span(each)[1] for each in parts)
        place = self.context.source.place(end, end)
        first = self.values.span(call.keywords[-1] if call.keywords else parts[-1])[0]
        line = self.context.source.text.rfind("\n", 0, first) + 1
        before = self.context.source.text[line:first]
        return Insertion(place, ("," + (f"\n{before}" if before.isspace() else " ") + "{name}={value}"), names)


def flags_of(entries: Iterable[tuple[Scalar, Node]]) -> tuple[list[Flag], list[Problem], bool]:
    """Keyword arguments as flags; and whether there are more that are not known."""
    flags: list[Flag] = []
    problems: list[Problem] = []
    partial = False
    for key, node in entries:
        if key.quote == STAR:
            partial = True
            problems.append(Problem("unknown-arguments", f"what {key.unknown} holds is not known here", key.place))
            continue
        spelling = setting(key.text)
        if spelling is None or not isinstance(node, Scalar) or node.kind == "null" or "-" in key.text:
            continue
        if spelling.type == "switch" and not node.unknown:
            flags.append(Flag(spelling.name, None if node.text == "True" else node.value, key.text, key.place))
            continue
        value, problem = read_value(key.text, node.value, key.text)
        problems += [problem] if problem else []
        flags.append(Flag(spelling.name, value, key.text, key.place))
    return flags, problems, partial

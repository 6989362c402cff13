"""Servers that a program starts or describes: commands, scripts, dicts."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from collections.abc import Mapping as Variables
from dataclasses import replace

from advisor.deploy.arguments import command, insertions
from advisor.deploy.context import Context
from advisor.deploy.deployment import Deployment, Value, bounded
from advisor.deploy.formats import shell
from advisor.deploy.search import servers
from advisor.deploy.server import Server, deployment
from advisor.deploy.source import Source
from advisor.deploy.syntax.python_trees import words_of
from advisor.deploy.syntax.python_values import Evaluator
from advisor.deploy.syntax.tree import Layout, Mapping, Node, Scalar
from advisor.deploy.syntax.tree import Sequence as Items

_TEXTS = re.compile(
    r"system|p?open|Popen|run|(check_)?call|(check_|get)output|create_subprocess_shell|exec_run|exec_command|sendline|"
    r"spawn|sudo|local|run_commands|write(_text)?|Task|BashOperator|cmd|shell|sh|bash"
)
"""Calls whose texts are commands or scripts."""


class Servers:
    """What is found in one program."""

    def __init__(self, source: Source, context: Context) -> None:
        self.context = context
        self.values = Evaluator(source)
        self.found: list[Deployment] = []
        self.told: set[tuple[object, ...]] = set()
        """What tells the servers that were found apart."""
        self.environment: dict[str, Scalar] = {}
        self.gpu: Value | None = None
        """Of the class or function that is being followed."""

    def arguments(self, call: ast.Call, last: str) -> None:
        """What a call is given that starts a server, or that describes one."""
        keywords = self.values.keywords(call)
        values = [self.values.value(each) for each in call.args if not isinstance(each, ast.Starred)]
        for each in call.args:
            if isinstance(each, ast.Starred):
                values += [
                    Items(tuple(self.values.starred(self.values.value(each.value))), self.values.place(each), Layout())
                ]
        environment = keywords.mapping("env")
        given = (
            {key.text: value for key, value in environment.entries if isinstance(value, Scalar)} if environment else {}
        )
        words = Items(tuple(values), self.values.place(call), Layout())
        if last.startswith(("exec", "spawn", "create_subprocess_exec", "Command")) and self.command(words, given):
            return
        for value in (*values, *(node for _, node in keywords.entries if not isinstance(node, Mapping))):
            if isinstance(value, Items):
                self.command(value, given)
            elif isinstance(value, Mapping):
                self.describes(value, last)
            elif _TEXTS.fullmatch(last):
                self.script(value)
        if keywords.entries:
            self.describes(keywords, last)

    def command(self, items: Items, environment: Variables[str, Scalar]) -> bool:
        """A list that is a command, if it starts a server."""
        words = words_of(items)
        launch = command.launched(words)
        self.use(items)
        if launch is None:
            script = command.script(words)
            if script is not None:
                self.script(Scalar(script.source, unknown=script.unknown))
            return script is not None
        server = Server(
            items.place,
            words=launch.words,
            serve=launch.serve,
            own=launch.own,
            environment={**self.environment, **environment},
            gpu=self.gpu,
            insertion=insertions.as_item(items),
        )
        self.tell([deployment(server, self.context)])
        return True

    def script(self, text: Scalar) -> None:
        """A text that a shell runs."""
        if text.kind != "str" or "vllm" not in text.text:
            return
        holes = [hole for hole in (*self.values.holes, text.unknown) if hole and hole in text.text]
        found = shell.read(text.source, self.context.file, kind="Python", config=self.context.config, unknown=holes)
        together = text.source.ends is not None  # of several texts: nothing can be written between them
        self.tell(
            replace(each, gpu=each.gpu or self.gpu, insertion=None if together else each.insertion)
            for each in found.deployments
        )

    def describes(self, mapping: Mapping, name: str) -> None:
        """A dict or keywords that describe a server: engine arguments, a container, an environment."""
        self.use(mapping)
        self.tell(replace(each, gpu=each.gpu or self.gpu) for each in servers(mapping, self.context.below(name)))

    def use(self, node: Node) -> None:
        stack = [node]
        while stack:
            each = stack.pop()
            if not isinstance(each, Scalar):
                self.values.used.add((each.place.start, each.place.end))
                stack.extend(each.items if isinstance(each, Items) else (value for _, value in each.entries))

    def unused(self) -> None:
        """Lists and dicts that nothing here was given: they are for others who import them, if they speak of vLLM."""
        for name, node in list(self.values.names.items()):
            if isinstance(node, Scalar) or (node.place.start, node.place.end) in self.values.used:
                continue
            if isinstance(node, Items):
                self.command(node, {})
            else:
                self.describes(node, name)

    def tell(self, found: Iterable[Deployment]) -> None:
        for each in found:
            key = (each.place, each.flags)
            if key not in self.told:
                self.told.add(key)
                self.found.append(each)
                bounded(len(self.found))

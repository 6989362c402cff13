"""Commands of a script: the servers that they start, the scripts in their strings, the files that they are given."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from advisor.deploy.arguments import command
from advisor.deploy.arguments.command import LOADS, Launch
from advisor.deploy.arguments.command_line import read_arguments
from advisor.deploy.arguments.word import Word
from advisor.deploy.context import Context
from advisor.deploy.deployment import Deployment, Insertion, Value, bounded
from advisor.deploy.formats import docker_run, gcloud
from advisor.deploy.formats.shell.control_flow import MAX_DEPTH, ControlFlow
from advisor.deploy.formats.shell.heredocs import document_name, heredoc, leaves
from advisor.deploy.formats.shell.line_ends import broken, goes_on
from advisor.deploy.formats.shell.reading import MAX_NESTED, Document, Reading
from advisor.deploy.source import Source
from advisor.deploy.syntax.shell_words import Variable, spaced, value_of, word_of

if TYPE_CHECKING:
    import tree_sitter

_PRINTS = re.compile(r"echo|printf|[ef]?grep|pgrep|pkill|killall|which|type|test|pip3?|cat|log")
"""Commands that name a server and start none."""
_ASKS = ("curl", "wget", "http", "https", "xh")
_SERVER = re.compile(r"\bvllm\s+serve\s|vllm\.entrypoints\.openai|\bdynamo\.vllm\b|\brun\s.*vllm")
_ASSIGNED = re.compile(r"([A-Za-z_]\w*)=")
_HOLE = re.compile(r"\$\{?([A-Za-z_]\w*)")


@lru_cache(maxsize=1)
def _language() -> tree_sitter.Language:
    import tree_sitter
    import tree_sitter_bash

    return tree_sitter.Language(tree_sitter_bash.language())


def follow(reading: Reading, source: Source, variables: dict[str, Variable], exported: set[str], depth: int) -> None:
    """Read a text as a script, and put what it starts and writes into what is found."""
    import tree_sitter

    reading.spend(len(source.text))
    data = source.text.encode(errors="replace")
    root = tree_sitter.Parser(_language()).parse(data).root_node
    run = Commands(reading, source, data, variables, exported)
    first = len(reading.found.deployments)
    run.statements(root.children, depth)
    for name, body in list(run.functions.items()):
        if name not in run.called:
            run.positional = None
            run.statements([body], depth + 1)
    if run.loader is not None:
        started = reading.found.deployments[first:]
        reading.found.deployments[first:] = [replace(each, loader=each.loader or run.loader) for each in started]


class Commands(ControlFlow):
    """One text, read as a script."""

    def __init__(
        self, reading: Reading, source: Source, data: bytes, variables: dict[str, Variable], exported: set[str]
    ) -> None:
        super().__init__(reading, source, data, variables, exported)
        self.called: set[str] = set()
        self.running: set[str] = set()
        """Functions that are being followed: one that calls itself is not followed again."""
        self.loader: Value | None = None
        """The first call that has a server load an adapter."""

    def redirected(self, node: tree_sitter.Node, depth: int) -> None:
        self.statements(node.children, depth + 1)
        documents = [child for child in node.children if child.type == "heredoc_redirect"]
        if not documents:
            return
        body = node.child_by_field_name("body")
        words = [self.raw(each) for each in leaves(body, "command")] if body else []
        text = " ".join(words)
        for redirect in documents:
            inner = [each for each in redirect.named_children if each.type in ("pipeline", "command", "list")]
            self.statements(inner, depth + 1)
            reader = " | ".join([text, *(self.raw(each) for each in inner)])
            targets = [
                self.raw(last)
                for each in (*node.named_children, *redirect.named_children)
                if each.type == "file_redirect" and (last := each.named_children[-1] if each.named_children else None)
            ]
            document = heredoc(self, redirect)
            if document is not None:
                self.reading.found.documents.append(Document(document_name(reader, targets), document))

    def command(self, node: tree_sitter.Node, depth: int) -> None:
        self.reading.spend(node.end_byte - node.start_byte)
        words, environment = self.command_words(node)
        if not words:
            return
        name = words[0].text.rpartition("/")[2]
        if name in self.functions and depth < MAX_DEPTH:
            self.called.add(name)
            if name not in self.running:
                self.running.add(name)
                kept, self.positional = self.positional, tuple(self.as_pieces(word) for word in words[1:])
                self.statements([self.functions[name]], depth + 1)
                self.positional = kept
                self.running.remove(name)
        elif name == "set" and len(words) > 1 and words[1].text == "--":
            self.positional = tuple(self.as_pieces(word) for word in words[2:])
        elif name == "shift" and self.positional:
            count = int(words[1].text) if len(words) > 1 and words[1].text.isdecimal() else 1
            self.positional = self.positional[count:]
        elif name in ("read", "mapfile", "readarray", "getopts"):
            for word in words[1:]:
                if re.fullmatch(r"[A-Za-z_]\w*", word.text):
                    self.variables[word.text] = self.not_known(word.text, word.source)
        elif name == "eval":
            self.nested(spaced(words[1:]), depth, words)
        elif name.startswith("--"):
            self.lost(node)
        elif not _PRINTS.fullmatch(name):
            asks = next((word for word in words if LOADS in word.text), None) if name in _ASKS else None
            self.loader = self.loader or (Value(f"a call of {LOADS}", asks.place) if asks else None)
            self.server(node, words, environment, depth)

    def command_words(self, node: tree_sitter.Node) -> tuple[list[Word], dict[str, Value]]:
        """The words of a command, and the variables that it alone is given."""
        environment: dict[str, Value] = {}
        arguments: list[tree_sitter.Node] = []
        for child in node.named_children:
            if child.type == "variable_assignment":
                name, value = child.child_by_field_name("name"), child.child_by_field_name("value")
                if name is not None:
                    words = self.value(value, name).words
                    environment |= {self.raw(name): value_of(words[0])} if words and words[0] else {}
            elif child.type == "command_name":
                arguments += child.named_children
            elif not child.type.endswith("redirect") and child.type != "comment":
                arguments.append(child)
        return self.words(arguments, gaps=True), environment

    def server(self, node: tree_sitter.Node, words: list[Word], own: dict[str, Value], depth: int) -> None:
        """The servers that a command starts."""
        start, end = self.span(node)
        exported = {name: self.variables[name].words[:1] for name in sorted(self.exported & self.variables.keys())}
        passed = {name: word_of(each[0]) for name, each in exported.items() if each and each[0]}
        environment = {name: word.value() for name, word in passed.items()} | own
        container = docker_run.read(words, passed) or gcloud.read(words)
        launch = container.launch if container else None
        if container is not None:
            environment = container.environment
            words = container.words
        if launch is None and (launch := command.launched(words)):
            for word in words[: len(words) - len(launch.words)]:
                if assigned := _ASSIGNED.match(word.text):
                    environment[assigned[1]] = word.value(assigned.end())
        if launch is not None:
            self.add(launch, (start, end), environment, container)
            return
        if container is not None and container.variables:
            context = Context(self.reading.file, self.source, container.kind)
            self.reading.found.deployments += docker_run.wrapped(container.variables, container.image, context)
        script = command.script(words)
        for each in [script] if script else words[1:]:
            if each is script or (_SERVER.search(each.text) and " " in each.text.strip()):
                self.nested(each.source, depth, [each])

    def nested(self, source: Source | None, depth: int, words: Sequence[Word]) -> None:
        """Read a script that words hold; what is not known of them is not known in it either."""
        if source is not None and self.reading.nested < MAX_NESTED and source.text.strip():
            variables = dict(self.variables)
            for word in words:
                if hole := _HOLE.match(word.unknown):
                    variables[hole[1]] = self.not_known(hole[1], source.part(0, 0))
            self.reading.nested += 1
            follow(self.reading, source, variables, set(self.exported), depth + 1)
            self.reading.nested -= 1

    def add(
        self,
        launch: Launch,
        span: tuple[int, int],
        environment: dict[str, Value],
        container: docker_run.Container | None,
    ) -> None:
        self.reading.launches += 1  # also those that loops start again and again
        bounded(self.reading.launches)
        arguments = [self.reading.marked(word) for word in launch.words]
        cut = broken(self.source, span[1])
        while cut and arguments and not arguments[-1].text.strip():
            arguments.pop()
        found = read_arguments(arguments, serve=launch.serve, own=launch.own, config=self.reading.config)
        doubled = container.doubled if container else None
        behind = span[1]
        while behind and self.text[behind - 1] in " \t\r\n\\":
            behind -= 1
        deployment = Deployment(
            self.reading.file,
            container.kind if container else self.reading.kind,
            "",
            self.source.place(*span),
            flags=tuple(found.flags),
            environment=environment,
            model=found.model,
            image=container.image if container else None,
            adapters=tuple(found.adapters),
            partial=found.open,
            problems=(*found.problems, *(each for each in (cut, doubled) if each)),
            insertion=Insertion(self.source.place(behind, behind), " {flag}={value}"),
        )
        key = (deployment.place, deployment.flags, deployment.problems)
        if key not in self.reading.seen:
            self.reading.seen.add(key)
            self.reading.found.deployments.append(deployment)

    def lost(self, node: tree_sitter.Node) -> None:
        """Flags that stand where a command does: they were meant for the server before."""
        found = self.reading.found.deployments
        if found and (problem := goes_on(self.source, self.span(node), found[-1])):
            found[-1] = replace(found[-1], problems=(*found[-1].problems, problem))

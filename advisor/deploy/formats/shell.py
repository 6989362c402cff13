"""vLLM servers in shell scripts: what the words of a command are once a shell has put its variables in.

Nothing is run. tree-sitter reads the script; assignments, arrays, defaults, functions, loops over known words and
here-documents are followed, and what depends on anything else stays unknown, by its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from advisor.deploy.arguments import command
from advisor.deploy.arguments.command import LOADS, Launch
from advisor.deploy.arguments.command_line import read_arguments
from advisor.deploy.arguments.config_file import ReadConfig
from advisor.deploy.arguments.word import Word
from advisor.deploy.context import Context
from advisor.deploy.deployment import Deployment, Insertion, NotReadableError, Problem, Value, bounded
from advisor.deploy.formats import docker_run, gcloud
from advisor.deploy.source import Source, joined, shown
from advisor.deploy.syntax.shell_words import (
    Expander,
    Piece,
    Pieces,
    Variable,
    length,
    shown_parts,
    space,
    spaced,
    text_of,
    value_of,
    whole,
    without_tabs,
    word_of,
)

if TYPE_CHECKING:
    import tree_sitter

MAX_DEPTH = 60
"""Of commands in one another, functions that call functions and scripts in strings: people reach about 10."""
MAX_NESTED = 8
"""Scripts in strings of scripts."""
MAX_WORK = 200_000
"""Characters that variables, loops, functions and strings put together, beside three times the script's own: a script
that doubles a variable over and over ends here, within a second."""
MAX_STEPS = 20_000
"""Statements that are followed, a second's worth: people's scripts have hundreds."""

_ESCAPED_BLANK = re.compile(r"[ \t]*(\\[ \t])")
_PRINTS = re.compile(r"echo|printf|[ef]?grep|pgrep|pkill|killall|which|type|test|pip3?|cat|log")
"""Commands that name a server and start none."""
_ASKS = ("curl", "wget", "http", "https", "xh")
_NO_STATEMENTS = frozenset(("comment", "test_command", "heredoc_body", "file_redirect"))
_SERVER = re.compile(r"\bvllm\s+serve\s|vllm\.entrypoints\.openai|\bdynamo\.vllm\b|\brun\s.*vllm")
_ASSIGNED = re.compile(r"([A-Za-z_]\w*)=")
_HOLE = re.compile(r"\$\{?([A-Za-z_]\w*)")


@dataclass(frozen=True, slots=True)
class Document:
    """A file that a script writes or hands to a command: the text of a here-document."""

    name: str
    """What the script calls it, or what the command that gets it takes: "manifest.yaml", "-.py"; may be empty."""
    source: Source


@dataclass(slots=True)
class Script:
    """What was found in a script."""

    deployments: list[Deployment] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)


def read(
    source: Source,
    file: str,
    *,
    kind: str = "shell",
    config: ReadConfig | None = None,
    variables: Mapping[str, Word] | None = None,
    unknown: Sequence[str] = (),
) -> Script:
    """What a script starts, and the documents it holds, at their places in the file that the source is of.

    Args:
        source: The script: a file, or a string in one.
        file: What the file is called.
        kind: What servers are said to be found in.
        config: Reads the file that a command names by --config.
        variables: Those that the script is run with, as far as they are known.
        unknown: What stands in the text for something that is not known.

    Raises:
        NotReadableError: variables, loops and functions put together more than `MAX_WORK`.
    """
    shell = _Shell(file, kind, config, unknown)
    given = {name: Variable(((Piece(word.source, word.unknown),),)) for name, word in (variables or {}).items()}
    shell.limit += 3 * len(source.text)
    shell.script(source, given, set(given), 0)
    return shell.found


@lru_cache(maxsize=1)
def _language() -> tree_sitter.Language:
    import tree_sitter
    import tree_sitter_bash

    return tree_sitter.Language(tree_sitter_bash.language())


class _Shell:
    """One script and those in its strings."""

    def __init__(self, file: str, kind: str, config: ReadConfig | None, unknown: Sequence[str]) -> None:
        self.file, self.kind, self.config, self.unknown = file, kind, config, unknown
        self.found = Script()
        self.work, self.limit, self.nested, self.steps, self.launches = 0, MAX_WORK, 0, 0, 0
        self.seen: set[tuple[object, ...]] = set()

    def spend(self, characters: int) -> None:
        self.work += characters
        if self.work > self.limit:
            raise NotReadableError("a script that puts together more than can be followed")

    def step(self) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise NotReadableError(f"a script of more than {MAX_STEPS:,} steps, which is not followed further")

    def marked(self, word: Word) -> Word:
        """A word that is said not to be known where it has such a part."""
        hole = next((each for each in self.unknown if each in word.text), "")
        return replace(word, unknown=hole) if hole and not word.unknown else word

    def script(self, source: Source, variables: dict[str, Variable], exported: set[str], depth: int) -> None:
        import tree_sitter

        self.spend(len(source.text))
        data = source.text.encode(errors="replace")
        root = tree_sitter.Parser(_language()).parse(data).root_node
        run = _Run(self, source, data, variables, exported)
        first = len(self.found.deployments)
        run.statements(root.children, depth)
        for name, body in list(run.functions.items()):
            if name not in run.called:
                run.positional = None
                run.statements([body], depth + 1)
        if run.loader is not None:
            started = self.found.deployments[first:]
            self.found.deployments[first:] = [replace(each, loader=each.loader or run.loader) for each in started]


class _Run(Expander):
    """One text, read as a script."""

    def __init__(
        self, shell: _Shell, source: Source, data: bytes, variables: dict[str, Variable], exported: set[str]
    ) -> None:
        super().__init__(source, data, variables)
        self.shell, self.exported = shell, exported
        self.functions: dict[str, tree_sitter.Node] = {}
        self.called: set[str] = set()
        self.running: set[str] = set()
        """Functions that are being followed: one that calls itself is not followed again."""
        self.loader: Value | None = None
        """The first call that has a server load an adapter."""

    def spend(self, characters: int) -> None:
        self.shell.spend(characters)

    # Statements

    def statements(self, nodes: Iterable[tree_sitter.Node], depth: int) -> None:
        for node in nodes:
            self.statement(node, depth)

    def statement(self, node: tree_sitter.Node, depth: int) -> None:
        if depth > MAX_DEPTH or not node.is_named or node.type in _NO_STATEMENTS:
            return
        self.shell.step()
        match node.type:
            case "command":
                self.command(node, depth)
            case "variable_assignment":
                self.assign(node)
            case "declaration_command":
                self.declare(node)
            case "redirected_statement":
                self.redirected(node, depth)
            case "function_definition":
                self.define(node)
            case _:
                if not self.control(node, depth):
                    self.statements(node.children, depth + 1)

    def control(self, node: tree_sitter.Node, depth: int) -> bool:
        """Follow what runs only if something holds, or again and again; false of anything else."""
        match node.type:
            case "if_statement":
                self.if_statement(node, depth)
            case "case_statement":
                self.case_statement(node, depth)
            case "for_statement":
                self.for_statement(node, depth)
            case "while_statement" | "c_style_for_statement":
                self.branches([node.children], depth, may_be_none=True)
            case _:
                return False
        return True

    def define(self, node: tree_sitter.Node) -> None:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name and body:
            self.functions[self.raw(name)] = body

    def if_statement(self, node: tree_sitter.Node, depth: int) -> None:
        parts: list[list[tree_sitter.Node]] = [[]]
        condition: list[tree_sitter.Node] = []
        into = condition
        for child in node.children:
            if child.type == "then":
                into = parts[0]
            elif child.type in ("elif_clause", "else_clause"):
                parts.append(list(child.children))
            else:
                into.append(child)
        text = " ".join(self.raw(each) for each in condition if each.is_named)
        self.statements(condition, depth + 1)
        has_else = any(child.type == "else_clause" for child in node.children)
        decided = self._decided(text)
        self.branches(parts, depth, may_be_none=not has_else, first=decided)

    def _decided(self, condition: str) -> bool | None:
        """Whether a test holds: one that asks whether a variable is empty, as defaults are set; None if not known."""
        asked = re.fullmatch(r"\[{1,2} (-[zn]) \"?\$\{?(\w+)(?::?[-+]\w*)?\}?\"? \]{1,2}", condition.strip())
        if not asked:
            return None
        variable = self.variables.get(asked[2])
        if variable is None:  # from outside, if at all: as of ${NAME:-default} the default counts
            return True if asked[1] == "-z" else None
        pieces = [piece for word in variable.words for piece in word]
        if any(piece.unknown for piece in pieces):
            return None
        empty = not any(piece.source.text for piece in pieces)
        return empty == (asked[1] == "-z")

    def case_statement(self, node: tree_sitter.Node, depth: int) -> None:
        items = [child for child in node.children if child.type == "case_item"]
        fallback = any(self.raw(item).lstrip(" (").startswith("*)") for item in items)
        bodies = []
        for item in items:
            closing = next((i for i, each in enumerate(item.children) if each.type == ")"), 0)
            bodies.append(item.children[closing + 1 :])
        self.branches(bodies, depth, may_be_none=not fallback)

    def for_statement(self, node: tree_sitter.Node, depth: int) -> None:
        variable, body = node.child_by_field_name("variable"), node.child_by_field_name("body")
        if variable is None or body is None:
            return
        named = [each for each in node.named_children if each not in (variable, body) and each.type != "comment"]
        words = self.words(named) if any(each.type == "in" for each in node.children) else []
        name = self.raw(variable)
        if words and not any(word.unknown for word in words):
            for word in words:
                self.variables[name] = Variable(((Piece(word.source),),))
                self.statements(body.children, depth + 1)
            return
        self.variables[name] = self._not_known(name, self.source.part(*self.span(variable)))
        self.branches([body.children], depth, may_be_none=True)

    def branches(
        self, bodies: Sequence[Sequence[tree_sitter.Node]], depth: int, *, may_be_none: bool, first: bool | None = None
    ) -> None:
        """Follow each body from the same variables; what they leave different is not known afterwards."""
        before = self.variables
        left: list[dict[str, Variable]] = []
        for body in bodies:
            self.shell.spend(len(before) // 10)  # a tenth of a character each
            self.variables = dict(before)
            self.statements(body, depth + 1)
            left.append(self.variables)
        if first is True:
            self.variables = left[0]
            return
        if first is False:
            left = left[1:]
        if may_be_none:
            left.append(before)
        merged = dict(left[0]) if left else before
        for other in left[1:]:
            for name in merged.keys() | other.keys():
                merged[name] = self._either(name, merged.get(name), other.get(name))
        self.variables = merged

    def _either(self, name: str, one: Variable | None, other: Variable | None) -> Variable:
        """A variable that has one of two values: what they begin with in common, and more that is not known.

        Where one goes on from the other it is that one, as what a branch adds is what vLLM gets where it is taken.
        """
        if one is not None and other is not None and _same(one, other):
            return one
        longer, shorter = (one, other) if length(one) >= length(other) else (other, one)
        assert longer is not None
        anchor = next((piece.source for word in longer.words for piece in word), self.source.part(0, 0))
        rest = Piece(replace(anchor.part(0, 0)), f"${name}", splits=True)
        if any(piece.unknown and piece.splits for word in longer.words for piece in word):
            rest = Piece(rest.source)  # that there may be more is said already
        if longer.array:
            return self._array_or(longer, shorter, rest)
        text = text_of(longer)
        known = not any(piece.unknown for word in longer.words for piece in word)
        if shorter is None and known and re.search(r"(^|\s)--?[A-Za-z]", text):
            return Variable(((*longer.words[0], space(longer), rest),))
        if shorter is not None and known and text.startswith(text_of(shorter)) and "--" in text:
            return Variable(((*longer.words[0], space(longer), rest),))
        return self._not_known(name, anchor)

    def _array_or(self, longer: Variable, shorter: Variable | None, rest: Piece) -> Variable:
        words = shorter.words if shorter and shorter.array else ()
        more = ((rest,),) if rest.unknown else ()
        if longer.words[: len(words)] == words:
            return Variable((*longer.words, *more), array=True)
        same = next(i for i, (a, b) in enumerate([*zip(longer.words, words, strict=False), (1, 2)]) if a != b)
        return Variable((*longer.words[:same], (rest,)), array=True)

    def _not_known(self, name: str, anchor: Source) -> Variable:
        return Variable(((Piece(shown(f"${name}", anchor), f"${name}"),),))

    # Assignments

    def assign(self, node: tree_sitter.Node) -> str | None:
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        if name is None or name.type != "variable_name":
            return None
        text = self.raw(name)
        adds = any(child.type == "+=" for child in node.children)
        if value is not None and text not in self.variables and _adds_to(text, self.raw(value)):
            end = self.span(name)[1]
            self.variables[text] = Variable(((Piece(self.source.part(end, end)),),))
        new = self.value(value, name)
        old = self.variables.get(text)
        if adds and old is not None:
            if old.array or new.array:
                new = Variable((*old.words, *new.words), array=True)
            else:
                new = Variable(((*old.words[0], *new.words[0]),))
        elif adds and not new.array:
            unknown = self._not_known(text, self.source.part(*self.span(name)))
            new = Variable(((*unknown.words[0], *new.words[0]),))
        self.shell.spend(length(new))
        self.variables[text] = new
        return text

    def value(self, node: tree_sitter.Node | None, name: tree_sitter.Node) -> Variable:
        if node is None:
            end = self.span(name)[1]
            return Variable(((Piece(self.source.part(end, end)),),))
        if node.type == "array":
            elements = [each for each in node.named_children if each.type != "comment"]
            return Variable(tuple(self._as_pieces(word) for word in self.words(elements)), array=True)
        # An assignment splits no words.
        return Variable((whole(self.pieces(node)),))

    def _as_pieces(self, word: Word) -> Pieces:
        return (Piece(word.source, word.unknown, splits=bool(word.unknown) and word.splits, quote=word.quote),)

    def declare(self, node: tree_sitter.Node) -> None:
        exports = self.raw(node.children[0]) in ("export", "declare -x", "typeset -x")
        for child in node.named_children:
            name = self.assign(child) if child.type == "variable_assignment" else self.raw(child)
            if exports and name:
                self.exported.add(name)

    # Commands

    def redirected(self, node: tree_sitter.Node, depth: int) -> None:
        self.statements(node.children, depth + 1)
        documents = [child for child in node.children if child.type == "heredoc_redirect"]
        if not documents:
            return
        body = node.child_by_field_name("body")
        words = [self.raw(each) for each in _leaves(body, "command")] if body else []
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
            document = self.heredoc(redirect)
            if document is not None:
                self.shell.found.documents.append(Document(_document_name(reader, targets), document))

    def heredoc(self, redirect: tree_sitter.Node) -> Source | None:
        body = next((each for each in redirect.named_children if each.type == "heredoc_body"), None)
        start = next((each for each in redirect.named_children if each.type == "heredoc_start"), None)
        if body is None or start is None:
            return None
        # tree-sitter begins and ends the body at its first and last visible characters.
        first = self.text.rfind("\n", 0, self.span(body)[0]) + 1
        end = next((each for each in redirect.named_children if each.type == "heredoc_end"), body)
        last = max(first, self.text.rfind("\n", 0, self.span(end)[0] + (end is body)) + 1)
        if re.search(r"[\"'\\]", self.raw(start)):
            parts: Iterable[Piece] = [Piece(self.source.part(first, last))]
        else:
            parts = self.mixed(first, last, body.children, escapes="\\$`")
        kept = [part for piece in parts for part in shown_parts(piece)]
        if any(child.type == "<<-" for child in redirect.children):
            kept = [part for each in kept for part in without_tabs(each)]
        if not kept:
            return None
        whole = joined(kept) if len(kept) > 1 else kept[0]
        return replace(whole, line_break=self.source.line_break)

    def command(self, node: tree_sitter.Node, depth: int) -> None:
        self.shell.spend(node.end_byte - node.start_byte)
        words, environment = self.command_words(node)
        if not words:
            return
        name = words[0].text.rpartition("/")[2]
        if name in self.functions and depth < MAX_DEPTH:
            self.called.add(name)
            if name not in self.running:
                self.running.add(name)
                kept, self.positional = self.positional, tuple(self._as_pieces(word) for word in words[1:])
                self.statements([self.functions[name]], depth + 1)
                self.positional = kept
                self.running.remove(name)
        elif name == "set" and len(words) > 1 and words[1].text == "--":
            self.positional = tuple(self._as_pieces(word) for word in words[2:])
        elif name == "shift" and self.positional:
            count = int(words[1].text) if len(words) > 1 and words[1].text.isdecimal() else 1
            self.positional = self.positional[count:]
        elif name in ("read", "mapfile", "readarray", "getopts"):
            for word in words[1:]:
                if re.fullmatch(r"[A-Za-z_]\w*", word.text):
                    self.variables[word.text] = self._not_known(word.text, word.source)
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
        exported = {name: self.variables[name].words[:1] for name in self.exported & self.variables.keys()}
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
            context = Context(self.shell.file, self.source, container.kind)
            self.shell.found.deployments += docker_run.wrapped(container.variables, container.image, context)
        script = command.script(words)
        for each in [script] if script else words[1:]:
            if each is script or (_SERVER.search(each.text) and " " in each.text.strip()):
                self.nested(each.source, depth, [each])

    def nested(self, source: Source | None, depth: int, words: Sequence[Word]) -> None:
        """Read a script that words hold; what is not known of them is not known in it either."""
        if source is not None and self.shell.nested < MAX_NESTED and source.text.strip():
            variables = dict(self.variables)
            for word in words:
                if hole := _HOLE.match(word.unknown):
                    variables[hole[1]] = self._not_known(hole[1], source.part(0, 0))
            self.shell.nested += 1
            self.shell.script(source, variables, set(self.exported), depth + 1)
            self.shell.nested -= 1

    def add(
        self,
        launch: Launch,
        span: tuple[int, int],
        environment: dict[str, Value],
        container: docker_run.Container | None,
    ) -> None:
        self.shell.launches += 1  # also those that loops start again and again
        bounded(self.shell.launches)
        arguments = [self.shell.marked(word) for word in launch.words]
        broken = self.broken(span[1])
        while broken and arguments and not arguments[-1].text.strip():
            arguments.pop()
        found = read_arguments(arguments, serve=launch.serve, own=launch.own, config=self.shell.config)
        doubled = container.doubled if container else None
        behind = span[1]
        while behind and self.text[behind - 1] in " \t\r\n\\":
            behind -= 1
        deployment = Deployment(
            self.shell.file,
            container.kind if container else self.shell.kind,
            "",
            self.source.place(*span),
            flags=tuple(found.flags),
            environment=environment,
            model=found.model,
            image=container.image if container else None,
            adapters=tuple(found.adapters),
            partial=found.open,
            problems=(*found.problems, *(each for each in (broken, doubled) if each)),
            insertion=Insertion(self.source.place(behind, behind), " {flag}={value}"),
        )
        key = (deployment.place, deployment.flags, deployment.problems)
        if key not in self.shell.seen:
            self.shell.seen.add(key)
            self.shell.found.deployments.append(deployment)

    def broken(self, end: int) -> Problem | None:
        """A backslash behind a command that escapes a blank rather than the end of the line."""
        escaped = _ESCAPED_BLANK.match(self.text, end)
        if escaped is None:
            return None
        line_end = self.text.find("\n", end)
        rest = self.text[end : line_end if line_end >= 0 else len(self.text)]
        following = self.text[line_end + 1 :].lstrip() if line_end >= 0 else ""
        lost = following.split(None, 1)[0] if following.startswith("-") else ""
        what = f"{lost} and all after it never reach vLLM, and " if lost else ""
        at = escaped.start(1)
        comment = "#" in rest
        return Problem(
            "comment-after-backslash",
            f"the backslash escapes a blank, so the command ends here: {what}the escaped blank is an extra argument "
            "(vLLM does not start)",
            self.source.place(at, end + (rest.find("#") if comment else len(rest))),
            None if comment else "\\",
        )

    def lost(self, node: tree_sitter.Node) -> None:
        """Flags that stand where a command does: the line before has no backslash, or a comment."""
        start, end = self.span(node)
        before = self.text[:start].rstrip(" \t")
        if not before.endswith("\n") or not self.shell.found.deployments:
            return
        server = self.shell.found.deployments[-1]
        if any(problem.code == "comment-after-backslash" for problem in server.problems):
            return
        here = self.source.place(start, end)
        between = (
            self.text[server.place.end - self.source.place(0, 0).start : start]
            if server.place.end <= here.start
            else "x"
        )
        if re.fullmatch(r"(?:\s|\\|#[^\n]*\n)*", between):
            problem = Problem(
                "comment-after-backslash",
                f"the command ends before this line: {self.raw(node).split()[0]} and all after it never reach vLLM",
                here,
            )
            self.shell.found.deployments[-1] = replace(server, problems=(*server.problems, problem))


def _same(one: Variable, other: Variable) -> bool:
    def told(variable: Variable) -> list[list[tuple[str, str]]]:
        return [[(piece.source.text, piece.unknown) for piece in word if piece.source.text] for word in variable.words]

    return one.array == other.array and told(one) == told(other)


def _adds_to(name: str, value: str) -> bool:
    """Whether an assignment adds a word to the variable's own value, as a loop does from an empty one."""
    if name not in value:
        return False
    own = (f"${name}", f"${{{name}}}")
    text = value.removeprefix('"').removesuffix('"')
    in_front = any(text.startswith((f"{each} ", f"{each},")) for each in own)
    return in_front or any(text.endswith((f" {each}", f",{each}")) for each in own)


def _leaves(node: tree_sitter.Node | None, type_: str) -> Iterator[tree_sitter.Node]:
    """The nodes of a type at or below one."""
    stack = [node] if node is not None else []
    while stack:
        each = stack.pop()
        if each.type == type_:
            yield each
        else:
            stack.extend(reversed(each.children))


def _document_name(reader: str, targets: Sequence[str]) -> str:
    """What a here-document is, by where it goes."""
    tee = re.search(r"\btee\s+(?:-a\s+)?([^\s|;&]+)", reader)
    target = targets[-1] if targets and not targets[-1].startswith("/dev/") else tee[1] if tee else ""
    if target:
        return target.strip("\"'")
    program = re.sub(r"^(?:sudo|exec|env|time|nohup)\s+", "", reader.strip()).split(None, 1)
    name = program[0].rpartition("/")[2] if program else ""
    if name in command.SHELLS or name in ("ssh", "sbatch", "srun", "qsub", "bsub"):
        return "-.sh"
    if name.startswith("python"):
        return "-.py"
    if name in ("kubectl", "oc", "helm", "docker", "kustomize", "k3s", "kn", "argocd"):
        return "-.yaml"
    return ""

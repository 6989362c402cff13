"""vLLM servers in Python: commands that are started, engines that are made, and what Ray or a cloud is told.

The syntax tree is read; nothing is run and nothing imported.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Mapping as Variables
from dataclasses import dataclass, field, replace

from advisor.deploy.arguments import command, insertions
from advisor.deploy.arguments.command import LOADS, SWITCH
from advisor.deploy.arguments.config_file import ReadConfig
from advisor.deploy.arguments.spellings import setting
from advisor.deploy.arguments.values import read_value
from advisor.deploy.container import Server, deployment
from advisor.deploy.context import Context
from advisor.deploy.deployment import Deployment, Flag, Insertion, NotReadableError, Problem, Value, bounded
from advisor.deploy.formats import shell
from advisor.deploy.search import servers
from advisor.deploy.source import Source, shown
from advisor.deploy.syntax.python_values import ENGINES, STAR, Evaluator, Names, dotted, more, words_of
from advisor.deploy.syntax.tree import Layout, Mapping, Node, Scalar
from advisor.deploy.syntax.tree import Sequence as Items

MAX_STEPS = 12_000
"""Statements that are followed, those in loops and functions each time."""
MAX_CALLS = 20
"""Functions that call functions."""
MAX_FOLLOWED = 500
"""Calls of the program's own functions."""
MAX_ITEMS = 100
"""That a loop is followed over."""

_WRAPPED = frozenset(("VLLM", "Vllm", "VLLMOpenAI"))
"""LangChain's and LlamaIndex's classes: engine arguments stand in vllm_kwargs."""
_TEXTS = re.compile(
    r"system|p?open|Popen|run|(check_)?call|(check_|get)output|create_subprocess_shell|exec_run|exec_command|sendline|"
    r"spawn|sudo|local|run_commands|write(_text)?|Task|BashOperator|cmd|shell|sh|bash"
)
"""Calls whose texts are commands or scripts."""
_IGNORED = re.compile(
    r"print|info|debug|warning|error|exception|critical|log|echo|dict|list|append|extend|insert|join|split|format|str|"
    r"update|setdefault|from_pretrained"
)
"""Calls that show what they are given, make something else of it, or load a model to be trained."""


def read(source: Source, file: str, *, config: ReadConfig | None = None) -> list[Deployment]:
    """The vLLM servers that a Python program starts or describes.

    Raises:
        NotReadableError: it is no Python.
    """
    text = source.text.replace("\ufeff", " ", 1) if source.text.startswith("\ufeff") else source.text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Python has to say of odd literals is no concern of the user's here
            tree = ast.parse(text)
    except SyntaxError as error:
        raise NotReadableError(f"not Python: line {error.lineno}: {error.msg}") from error
    except (ValueError, MemoryError, RecursionError) as error:
        raise NotReadableError(f"not Python that can be read: {str(error)[:100] or 'nested too deeply'}") from error
    program = _Program(source, Context(file, source, "Python", config=config))
    program.module(tree)
    return program.found


@dataclass(slots=True)
class _Engine:
    """An engine's arguments, to which attributes may be added after it is made."""

    server: Server
    flags: list[Flag]
    partial: bool
    context: Context


@dataclass(slots=True)
class _Function:
    node: ast.FunctionDef | ast.AsyncFunctionDef
    gpu: Value | None
    called: bool = False


@dataclass(slots=True)
class _Frame:
    """A function that is being followed."""

    returned: list[Node] = field(default_factory=list)


class _Program:
    """One file."""

    def __init__(self, source: Source, context: Context) -> None:
        self.context = context
        self.values = Evaluator(source)
        self.values.call = self.own
        self.found: list[Deployment] = []
        self.told: set[tuple[object, ...]] = set()
        self.modules: dict[str, str] = {}
        """Imported names, each with its module."""
        self.aliases: dict[str, str] = {}
        self.functions: dict[str, _Function] = {}
        self.later: list[_Function] = []
        self.engines: dict[str, _Engine] = {}
        self.environment: dict[str, Scalar] = {}
        self.frames: list[_Frame] = []
        self.gpu: Value | None = None
        self.steps = 0

    def module(self, tree: ast.Module) -> None:
        self.body(tree.body)
        # Those that the program calls itself are followed from there, with their arguments.
        calls = {(dotted(node.func) or "").rpartition(".")[2] for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for function in sorted(self.later, key=lambda each: each.node.name in calls):
            if not function.called:
                self.follow(function, {}, alone=True)
        self.unused()
        for engine in self.engines.values():
            self.emit(engine)
        self.found.sort(key=lambda each: each.place.start)
        if SWITCH not in self.context.source.text and (loader := self.loader(tree)):
            self.found = [replace(each, loader=each.loader or loader) for each in self.found]

    def loader(self, tree: ast.Module) -> Value | None:
        """The address by which the program has a server load an adapter, if it has one."""
        if LOADS not in self.context.source.text:
            return None
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith(LOADS):
                return Value(f"a call of {LOADS}", self.values.place(node))
        return None

    # Statements

    def body(self, statements: Iterable[ast.stmt]) -> None:
        for statement in statements:
            self.steps += 1
            if self.steps > MAX_STEPS:
                raise NotReadableError(f"a program of more than {MAX_STEPS:,} steps, which is not followed further")
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        self.calls(node)
        match node:
            case ast.Import() | ast.ImportFrom():
                module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
                self.modules |= {each.asname or each.name: module or each.name for each in node.names}
                self.aliases |= {each.asname: each.name for each in node.names if each.asname}
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                self.assign(node)
            case ast.Return(value=ast.expr()) if self.frames:
                self.frames[-1].returned.append(self.values.value(node.value))  # type: ignore[arg-type]
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.functions[node.name] = function = _Function(node, self._gpu(node) or self.gpu)
                self.later.append(function)
            case ast.ClassDef():
                self.class_(node)
            case ast.Expr(value=ast.Call()):
                self.mutate(node.value)  # type: ignore[arg-type]
            case _:
                self.compound(node)

    def compound(self, node: ast.stmt) -> None:
        match node:
            case ast.If():
                main = "__name__" in ast.unparse(node.test)[:40]
                self.branches([node.body] if main else [node.body, node.orelse])
            case ast.For() | ast.AsyncFor():
                self.loop(node)
            case ast.While():
                self.branches([node.body, []])
            case ast.With() | ast.AsyncWith():
                self.body(node.body)
            case ast.Try():
                self.body(node.body)
                for handler in node.handlers:
                    self.branches([handler.body, []])
                self.body([*node.orelse, *node.finalbody])
            case ast.Match():
                self.branches([*(case.body for case in node.cases), []])

    def loop(self, node: ast.For | ast.AsyncFor) -> None:
        items = self.values.value(node.iter)
        name = dotted(node.target)
        known = isinstance(items, Items) and not any(isinstance(each, Scalar) and each.unknown for each in items.items)
        if name and isinstance(items, Items) and known and len(items.items) <= MAX_ITEMS:
            for item in items.items:
                self.values.names[name] = item
                self.body(node.body)
            return
        for target in ast.walk(node.target):
            if isinstance(target, ast.Name):
                self.values.names.pop(target.id, None)
        self.branches([node.body, []])

    def branches(self, bodies: Sequence[Sequence[ast.stmt]]) -> None:
        """Follow each body from the same names; what they leave different is not known afterwards."""
        before = self.values.names
        left: list[Names] = []
        for body in bodies:
            self.values.names = Names(before)
            self.body(body)
            left.append(self.values.names)
        merged = left[0]
        for other in left[1:]:
            for name in merged.keys() | other.keys():
                one, two = merged.get(name), other.get(name)
                if one is not None and two is not None and one is not two:
                    both = self.values.either(one, two)
                    merged[name] = both if both is not None else self._unsure(name, one)
                elif one is None or two is None:
                    merged[name] = one or two  # type: ignore[assignment]
        self.values.names = merged

    def _unsure(self, name: str, node: Node) -> Scalar:
        source = self.context.source.part(0, 0)
        if isinstance(node, Scalar):
            source = node.source
        return Scalar(shown(name, source), unknown=name)

    def class_(self, node: ast.ClassDef) -> None:
        gpu, self.gpu = self.gpu, self._gpu(node) or self.gpu
        outside = self.values.names
        self.values.names = Names(outside)
        self.body(node.body)
        inside, self.values.names = self.values.names, outside
        for name, value in inside.items():
            if "." not in name and outside.get(name) is not value:
                outside[f"{node.name}.{name}"] = outside[f"self.{name}"] = outside[f"cls.{name}"] = value
                self.default(name, value)
        self.gpu = gpu

    def default(self, name: str, value: Node) -> None:
        """What an attribute is by default, of an object that is not known."""
        known = self.values.attributes.get(name, value)
        same = known is not None and (known is value or self.values.either(known, value) is known)
        self.values.attributes[name] = value if same else None

    def _gpu(self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Value | None:
        """What a decorator says of the GPU, as Modal's do."""
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call):
                found = self.values.keywords(decorator).get("gpu")
                if isinstance(found, Scalar) and found.kind == "str" and not found.unknown:
                    return found.value
                if dotted(decorator.func) in ("click.option", "option"):
                    self.option(decorator)
        return None

    # Assignments

    def assign(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> None:
        if node.value is None:
            return
        value = self.values.value(node.value)
        if isinstance(node, ast.AugAssign):
            old = self.values.value(node.target)
            added = self.values.added(old, value, node.value) if isinstance(node.op, ast.Add) else None
            if isinstance(added, Items) and isinstance(old, Items):
                added = Items(added.items, old.place, added.layout)
                self.values.used.discard((old.place.start, old.place.end))
            elif isinstance(old, Mapping) and isinstance(value, Mapping):
                added = more(old, value.entries)
            self.put(node.target, added if added is not None else self.values.unknown(node.target))
            return
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            self.put(target, value)
            name = dotted(target)
            if name and isinstance(node.value, ast.Call) and self._engine_of(node.value):
                engine = self.engines.get(self._key(node.value))
                if engine is not None:
                    self.engines[name] = self.engines.pop(self._key(node.value))

    def put(self, target: ast.expr, value: Node) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            items = value.items if isinstance(value, Items) and len(value.items) == len(target.elts) else ()
            for number, each in enumerate(target.elts):
                self.put(each, items[number] if items else self.values.unknown(each))
            return
        if isinstance(target, ast.Subscript):
            self.put_item(target, value)
            return
        name = dotted(target)
        if name is None:
            return
        owner, _, attribute = name.rpartition(".")
        if owner in self.engines and isinstance(value, Scalar):
            key = Scalar(self.context.source.part(*self.values.span(target)))
            self.engines[owner].flags += _flags([(replace(key, source=_tail(key.source, attribute)), value)])[0]
        self.values.names[name] = value

    def put_item(self, target: ast.Subscript, value: Node) -> None:
        key = self.values.value(target.slice)
        name = dotted(target.value)
        if name is None or not isinstance(key, Scalar) or key.unknown:
            return
        if name in ("os.environ", "environ") and isinstance(value, Scalar):
            self.environment[key.text] = value
        base = self.values.names.get(name)
        if isinstance(base, Mapping):
            self.values.names[name] = more(base, [(key, value)])

    def mutate(self, call: ast.Call) -> None:
        """append, extend and update, which change what a name is worth."""
        if not isinstance(call.func, ast.Attribute) or (name := dotted(call.func.value)) is None:
            return
        base = self.values.names.get(name)
        values = [self.values.value(each) for each in call.args if not isinstance(each, ast.Starred)]
        if isinstance(base, Items) and values and call.func.attr in ("append", "extend", "insert"):
            new = {"append": values[:1], "insert": values[1:2]}.get(call.func.attr)
            added = tuple(new if new is not None else self.values.starred(values[0]))
            first = call.func.attr == "insert" and isinstance(values[0], Scalar) and values[0].text == "0"
            items = (*added, *base.items) if first else (*base.items, *added)
            self.values.names[name] = Items(items, base.place, Layout() if added else base.layout)
        elif call.func.attr == "update" and (isinstance(base, Mapping) or name in ("os.environ", "environ")):
            entries = [entry for each in values for entry in self.values.merged(each)]
            entries += self.values.keywords(call).entries
            if isinstance(base, Mapping):
                self.values.names[name] = more(base, entries)
            else:
                self.environment |= {key.text: value for key, value in entries if isinstance(value, Scalar)}

    # Calls

    def calls(self, statement: ast.stmt) -> None:
        """Look at every call of a statement, but not at those of the statements in it."""
        stack: list[ast.AST] = [each for each in ast.iter_child_nodes(statement) if not isinstance(each, ast.stmt)]
        if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Try | ast.Match):
            stack = list(getattr(statement, "decorator_list", []))
        while stack:
            node = stack.pop()
            if isinstance(node, ast.Call):
                self.look_at(node)
            stack.extend(each for each in ast.iter_child_nodes(node) if not isinstance(each, ast.stmt))

    def look_at(self, call: ast.Call) -> None:
        name = dotted(call.func) or (call.func.attr if isinstance(call.func, ast.Attribute) else "")
        last = name.rpartition(".")[2]
        if last == "add_argument":
            self.option(call)
        elif self._engine_of(call):
            self.engine(call)
        elif last in _WRAPPED:
            inner = self.values.keywords(call).mapping("vllm_kwargs")
            if inner is not None:
                self.engine(call, inner)
        elif last in self.functions:
            self.values.value(call)
        elif not _IGNORED.fullmatch(last):
            self.arguments(call, last)

    def _engine_of(self, call: ast.Call) -> bool:
        name = dotted(call.func) or ""
        first, _, last = name.rpartition(".")
        module = self.modules.get(first.partition(".")[0] if first else name, "vllm")
        return self.aliases.get(last, last) in ENGINES and module.partition(".")[0] == "vllm"

    def option(self, call: ast.Call) -> None:
        """An option of a command line, with its default."""
        names = [each.value for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        keywords = self.values.keywords(call)
        default = keywords.get("default")
        longest = next((name for name in names if name.startswith("--")), None)
        if longest is None or default is None or (isinstance(default, Scalar) and default.kind == "null"):
            return
        name = keywords.text("dest") or longest[2:].replace("-", "_")
        self.default(name, default)
        self.values.names.setdefault(f"option {name}", default)

    def engine(self, call: ast.Call, within: Mapping | None = None) -> None:
        keywords = self.values.keywords(call)
        entries = list(keywords.entries)
        if within is not None:
            entries = [*within.entries, *(each for each in entries if each[0].text != "vllm_kwargs")]
        model = keywords.get("model")
        if model is None and call.args and not isinstance(call.args[0], ast.Starred):
            model = self.values.value(call.args[0])
        flags, problems, partial = _flags(entries)
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
        self.engines[self._key(call)] = _Engine(server, flags, partial, self.context)

    def _key(self, call: ast.Call) -> str:
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

    # Functions

    def own(self, call: ast.Call, depth: int) -> Node | None:
        """What a function of the program gives for these arguments; None if it is none, or gives nothing known."""
        name = dotted(call.func) or ""
        function = self.functions.get(name) or self.functions.get(name.removeprefix("self.").removeprefix("cls."))
        if function is None or len(self.frames) >= MAX_CALLS or depth > MAX_CALLS or self.steps > MAX_STEPS:
            return None
        arguments = function.node.args
        names = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
        if names[:1] in (["self"], ["cls"]):
            names = names[1:]
        given = dict(zip(names, (self.values.value(each) for each in call.args), strict=False))
        given |= {key.text: value for key, value in self.values.keywords(call).entries}
        return self.follow(function, given)

    def follow(self, function: _Function, given: dict[str, Node], *, alone: bool = False) -> Node | None:
        """A function's body with these arguments; what it returns."""
        function.called = True
        self.steps += MAX_STEPS // MAX_FOLLOWED
        outside, gpu = self.values.names, self.gpu
        self.values.names = names = Names(outside)
        self.gpu = function.gpu or gpu
        for name, default in _parameters(function.node):
            names.pop(name, None)
            option = outside.get(f"option {name}")
            if name in given:
                names[name] = given[name]
            elif default is not None:
                names[name] = self.values.value(default)
            elif option is not None:
                names[name] = option
        self.frames.append(frame := _Frame())
        self.body(function.node.body)
        if alone:
            self.unused_in(outside)
        self.frames.pop()
        self.gpu = gpu
        kept = {name: value for name, value in self.values.names.items() if name.startswith(("self.", "cls."))}
        self.values.names = outside
        outside.update(kept)
        return frame.returned[-1] if frame.returned else None

    def unused_in(self, outside: Names) -> None:
        """Commands that a function makes and hands to others."""
        names = self.values.names.items()
        ours = [node for name, node in names if outside.get(name) is not node and "." not in name]
        for node in (*ours, *self.frames[-1].returned):
            if isinstance(node, Items) and (node.place.start, node.place.end) not in self.values.used:
                self.command(node, {})


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, ast.expr | None]]:
    """The parameters of a function, each with its default."""
    positional = [*node.args.posonlyargs, *node.args.args]
    defaults = [None] * (len(positional) - len(node.args.defaults)) + list(node.args.defaults)
    yield from zip((each.arg for each in positional), defaults, strict=True)
    yield from zip((each.arg for each in node.args.kwonlyargs), node.args.kw_defaults, strict=True)


def _flags(entries: Iterable[tuple[Scalar, Node]]) -> tuple[list[Flag], list[Problem], bool]:
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


def _tail(source: Source, name: str) -> Source:
    """The end of a dotted name."""
    return source.part(max(0, len(source.text) - len(name)), len(source.text))

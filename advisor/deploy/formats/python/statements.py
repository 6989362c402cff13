"""Statements of a program, in the order in which Python would run them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from advisor.deploy.context import Context
from advisor.deploy.deployment import NotReadableError, Value
from advisor.deploy.formats.python.assignments import Assignments
from advisor.deploy.formats.python.engines import WRAPPED
from advisor.deploy.source import Source, shown
from advisor.deploy.syntax.python_places import dotted
from advisor.deploy.syntax.python_trees import Names
from advisor.deploy.syntax.tree import Node, Scalar
from advisor.deploy.syntax.tree import Sequence as Items

MAX_STEPS = 12_000
"""Statements that are followed, those in loops and functions each time."""
MAX_CALLS = 20
"""Functions that call functions."""
MAX_FOLLOWED = 500
"""Calls of the program's own functions."""
MAX_ITEMS = 100
"""That a loop is followed over."""
_IGNORED = re.compile(
    r"print|info|debug|warning|error|exception|critical|log|echo|dict|list|append|extend|insert|join|split|format|str|"
    r"update|setdefault|from_pretrained"
)
"""Calls that show what they are given, make something else of it, or load a model to be trained."""


@dataclass(slots=True)
class _Function:
    node: ast.FunctionDef | ast.AsyncFunctionDef
    gpu: Value | None
    called: bool = False


class Statements(Assignments):
    """Follows branches, loops, classes and functions."""

    def __init__(self, source: Source, context: Context) -> None:
        super().__init__(source, context)
        self.values.call = self.own
        self.functions: dict[str, _Function] = {}
        self.later: list[_Function] = []
        """Functions in their order: those that nothing calls are followed in the end."""
        self.steps = 0

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
                self.frames[-1].append(self.values.value(node.value))  # type: ignore[arg-type]
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
        elif self.engine_of(call):
            self.engine(call)
        elif last in WRAPPED:
            inner = self.values.keywords(call).mapping("vllm_kwargs")
            if inner is not None:
                self.engine(call, inner)
        elif last in self.functions:
            self.values.value(call)
        elif not _IGNORED.fullmatch(last):
            self.arguments(call, last)

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
        returned = list[Node]()
        self.frames.append(returned)
        self.body(function.node.body)
        if alone:
            self.unused_in(outside)
        self.frames.pop()
        self.gpu = gpu
        kept = {name: value for name, value in self.values.names.items() if name.startswith(("self.", "cls."))}
        self.values.names = outside
        outside.update(kept)
        return returned[-1] if returned else None

    def unused_in(self, outside: Names) -> None:
        """Commands that a function makes and hands to others."""
        names = self.values.names.items()
        ours = [node for name, node in names if outside.get(name) is not node and "." not in name]
        for node in (*ours, *self.frames[-1]):
            if isinstance(node, Items) and (node.place.start, node.place.end) not in self.values.used:
                self.command(node, {})


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, ast.expr | None]]:
    """The parameters of a function, each with its default."""
    positional = [*node.args.posonlyargs, *node.args.args]
    defaults = [None] * (len(positional) - len(node.args.defaults)) + list(node.args.defaults)
    yield from zip((each.arg for each in positional), defaults, strict=True)
    yield from zip((each.arg for each in node.args.kwonlyargs), node.args.kw_defaults, strict=True)

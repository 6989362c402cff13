"""What is known around a server in a structured file: where it stands, its variables, what it is a part of."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Mapping as Variables
from dataclasses import dataclass, field, replace

from advisor.deploy.arguments.config_file import ReadConfig
from advisor.deploy.arguments.word import Word
from advisor.deploy.deployment import Deployment, Flag, NotReadableError, Value
from advisor.deploy.source import Source, joined
from advisor.deploy.syntax.tree import Mapping, Node, Scalar, Sequence

MAX_NESTING = 6
"""Files in strings of files: a manifest in a heredoc in a workflow has three."""
MAX_PUT_IN = 10_000
"""Characters that variables put into one text: variables may double one another."""
MAX_WORDS = 60_000
"""Words of all commands of a file: 20,000 adapters of --lora-modules with room for the rest."""
ENVIRONMENT = (
    *("env", "environment", "envs", "Env", "Environment", "environment_variables", "environmentVariables"),
    *("extraEnv", "extraEnvs", "extraEnvVars", "envVars", "env_vars", "env_variables"),
)
"""Keys under which containers of all kinds have their variables."""
IMAGE = ("image", "imageName", "image_name", "Image", "container_image", "image_uri", "imageUri", "docker_image")

_HOLE = re.compile(
    r"\$\$|\$\((?P<round>[A-Za-z_][\w.-]*)\)|\$\{(?P<curly>[A-Za-z_]\w*)(?:(?P<how>:?[-=?+])(?P<rest>[^{}]*))?\}"
    r"|\$(?P<bare>[A-Za-z_]\w*)|\{\{[^{}\n]{0,400}\}\}|\$\{\{?[^{}]*\}?\}",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Context:
    """Where a search stands."""

    file: str
    source: Source
    """The text that the tree was read from."""
    kind: str
    """What servers here are found in."""
    name: str = ""
    path: tuple[str, ...] = ()
    """The keys above."""
    partial: bool = False
    nesting: int = 0
    model: Scalar | None = None
    """What all servers here serve, where that is said apart from them."""
    serves: bool = False
    """Whether arguments here are vLLM's own, whatever the image."""
    loader: Value | None = None
    """What loads adapters into the servers here from outside."""
    compose: bool = False
    """Whether variables are put in as compose does, and a command comes behind the image's entry point."""
    variables: Variables[str, Scalar] = field(default_factory=dict)
    config_maps: Variables[str, Mapping] = field(default_factory=dict)
    """The data of each ConfigMap in the file, by name."""
    config: ReadConfig | None = None
    """Reads the file that --config names."""
    configs: frozenset[str] = frozenset()
    """The names of files that some --config in the file names."""
    held: Callable[[Source, Context], list[Deployment]] | None = None
    """Searches the documents of a file that stands in this one."""
    room: list[int] = field(default_factory=lambda: [MAX_WORDS])
    """Words of commands that may still be read in this file: a long command may be named by many aliases."""
    defaulted: dict[tuple[int, int], str] = field(default_factory=dict)
    """Places of defaults of variables, each with what stands for it: filled while values are put in."""

    def below(self, key: str) -> Context:
        return replace(self, path=(*self.path, key))

    def spend(self, words: int) -> None:
        """Count words that are read.

        Raises:
            NotReadableError: there are too many in this file.
        """
        self.room[0] -= words
        if self.room[0] < 0:
            raise NotReadableError(f"more than {MAX_WORDS:,} words of commands")

    def word(self, scalar: Scalar, variables: Variables[str, Scalar] | None = None) -> Word:
        """A scalar as one word of a command, variables put in where they are known."""
        filled = self.filled(scalar, variables)
        return Word(filled.source, filled.unknown, filled.quote)

    def filled(self, scalar: Scalar, variables: Variables[str, Scalar] | None = None) -> Scalar:
        """A scalar with what is known of the variables in it put in; what is not stands in it as it is written."""
        text = scalar.text
        if scalar.unknown or ("$" not in text and "{{" not in text):
            return scalar
        room = MAX_PUT_IN
        parts: list[Source] = []
        unknown, at = "", 0
        for hole in _HOLE.finditer(text):
            parts.append(scalar.source.part(at, hole.start()))
            at = hole.end()
            value = self._value(hole, scalar.source, variables or {})
            room -= len(value.text) if value else 0
            if value is None or room < 0:
                unknown = unknown or hole.group()
                value = scalar.source.part(hole.start(), hole.end())
            parts.append(value)
        parts.append(scalar.source.part(at, len(text)))
        kept = [*(part for part in parts[:-1] if part.text), parts[-1]]  # the last tells where the text ends
        return replace(scalar, source=replace(joined(kept), line_break=scalar.source.line_break), unknown=unknown)

    def _value(self, hole: re.Match[str], source: Source, known: Variables[str, Scalar]) -> Source | None:
        """What is put in; None where it is not known."""
        if hole.group() == "$$":
            return source.part(hole.start(), hole.start() + 1)
        name = hole["round"] or hole["curly"] or hole["bare"]
        scalar = None
        if name and not (self.compose and not hole["round"]):
            scalar = known.get(name) or self.variables.get(name)
        if scalar is not None and not scalar.unknown:
            return scalar.source
        if hole["how"] in (":-", "-", ":=", "=") and scalar is None and "$" not in hole["rest"]:
            value = source.part(*hole.span("rest"))
            self.defaulted[value.whole.start, value.whole.end] = hole.group()
            return value
        return None

    def marked(self, flag: Flag) -> Flag:
        """A flag whose value says whose default it is."""
        value = flag.value
        named = value and self.defaulted.get((value.place.start, value.place.end))
        return (
            replace(flag, value=replace(value, unknown=named)) if value and named and value.text is not None else flag
        )

    def image(self, mapping: Mapping) -> Value | None:
        """The image of a container: one text, or a repository and its tag."""
        for key in IMAGE:
            node = mapping.get(key)
            if isinstance(node, Scalar) and node.kind != "null":
                return self.filled(node).value
            if isinstance(node, Mapping) and (repository := node.scalar("repository") or node.scalar("name")):
                parts = [node.text("registry"), self.filled(repository).text]
                text = "/".join(part for part in parts if part)
                tag = node.text("tag")
                return Value(f"{text}:{tag}" if tag else text, repository.place, quote=repository.quote)
        return None

    def environment(self, mapping: Mapping) -> dict[str, Scalar]:
        """The variables of a container, by name; one that comes from elsewhere is unknown."""
        found: dict[str, Scalar] = {}
        for source in mapping.items("envFrom"):
            data = self.config_maps.get(source.text("configMapRef", "name")) if isinstance(source, Mapping) else None
            found |= {key.text: value for key, value in data.entries if isinstance(value, Scalar)} if data else {}
        for file in self._named_files(mapping.get("env_file")):
            for name, words in (self.config(file) if self.config else None) or ():
                found |= {name: Scalar(words[0].source, unknown=words[0].unknown)} if words else {}
        for key in ENVIRONMENT:
            node = mapping.get(key)
            for name, value in self._variables(node) if node is not None else ():
                found[name] = self.filled(value, found)
        return found

    def _named_files(self, node: Node | None) -> list[str]:
        """The files of compose's env_file: one, or a list of names and of mappings with a path."""
        items = node.items if isinstance(node, Sequence) else (node,)
        paths = [item.get("path") if isinstance(item, Mapping) else item for item in items]
        return [self.filled(path).text for path in paths if isinstance(path, Scalar)]

    def _variables(self, node: Node) -> list[tuple[str, Scalar]]:
        if isinstance(node, Mapping):
            if set(node.index) >= {"name", "value"}:  # HCL's only block of its kind
                return self.named(node)
            return [(key.text, value) for key, value in node.entries if isinstance(value, Scalar)]
        found: list[tuple[str, Scalar]] = []
        for item in node.items if isinstance(node, Sequence) else ():
            if isinstance(item, Mapping):
                found += self.named(item)
            elif isinstance(item, Scalar) and "=" in item.text:
                at = item.text.index("=")
                found.append((item.text[:at], replace(item, source=item.source.part(at + 1, len(item.text)))))
        return found

    def named(self, item: Mapping) -> list[tuple[str, Scalar]]:
        """The variable that an item of a list sets."""
        name = item.text("name") or item.text("Name") or item.text("key" if "value" in item else "")
        value = item.scalar("value") or item.scalar("Value")
        if not name:  # {NAME: value} as an item
            return [(key.text, each) for key, each in item.entries if isinstance(each, Scalar)]
        if value is None:
            kept = item.mapping("valueFrom", "configMapKeyRef")
            data = self.config_maps.get(kept.text("name")) if kept else None
            value = data.scalar(kept.text("key")) if kept and data else None
        if value is None:
            key = item.scalar("name") or item.scalar("Name")
            return [(name, replace(key, unknown=f"${name}"))] if key else []
        return [(name, value)]

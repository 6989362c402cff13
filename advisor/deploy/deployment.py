"""A vLLM server as a deployment file describes it: its flags and environment, each with the place where it stands.

Readers of all formats end here, and everything that judges or mends a file begins here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_SERVERS = 1_000
"""Of one file: what a chart renders has a dozen, and to judge one takes some milliseconds."""


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of a file's text: where a value stands, and what would be replaced to change it."""

    line: int
    """From 1."""
    column: int
    """From 1, in characters."""
    start: int
    """Offset in the text, characters."""
    end: int
    """Offset behind the stretch; equal to `start` where something would be inserted."""
    file: str | None = None
    """The file, where it is another than the deployment's: one that a command names, such as by --config."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value as vLLM gets it."""

    text: str | None
    """None where it cannot be known from the file."""
    place: Place
    """Without the quotes around it."""
    unknown: str = ""
    """What it depends on, where it is not known: "$SLOTS", "{{ .Values.slots }}"."""
    quote: str = ""
    """How the stretch at `place` is written: the quotes or the form that a replacement has to keep."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One launch flag, or what amounts to it: a key of a chart or custom resource, a variable of a wrapper."""

    name: str
    """vLLM's own name of the setting: max_loras."""
    value: Value | None
    """None for a switch that is on."""
    spelled: str
    """As the file has it: "--max-loras", "maxLoras", "OPTION_MAX_LORAS"."""
    place: Place
    """Where the name stands."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why vLLM does not read the file as it is meant: found while reading, told as a finding."""

    code: str
    """Name of the rule that tells it, such as "flag-and-value-in-one-item"."""
    message: str
    place: Place
    replacement: str | None = None
    """What to write at `place` instead, where that is sure."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter that the file itself has the server load or route."""

    name: str
    source: str | None
    place: Place


@dataclass(frozen=True, slots=True)
class Insertion:
    """Where a flag that is missing would be written."""

    place: Place
    template: str
    """Text to insert with `{flag}` (--max-loras), `{name}` (the format's own spelling) and `{value}` in it, each to be
    replaced as it stands: other braces are the format's own."""
    names: Mapping[str, str] = field(default_factory=dict)
    """The format's own spelling of each setting that it has: {"max_loras": "NIM_MAX_GPU_LORAS"}. Empty where the
    template asks for no `{name}`: any flag can be written."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One vLLM server found in a file."""

    file: str
    """The path as given; "-" for the standard input."""
    kind: str
    """What it was found in: "shell", "Kubernetes Deployment", "KServe LLMInferenceService", "Python", ..."""
    name: str
    """What the file calls it, or empty."""
    place: Place
    """Of the command, container or call."""
    flags: tuple[Flag, ...] = ()
    """In the order in which vLLM reads them: of the same name, the last counts."""
    environment: Mapping[str, Value] = field(default_factory=dict)
    """Variables that its process gets, as far as the file says."""
    model: Value | None = None
    image: Value | None = None
    """Of a container: its tag may tell the version."""
    gpu: Value | None = None
    """What the file says of the GPU type, where it does."""
    adapters: tuple[Adapter, ...] = ()
    loader: Value | None = None
    """What loads adapters from outside while the server runs, if the file shows it: a sidecar, a list of a chart."""
    partial: bool = False
    """Whether the file holds only a part of the server (a patch, an override): nothing is said of what is missing."""
    defaults: Mapping[str, str] = field(default_factory=dict)
    """What a wrapper passes to vLLM where the file says nothing: LMI's 4 slots, KubeAI's LoRA where adapters stand;
    a setting that is neither here nor a flag has vLLM's own default."""
    problems: tuple[Problem, ...] = ()
    insertion: Insertion | None = None

    def flag(self, name: str) -> Flag | None:
        """The flag of this name that counts: the last one."""
        return next((flag for flag in reversed(self.flags) if flag.name == name), None)


class NotReadableError(Exception):
    """A file that cannot be read as what it seems to be; the message is one line that says so and what would help."""


def bounded(servers: int) -> None:
    """Refuse a file in which more than `MAX_SERVERS` are found.

    Raises:
        NotReadableError: there are more.
    """
    if servers > MAX_SERVERS:
        raise NotReadableError(f"more than {MAX_SERVERS:,} vLLM servers in one file")
